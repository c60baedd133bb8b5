//! Bodies that come piece by piece, and connections that become others.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::world::{API, KEY, PLACEHOLDER, World, request};
use crate::audit::Outcome;

#[tokio::test]
async fn each_event_of_a_stream_passes_before_the_next_is_sent() {
    let world = World::new().await;
    let tls = TokioIo::new(world.tls(API, b"http/1.1").await);
    let (mut sender, connection) = http1::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    let asked = request("/stream", b"http/1.1").header("x-secret", PLACEHOLDER);
    let asked = asked.body(Full::<Bytes>::default()).unwrap();
    let mut body = sender.send_request(asked).await.unwrap().into_body();
    for number in 0..20 {
        let event = Bytes::from(format!("data: {number}\n\n"));
        world.origin.pieces.send(event.clone()).unwrap();
        let mut got = Vec::new();
        while got.len() < event.len() {
            let frame = body.frame().await.unwrap().unwrap();
            got.extend_from_slice(frame.data_ref().unwrap());
        }
        assert_eq!(got, event);
    }
    // A tail that may be the beginning of the value comes too, when it has waited.
    let (half, rest) = KEY.split_at(5);
    world
        .origin
        .pieces
        .send(Bytes::from_static(half.as_bytes()))
        .unwrap();
    let mut got = Vec::new();
    while got.is_empty() {
        let frame = body.frame().await.unwrap().unwrap();
        got.extend_from_slice(frame.data_ref().unwrap());
    }
    world
        .origin
        .pieces
        .send(Bytes::from_static(rest.as_bytes()))
        .unwrap();
    world
        .origin
        .pieces
        .send(Bytes::from_static(b" end"))
        .unwrap();
    while !got.ends_with(b" end") {
        let frame = body.frame().await.unwrap().unwrap();
        got.extend_from_slice(frame.data_ref().unwrap());
    }
    let got = String::from_utf8(got).unwrap();
    assert!(!got.contains(KEY), "{got}");
    assert!(got.contains("[redacted:KEY]"), "{got}");
}

#[tokio::test]
async fn a_request_passes_piece_by_piece_too() {
    let world = World::new().await;
    let tls = TokioIo::new(world.tls(API, b"http/1.1").await);
    let (mut sender, connection) = http1::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    let (to_host, mut pieces) = mpsc::unbounded_channel::<Bytes>();
    let frames = futures_util::stream::poll_fn(move |cx| {
        let piece = pieces.poll_recv(cx);
        piece.map(|piece| piece.map(|piece| Ok::<_, std::io::Error>(Frame::data(piece))))
    });
    let asked = request("/count", b"http/1.1").method("POST");
    let asked = asked.body(StreamBody::new(frames)).unwrap();
    let answer = tokio::spawn(sender.send_request(asked));
    let piece = Bytes::from(vec![b'x'; 100_000]);
    let mut got = std::mem::replace(
        &mut *world.origin.got.lock().unwrap(),
        mpsc::unbounded_channel().1,
    );
    // 40 MB through a gate that has room for a fraction, and each piece arrives before the next is there.
    for _ in 0..400 {
        to_host.send(piece.clone()).unwrap();
        let mut len = 0;
        while len < piece.len() {
            len += got.recv().await.unwrap().len();
        }
    }
    drop(to_host);
    let answer = answer.await.unwrap().unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(&*body, b"counted");
    assert_eq!(world.rows().pop().unwrap().sent, 40_000_000);
}

#[tokio::test]
async fn an_answer_that_is_read_late_comes_whole() {
    let world = World::new().await;
    let mut tls = world.tls(API, b"http/1.1").await;
    let asked = format!("GET /stream HTTP/1.1\r\nHost: {API}\r\n\r\n");
    tls.write_all(asked.as_bytes()).await.unwrap();
    tls.read_u8().await.unwrap();
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    for _ in 0..8 {
        world.origin.pieces.send(piece.clone()).unwrap();
    }
    let mut len = 0;
    let mut buffer = vec![0; 1 << 16];
    while len < 8 << 20 {
        let read = tls.read(&mut buffer).await.unwrap();
        assert!(read > 0);
        len += buffer
            .iter()
            .take(read)
            .filter(|byte| **byte == b'x')
            .count();
    }
}

async fn websocket(world: &World) -> impl AsyncReadExt + AsyncWriteExt + Unpin {
    let mut tls = world.tls(API, b"http/1.1").await;
    let asked = format!(
        "GET /ws HTTP/1.1\r\nHost: {API}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Secret: {PLACEHOLDER}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: eA==\r\n\r\n"
    );
    tls.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tls.read_u8().await.unwrap());
    }
    let answer = String::from_utf8(answer).unwrap().to_lowercase();
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("upgrade: websocket"), "{answer}");
    tls
}

#[tokio::test]
async fn a_websocket_passes_and_its_request_gets_the_value() {
    let world = World::new().await;
    let mut socket = websocket(&world).await;
    for said in [b"ping", b"pong"] {
        socket.write_all(said).await.unwrap();
        let mut heard = [0; 4];
        socket.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, said);
    }
    let seen = world.origin.seen().pop().unwrap();
    assert_eq!(seen.header("x-secret"), KEY);
    assert_eq!(seen.header("sec-websocket-extensions"), "");
    assert_eq!(seen.header("sec-websocket-key"), "eA==");
    let row = world.rows().pop().unwrap();
    assert_eq!((row.how.as_str(), row.open), ("websocket", true));
}

#[tokio::test]
async fn a_websocket_ends_before_a_value_comes_through_it() {
    let world = World::new().await;
    let mut socket = websocket(&world).await;
    socket.write_all(b"leak").await.unwrap();
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).await.ok();
    assert!(!String::from_utf8_lossy(&heard).contains(KEY.split_at(3).1));
    while world.rows().pop().unwrap().open {
        tokio::task::yield_now().await;
    }
    let row = world.rows().pop().unwrap();
    assert_eq!((row.redacted, row.verdict), (1, Outcome::Refused));
    assert_eq!(row.rule, "the host sent the value of a secret");
}
