//! The gate as the rest of Mira has it.
//!
//! INVARIANT: what a gate serves ends with the [`Serving`] that it was started with: then its listeners are closed, and what a program tries is refused by
//! the system.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwap;
use mira_package::manifest::Host;
use mira_secret::SecretName;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc};
use tokio::task::JoinSet;

use crate::ask::{Asking, Question};
use crate::audit::Audit;
use crate::authority::{Authority, AuthorityError};
use crate::connection;
use crate::dns::{self, Answerer};
use crate::engine::Engine;
use crate::limits::Limits;
use crate::listener;
use crate::names::Names;
use crate::open::Open;
use crate::owner::Owner;
use crate::policy::{Policy, Reason, Verdict};
use crate::proxy::{self, Access};
use crate::resolve::{Dialer, Own, Resolver};
use crate::shared::{Current, Refused, Shared};
use crate::trust::{Roots, Trust};
use crate::watch::Watcher;

/// How many refusals are kept for whoever asked to be told and has not listened yet.
// LIMIT: who is told is a person; the record has all of them.
const REFUSALS_KEPT: usize = 256;

/// The egress gate of one instance, or of one command. Clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    engine: Arc<Engine>,
    trust: Arc<Trust>,
}

/// What a gate is made of.
#[derive(Debug)]
pub struct GateConfig {
    /// What may be called.
    pub policy: Policy,
    /// Where it is recorded.
    pub audit: Audit,
    /// How names are looked up.
    pub resolver: Resolver,
    /// By which authorities hosts are verified, where the gate speaks TLS with them.
    pub roots: Roots,
    /// How much is taken on.
    pub limits: Limits,
}

/// Why there is no gate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// It has no certificate authority of its own.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

/// What was opened inside of a room for the gate.
#[derive(Debug)]
pub struct RoomOpenings {
    /// On all addresses: which one is meant shows where a program connected to.
    pub listeners: Vec<TcpListener>,
    /// Where programs look names up, by UDP and by TCP.
    pub dns: (UdpSocket, TcpListener),
    /// Where programs find a proxy if they want one.
    pub proxy: TcpListener,
    /// A packet socket that sees what programs send.
    pub watch: Option<OwnedFd>,
    /// Who says which service of the instance has connected.
    pub owner: Owner,
}

/// What a gate serves. When it is dropped, that ends, with all its connections.
pub struct Serving {
    engine: Arc<Engine>,
    owner: Owner,
    ports: Ports,
    own: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

/// The ports on which a room's listeners are.
type Ports = Arc<RwLock<HashSet<u16>>>;

/// What a gate would do with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What the policy says of it.
    pub verdict: Verdict,
    /// The secrets that its requests may carry.
    pub secrets: Vec<SecretName>,
}

impl Explanation {
    /// Explains what a policy says of a host and port. Nothing is looked up or connected to, so where the name leads is not known.
    #[must_use]
    pub fn new(policy: &Policy, host: &str, port: u16) -> Self {
        let Some(host) = Host::requested(host) else {
            return Self {
                verdict: Verdict::Refused(Reason::NotAHost),
                secrets: Vec::new(),
            };
        };
        let verdict = policy.decide(&host, port);
        let is_allowed = matches!(verdict, Verdict::Allowed(_));
        let secrets = policy.secrets_for(&host, port).filter(|_| is_allowed);
        Self {
            secrets: secrets.map(|secret| secret.name.clone()).collect(),
            verdict,
        }
    }
}

impl Gate {
    /// Makes a gate. It serves nothing yet.
    ///
    /// # Errors
    ///
    /// Returns an error if its certificate authority cannot be made.
    pub fn new(config: GateConfig) -> Result<Self, GateError> {
        let authority = Authority::new(config.policy.instance())?;
        let trust = Trust::new(authority.certificate().clone(), &config.roots);
        let own = Own::default();
        let dialer = Dialer {
            resolver: config.resolver,
            own: own.clone(),
            time: config.limits.dial,
        };
        let shared = Shared {
            current: ArcSwap::from_pointee(Current::new(config.policy)),
            audit: config.audit,
            authority,
            roots: config.roots,
            dialer: Box::new(dialer),
            refusals: broadcast::Sender::new(REFUSALS_KEPT),
        };
        let engine = Engine {
            shared: Arc::new(shared),
            names: Arc::new(Names::default()),
            open: Open::default(),
            asking: Asking::default(),
            own,
            limits: config.limits,
            places: Arc::new(Semaphore::new(config.limits.connections)),
            freed: Notify::new(),
        };
        Ok(Self {
            engine: Arc::new(engine),
            trust: Arc::new(trust),
        })
    }

    /// Returns the policy that counts now.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        self.engine.policy()
    }

    /// Lets another policy count from now on, and ends the connections that it refuses.
    pub fn replace(&self, policy: Policy) {
        let current = Arc::new(Current::new(policy));
        let policy = Arc::clone(&current.policy);
        self.engine.shared.current.store(current);
        self.engine.open.end_refused(&policy);
    }

    /// Returns what programs have to trust so that the gate can speak with them in the place of a host.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Returns what is refused from now on. Who listens too slowly misses some; the record has all.
    #[must_use]
    pub fn refusals(&self) -> broadcast::Receiver<Refused> {
        self.engine.shared.refusals.subscribe()
    }

    /// Returns the hosts that a person is to be asked about, from now on: connections to one wait until its question is dropped, and then for nothing more
    /// than the policy's word. Once what is returned is dropped, nobody is asked any more.
    pub fn questions(&self) -> mpsc::Receiver<Question> {
        self.engine.asking.begin()
    }

    /// Serves a room. It needs a runtime with time and I/O, whose tasks it runs in.
    ///
    /// # Errors
    ///
    /// Returns the system's error if a socket cannot be used.
    pub fn serve_room(&self, openings: RoomOpenings) -> io::Result<Serving> {
        self.engine.shared.audit.enforced();
        let mut serving = self.serving(openings.owner);
        serving.add(openings.listeners)?;
        serving.add_proxy(openings.proxy, None)?;
        let engine = &self.engine;
        let (udp, tcp) = openings.dns;
        udp.set_nonblocking(true)?;
        let names = &engine.names;
        let audit = &engine.shared.audit;
        let of_now = policy_of(engine);
        let owner = &serving.owner;
        let answerer = Answerer::new(Arc::clone(names), audit.clone(), of_now, owner.clone());
        let answerer = Arc::new(answerer);
        let watcher = Watcher::new(Arc::clone(names), audit.clone(), owner.clone());
        let tasks = &mut serving.tasks;
        let by_udp = Arc::clone(&answerer);
        let udp = tokio::net::UdpSocket::from_std(udp)?;
        tasks.spawn(async move { match dns::serve_udp(udp, by_udp).await {} });
        let tcp = listening(tcp)?;
        tasks.spawn(async move { match dns::serve_tcp(tcp, answerer).await {} });
        if let Some(watch) = openings.watch {
            let ports = Arc::clone(&serving.ports);
            let is_listened_on = move |port: u16| {
                let ports = ports.read().unwrap_or_else(PoisonError::into_inner);
                ports.contains(&port)
            };
            // It only looks on: without it the way out is as closed as with it.
            tasks.spawn(async move {
                watcher
                    .run(watch, is_listened_on)
                    .await
                    .map_or((), |n| match n {})
            });
        }
        Ok(serving)
    }

    /// Serves a proxy on this machine's loopback, for programs that have no room.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the listener cannot be used.
    pub fn serve_proxy(&self, listener: TcpListener, access: Access) -> io::Result<Serving> {
        let mut serving = self.serving(Owner::Unknown);
        let address = listener.local_addr()?;
        serving.add_proxy(listener, Some(Arc::new(access)))?;
        self.engine.own.add(address);
        serving.own = Some(address);
        Ok(serving)
    }

    fn serving(&self, owner: Owner) -> Serving {
        Serving {
            engine: Arc::clone(&self.engine),
            owner,
            ports: Ports::default(),
            own: None,
            tasks: JoinSet::new(),
        }
    }
}

impl Serving {
    /// Serves more listeners of the same room.
    ///
    /// # Errors
    ///
    /// Returns the system's error if one cannot be used; those before it are served.
    pub fn add(&mut self, listeners: Vec<TcpListener>) -> io::Result<()> {
        for listener in listeners {
            self.open_port(listener.local_addr()?.port());
            let listener = listening(listener)?;
            let engine = Arc::clone(&self.engine);
            let owner = self.owner.clone();
            let serve = move |stream: TcpStream| {
                let engine = Arc::clone(&engine);
                let caller = owner.caller(stream.peer_addr().ok());
                async move { connection::transparent(&engine, stream, caller).await }
            };
            let engine = Arc::clone(&self.engine);
            let owner = self.owner.clone();
            let full = move |stream: TcpStream| {
                connection::too_many(&engine, stream, owner.only().map(Into::into));
            };
            let engine = Arc::clone(&self.engine);
            self.tasks
                .spawn(listener::accept(engine, listener, serve, full));
        }
        Ok(())
    }

    fn add_proxy(&mut self, listener: TcpListener, access: Option<Arc<Access>>) -> io::Result<()> {
        self.open_port(listener.local_addr()?.port());
        let listener = listening(listener)?;
        let engine = Arc::clone(&self.engine);
        let owner = self.owner.clone();
        let serve = move |stream: TcpStream| {
            let (engine, access) = (Arc::clone(&engine), access.clone());
            let caller = owner.caller(stream.peer_addr().ok());
            proxy::serve(engine, stream, access, caller)
        };
        let engine = Arc::clone(&self.engine);
        // Nobody said yet what was meant, so there is nothing to record.
        self.tasks
            .spawn(listener::accept(engine, listener, serve, drop));
        Ok(())
    }

    fn open_port(&self, port: u16) {
        let mut ports = self.ports.write().unwrap_or_else(PoisonError::into_inner);
        ports.insert(port);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(own) = &self.own {
            self.engine.own.remove(own);
        }
    }
}

fn listening(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

fn policy_of(engine: &Arc<Engine>) -> impl Fn() -> Arc<Policy> + Send + Sync + use<> {
    let engine = Arc::clone(engine);
    move || engine.policy()
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({})", self.policy().instance())
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving")
            .field("owner", &self.owner)
            .field("tasks", &self.tasks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
