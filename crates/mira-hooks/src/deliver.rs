//! One attempt to deliver an event: `POST` to a service's port on this machine, with the bytes that were signed.
//!
//! The event's own headers go along, and Mira's: `X-Mira-Attempt`, `X-Mira-GitHub-Api`, `X-Mira-GitHub-Token` (a placeholder), `X-Mira-GitHub-Tokens` (several),
//! and `Authorization`, by which the service knows that it is Mira who asks.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mira_store::ClaimedHook;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::along::Along;
use crate::targets::Endpoint;

/// How long a connection within this machine may take.
// LIMIT: it takes microseconds, unless the service does not accept any.
const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// Posts an event, and returns what the service answered.
///
/// # Errors
///
/// Returns why there was no answer.
pub(crate) async fn post(
    endpoint: &Endpoint,
    claimed: &ClaimedHook,
    along: &Along,
    body: String,
    answer_wait: Duration,
) -> Result<StatusCode, String> {
    let connect = timeout(CONNECT_WAIT_MAX, TcpStream::connect(endpoint.address));
    let stream = connect
        .await
        .map_err(|_| "the service does not accept connections".to_owned())?
        .map_err(|error| format!("no connection to the service: {error}"))?;
    let broke = |error: hyper::Error| format!("the connection to the service broke: {error}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broke)?;
    let request = request(endpoint, claimed, along, body)?;
    let talk = async {
        // It ends with the answer; what goes wrong on it is told there.
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(sender.send_request(request));
        tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        }
    };
    match timeout(answer_wait, talk).await {
        Ok(answer) => Ok(answer.map_err(broke)?.status()),
        Err(_) => Err(format!(
            "no answer within {} seconds",
            answer_wait.as_secs()
        )),
    }
}

fn request(
    endpoint: &Endpoint,
    claimed: &ClaimedHook,
    along: &Along,
    body: String,
) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::new(Full::new(Bytes::from(body)));
    *request.method_mut() = Method::POST;
    let path = endpoint.path.parse();
    *request.uri_mut() =
        path.map_err(|_| "the path of `deliverTo` cannot be asked for".to_owned())?;
    let attempt = claimed.attempt.to_string();
    let address = endpoint.address.to_string();
    let some = [
        (header::HOST, Some(address.as_str())),
        (header::CONTENT_TYPE, Some("application/json")),
        (
            HeaderName::from_static("x-github-event"),
            Some(&claimed.event),
        ),
        (
            HeaderName::from_static("x-github-delivery"),
            Some(&claimed.sent_id),
        ),
        (
            HeaderName::from_static("x-github-hook-installation-target-id"),
            claimed.sent_to.as_deref(),
        ),
        (HeaderName::from_static("x-mira-attempt"), Some(&attempt)),
        (
            HeaderName::from_static("x-mira-github-api"),
            along.api.as_deref(),
        ),
        (
            HeaderName::from_static("x-mira-github-token"),
            along.placeholder.as_deref(),
        ),
        (
            HeaderName::from_static("x-mira-github-tokens"),
            along.listed.as_deref(),
        ),
    ];
    for (name, value) in some {
        if let Some(value) = value {
            let value = value
                .parse()
                .map_err(|_| format!("{name} cannot be sent"))?;
            request.headers_mut().insert(name, value);
        }
    }
    let authorization = endpoint.authorization.clone();
    request
        .headers_mut()
        .insert(header::AUTHORIZATION, authorization);
    Ok(request)
}
