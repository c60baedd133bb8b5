//! A service of an app that takes events: it records what arrives, and answers as the test says.
//!
//! INVARIANT: nothing here waits for time to pass.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::origin::Seen;
use crate::origin::serve::seen;
use crate::server::{Arrivals, Server};

/// What an event is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookAnswer {
    /// This status.
    Status(u16),
    /// This status once [`HookApp::release`] was called.
    Held(u16),
}

type Decide = dyn Fn(&Seen) -> HookAnswer + Send + Sync;

/// What the server's thread and the test share.
struct Shared {
    arrived: Arrivals<Seen>,
    answered: Arrivals<Seen>,
    released: watch::Sender<bool>,
    decide: Box<Decide>,
}

/// A running app, ended on drop together with its connections.
pub struct HookApp {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server,
}

impl std::fmt::Debug for HookApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HookApp")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl HookApp {
    /// Listens on a port of loopback, and answers each event as `decide` says.
    ///
    /// # Panics
    ///
    /// If the system has no port or thread for it.
    #[must_use]
    pub fn start(decide: impl Fn(&Seen) -> HookAnswer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
        let address = listener.local_addr().expect("a bound socket has one");
        let shared = Arc::new(Shared {
            arrived: Arrivals::default(),
            answered: Arrivals::default(),
            released: watch::Sender::new(false),
            decide: Box::new(decide),
        });
        let server = Server::start("hook app", listener, {
            let shared = Arc::clone(&shared);
            async move |listener| accept(&listener, &shared).await
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

    /// Answers all that were held, and holds none from now on.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Returns the events that have arrived.
    #[must_use]
    pub fn arrived(&self) -> Vec<Seen> {
        self.shared.arrived.all()
    }

    /// Returns the events that were answered, in that order.
    #[must_use]
    pub fn answered(&self) -> Vec<Seen> {
        self.shared.answered.all()
    }

    /// Returns the events that have arrived once there are that many.
    ///
    /// # Panics
    ///
    /// If they do not come.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        self.shared.arrived.wait_for(count)
    }
}

async fn accept(listener: &tokio::net::TcpListener, shared: &Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How it ends is the client's affair.
            drop(connection.await);
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let seen = seen(&head, None, &body);
    let decided = (shared.decide)(&seen);
    shared.arrived.add(seen.clone());
    let status = match decided {
        HookAnswer::Status(status) => status,
        HookAnswer::Held(status) => {
            let mut released = shared.released.subscribe();
            // The sender lives as long as this does.
            drop(released.wait_for(|released| *released).await);
            status
        }
    };
    shared.answered.add(seen);
    let mut answer = Response::new(Empty::new());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
    Ok(answer)
}
