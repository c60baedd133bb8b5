//! A gate with real connections on loopback. In the place of a room there are listeners on `127.0.0.2`, where this machine is called `localhost`
//! and is at `127.0.0.1`.

mod proxy;
mod room;

use std::net::IpAddr;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::audit::{Filter, Keep, Outcome, Reader, Row};
use crate::policy::Origin;

/// A gate, with its record.
struct Bench {
    gate: Gate,
    folder: tempfile::TempDir,
}

fn policy(allowed: &[&str]) -> Policy {
    let mut policy = Policy::builder("app");
    for hosts in allowed {
        policy.allow(hosts.parse().unwrap(), Origin::Manifest);
    }
    policy.build()
}

/// A gate for which all names lead to `127.0.0.1`.
fn bench(policy: Policy, limits: Limits) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let own = Authority::new("root").unwrap().certificate().clone();
    let gate = Gate::new(GateConfig {
        policy,
        audit: Audit::open(&folder.path().join("net"), "app", Keep::default()).unwrap(),
        resolver: Resolver::function(|_| vec![IpAddr::from([127, 0, 0, 1])]),
        roots: Roots::only(vec![own]).unwrap(),
        limits,
    });
    Bench {
        gate: gate.unwrap(),
        folder,
    }
}

impl Bench {
    fn rows(&self) -> Vec<Row> {
        let mut reader = Reader::new(&self.folder.path().join("net"), Filter::default());
        reader.read().unwrap()
    }

    /// Returns the rows once all of them have ended.
    async fn ended(&self) -> Vec<Row> {
        loop {
            let rows = self.rows();
            if rows.iter().all(|row| !row.open) {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    }

    fn refused(&self) -> Vec<(String, u16, String)> {
        let rows = self.rows().into_iter();
        rows.filter(|row| row.verdict == Outcome::Refused)
            .map(|row| (row.host, row.port, row.rule))
            .collect()
    }

    /// Serves a room whose only listener is for this port.
    fn room(&self, port: u16) -> Serving {
        let listener = TcpListener::bind(("127.0.0.2", port)).unwrap();
        self.gate.serve_room(openings(vec![listener])).unwrap()
    }

    /// Speaks TLS with whoever has a certificate for this name, of the gate's authority.
    async fn tls(&self, stream: TcpStream, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let own = self.gate.trust().certificate();
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(own.as_bytes()).unwrap();
        roots.add(own).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await
    }
}

fn openings(listeners: Vec<TcpListener>) -> RoomOpenings {
    RoomOpenings {
        listeners,
        dns: (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
        ),
        proxy: TcpListener::bind("127.0.0.1:0").unwrap(),
        watch: None,
        owner: Owner::Only("web".into()),
    }
}

/// A server, and its port.
async fn origin() -> (tokio::net::TcpListener, u16) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// Connects to a room's listener.
async fn program(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.2", port)).await.unwrap()
}

async fn to_end(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn ask(
    stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    text: &str,
) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    to_end(stream).await
}
