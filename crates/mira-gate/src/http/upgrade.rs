//! WebSocket: an HTTP/1.1 connection that becomes another one.
//!
//! What follows is not changed. From a host that a secret went to, it is watched for values all the same: a value ends the connection before it is
//! passed on. Frames have to be uncompressed for that, so no extension is agreed to.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use mira_redact::{NeedleSet, Redactor};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout_at;

use super::body::Exchange;
use crate::broker::last_of;
use crate::policy::Reason;

const BUFFER_BYTES: usize = 8 * 1024;

/// A connection that is about to become a WebSocket.
pub(crate) struct Upgrade {
    pub(crate) program: OnUpgrade,
    pub(crate) host: OnUpgrade,
    /// What may not come from the host.
    pub(crate) needles: Option<Arc<NeedleSet>>,
    pub(crate) exchange: Arc<Exchange>,
}

/// Makes a request one for a WebSocket.
pub(crate) fn ask(headers: &mut HeaderMap, is_watched: bool) {
    agree(headers);
    if is_watched {
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    }
}

/// Says that the connection becomes a WebSocket.
pub(crate) fn agree(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

impl Upgrade {
    /// Passes on what both sides say, until one has ended.
    pub(crate) async fn relay(self) {
        let Ok((program, host)) = tokio::try_join!(self.program, self.host) else {
            return;
        };
        let (from_program, to_program) = split(TokioIo::new(program));
        let (from_host, to_host) = split(TokioIo::new(host));
        let exchange = &*self.exchange;
        let sent = |len| exchange.entry.sent(len);
        let forth = copy(from_program, to_host, sent);
        // An error of one direction is the end of both; what it says is told nobody, for there is nobody left.
        match self.needles {
            None => {
                let received = |len| exchange.entry.received(len);
                let back = copy(from_host, to_program, received);
                tokio::try_join!(forth, back).ok();
            }
            Some(needles) => {
                let back = watched(from_host, to_program, needles, exchange);
                tokio::try_join!(forth, back).ok();
            }
        }
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    count: impl Fn(u64),
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let len = from.read(&mut buffer).await?;
        let (piece, _) = buffer.split_at(len);
        if piece.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(piece).await?;
        to.flush().await?;
        count(len as u64);
    }
}

/// Copies until a value is seen.
async fn watched(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    needles: Arc<NeedleSet>,
    exchange: &Exchange,
) -> io::Result<()> {
    let mut redactor = Redactor::new(needles);
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let read = from.read(&mut buffer);
        let read = match redactor.deadline() {
            Some(deadline) => timeout_at(deadline.into(), read).await,
            None => Ok(read.await),
        };
        let now = Instant::now();
        let (out, ended) = match read {
            Err(_) => (redactor.expire(now).to_vec(), false),
            Ok(read) => match read? {
                0 => (last_of(&mut redactor), true),
                len => (redactor.push(buffer.split_at(len).0, now).to_vec(), false),
            },
        };
        let times = redactor.counts().redactions;
        if times > 0 {
            exchange.entry.redacted(times);
            exchange.refuse(Reason::Echo);
            return Err(io::Error::other("the host sent a secret"));
        }
        to.write_all(&out).await?;
        to.flush().await?;
        exchange.entry.received(out.len() as u64);
        if ended {
            return to.shutdown().await;
        }
    }
}
