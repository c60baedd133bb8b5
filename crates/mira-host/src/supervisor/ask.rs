//! One request to a service, over HTTP.

use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How much of an answer's head is read, in bytes.
// LIMIT: a head that is longer is none of those that are asked for here.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Returns a request for a path at a port.
pub(super) fn get(port: u16, path: &str) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    Request::get(path)
        .header(HOST, format!("127.0.0.1:{port}"))
        .header(CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::new())
}

/// Asks, and returns what `read` makes of the answer.
pub(super) async fn ask<T>(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
    read: impl AsyncFnOnce(Response<Incoming>) -> T,
) -> hyper::Result<T> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let work = async { Ok(read(sender.send_request(request).await?).await) };
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => done,
        // The answer may have come with the connection's end.
        _ = connection => work.await,
    }
}
