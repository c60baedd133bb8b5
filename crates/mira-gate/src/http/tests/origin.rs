//! A host that remembers what it was asked, and answers as the path says.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request that came whole, as text.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

pub(super) struct Origin {
    pub(super) address: std::net::SocketAddr,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) seen: Arc<Mutex<Vec<Seen>>>,
    /// What `/stream` sends, piece by piece.
    pub(super) pieces: mpsc::UnboundedSender<Bytes>,
    /// The pieces of the body that `/count` got.
    pub(super) got: Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

struct Inner {
    seen: Arc<Mutex<Vec<Seen>>>,
    pieces: Mutex<Option<mpsc::UnboundedReceiver<Bytes>>>,
    got: mpsc::UnboundedSender<Bytes>,
}

pub(super) const NAMES: [&str; 3] = ["api.example.org", "other.example.org", "ws.example.org"];

impl Origin {
    pub(super) async fn start(protocol: &'static [&'static [u8]]) -> Self {
        let own = rcgen::generate_simple_self_signed(NAMES.map(String::from)).unwrap();
        let certificate = own.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        config.alpn_protocols = protocol.iter().map(|name| name.to_vec()).collect();
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (pieces, from_test) = mpsc::unbounded_channel();
        let (to_test, got) = mpsc::unbounded_channel();
        let seen = Arc::default();
        let inner = Arc::new(Inner {
            seen: Arc::clone(&seen),
            pieces: Mutex::new(Some(from_test)),
            got: to_test,
        });
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tcp.set_nodelay(true).unwrap();
                let (tls, inner) = (tls.clone(), Arc::clone(&inner));
                tokio::spawn(async move {
                    let mut first = [0];
                    tcp.peek(&mut first).await.ok();
                    let service = service_fn(move |request| answer(Arc::clone(&inner), request));
                    let builder = Builder::new(TokioExecutor::new());
                    // A handshake begins with 22; anything else is plain.
                    if first == [22] {
                        let Ok(tls) = tls.accept(tcp).await else {
                            return;
                        };
                        let io = TokioIo::new(tls);
                        builder
                            .serve_connection_with_upgrades(io, service)
                            .await
                            .ok();
                    } else {
                        let io = TokioIo::new(tcp);
                        builder
                            .serve_connection_with_upgrades(io, service)
                            .await
                            .ok();
                    }
                });
            }
        });
        Self {
            address,
            certificate,
            seen,
            pieces,
            got: Mutex::new(got),
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(
    origin: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Body>, hyper::Error> {
    let (head, mut body) = request.into_parts();
    let parameter = |name: &str| {
        let query = head.uri.query().unwrap_or_default();
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    let seen = Seen {
        method: head.method.to_string(),
        target: head.uri.path_and_query().unwrap().to_string(),
        headers: head.headers.clone(),
        body: Bytes::new(),
    };
    let echoed = head.headers.get("x-secret").cloned();
    let echoed = echoed.unwrap_or(HeaderValue::from_static(""));
    let path = head.uri.path().to_owned();
    match path.as_str() {
        "/stream" => {
            origin.seen.lock().unwrap().push(seen);
            let pieces = origin.pieces.lock().unwrap().take().unwrap();
            let mut response = Response::new(stream(pieces));
            let kind = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            return Ok(response);
        }
        "/count" => {
            while let Some(frame) = body.frame().await {
                if let Ok(piece) = frame?.into_data() {
                    origin.got.send(piece).ok();
                }
            }
            return Ok(Response::new(Full::from("counted").boxed_unsync()));
        }
        "/ws" => {
            origin.seen.lock().unwrap().push(seen);
            let upgrade = hyper::upgrade::on(Request::from_parts(head, body));
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.await.unwrap());
                let mut line = [0; 4];
                while io.read_exact(&mut line).await.is_ok() {
                    let said = match &line {
                        b"leak" => echoed.as_bytes(),
                        other => other,
                    };
                    io.write_all(said).await.unwrap();
                }
            });
            let mut response = Response::new(Full::default().boxed_unsync());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            let headers = response.headers_mut();
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            return Ok(response);
        }
        _ => {}
    }
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let body = body.to_bytes();
    let mut told = body.to_vec();
    told.extend_from_slice(b" and ");
    told.extend_from_slice(echoed.as_bytes());
    told.extend_from_slice(b" it was");
    origin.seen.lock().unwrap().push(Seen {
        body: body.clone(),
        ..seen
    });
    let mut response = match path.as_str() {
        "/said" => Response::new(Full::from(body).boxed_unsync()),
        "/said-in-pieces" => {
            let pieces = body.chunks(7).map(Bytes::copy_from_slice);
            let frames = pieces.map(|piece| Ok(Frame::data(piece)));
            let frames = futures_util::stream::iter(frames.collect::<Vec<_>>());
            Response::new(BodyExt::boxed_unsync(StreamBody::new(frames)))
        }
        "/named" => {
            let mut response = Response::new(Full::from("named").boxed_unsync());
            let name = format!("x-{}", echoed.to_str().unwrap());
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static("1"));
            response
        }
        "/twice-encoded" => {
            let (sender, pieces) = mpsc::unbounded_channel();
            sender.send(encode("gzip", &told).await.into()).unwrap();
            drop(sender);
            let mut response = Response::new(stream(pieces));
            let encodings = HeaderValue::from_static("gzip, chunked");
            response
                .headers_mut()
                .insert(header::TRANSFER_ENCODING, encodings);
            response
        }
        "/echo" => {
            let name = parameter("encoding").unwrap_or_default();
            let told = encode(&name, &told).await;
            let mut response = Response::new(Full::from(told).boxed_unsync());
            if !name.is_empty() {
                let name = HeaderValue::from_str(&name).unwrap();
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, name);
            }
            response
        }
        "/bytes" => {
            let (sender, pieces) = mpsc::unbounded_channel();
            for byte in told {
                sender.send(Bytes::copy_from_slice(&[byte])).unwrap();
            }
            Response::new(stream(pieces))
        }
        "/trailers" => {
            let mut trailers = trailers.unwrap_or_default();
            trailers.insert("x-last", echoed.clone());
            let frames = [
                Ok(Frame::data(Bytes::from("x"))),
                Ok(Frame::trailers(trailers)),
            ];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            let mut response = Response::new(BodyExt::boxed_unsync(body));
            let names = HeaderValue::from_static("x-last");
            response.headers_mut().insert(header::TRAILER, names);
            response
        }
        "/status" => {
            let mut response = Response::new(Full::default().boxed_unsync());
            *response.status_mut() = parameter("is").unwrap().parse().unwrap();
            response
        }
        _ => Response::new(Full::from("fine").boxed_unsync()),
    };
    response.headers_mut().insert("x-echo", echoed);
    Ok(response)
}

fn stream(mut pieces: mpsc::UnboundedReceiver<Bytes>) -> Body {
    let frames = futures_util::stream::poll_fn(move |cx| {
        pieces
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

async fn encode(name: &str, text: &[u8]) -> Vec<u8> {
    macro_rules! encoded {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(text).await.unwrap();
            encoder.shutdown().await.unwrap();
            encoder.into_inner()
        }};
    }
    match name {
        "gzip" => encoded!(GzipEncoder),
        "deflate" => encoded!(ZlibEncoder),
        "br" => encoded!(BrotliEncoder),
        "zstd" => encoded!(ZstdEncoder),
        _ => text.to_vec(),
    }
}
