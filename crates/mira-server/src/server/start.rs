//! A start: leaves HTTP behind, takes the values off the connection into locked memory, and tells what comes of it.
//!
//! INVARIANT: a value's bytes are read into buffers that are wiped, and nothing is read ahead: whoever starts an instance sends
//! the values only after the upgrade is answered.

use std::io;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::TokioIo;
use mira_host::service::InstanceSpec;
use mira_host::supervisor::Begun;
use mira_secret::SecretBytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use zeroize::Zeroizing;

use super::api::failed;
use super::autosave::Plan;
use super::follow::Following;
use super::{AtWork, Desk};
use crate::lines;
use crate::wire::{
    Autosave, Failure, LEAVING, START_PROTOCOL, START_REQUEST_BYTES_MAX, StartLine, StartRequest,
};

/// Answers a request to start an instance, and goes on with it once HTTP is left behind.
pub(super) fn answer(desk: Arc<Desk>, id: String, mut request: Request) -> Response {
    let Some(work) = desk.at_work_unless_leaving() else {
        return failed(LEAVING, &io::Error::other("the supervisor is about to end"));
    };
    if !asks_for_start(request.headers()) {
        let error = io::Error::other("a start needs an upgrade to mira-start");
        return failed(StatusCode::UPGRADE_REQUIRED, &error);
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            // Whoever asked is gone, if it cannot be told.
            converse(&desk, &id, TokioIo::new(upgraded)).await.ok();
        }
        drop::<AtWork>(work);
    });
    let headers = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, START_PROTOCOL),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn asks_for_start(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol == START_PROTOCOL)
}

async fn converse(
    desk: &Arc<Desk>,
    id: &str,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let Received {
        spec,
        attached,
        asks,
        autosave,
    } = match receive(&mut reader, id).await {
        Ok(received) => received,
        Err(error) => return fail(&mut writer, &error).await,
    };
    let Begun { events, up, gone } = match desk.supervisor.begin(spec, asks).await {
        Ok(begun) => begun,
        Err(error) => return fail(&mut writer, &error).await,
    };
    if let Some(plan) = autosave {
        desk.autosaves.begin(desk, plan, gone);
    }
    let mut events = Following::new(events, desk.autosaves.watch(id));
    let mut up = std::pin::pin!(up.wait());
    let (mut is_up, mut hung_up) = (false, false);
    loop {
        tokio::select! {
            // What happened before it was up is told before that.
            biased;
            event = events.next() => match event {
                // If nobody listens any more, the end of the connection says so too.
                Some(event) => {
                    lines::write(&mut writer, &StartLine::Event { event }).await.ok();
                }
                None if is_up || hung_up => break,
                // What became of it is known a moment later.
                None => return match up.await {
                    Ok(()) => lines::write(&mut writer, &StartLine::Stopped).await,
                    Err(error) => fail(&mut writer, &error).await,
                },
            },
            started = &mut up, if !is_up => match started {
                Ok(()) => {
                    is_up = true;
                    let told = lines::write(&mut writer, &StartLine::Started).await;
                    if !attached {
                        return told;
                    }
                }
                // It was told to stop before it was up; how that goes is told until its end.
                Err(_) if hung_up => is_up = true,
                Err(error) => return fail(&mut writer, &error).await,
            },
            () = end_of(&mut reader), if attached && !hung_up => {
                hung_up = true;
                // Not waited for: what happens until then is told.
                let (desk, id) = (Arc::clone(desk), id.to_owned());
                tokio::spawn(async move { desk.supervisor.stop(&id).await.ok() });
            }
        }
    }
    lines::write(&mut writer, &StartLine::Stopped).await
}

async fn fail(
    writer: &mut (impl AsyncWrite + Unpin),
    error: &impl std::error::Error,
) -> io::Result<()> {
    let message = error.to_string();
    let failure = Failure { message };
    lines::write(writer, &StartLine::Failed { failure }).await
}

/// Returns when whoever asked has hung up, or says so by ending what it sends.
async fn end_of(reader: &mut (impl AsyncRead + Unpin)) {
    // Nothing is to be read after the values; what comes all the same is thrown away.
    while reader.read_u8().await.is_ok() {}
}

/// What is to be started, and how.
struct Received {
    spec: InstanceSpec,
    attached: bool,
    asks: bool,
    autosave: Option<Plan>,
}

/// Takes the request, and then the values, each into memory of its own.
async fn receive(reader: &mut (impl AsyncRead + Unpin), id: &str) -> io::Result<Received> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let len = usize::try_from(reader.read_u32().await?).map_err(io::Error::other)?;
    if len > START_REQUEST_BYTES_MAX {
        return Err(invalid(format!(
            "the request is longer than {START_REQUEST_BYTES_MAX} bytes"
        )));
    }
    let mut request = vec![0; len];
    reader.read_exact(&mut request).await?;
    let request: StartRequest = serde_json::from_slice(&request).map_err(|_| {
        invalid(
            "the request cannot be understood: command and supervisor are of different versions; `mira serve --stop` ends the supervisor"
                .to_owned(),
        )
    })?;
    if request.spec.id != id {
        return Err(invalid("the request is for another instance".to_owned()));
    }
    let mut values = Vec::with_capacity(request.values.len());
    for head in request.values {
        if !head.is_plausible() {
            return Err(invalid("a value is too long".to_owned()));
        }
        let value = receive_value(reader, head.bytes).await?;
        values.push(
            head.with(value)
                .map_err(|error| invalid(error.to_string()))?,
        );
    }
    let spec = request.spec.with(values);
    let spec = spec.map_err(|error| invalid(error.to_string()))?;
    let autosave = match request.autosave.map(Autosave::try_from).transpose() {
        Err(error) => return Err(invalid(error.to_string())),
        Ok(None) => None,
        Ok(Some(autosave)) => Some(Plan::new(autosave, &spec).ok_or_else(|| {
            invalid("the password of the snapshots is not among the values".to_owned())
        })?),
    };
    Ok(Received {
        spec,
        attached: request.attached,
        asks: request.asks,
        autosave,
    })
}

/// Reads a value into memory that is wiped.
async fn receive_value(
    reader: &mut (impl AsyncRead + Unpin),
    len: usize,
) -> io::Result<SecretBytes> {
    let mut value = Zeroizing::new(vec![0; len]);
    reader.read_exact(&mut value).await?;
    Ok(SecretBytes::copy_from(&value))
}
