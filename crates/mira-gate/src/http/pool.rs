//! Connections to hosts, kept for the next request.
//!
//! A pool belongs to one policy, and within it a connection to one host and port: what it was opened for is what it is used for. A connection of
//! HTTP/2 is shared by all requests; one of HTTP/1.1 has one request at a time.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mira_package::manifest::Host;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::body::Outgoing;
use super::check::Target;
use super::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use crate::policy::Rule;
use crate::shared::{DialError, Shared};

// LIMIT: a host that takes a connection and then says nothing must not hold a request for ever.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

// LIMIT: what is more than this was a burst; each is a socket on both ends.
const IDLE_MAX: usize = 32;

// LIMIT: a pattern allows hosts without end; when so many were called, what is idle is closed.
const ORIGINS_MAX: usize = 512;

/// The connections of one policy.
#[derive(Default)]
pub(crate) struct Pool(Mutex<HashMap<(Host, u16, bool), Arc<Origin>>>);

/// The connections to one host and port.
#[derive(Default)]
pub(crate) struct Origin(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    one: Vec<At<http1::SendRequest<Outgoing>>>,
    two: Option<At<http2::SendRequest<Outgoing>>>,
}

/// What requests are sent by, and the address that they go to, if the system knows it.
#[derive(Clone)]
pub(crate) struct At<S> {
    pub(crate) sender: S,
    pub(crate) address: Option<IpAddr>,
}

/// A connection to a host.
pub(crate) enum Sender {
    One(At<http1::SendRequest<Outgoing>>),
    Two(At<http2::SendRequest<Outgoing>>),
}

/// Why there is no connection to a host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no TLS with it: {0}")]
    Tls(io::Error),
    #[error("it did not answer the handshake in time")]
    Slow,
    #[error("no HTTP with it: {0}")]
    Http(#[from] hyper::Error),
}

impl Pool {
    /// Returns the connections to a host.
    pub(crate) fn origin(&self, target: &Target) -> Arc<Origin> {
        let mut origins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if origins.len() >= ORIGINS_MAX {
            origins.clear();
        }
        let key = (target.host.clone(), target.port, target.secure);
        Arc::clone(origins.entry(key).or_default())
    }
}

impl Origin {
    /// Takes a connection that is ready for a request.
    pub(crate) fn take(&self) -> Option<Sender> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(two) = &idle.two {
            if two.sender.is_ready() {
                return Some(Sender::Two(two.clone()));
            }
            idle.two = None;
        }
        idle.one.retain(|one| !one.sender.is_closed());
        // The last one that came is the least likely to be closed on the other side. One may be about to become ready: its answer has just come.
        let ready = idle.one.iter().rposition(|one| one.sender.is_ready())?;
        Some(Sender::One(idle.one.swap_remove(ready)))
    }

    /// Keeps a connection whose answer has come.
    pub(crate) fn put(&self, one: At<http1::SendRequest<Outgoing>>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if one.sender.is_closed() {
            return;
        }
        if idle.one.len() >= IDLE_MAX {
            idle.one.retain(|one| !one.sender.is_closed());
        }
        if idle.one.len() < IDLE_MAX {
            idle.one.push(one);
        }
    }

    /// Makes a connection for requests.
    pub(crate) async fn connect(
        &self,
        gate: &Shared,
        target: &Target,
        rule: &Rule,
    ) -> Result<Sender, ConnectError> {
        let tcp = gate.dialer.dial(&target.host, target.port, rule).await?;
        let address = address(&tcp);
        if !target.secure {
            let sender = one(tcp).await?;
            return Ok(Sender::One(At { sender, address }));
        }
        let tls = TlsConnector::from(Arc::clone(&gate.roots.any));
        let tls = handshake(tls.connect(server_name(&target.host)?, tcp)).await?;
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            let sender = one(tls).await?;
            return Ok(Sender::One(At { sender, address }));
        }
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(tls))
            .await?;
        tokio::spawn(connection);
        let two = At { sender, address };
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.two = Some(two.clone());
        Ok(Sender::Two(two))
    }
}

/// Makes a connection of HTTP/1.1 for one request that changes the protocol.
pub(crate) async fn connect_one(
    gate: &Shared,
    target: &Target,
    rule: &Rule,
) -> Result<Sender, ConnectError> {
    let tcp = gate.dialer.dial(&target.host, target.port, rule).await?;
    let address = address(&tcp);
    let sender = match target.secure {
        false => one(tcp).await?,
        true => {
            let tls = TlsConnector::from(Arc::clone(&gate.roots.one));
            one(handshake(tls.connect(server_name(&target.host)?, tcp)).await?).await?
        }
    };
    Ok(Sender::One(At { sender, address }))
}

fn address(tcp: &TcpStream) -> Option<IpAddr> {
    tcp.peer_addr().ok().map(|address| address.ip())
}

async fn one<I>(io: I) -> Result<http1::SendRequest<Outgoing>, ConnectError>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

async fn handshake<T>(handshake: impl Future<Output = io::Result<T>>) -> Result<T, ConnectError> {
    let done = timeout(HANDSHAKE_TIME, handshake).await;
    done.map_err(|_| ConnectError::Slow)?
        .map_err(ConnectError::Tls)
}

fn server_name(host: &Host) -> Result<ServerName<'static>, ConnectError> {
    match host {
        Host::Ip(address) => Ok(ServerName::from(*address)),
        Host::Name(name) => ServerName::try_from(name.to_string())
            .map_err(|error| ConnectError::Tls(io::Error::other(error))),
    }
}

impl Sender {
    /// Gives a request the form of the connection's version.
    pub(crate) fn fit(&self, request: &mut Request<Outgoing>, to: &Target) {
        let target = mem::take(request.uri_mut()).into_parts().path_and_query;
        let headers = request.headers_mut();
        let (version, uri) = match self {
            Self::One(_) => {
                headers.insert(header::HOST, to.header.clone());
                join_cookies(headers);
                (Version::HTTP_11, target.map(Uri::from))
            }
            Self::Two(_) => {
                headers.remove(header::HOST);
                let uri = Uri::builder()
                    .scheme(to.scheme())
                    .authority(to.authority.clone());
                let target = target.unwrap_or_else(|| PathAndQuery::from_static("/"));
                (Version::HTTP_2, uri.path_and_query(target).build().ok())
            }
        };
        *request.version_mut() = version;
        *request.uri_mut() = uri.unwrap_or_default();
    }

    /// Sends a request, and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        match self {
            Self::One(one) => one.sender.try_send_request(request).await,
            Self::Two(two) => two.sender.try_send_request(request).await,
        }
    }

    /// Returns the address that it is to.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::One(one) => one.address,
            Self::Two(two) => two.address,
        }
    }

    /// Returns the connection, if it has one request at a time, for the next one.
    pub(crate) fn into_one(self) -> Option<At<http1::SendRequest<Outgoing>>> {
        match self {
            Self::One(one) => Some(one),
            Self::Two(_) => None,
        }
    }
}

/// HTTP/2 may have each cookie in a header of its own, HTTP/1.1 may not (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let mut joined = Zeroizing::new(Vec::new());
    for cookie in headers.get_all(header::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(mut joined) = HeaderValue::from_maybe_shared(Bytes::from_owner(joined)) {
        joined.set_sensitive(true);
        headers.insert(header::COOKIE, joined);
    }
}
