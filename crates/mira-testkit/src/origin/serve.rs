//! The server's thread: connections, with TLS or without, and the requests on them.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{Seen, Shared, routes};
use crate::server::lock;

// LIMIT: tests send some megabytes.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves what comes; dropped, it closes all connections.
pub(super) async fn accept(
    listener: &tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    shared: &Arc<Shared>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        *lock(&shared.connections) += 1;
        connections.spawn(connection(stream, tls.clone(), Arc::clone(shared)));
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    // An event is to be on its way at once.
    drop(stream.set_nodelay(true));
    let Some(tls) = tls else {
        return requests(stream, None, shared).await;
    };
    // A client that does not trust us, or speaks no TLS, is part of a test.
    if let Ok(stream) = tls.accept(stream).await {
        let sni = stream.get_ref().1.server_name().map(str::to_owned);
        requests(stream, sni, shared).await;
    }
}

async fn requests(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    sni: Option<String>,
    shared: Arc<Shared>,
) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), sni.clone(), request));
    let server = auto::Builder::new(TokioExecutor::new());
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    // How it ends is the client's affair.
    drop(connection.await);
}

async fn answer(
    shared: Arc<Shared>,
    sni: Option<String>,
    mut request: Request<Incoming>,
) -> Result<Response<routes::Body>, Infallible> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let seen = seen(&head, sni, &body);
    shared.requests.add(seen.clone());
    Ok(routes::answer(&shared, &seen, &head, &body, upgrade).await)
}

/// Writes down a request.
pub(crate) fn seen(head: &Parts, sni: Option<String>, body: &[u8]) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = head.headers.iter();
    let host = head.headers.get(HOST).map(|host| text(host.as_bytes()));
    let authority = host.or_else(|| head.uri.authority().map(ToString::to_string));
    Seen {
        method: head.method.to_string(),
        authority: authority.unwrap_or_default(),
        sni,
        target: head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        version: format!("{:?}", head.version),
        headers: headers
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        body: text(body),
        body_sha256: data_encoding::HEXLOWER.encode(&Sha256::digest(body)),
    }
}
