//! One connection of a program: what was meant, whether that may be, what it speaks, and who serves it.
//!
//! INVARIANT: what was connected to decides; what is said inside is held against it. Where the policy has secrets for a host, nothing passes to it but what HTTP
//! checks request by request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::http::StatusCode;
use bytes::BytesMut;
use mira_package::manifest::Host;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::audit::{Attempt, How};
use crate::denial::Denial;
use crate::engine::Engine;
use crate::hello::{self, First};
use crate::http::{self, Site};
use crate::open::{To, Told};
use crate::owner::Caller;
use crate::policy::{Policy, Reason, Rule, Verdict};
use crate::shared::DialError;
use crate::tunnel::{self, Ended, Start};

/// What a refused program may still send while the connection ends.
// LIMIT: enough for what was on its way; the rest is answered by the system.
const DRAIN_BYTES_MAX: u64 = 64 * 1024;

/// A connection of a program, with what was read of it already.
pub(crate) struct Incoming {
    pub(crate) stream: TcpStream,
    pub(crate) head: BytesMut,
}

/// What has to be spoken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Tls,
    Http,
    TlsOrHttp,
    Anything,
}

impl Wanted {
    fn of(policy: &Policy, site: &Site) -> Self {
        let has_secrets = policy.is_brokered(&site.host, site.port);
        match (site.port, has_secrets) {
            (443, _) => Self::Tls,
            (80, _) => Self::Http,
            (_, true) => Self::TlsOrHttp,
            (_, false) => Self::Anything,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Http => "HTTP",
            Self::TlsOrHttp => "TLS or HTTP",
            Self::Anything => "anything",
        }
    }
}

/// Serves a connection that was made to an address which stands for what is meant.
pub(crate) async fn transparent(engine: &Arc<Engine>, stream: TcpStream, caller: Caller) {
    // Who set it up is gone if this fails.
    let (Ok(local), Ok(())) = (stream.local_addr(), stream.set_nodelay(true)) else {
        return;
    };
    let site = site(engine, local, caller);
    let incoming = Incoming {
        stream,
        head: BytesMut::new(),
    };
    serve(engine, incoming, site).await;
}

/// Refuses such a connection because there are too many, and closes it at once.
pub(crate) fn too_many(engine: &Engine, stream: TcpStream, service: Option<Box<str>>) {
    if let Ok(local) = stream.local_addr() {
        let site = site(engine, local, Caller::Known(service));
        refuse_by(
            engine,
            &site,
            site.caller.now(),
            Reason::Limit("connections"),
        );
    }
}

fn site(engine: &Engine, local: SocketAddr, caller: Caller) -> Site {
    Site {
        host: engine.meant(Host::Ip(local.ip()), local.port()),
        port: local.port(),
        caller,
        ended: Arc::default(),
    }
}

/// Serves a connection that is to a host.
pub(crate) async fn serve(engine: &Arc<Engine>, mut incoming: Incoming, site: Site) {
    engine.ask(&site.host, site.port, &site.caller).await;
    let policy = engine.policy();
    let rule = match policy.decide(&site.host, site.port) {
        Verdict::Allowed(rule) => rule,
        Verdict::Refused(reason) => {
            let reason = refuse(engine, &site, reason).await;
            return Box::pin(tell(engine, incoming, None, &site, reason)).await;
        }
    };
    let wanted = Wanted::of(&policy, &site);
    if wanted == Wanted::Anything {
        return Box::pin(tunnel(engine, incoming, &site, rule, None)).await;
    }
    let read = hello::read(&mut incoming.stream, &mut incoming.head);
    let first = match timeout(engine.limits.first_bytes, read).await {
        Ok(Ok(First::Nothing) | Err(_)) => return,
        Ok(Ok(first)) => first,
        Err(_) => {
            refuse(engine, &site, Reason::Limit("time for the first bytes")).await;
            return;
        }
    };
    let has_secrets = policy.is_brokered(&site.host, site.port);
    if let Err(reason) = fits(&first, wanted, &site.host, !has_secrets) {
        let reason = refuse(engine, &site, reason).await;
        return Box::pin(tell(engine, incoming, Some(first), &site, reason)).await;
    }
    match first {
        First::Tls(_) if !has_secrets => {
            Box::pin(tunnel(engine, incoming, &site, rule, Some(first))).await;
        }
        First::Tls(_) => {
            let (to, ended) = (to(&site, None), Arc::clone(&site.ended));
            let shared = Arc::clone(&engine.shared);
            let work = Box::pin(http::serve_tls(incoming, site, shared));
            engine.hold(to, ended, work).await;
        }
        _ => {
            let (to, ended) = (to(&site, None), Arc::clone(&site.ended));
            let shared = Arc::clone(&engine.shared);
            let work = Box::pin(http::serve_plain(incoming, site, shared));
            engine.hold(to, ended, work).await;
        }
    }
}

async fn refuse(engine: &Engine, site: &Site, reason: Reason) -> Reason {
    let service = site.caller.known().await;
    refuse_by(engine, site, service, reason)
}

fn refuse_by(engine: &Engine, site: &Site, service: Option<&str>, reason: Reason) -> Reason {
    let host = site.host.to_string();
    engine
        .shared
        .refuse_connection(service, &host, site.port, reason)
}

fn to(site: &Site, address: Option<IpAddr>) -> To {
    To {
        host: site.host.clone(),
        port: site.port,
        address,
    }
}

/// Checks the first bytes where something is wanted of them.
fn fits(first: &First, wanted: Wanted, host: &Host, is_tunnel: bool) -> Result<(), Reason> {
    let other = Err(Reason::Protocol(wanted.as_str()));
    match first {
        First::BadTls => Err(Reason::Malformed("ClientHello")),
        First::Tls(_) if wanted == Wanted::Http => other,
        First::Tls(hello) => {
            hello.check(host)?;
            // Where the gate is the server, it has no key for what is encrypted there, and so nothing is hidden from it.
            match is_tunnel {
                true => hello.check_open(),
                false => Ok(()),
            }
        }
        First::Http if wanted == Wanted::Tls => other,
        First::Http => Ok(()),
        First::Other | First::Nothing => other,
    }
}

/// Records, connects, and moves bytes both ways. Without `first`, the program's first bytes are looked at when they come.
async fn tunnel(
    engine: &Arc<Engine>,
    mut incoming: Incoming,
    site: &Site,
    rule: Rule,
    first: Option<First>,
) {
    let verdict = Verdict::Allowed(rule.clone());
    let text = site.host.to_string();
    let attempt = Attempt {
        service: site.caller.now(),
        host: &text,
        address: None,
        port: site.port,
        how: How::Tunnel,
        verdict: &verdict,
    };
    let Ok(entry) = engine.shared.audit.begin(&attempt) else {
        let reason = refuse(engine, site, Reason::Unrecorded).await;
        return Box::pin(tell(engine, incoming, first, site, reason)).await;
    };
    let entry = Arc::new(entry);
    if attempt.service.is_none() {
        site.caller.name(&entry);
    }
    let mut host = match engine
        .shared
        .dialer
        .dial(&site.host, site.port, &rule)
        .await
    {
        Ok(host) => host,
        Err(DialError::Refused(reason)) => {
            entry.refuse(&reason);
            if let Reason::Address(address) = reason {
                entry.led_to(address);
            }
            engine.shared.tell(&attempt, &reason);
            return Box::pin(tell(engine, incoming, first, site, reason)).await;
        }
        Err(DialError::Unreachable(_)) => {
            entry.status(StatusCode::BAD_GATEWAY.as_u16());
            // As where the host itself is asked and is not there.
            incoming.stream.set_zero_linger().ok();
            return;
        }
    };
    let address = host.peer_addr().ok().map(|address| address.ip());
    if let Some(address) = address {
        entry.led_to(address);
    }
    let to = to(site, address);
    let limits = &engine.limits;
    let start = match first {
        Some(_) => Start::Checked(incoming.head),
        None => Start::Unchecked(incoming.head, &site.host, limits.first_bytes),
    };
    let work = async {
        let program = &mut incoming.stream;
        let ended = tunnel::relay(program, &mut host, start, &entry, limits.idle).await;
        if let Err(Ended::Refused(reason)) = ended {
            entry.refuse(&reason);
            engine.shared.tell(&attempt, &reason);
        }
    };
    engine
        .hold(to, Arc::clone(&entry) as Arc<dyn Told>, work)
        .await;
}

/// Tells a program why it is refused, in the form in which it speaks, and closes the connection. Without `first`, its first bytes are waited for.
async fn tell(
    engine: &Engine,
    mut incoming: Incoming,
    first: Option<First>,
    site: &Site,
    reason: Reason,
) {
    let first = match first {
        Some(first) => first,
        None => {
            let read = hello::read(&mut incoming.stream, &mut incoming.head);
            match timeout(engine.limits.refused, read).await {
                Ok(Ok(first)) => first,
                Ok(Err(_)) | Err(_) => First::Other,
            }
        }
    };
    let denial = Denial::new(&engine.policy(), &site.host.to_string(), site.port, reason);
    match first {
        First::Http => Box::pin(http::refuse_plain(incoming, &denial)).await,
        First::Tls(hello) => {
            // The program believes who it asked for, even where that is the reason.
            let asked = hello.name.and_then(|name| Host::requested(&name));
            let host = asked.as_ref().unwrap_or(&site.host);
            Box::pin(http::refuse_tls(incoming, host, &denial, &engine.shared)).await;
        }
        First::BadTls | First::Other | First::Nothing => {
            // An end that the program can read; how it goes on from there is its affair.
            incoming.stream.shutdown().await.ok();
            let mut rest = incoming.stream.take(DRAIN_BYTES_MAX);
            let mut nowhere = tokio::io::sink();
            let drained = tokio::io::copy(&mut rest, &mut nowhere);
            timeout(engine.limits.refused, drained).await.ok();
        }
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let count = self.head.len().min(buffer.remaining());
        buffer.put_slice(&self.head.split_to(count));
        if self.head.is_empty() {
            self.head = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
