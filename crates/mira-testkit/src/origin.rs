//! A server of the internet, for tests: HTTP/1.1, HTTP/2 and WebSocket, with TLS or without, which records what arrives.
//!
//! Its routes:
//!
//! - `/echo` and below: the request as JSON, and each of its headers again as `x-echo-` and its name.
//! - `/gzip`, `/deflate`, `/br`, `/zstd`: the same, in that encoding.
//! - `/sse`: one event for each call of [`Origin::emit`].
//! - `/v1/chat/completions`: a model's answer of one word, or those events, as it is asked for.
//! - `/ws`: a WebSocket that says again what it is told.
//! - `/redirect?to=URL`: elsewhere.
//! - `/big?bytes=COUNT`: that many bytes.
//! - `/aws/…`: whether the request is signed with the keys of [`Origin::set_aws_keys`].
//! - the files of [`Origin::serve_folder`].
//!
//! INVARIANT: nothing here waits for time to pass.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use serde_json::Value;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::server::{Arrivals, Server, lock};

mod routes;
pub(crate) mod serve;
pub(crate) mod sigv4;

pub use sigv4::AwsKeys;

/// A request that arrived, with whatever was in it: a failing test may print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// Its `Host` header, or its `:authority`.
    pub authority: String,
    /// The name that the TLS handshake asked for.
    pub sni: Option<String>,
    /// Its path and query.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Its headers, in lower case, in order; bytes that are no UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
    /// Its body; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// The SHA-256 of its body, in lower-case hexadecimal.
    pub body_sha256: String,
}

impl Seen {
    /// Returns the first header of that name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(key, value)| (key == name).then_some(&**value))
    }
}

/// What the server's thread and the test share.
#[derive(Default)]
struct Shared {
    requests: Arrivals<Seen>,
    connections: Mutex<usize>,
    /// What `/sse` sends, and whether that is all.
    events: watch::Sender<(Vec<String>, bool)>,
    aws: Mutex<Option<AwsKeys>>,
    /// Paths, and the folders whose files are below them.
    folders: Mutex<Vec<(String, PathBuf)>>,
}

/// A running server, ended on drop together with its connections.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// Serves what this listener accepts, with TLS where a configuration for it is given.
    ///
    /// # Panics
    ///
    /// If the system has no thread for it.
    #[must_use]
    pub fn start(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().expect("a bound socket has one");
        let shared = Arc::new(Shared::default());
        let server = Server::start("origin", listener, {
            let shared = Arc::clone(&shared);
            async move |listener| {
                serve::accept(&listener, tls.map(TlsAcceptor::from), &shared).await
            }
        });
        Self {
            address,
            shared,
            _server: server,
        }
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends an event to all who have asked for `/sse`, and to those who will; each gets all events from the first.
    pub fn emit(&self, data: &str) {
        let event = format!("data: {data}\n\n");
        self.shared
            .events
            .send_modify(|(events, _)| events.push(event));
    }

    /// Ends the answers to `/sse` after the events so far.
    pub fn end_events(&self) {
        self.shared.events.send_modify(|(_, all)| *all = true);
    }

    /// Sets the keys that requests to `/aws` are to be signed with.
    pub fn set_aws_keys(&self, keys: AwsKeys) {
        *lock(&self.shared.aws) = Some(keys);
    }

    /// Serves the files of a folder below a path. Whatever a path asks for of the test's own machine, it gets.
    pub fn serve_folder(&self, path: &str, folder: &Path) {
        lock(&self.shared.folders).push((path.to_owned(), folder.to_owned()));
    }

    /// Returns how many connections were made, whatever came of them.
    #[must_use]
    pub fn connections(&self) -> usize {
        *lock(&self.shared.connections)
    }

    /// Returns the requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.requests.all()
    }

    /// Returns the requests once there are that many.
    ///
    /// # Panics
    ///
    /// If they do not come.
    #[track_caller]
    #[must_use]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Seen> {
        self.shared.requests.wait_for(count)
    }
}

impl From<&Seen> for Value {
    fn from(seen: &Seen) -> Self {
        serde_json::json!({
            "method": seen.method,
            "authority": seen.authority,
            "sni": seen.sni,
            "target": seen.target,
            "version": seen.version,
            "headers": seen.headers,
            "body": seen.body,
            "body_sha256": seen.body_sha256,
        })
    }
}

#[cfg(test)]
mod tests;
