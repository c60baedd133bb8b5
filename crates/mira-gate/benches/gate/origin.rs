//! The host that is called: TLS, HTTP/1.1, on a thread of its own, with a certificate that an authority of the bench signed for `localhost`.
//!
//! What it answers depends on the path: `/` with 200 bytes; `/secret` too, but only to who shows the value; `/events` with an event that is written when
//! [`Origin::say`] is called, after the head of the answer has gone.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::VALUE;

/// How long an answer is, in bytes.
const ANSWER_BYTES: usize = 200;

/// A proxy that keeps the head of an answer back until the answer has ended must not wait for ever.
const SAY_TIME: Duration = Duration::from_millis(500);

/// The host, and the authority that signed its certificate.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) authority: CertificateDer<'static>,
    pub(crate) authority_pem: String,
    pub(crate) authority_key_pem: String,
    said: Arc<Notify>,
    began: Instant,
}

impl Origin {
    /// Starts it. It runs until the process ends.
    pub(crate) fn start() -> Self {
        let key = KeyPair::generate().expect("the system has randomness");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = rcgen::DnType::CommonName;
        params
            .distinguished_name
            .push(name, "Authority of the bench");
        let authority = params.self_signed(&key).expect("it is well-formed");
        let authority_key_pem = key.serialize_pem();
        let issuer = Issuer::new(params, key);
        let tls = TlsAcceptor::from(Arc::new(config(&issuer)));

        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        listener.set_nonblocking(true).expect("it is a socket");
        let origin = Self {
            address: listener.local_addr().expect("it is bound"),
            authority_pem: authority.pem(),
            authority: authority.into(),
            authority_key_pem,
            said: Arc::default(),
            began: Instant::now(),
        };
        let (said, began) = (Arc::clone(&origin.said), origin.began);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.expect("the system has what a runtime needs");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("it is one");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, tls.clone(), Arc::clone(&said), began));
                }
            });
        });
        origin
    }

    /// Lets the event of an answer be written.
    pub(crate) fn say(&self) {
        self.said.notify_one();
    }

    /// Returns how long ago something was that an event says the time of.
    pub(crate) fn since(&self, event: &[u8]) -> Option<Duration> {
        let now = self.began.elapsed();
        let text = std::str::from_utf8(event).ok()?;
        let nanos = text.strip_prefix("data: ")?.trim_end().parse().ok()?;
        now.checked_sub(Duration::from_nanos(nanos))
    }
}

fn config(issuer: &Issuer<'_, KeyPair>) -> ServerConfig {
    let key = KeyPair::generate().expect("the system has randomness");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("it is a name");
    let certificate = params.signed_by(&key, issuer).expect("it is well-formed");
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.into()], key)
        .expect("the key is the certificate's");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().expect("the system has randomness");
    config
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, said: Arc<Notify>, began: Instant) {
    stream.set_nodelay(true).ok();
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service = service_fn(move |request| {
        let response = answer(&request, &said, began);
        async move { Ok::<_, Infallible>(response) }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    served.await.ok();
}

type Body = BoxBody<Bytes, Infallible>;

fn answer(request: &Request<Incoming>, said: &Arc<Notify>, began: Instant) -> Response<Body> {
    static TEXT: [u8; ANSWER_BYTES] = [b'x'; ANSWER_BYTES];
    let plain = || Response::new(Full::from(TEXT.as_slice()).boxed());
    match request.uri().path() {
        "/secret" if !has_value(request) => {
            let mut refused = plain();
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            refused
        }
        "/events" => {
            let said = Arc::clone(said);
            let event = futures_util::stream::once(async move {
                timeout(SAY_TIME, said.notified()).await.ok();
                let event = format!("data: {}\n\n", began.elapsed().as_nanos());
                Ok(Frame::data(Bytes::from(event)))
            });
            Response::builder()
                .header(header::CONTENT_TYPE, "text/event-stream")
                .body(BodyExt::boxed(StreamBody::new(event)))
                .expect("it is well-formed")
        }
        _ => plain(),
    }
}

fn has_value(request: &Request<Incoming>) -> bool {
    let value = request.headers().get(header::AUTHORIZATION);
    let value = value.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    value == Some(VALUE.as_bytes())
}
