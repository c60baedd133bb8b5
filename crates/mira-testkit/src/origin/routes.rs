//! What is answered at which path.

use std::convert::Infallible;
use std::sync::Arc;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Seen, Shared, sigv4};
use crate::server::lock;

pub(super) type Body = BoxBody<Bytes, Infallible>;

/// How many pieces of a body wait for the client.
const PIECES_WAITING: usize = 2;
const PIECE_BYTES: u64 = 16 * 1024;

pub(super) async fn answer(
    shared: &Arc<Shared>,
    seen: &Seen,
    head: &Parts,
    body: &[u8],
    upgrade: OnUpgrade,
) -> Response<Body> {
    let query = head.uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
        parameters.find_map(|(key, value)| (key == name).then_some(value))
    };
    match head.uri.path() {
        "/echo" => echo(seen, head),
        path if path.starts_with("/echo/") => echo(seen, head),
        "/gzip" | "/deflate" | "/br" | "/zstd" => {
            compressed(seen, head.uri.path().trim_start_matches('/')).await
        }
        "/sse" => events(shared),
        "/v1/chat/completions" if wants_stream(body) => events(shared),
        "/v1/chat/completions" => completion(),
        "/ws" => web_socket(head, upgrade),
        "/redirect" => redirect(parameter("to").unwrap_or_default()),
        "/big" => big(parameter("bytes").and_then(|count| count.parse().ok())),
        path if path.starts_with("/aws") => match &*lock(&shared.aws) {
            Some(keys) => aws(sigv4::check(head, body, keys)),
            None => aws(Err("no keys are set")),
        },
        path => file(shared, path),
    }
}

fn document(status: StatusCode, json: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(json.to_string()).boxed());
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Returns a file of a folder that is served, if there is one.
fn file(shared: &Shared, path: &str) -> Response<Body> {
    let folders = lock(&shared.folders);
    let mut files = folders.iter().filter_map(|(place, folder)| {
        let below = path.strip_prefix(&**place)?.strip_prefix('/')?;
        std::fs::read(folder.join(below)).ok()
    });
    match files.next() {
        Some(content) => Response::new(Full::from(content).boxed()),
        None => document(StatusCode::NOT_FOUND, &json!({"error": "no such path"})),
    }
}

fn wants_stream(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|question: Value| question["stream"] == true)
}

/// Answers as a model does, with one word.
fn completion() -> Response<Body> {
    let message = json!({"role": "assistant", "content": "Hello"});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let answer = json!({"id": "any", "object": "chat.completion", "created": 0, "model": "any", "choices": [choice]});
    document(StatusCode::OK, &answer)
}

fn bad_request() -> Response<Body> {
    document(StatusCode::BAD_REQUEST, &json!({"error": "bad request"}))
}

fn echo(seen: &Seen, head: &Parts) -> Response<Body> {
    let mut response = document(StatusCode::OK, &seen.into());
    for (name, value) in &head.headers {
        let name: HeaderName = format!("x-echo-{name}").parse().expect("it was a name");
        response.headers_mut().append(name, value.clone());
    }
    response
}

async fn compressed(seen: &Seen, encoding: &str) -> Response<Body> {
    let text = Value::from(seen).to_string();
    let compressed = compress(text.as_bytes(), encoding).await;
    let compressed = compressed.expect("nothing is written but memory");
    let mut response = Response::new(Full::from(compressed).boxed());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let encoding = encoding.parse().expect("a word can stand in a header");
    headers.insert(CONTENT_ENCODING, encoding);
    response
}

async fn compress(bytes: &[u8], encoding: &str) -> std::io::Result<Vec<u8>> {
    macro_rules! through {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(bytes).await?;
            encoder.shutdown().await?;
            Ok(encoder.into_inner())
        }};
    }
    match encoding {
        "gzip" => through!(GzipEncoder),
        "deflate" => through!(ZlibEncoder),
        "br" => through!(BrotliEncoder),
        _ => through!(ZstdEncoder),
    }
}

fn streamed() -> (Sender<Bytes>, Response<Body>) {
    let (sender, body) = Channel::new(PIECES_WAITING);
    (sender, Response::new(body.boxed()))
}

fn events(shared: &Arc<Shared>) -> Response<Body> {
    let (mut sender, mut response) = streamed();
    let kind = HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    let mut events = shared.events.subscribe();
    tokio::spawn(async move {
        let mut sent = 0;
        while let Some((new, all)) = events_after(sent, &mut events).await {
            sent += new.len();
            for event in new {
                if sender.send_data(event.into()).await.is_err() {
                    return;
                }
            }
            if all {
                return;
            }
        }
    });
    response
}

/// Waits for events after the first so many; returns them, and whether there will be no more. Nothing is returned by a server that ends.
async fn events_after(
    count: usize,
    events: &mut watch::Receiver<(Vec<String>, bool)>,
) -> Option<(Vec<String>, bool)> {
    let are_there = |(events, all): &(Vec<String>, bool)| events.len() > count || *all;
    let events = events.wait_for(are_there).await.ok()?;
    Some((events.0.get(count..)?.to_vec(), events.1))
}

fn web_socket(head: &Parts, upgrade: OnUpgrade) -> Response<Body> {
    let Some(key) = head.headers.get(SEC_WEBSOCKET_KEY) else {
        return bad_request();
    };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(async move {
        let Ok(stream) = upgrade.await else {
            return;
        };
        let stream = TokioIo::new(stream);
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            let is_talk = message.is_text() || message.is_binary();
            if is_talk && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = accept.parse().expect("base64 can stand in a header");
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// Answers with the parameter as it is: percent-encoded, as a `Location` is.
fn redirect(to: &str) -> Response<Body> {
    let Ok(to) = HeaderValue::from_str(to) else {
        return bad_request();
    };
    let mut response = document(StatusCode::FOUND, &json!({}));
    response.headers_mut().insert(LOCATION, to);
    response
}

fn big(bytes: Option<u64>) -> Response<Body> {
    let Some(bytes) = bytes else {
        return bad_request();
    };
    let (mut sender, mut response) = streamed();
    response.headers_mut().insert(CONTENT_LENGTH, bytes.into());
    tokio::spawn(async move {
        let piece = Bytes::from(vec![
            b'x';
            usize::try_from(PIECE_BYTES).expect("it is small")
        ]);
        let mut left = bytes;
        while left > 0 {
            let count = left.min(PIECE_BYTES);
            let piece = piece.slice(..usize::try_from(count).expect("it is small"));
            if sender.send_data(piece).await.is_err() {
                return;
            }
            left -= count;
        }
    });
    response
}

fn aws(checked: Result<(), &'static str>) -> Response<Body> {
    match checked {
        Ok(()) => document(StatusCode::OK, &json!({"signed": true})),
        Err(reason) => document(
            StatusCode::FORBIDDEN,
            &json!({"signed": false, "reason": reason}),
        ),
    }
}
