//! A gate with one host behind it, and programs that call it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mira_package::manifest::Host;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::origin::Origin;
use crate::audit::{Audit, Filter, Keep, Reader, Row};
use crate::authority::Authority;
use crate::http::{Site, serve_plain, serve_tls};
use crate::owner::Caller;
use crate::policy::{Brokered, Origin as Why, Policy, PolicyBuilder, Rule};
use crate::shared::{Current, Dial, DialError, Dialing, Shared};
use crate::trust::Roots;

pub(super) const KEY: &str = "sk-canary-Zq81Lm0pTw7Rk4fXyB2n";
pub(super) const PLACEHOLDER: &str = "sk-Pl4ceh0lderPl4ceh0lder77";
pub(super) const OTHER_PLACEHOLDER: &str = "ot-0therPl4ceh0lder0ther88";
pub(super) const API: &str = "api.example.org";

pub(super) struct World {
    pub(super) origin: Origin,
    pub(super) gate: Arc<Shared>,
    pub(super) dials: Arc<AtomicUsize>,
    folder: TempDir,
}

struct Direct {
    address: std::net::SocketAddr,
    dials: Arc<AtomicUsize>,
}

impl Dial for Direct {
    fn dial<'a>(&'a self, _: &'a Host, _: u16, _: &'a Rule) -> Dialing<'a> {
        self.dials.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            let tcp = TcpStream::connect(self.address).await?;
            tcp.set_nodelay(true)?;
            Ok::<_, DialError>(tcp)
        })
    }
}

pub(super) fn secret(name: &str, placeholder: &str, value: &str, host: &str) -> Brokered {
    let name: SecretName = name.parse().unwrap();
    let value = SecretBytes::copy_from(value.as_bytes());
    Brokered {
        placeholder: placeholder.into(),
        value: SecretValue::new(&name, value).unwrap(),
        hosts: vec![host.parse().unwrap(), format!("{host}:80").parse().unwrap()],
        query: vec!["key".into()],
        name,
    }
}

pub(super) fn policy() -> PolicyBuilder {
    let mut policy = Policy::builder("app");
    for host in ["other.example.org", "other.example.org:80"] {
        policy.allow(host.parse().unwrap(), Why::Manifest);
    }
    policy.broker(secret("KEY", PLACEHOLDER, KEY, API));
    policy.broker(secret(
        "OTHER",
        OTHER_PLACEHOLDER,
        "other-canary-99Yx2",
        "ws.example.org",
    ));
    policy
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(&[b"http/1.1"]).await
    }

    pub(super) async fn with(protocols: &'static [&'static [u8]]) -> Self {
        let origin = Origin::start(protocols).await;
        let folder = tempfile::tempdir().unwrap();
        let dials = Arc::default();
        let dialer = Direct {
            address: origin.address,
            dials: Arc::clone(&dials),
        };
        let gate = Shared {
            current: ArcSwap::from_pointee(Current::new(policy().build())),
            audit: Audit::open(&folder.path().join("net"), "app", Keep::default()).unwrap(),
            authority: Authority::new("app").unwrap(),
            roots: Roots::only(vec![origin.certificate.clone()]).unwrap(),
            dialer: Box::new(dialer),
            refusals: tokio::sync::broadcast::channel(16).0,
        };
        Self {
            origin,
            gate: Arc::new(gate),
            dials,
            folder,
        }
    }

    /// Returns a program's connection to a port of a host.
    pub(super) async fn tcp(&self, host: &str, port: u16) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let program = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let site = Site {
            host: Host::requested(host).unwrap(),
            port,
            caller: Caller::Known(Some("web".into())),
            ended: Arc::default(),
        };
        let gate = Arc::clone(&self.gate);
        match port {
            80 => tokio::spawn(serve_plain(tcp, site, gate)),
            _ => tokio::spawn(serve_tls(tcp, site, gate)),
        };
        program
    }

    /// Returns a program's connection in TLS to a host, which trusts the gate alone.
    pub(super) async fn tls(&self, host: &str, protocol: &[u8]) -> TlsStream<TcpStream> {
        let tcp = self.tcp(host, 443).await;
        connector(&self.gate, protocol)
            .connect(name(host), tcp)
            .await
            .unwrap()
    }

    /// Sends bytes as one connection, and returns all that comes back.
    pub(super) async fn raw(&self, host: &str, request: &str) -> String {
        let mut tls = self.tls(host, b"http/1.1").await;
        tls.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // How it ends does not matter.
        tls.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a request, and returns the answer with its whole body.
    pub(super) async fn call(
        &self,
        request: Request<Full<Bytes>>,
        protocol: &[u8],
    ) -> (Response<Bytes>, Option<HeaderMap>) {
        let tls = TokioIo::new(self.tls(API, protocol).await);
        let response = match protocol {
            b"h2" => {
                let executor = TokioExecutor::new();
                let (mut sender, connection) = http2::handshake(executor, tls).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            }
            _ => {
                let (mut sender, connection) = http1::handshake(tls).await.unwrap();
                tokio::spawn(connection);
                sender.send_request(request).await.unwrap()
            }
        };
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        (Response::from_parts(head, body.to_bytes()), trailers)
    }

    pub(super) fn replace(&self, policy: Policy) {
        self.gate.current.store(Arc::new(Current::new(policy)));
    }

    /// Returns the record.
    pub(super) fn rows(&self) -> Vec<Row> {
        let folder = self.folder.path().join("net");
        let mut reader = Reader::new(&folder, Filter::default());
        reader.read().unwrap()
    }

    /// Returns whether a text is in any file of the record.
    pub(super) fn is_recorded(&self, text: &str) -> bool {
        let files = std::fs::read_dir(self.folder.path().join("net")).unwrap();
        let mut files = files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
        files.any(|content| content.contains(text))
    }
}

pub(super) fn connector(gate: &Shared, protocol: &[u8]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(gate.authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(config))
}

pub(super) fn name(host: &str) -> ServerName<'static> {
    ServerName::try_from(host.to_owned()).unwrap()
}

/// Begins a request in the form of a version.
pub(super) fn request(target: &str, protocol: &[u8]) -> http::request::Builder {
    match protocol {
        b"h2" => Request::builder().uri(format!("https://{API}{target}")),
        _ => Request::builder().uri(target).header("host", API),
    }
}
