//! The desk's socket: where it may listen and under which conditions, and its connections.
//!
//! INVARIANT: beyond loopback nothing is served in plain text, but for a proxy that was declared.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use mira_host::instances::{InstanceError, Instances};
use mira_server::{Client, Spawn};
use mira_store::Shared;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;
use tower_service::Service as _;

use crate::access::Logins;
use crate::access::oidc::Oidc;
use crate::custody::Custody;
use crate::guard::Origin;
use crate::hooks::{self, Hooks};
use crate::house::{House, Packages};
use crate::mcp::Tests;
use crate::metrics::Metrics;
use crate::opened::Opened;
use crate::pace::Paced;
use crate::shelf::Shelf;
use crate::tls::Certificate;
use crate::upkeep::{Keeping, upkeep};
use crate::{Desk, routes};

/// How many connections there are at once.
// LIMIT: some hundred people with live pages, and scripts; each takes tens of kilobytes.
const CONNECTIONS_MAX: u32 = 1024;

/// How many requests there are at once on one connection of HTTP/2.
// LIMIT: a page and what it loads, and some live ones.
const STREAMS_MAX: u32 = 64;

/// The longest head of a request, in bytes, and how much of a body is read at once.
// LIMIT: a browser's longest address and all its cookies; each connection takes so much memory at most.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// How long the head of a request may take, and a handshake.
// LIMIT: a slow line sends some kilobytes in that time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// How long connections may go on after the desk was told to end.
const ENDING_WAIT: Duration = Duration::from_secs(5);

/// The proxies that are believed when they say for whom they ask.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Believes these networks.
    #[must_use]
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Returns from where a request comes. Behind a declared proxy it is the last address of `X-Forwarded-For` that is no such
    /// proxy's: those before it are anybody's word.
    pub(crate) fn origin(&self, peer: Peer, headers: &HeaderMap) -> Origin {
        let is_proxy = |address: IpAddr| {
            self.0
                .iter()
                .any(|network| network.contains(&address.to_canonical()))
        };
        let address = peer.address.to_canonical();
        if !is_proxy(address) {
            return Origin {
                address,
                secure: peer.secure,
            };
        }
        let forwarded = headers
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|value| value.to_str().ok());
        let addresses: Vec<IpAddr> = forwarded
            .flat_map(|value| value.split(','))
            .filter_map(|address| address.trim().parse().ok())
            .collect();
        let behind = addresses
            .into_iter()
            .rev()
            .find(|address| !is_proxy(*address));
        let proto = headers.get_all("x-forwarded-proto").iter().next_back();
        Origin {
            address: behind.map_or(address, |address| address.to_canonical()),
            secure: proto.is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https")),
        }
    }
}

/// How the desk listens.
#[derive(Clone, Debug)]
pub struct DeskOptions {
    /// Where.
    pub listen: SocketAddr,
    /// With which certificate.
    pub certificate: Option<Certificate>,
    /// Behind which proxies.
    pub proxies: Proxies,
    /// The provider that people may sign in through.
    pub oidc: Option<Arc<Oidc>>,
    /// How much of the audit is kept.
    pub keeping: Keeping,
}

impl DeskOptions {
    /// Returns whether only this machine reaches it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.listen.ip().is_loopback() && self.proxies.0.is_empty()
    }

    /// Returns an error where what is sent could be read on the way.
    ///
    /// # Errors
    ///
    /// [`ListenError::Plain`].
    pub fn check(&self) -> Result<(), ListenError> {
        let is_plain = self.certificate.is_none() && self.proxies.0.is_empty();
        match is_plain && !self.listen.ip().is_loopback() {
            true => Err(ListenError::Plain(self.listen)),
            false => Ok(()),
        }
    }
}

/// Why the desk does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// It would be reached from elsewhere, in plain text.
    #[error(
        "{0} is reached from other machines, and what they send could be read on the way: give --tls-cert and --tls-key, or \
         --behind-proxy with the addresses of a proxy that does TLS, or listen on 127.0.0.1"
    )]
    Plain(SocketAddr),
    /// The system refused.
    #[error("cannot listen on {address}: {source}")]
    System {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The home's instances cannot be read.
    #[error(transparent)]
    Instances(#[from] InstanceError),
    /// Webhooks cannot be taken.
    #[error("webhooks cannot be taken: {0}")]
    Hooks(String),
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    secure: bool,
}

/// What the desk works with.
pub struct Surroundings {
    /// The vault.
    pub custody: Custody,
    /// Users, sessions, the audit.
    pub shared: Shared,
    /// The supervisor.
    pub client: Client,
    /// How a supervisor is started.
    pub spawn: Box<dyn Spawn + Send>,
    /// The run-time folder of the home.
    pub runtime: PathBuf,
    /// The variables that services are given some of.
    pub variables: Vec<(OsString, OsString)>,
    /// How webhooks are taken, if they are.
    pub hooks: Option<Hooks>,
    /// Hears of each value that comes in.
    pub opened: Opened,
    /// This program's file, which clients of MCP servers are told to start.
    pub program: PathBuf,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings")
    }
}

/// Serves the desk until `until`; `ready` is told where it listens.
///
/// # Errors
///
/// It could not begin. Whatever goes wrong later is told to whoever asked for it.
pub async fn serve(
    options: DeskOptions,
    surroundings: Surroundings,
    ready: impl FnOnce(SocketAddr),
    until: impl Future<Output = ()>,
) -> Result<(), ListenError> {
    let address = options.listen;
    options.check()?;
    let system = |source| ListenError::System { address, source };
    let listener = TcpListener::bind(address).await.map_err(system)?;
    let Surroundings {
        custody,
        shared,
        client,
        spawn,
        runtime,
        variables,
        hooks,
        opened,
        program,
    } = surroundings;
    let instances = Instances::open(custody.home().clone(), runtime).await?;
    let house = Arc::new(House {
        instances,
        client,
        variables,
        program,
        spawn,
        packages: Packages::default(),
    });
    let (end_hooks, hooks_end) = oneshot::channel::<()>();
    let ingress = match hooks {
        None => None,
        Some(hooks) => {
            let until = async {
                // Nothing is ever sent: the sender goes when the desk ends.
                hooks_end.await.ok();
            };
            let begun = hooks::begin(hooks, &shared, &custody, &house, &opened, until).await;
            Some(begun.map_err(|error| ListenError::Hooks(error.message))?)
        }
    };
    let certificate = options.certificate.clone();
    let keeping = options.keeping;
    let desk = Arc::new(Desk {
        shared,
        metrics: Metrics::new(custody.failures().clone()),
        opened,
        custody,
        house,
        ingress,
        logins: Logins::new(),
        tests: Tests::new(),
        imports: Shelf::default(),
        rewritten: Shelf::default(),
        packages: Shelf::default(),
        options,
    });
    ready(listener.local_addr().map_err(system)?);
    let router = routes::router(&desk);
    tokio::select! {
        () = accept(&listener, certificate.as_ref(), &router, until) => {}
        never = upkeep(&desk, keeping) => match never {},
    }
    drop(end_hooks);
    Ok(())
}

/// Takes connections until told to end, and lets those that are there come to their end.
async fn accept(
    listener: &TcpListener,
    certificate: Option<&Certificate>,
    router: &Router,
    until: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    let (end, ending) = watch::channel(());
    let mut until = std::pin::pin!(until);
    loop {
        let accepted = tokio::select! {
            () = &mut until => break,
            // One that comes when there are too many waits in the system's queue.
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        // Without descriptors it fails at once, until a connection ends.
        let (place, Ok((stream, peer))) = accepted else {
            tokio::task::yield_now().await;
            continue;
        };
        // It is slower without, and works.
        stream.set_nodelay(true).ok();
        let (router, certificate, ending) = (router.clone(), certificate.cloned(), ending.clone());
        tokio::spawn(async move {
            let _place = place;
            match certificate {
                None => {
                    converse(
                        stream,
                        Peer {
                            address: peer.ip(),
                            secure: false,
                        },
                        router,
                        ending,
                    )
                    .await
                }
                Some(certificate) => {
                    let handshake = timeout(HEAD_TIMEOUT, certificate.acceptor().accept(stream));
                    if let Ok(Ok(stream)) = handshake.await {
                        converse(
                            stream,
                            Peer {
                                address: peer.ip(),
                                secure: true,
                            },
                            router,
                            ending,
                        )
                        .await;
                    }
                }
            }
        });
    }
    drop(end);
    // Live pages have no end of their own; after this they are cut.
    let all = places.acquire_many(CONNECTIONS_MAX);
    drop(timeout(ENDING_WAIT, all).await);
}

/// Serves one connection.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    mut ending: watch::Receiver<()>,
) {
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        // A router is always ready.
        router
            .clone()
            .call(request.map(|body| Body::new(Paced::new(body))))
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Whatever went wrong on it, nobody is left to be told.
        _ = connection.as_mut() => return,
        // Nothing is ever sent: the sender goes when the desk ends.
        _ = ending.changed() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}
