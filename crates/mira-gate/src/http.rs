//! HTTP between a program and the gate: connections whose requests are decided one by one.
//!
//! A connection comes here with its [`Site`], which is known by the listener or by the proxy request; what its requests say of their host
//! is held against that by `check`, and decides nothing. `forward` takes one request through: decide, check, put secrets in, record, send,
//! take secrets out of the answer. `pool` has the connections to hosts, `body` the bodies on their way, `upgrade` WebSocket.
//!
//! INVARIANT: dropping the future of a connection ends all that belongs to it on the program's side; nothing of it is spawned.

use std::sync::Arc;

use mira_package::manifest::Host;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::denial::Denial;
use crate::shared::Shared;

/// What a connection is to.
pub(crate) struct Site {
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Which service of the instance it is from, if that is known.
    pub(crate) service: Option<Box<str>>,
}

/// Serves a connection that speaks plain HTTP, of version 1.1, or 2 by prior knowledge; what goes to the host is plain too.
pub(crate) async fn serve_plain<I>(io: I, site: Site, gate: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    drop((io, site, gate));
}

/// Serves a connection that begins with TLS for the site's host; what goes to the host is TLS too.
pub(crate) async fn serve_tls<I>(io: I, site: Site, gate: Arc<Shared>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    drop((io, site, gate));
}

/// Reads one plain request and answers it with the denial.
pub(crate) async fn refuse_plain<I>(io: I, denial: Denial)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    drop((io, denial));
}

/// Answers a TLS handshake for this host, reads one request and answers it with the denial.
pub(crate) async fn refuse_tls<I>(io: I, host: &Host, denial: Denial, gate: &Shared)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    drop((io, host, denial, gate));
}
