//! What an instance tells of how it fares: asked for at its own port, and redacted before anybody else sees it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::{Response, body::Incoming};
use mira_redact::NeedleSet;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ask::{ask, get};
use super::error::ReportError;
use crate::network::Net;
use crate::service::Report;

/// How long a service may take to answer.
// LIMIT: a person waits for the page.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How long a report may be, in bytes.
// LIMIT: it is for one page.
pub const REPORT_BYTES_MAX: usize = 1024 * 1024;

/// Asks for a report, and takes values out of it.
pub(super) async fn fetch(
    report: &Report,
    net: Option<&Arc<Net>>,
    authorization: HeaderValue,
    needles: &NeedleSet,
) -> Result<Vec<u8>, ReportError> {
    let service = || report.service.clone();
    let broken = |what: String| ReportError::NoAnswer {
        service: service(),
        what,
    };
    let talk = async {
        let stream = match net {
            Some(net) => net.connect(report.port).await,
            None => TcpStream::connect(("127.0.0.1", report.port)).await,
        };
        let stream = stream.map_err(|error| broken(error.to_string()))?;
        let mut request =
            get(report.port, &report.path).map_err(|error| broken(error.to_string()))?;
        request.headers_mut().insert(AUTHORIZATION, authorization);
        ask(stream, request, read)
            .await
            .map_err(|error| broken(error.to_string()))?
            .map_err(broken)
    };
    let text = timeout(ANSWER_WAIT, talk).await.map_err(|_| {
        broken(format!(
            "it took longer than {} seconds",
            ANSWER_WAIT.as_secs()
        ))
    })??;
    Ok(needles.redact_message(&text).unwrap_or(text))
}

async fn read(answer: Response<Incoming>) -> Result<Vec<u8>, String> {
    if !answer.status().is_success() {
        return Err(format!("it answered {}", answer.status()));
    }
    let body = Limited::new(answer.into_body(), REPORT_BYTES_MAX).collect();
    let body = body
        .await
        .map_err(|error| match error.is::<hyper::Error>() {
            true => format!("its answer broke off: {error}"),
            false => format!("its answer is longer than {REPORT_BYTES_MAX} bytes"),
        })?;
    Ok(body.to_bytes().into())
}
