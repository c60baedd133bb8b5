//! HTTP between a program and the gate: connections whose requests are decided one by one.
//!
//! A connection comes here with its [`Site`], which is known by the listener or by the proxy request; what its requests say of their host
//! is held against that by `check`, and decides nothing. `forward` takes one request through: decide, check, put secrets in, record, send,
//! take secrets out of the answer. `pool` has the connections to hosts, `body` the bodies on their way, `upgrade` WebSocket.
//!
//! INVARIANT: dropping the future of a connection ends what belongs to it on the program's side.

mod body;
mod check;
mod forward;
mod pool;
mod upgrade;

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use mira_package::manifest::Host;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::denial::Denial;
use crate::open::Told;
use crate::owner::Caller;
use crate::policy::Reason;
use crate::shared::Shared;
use forward::denied;

pub(crate) use body::Answer;
pub(crate) use check::Target;
pub(crate) use forward::Connection;
pub(crate) use pool::Pool;

// LIMIT: so long may a program take for the head of a request, and rest between two.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(60);

// LIMIT: so long may a program take for its handshake, and to ask for what it is refused.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

// LIMIT: RFC 9110 names no bound; hosts take 8 to 64 KiB. Longer heads are refused with 431.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

// LIMIT: what HTTP/2 lets the other side send before it is read: what one slow request, or connection, may take in memory.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

// LIMIT: what hosts usually allow; more wait.
const STREAMS_MAX: u32 = 128;

/// What a connection is to.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Which service of the instance it is from.
    pub(crate) caller: Caller,
    /// Told when it is ended.
    pub(crate) ended: Arc<Ended>,
}

/// Why a connection was ended before its requests had ended, if it was: those that are under way say so in their rows.
#[derive(Debug, Default)]
pub(crate) struct Ended(OnceLock<Reason>);

impl Ended {
    fn reason(&self) -> Option<&Reason> {
        self.0.get()
    }
}

impl Told for Ended {
    fn refuse(&self, reason: &Reason) {
        self.0.get_or_init(|| reason.clone());
    }
}

/// Serves a connection that speaks plain HTTP, of version 1.1, or 2 by prior knowledge; what goes to the host is plain too.
pub(crate) async fn serve_plain<I>(io: I, site: Site, gate: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    serve(io, builder(), site, false, gate).await;
}

/// Serves a connection that begins with TLS for the site's host; what goes to the host is TLS too.
pub(crate) async fn serve_tls<I>(io: I, site: Site, gate: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(tls) = accept(io, &site.host, &gate).await else {
        // The program hears of it from its own TLS; whoever wonders why, from the record.
        unserved(
            &gate,
            &site,
            Reason::Protocol("trust in the gate's certificate"),
        )
        .await;
        return;
    };
    let builder = negotiated(&tls);
    serve(tls, builder, site, true, gate).await;
}

/// Reads one plain request and answers it with the denial.
pub(crate) async fn refuse_plain<I>(io: I, denial: &Denial)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    refuse(io, builder(), denial).await;
}

/// Answers a TLS handshake for this host, reads one request and answers it with the denial.
pub(crate) async fn refuse_tls<I>(io: I, host: &Host, denial: &Denial, gate: &Shared)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Some(tls) = accept(io, host, gate).await {
        let builder = negotiated(&tls);
        refuse(tls, builder, denial).await;
    }
}

async fn serve<I>(
    io: I,
    builder: Builder<TokioExecutor>,
    site: Site,
    secure: bool,
    gate: Arc<Shared>,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Some(target) = Target::new(site.host.clone(), site.port, secure) else {
        return;
    };
    let ended = Arc::clone(&site.ended);
    let connection = Connection::new(Arc::clone(&gate), target, site.caller.clone(), ended);
    let answering = Arc::clone(&connection);
    let service = service_fn(move |request| Arc::clone(&answering).answer(request));
    let served = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    // How else a connection ends is the program's affair: what was said in it is recorded.
    if let Err(error) = served.await
        && error.downcast_ref().is_some_and(is_unreadable)
    {
        unserved(&gate, &site, Reason::Malformed("request")).await;
    }
    if let Some(upgrade) = connection.take_upgrade() {
        upgrade.relay().await;
    }
}

/// Records that a connection was refused before any of its requests could be.
async fn unserved(gate: &Shared, site: &Site, reason: Reason) {
    let host = site.host.to_string();
    // Nothing left, so nothing is lost if this cannot be written.
    gate.refuse_connection(site.caller.known().await, &host, site.port, reason);
}

/// Whether a connection ended with a request that is not one: hyper answers it by itself.
pub(crate) fn is_unreadable(error: &hyper::Error) -> bool {
    error.is_parse()
}

async fn refuse<I>(io: I, builder: Builder<TokioExecutor>, denial: &Denial)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let denial = denial.clone();
    let service = service_fn(move |_: Request<Incoming>| {
        let response = denied(&denial);
        async move { Ok::<Response<Answer>, Infallible>(response) }
    });
    let served = builder.serve_connection(TokioIo::new(io), service);
    // Whoever does not ask is not told.
    timeout(HANDSHAKE_TIME, served).await.ok();
}

/// Does the host's part of a handshake.
async fn accept<I>(io: I, host: &Host, gate: &Shared) -> Option<TlsStream<I>>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let config = gate.authority.server(host).ok()?;
    let accepted = timeout(HANDSHAKE_TIME, TlsAcceptor::from(config).accept(io)).await;
    accepted.ok()?.ok()
}

/// Returns how to serve the version that was agreed on in the handshake.
fn negotiated<I>(tls: &TlsStream<I>) -> Builder<TokioExecutor> {
    match tls.get_ref().1.alpn_protocol() {
        Some(b"h2") => builder().http2_only(),
        _ => builder().http1_only(),
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .auto_date_header(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .max_concurrent_streams(STREAMS_MAX)
        .auto_date_header(false);
    builder
}

#[cfg(test)]
mod tests;
