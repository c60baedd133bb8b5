//! The server's thread: connections, the checks that a real service makes, and bodies that stream or break off.

use std::convert::Infallible;
use std::sync::Arc;

use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::dialect::{Asked, Dialect};
use super::reply::{Content, Reply, events};
use super::{ChatRequest, Shared};
use crate::server::{self, Connection, lock};

/// A hang-up: the connection ends before the body does.
#[derive(Debug)]
struct HangUp;

impl std::fmt::Display for HangUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the script hangs up here")
    }
}

impl std::error::Error for HangUp {}

type Body = Channel<Bytes, HangUp>;

// LIMIT: real services take some megabytes.
const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many pieces of a body wait for the client.
const PIECES_WAITING: usize = 8;

/// Serves what comes; dropped, it closes all connections.
pub(super) async fn accept(
    listener: &tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    shared: &Arc<Shared>,
) {
    let shared = Arc::clone(shared);
    let serve = move |stream| connection(stream, Arc::clone(&shared));
    server::accept(listener, tls, serve).await;
}

async fn connection(stream: Box<dyn Connection>, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // A client that hangs up, or is hung up on, is part of the script.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let Some((dialect, asked)) = Dialect::of(&head.method, head.uri.path(), &head.headers) else {
        let unknown = Reply::error(404, "unknown_url", "Unknown request URL.");
        return Ok(refusal(Dialect::OpenAi, unknown.content));
    };
    let bearer = dialect.key(&head.headers);
    let accepted = shared.key.is_none() || shared.key == bearer || dialect.is_open(asked);
    let bad_key = || Reply::error(401, "invalid_api_key", &dialect.bad_key(bearer.as_deref()));
    if asked != Asked::Chat {
        let scripted = lock(&shared.listing_script).pop_front();
        let reply = match scripted {
            Some(reply) => reply.with_key(bearer.as_deref()),
            None if accepted => {
                let listing = match asked {
                    Asked::Key => {
                        json!({"data": {"label": "testkit", "usage": 0, "limit": null, "limit_remaining": null}})
                    }
                    _ => dialect.models(&shared.models),
                };
                return Ok(whole(StatusCode::OK, &listing, None));
            }
            None => bad_key(),
        };
        if reply.held {
            shared.hold().await;
        }
        return Ok(refusal(dialect, reply.content));
    }
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let reply = match serde_json::from_slice::<Value>(&body) {
        Ok(body) if body["messages"].is_array() && body["model"].is_string() => {
            let request = ChatRequest {
                body,
                bearer: bearer.clone(),
            };
            shared.requests.add(request.clone());
            if accepted {
                return Ok(chat(&shared, dialect, &request).await);
            }
            bad_key()
        }
        _ => Reply::error(
            400,
            "invalid_value",
            "We could not parse the body of your request.",
        ),
    };
    Ok(refusal(dialect, reply.content))
}

async fn chat(shared: &Arc<Shared>, dialect: Dialect, request: &ChatRequest) -> Response<Body> {
    let reply = shared.reply_to(request).with_key(request.bearer.as_deref());
    let refuses = matches!(reply.content, Content::Error { .. } | Content::Other { .. });
    let streams = request.wants_stream() && !refuses;
    let (sender, body) = Channel::new(PIECES_WAITING);
    let pieces: Vec<String> = if streams {
        let events = events(&reply.content, request.model());
        let lines = events.iter().map(|event| format!("data: {event}\n\n"));
        lines.chain(["data: [DONE]\n\n".to_owned()]).collect()
    } else {
        if reply.held {
            shared.hold().await;
        }
        if refuses {
            return refusal(dialect, reply.content);
        }
        let text = dialect
            .document(&reply.content, request.model())
            .to_string();
        let (first, rest) = text.split_at(text.floor_char_boundary(text.len() / 2));
        vec![first.to_owned(), rest.to_owned()]
    };
    tokio::spawn(send(
        Arc::clone(shared),
        sender,
        pieces,
        streams && reply.held,
        reply.cut,
    ));
    let mut response = Response::new(body);
    let kind = if streams {
        "text/event-stream"
    } else {
        "application/json"
    };
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Sends a body in pieces: the first, then, once it is not held any more, the others, or only half of all before it hangs up.
async fn send(
    shared: Arc<Shared>,
    mut sender: Sender<Bytes, HangUp>,
    pieces: Vec<String>,
    held: bool,
    cut: bool,
) {
    let half = pieces.len() / 2;
    for (number, piece) in pieces.into_iter().enumerate() {
        if held && number == 1 {
            shared.hold().await;
        }
        if cut && number == half {
            // The connection's task takes what it was sent, and writes it, before this one goes on: hyper drops what it
            // has not written when a body fails.
            tokio::task::yield_now().await;
            sender.abort(HangUp);
            return;
        }
        // The client may have hung up: then there is nobody to send to.
        if sender.send_data(Bytes::from(piece)).await.is_err() {
            return;
        }
    }
}

/// The response of a reply that is no answer.
fn refusal(dialect: Dialect, content: Content) -> Response<Body> {
    let status_of = |status| StatusCode::from_u16(status).expect("a test names a real status");
    match content {
        Content::Error {
            status,
            code,
            message,
            retry_after_secs,
        } => {
            let body = dialect.error(status, &code, &message);
            whole(status_of(status), &body, retry_after_secs)
        }
        Content::Other {
            status,
            kind,
            location,
            body,
        } => {
            let mut response = sent(status_of(status), body);
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            if let Some(location) = location {
                let location = location.parse().expect("a test names a real address");
                headers.insert(LOCATION, location);
            }
            response
        }
        Content::Text(_) | Content::ToolCall { .. } => unreachable!("only errors are refusals"),
    }
}

fn whole(status: StatusCode, body: &Value, retry_after_secs: Option<u64>) -> Response<Body> {
    let mut response = sent(status, body.to_string());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after_secs {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn sent(status: StatusCode, body: String) -> Response<Body> {
    let (mut sender, channel) = Channel::new(1);
    // The channel is new, so it has room for one piece.
    drop(sender.try_send(hyper::body::Frame::data(Bytes::from(body))));
    let mut response = Response::new(channel);
    *response.status_mut() = status;
    response
}
