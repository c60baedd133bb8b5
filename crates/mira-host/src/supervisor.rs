//! The supervisor: starts the services of instances, keeps them up, and stops them.
//!
//! It is for one process per user, on a tokio runtime. Each service runs under a [keeper](crate::keeper), so that nothing of it is
//! left when it ends or when this process does, however that happens. Values stay in this process's memory while their
//! instance is there, locked and wiped; they are in no message, state or event, and what a service says passes the redactor
//! before anything else sees it.
//!
//! INVARIANT: no process of ours is in another session than this one, but services and what they start; what turns up as our
//! child from another session was left behind by a keeper that was killed, and is killed.

mod ask;
mod backoff;
mod error;
mod events;
mod health;
mod instance;
mod kept;
mod lease;
mod output;
mod report;
mod runner;
mod status;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getpid, getrlimit, set_child_subreaper, setrlimit};
use tokio::task::JoinSet;

use mira_gate::{Rule, TokenSource};
use mira_sandbox::Helper;
use mira_secret::SecretBytes;

use crate::logs::Rotation;
use crate::network::NetworkMode;
use crate::service::{InstanceSpec, ServiceState};
use mira_run::lease::Leases;

pub use backoff::BackoffRules;
pub use error::{ReportError, RulesError, StartError, StopError};
pub use events::{Event, Events};
pub use report::REPORT_BYTES_MAX;

use instance::Instance;

/// How a supervisor works.
#[derive(Debug)]
pub struct Config {
    /// What is executed as the keeper: it calls [`crate::keeper::main`].
    pub keeper: Helper,
    /// What is executed to make rooms: it calls [`mira_sandbox::main`].
    pub room: Helper,
    /// Where it is recorded which service holds which secrets.
    pub leases: Leases,
    /// Who knows the tokens that instances have placeholders for, where anybody does.
    pub tokens: Option<Arc<dyn TokenSource>>,
    /// How services are restarted.
    pub backoff: BackoffRules,
    /// How much is kept of each log.
    pub rotation: Rotation,
    /// How much may wait for a subscriber, in bytes, until lines are lost to it.
    pub backlog_bytes_max: usize,
}

impl Config {
    /// Returns the usual ways, with leases in this folder, and this program as the keeper and as the maker of rooms.
    #[must_use]
    pub fn new(keeper_argument: &str, room_argument: &str, leases: Leases) -> Self {
        Self {
            keeper: Helper::this_program(keeper_argument),
            room: Helper::this_program(room_argument),
            leases,
            tokens: None,
            backoff: BackoffRules::default(),
            rotation: Rotation::default(),
            // LIMIT: some thousand lines: seconds of a chatty service.
            backlog_bytes_max: 1024 * 1024,
        }
    }
}

/// The state of an instance.
#[derive(Clone, Debug)]
pub struct InstanceState {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its services, in the order in which they are started.
    pub services: Vec<(Arc<str>, ServiceState)>,
    /// How far its network is enforced; nothing where it has none of its own.
    pub network: Option<NetworkMode>,
}

/// Starts, watches and stops instances. A clone is another handle to the same supervisor.
///
/// When the last one is dropped, or the runtime ends, everything is stopped.
#[derive(Clone, Debug)]
pub struct Supervisor(Arc<Shared>);

/// What all instances share.
#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    /// The soft limit on open files that services get.
    open_files: u64,
    instances: Mutex<BTreeMap<String, Arc<Instance>>>,
}

/// An instance that was just begun.
#[derive(Debug)]
pub struct Begun {
    /// All that happens to it, from its beginning on.
    pub events: Events,
    /// When all of it is up.
    pub up: Up,
    /// When it is gone.
    pub gone: Gone,
}

/// Tells when an instance is gone: stopped and forgotten. It keeps nothing of it.
#[derive(Clone, Debug)]
pub struct Gone(tokio::sync::watch::Receiver<()>);

impl Gone {
    /// Waits until the instance is gone. May be given up and called again.
    pub async fn wait(&mut self) {
        // Nothing is ever sent: the sender goes with the instance.
        while self.0.changed().await.is_ok() {}
    }
}

/// Tells when all services of an instance are up. Dropping it changes nothing for the instance.
#[derive(Debug)]
pub struct Up(tokio::sync::oneshot::Receiver<Result<(), StartError>>);

impl Up {
    /// Waits until all services are up.
    ///
    /// # Errors
    ///
    /// One of them failed for good, or the instance was stopped; nothing of it runs then.
    pub async fn wait(self) -> Result<(), StartError> {
        self.0.await.unwrap_or(Err(StartError::Stopped))
    }
}

impl Supervisor {
    /// Makes this process a supervisor: orphans of its services come to it, and it may open as many files as the system lets it.
    ///
    /// # Errors
    ///
    /// Returns the system's error.
    pub fn new(config: Config) -> io::Result<Self> {
        set_child_subreaper(Some(getpid()))?;
        // Each service takes half a dozen descriptors. Services get the limit that we got, since programs that use select(2)
        // break with a higher one.
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        setrlimit(Resource::Nofile, raised)?;
        Ok(Self(Arc::new(Shared {
            config: Arc::new(config),
            open_files: limit.current.unwrap_or(u64::MAX),
            instances: Mutex::default(),
        })))
    }

    /// Starts an instance; returns when all its services are up.
    ///
    /// # Errors
    ///
    /// See [`Supervisor::begin`] and [`Up::wait`].
    pub async fn start(&self, spec: InstanceSpec) -> Result<(), StartError> {
        self.begin(spec, false).await?.up.wait().await
    }

    /// Begins to start an instance. If `asks`, calls of hosts that no rule names wait for [`Supervisor::answer`] for a while, and its events say so.
    ///
    /// # Errors
    ///
    /// Says what does not fit together, is missing or is taken already; nothing was started then.
    pub async fn begin(&self, spec: InstanceSpec, asks: bool) -> Result<Begun, StartError> {
        if self.instances().contains_key(&spec.id) {
            return Err(StartError::AlreadyThere { id: spec.id });
        }
        let prepared = tokio::task::spawn_blocking({
            let config = Arc::clone(&self.0.config);
            move || instance::prepare(spec, &config)
        });
        let mut prepared = prepared.await.unwrap_or(Err(StartError::Stopped))?;
        prepared.open_ports().await?;
        let instance = Arc::new(Instance::new(
            prepared,
            Arc::clone(&self.0.config),
            self.0.open_files,
        ));
        let id = instance.id().to_owned();
        {
            let mut instances = self.instances();
            if instances.contains_key(&id) {
                return Err(StartError::AlreadyThere { id });
            }
            instances.insert(id, Arc::clone(&instance));
        }
        let (events, gone) = (instance.subscribe(), Gone(instance.gone()));
        instance.run(asks);
        let (tell, up) = tokio::sync::oneshot::channel();
        let rise = instance.rise();
        // Neither is kept by this task: dropping the last handle to us has to end everything.
        let (shared, instance) = (Arc::downgrade(&self.0), Arc::downgrade(&instance));
        tokio::spawn(async move {
            let mut result = rise.wait().await;
            if let Err(StartError::Service { .. }) = result
                && let (Some(shared), Some(instance)) = (shared.upgrade(), instance.upgrade())
            {
                match instance.stop().await {
                    Ok(()) => shared.forget(&instance),
                    Err(stuck) => result = Err(stuck.into()),
                }
            }
            // Whoever began it may not care.
            tell.send(result).ok();
        });
        let up = Up(up);
        Ok(Begun { events, up, gone })
    }

    /// Stops an instance: its services are asked to end, each after those that depend on it, and killed if they do not.
    ///
    /// # Errors
    ///
    /// There is no such instance, or a process of it does not die.
    pub async fn stop(&self, id: &str) -> Result<(), StopError> {
        let instance = self.instance(id)?;
        instance.stop().await?;
        self.0.forget(&instance);
        Ok(())
    }

    /// Stops and starts one service of an instance, or all of them, with the values they had; returns when they are up.
    ///
    /// # Errors
    ///
    /// As for [`Supervisor::stop`], and for [`Up::wait`]; the instance is left as it is then.
    pub async fn restart(&self, id: &str, service: Option<&str>) -> Result<(), StartError> {
        let instance = self.instance(id).map_err(StartError::from)?;
        instance.restart(service).await
    }

    /// Replaces the rules of an instance's network; connections that the new ones refuse are closed.
    ///
    /// # Errors
    ///
    /// There is no such instance, or it cannot be done; the rules are the old ones then.
    pub fn replace_rules(&self, id: &str, rules: &[Rule]) -> Result<(), RulesError> {
        let instance = self.instance(id)?;
        match instance.net() {
            Some(net) => Ok(net.replace(rules)?),
            None => Ok(()),
        }
    }

    /// Answers what was asked about a host; if `allow`, an instance may call it for as long as it runs. What was not asked is not answered.
    ///
    /// # Errors
    ///
    /// There is no such instance, or it cannot be done; who waits is refused then.
    pub fn answer(&self, id: &str, host: &str, port: u16, allow: bool) -> Result<(), RulesError> {
        let instance = self.instance(id)?;
        match instance.net() {
            Some(net) => Ok(net.answer(host, port, allow)?),
            None => Ok(()),
        }
    }

    /// Returns what the services of an instance know Mira by when it posts them events; nothing if they take none.
    ///
    /// # Errors
    ///
    /// There is no such instance.
    pub fn delivery_token(&self, id: &str) -> Result<Option<SecretBytes>, StopError> {
        Ok(self.instance(id)?.delivery_token())
    }

    /// Returns what an instance tells of how it fares, with markers in place of its values. What it is made of is the app's affair.
    ///
    /// # Errors
    ///
    /// There is no such instance, it tells nothing, or its service does not answer as it should.
    pub async fn report(&self, id: &str) -> Result<Vec<u8>, ReportError> {
        self.instance(id)?.report().await
    }

    /// Returns the state of every instance that was started and not stopped since.
    #[must_use]
    pub fn states(&self) -> Vec<InstanceState> {
        let instances = self.instances();
        instances
            .values()
            .map(|instance| instance.state())
            .collect()
    }

    /// Returns the state of an instance, if it is known.
    #[must_use]
    pub fn state(&self, id: &str) -> Option<InstanceState> {
        let instance = self.instances().get(id).map(Arc::clone)?;
        Some(instance.state())
    }

    /// Returns all that happens to an instance from now on, and its present states.
    #[must_use]
    pub fn subscribe(&self, id: &str) -> Option<Events> {
        let instance = self.instances().get(id).map(Arc::clone)?;
        Some(instance.subscribe())
    }

    /// Stops all instances.
    ///
    /// # Errors
    ///
    /// A process does not die; the others were stopped.
    pub async fn shutdown(&self) -> Result<(), StopError> {
        let ids: Vec<String> = self.instances().keys().cloned().collect();
        let mut stopping = JoinSet::new();
        for id in ids {
            let supervisor = self.clone();
            stopping.spawn(async move { supervisor.stop(&id).await });
        }
        let mut result = Ok(());
        while let Some(stopped) = stopping.join_next().await {
            match stopped {
                // Somebody else stopped it meanwhile.
                Ok(Ok(()) | Err(StopError::NotThere { .. })) | Err(_) => {}
                Ok(stuck) => result = stuck,
            }
        }
        result
    }

    fn instance(&self, id: &str) -> Result<Arc<Instance>, StopError> {
        let instances = self.instances();
        let instance = instances.get(id).map(Arc::clone);
        instance.ok_or_else(|| StopError::NotThere { id: id.to_owned() })
    }

    fn instances(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Instance>>> {
        self.0.instances()
    }
}

impl Shared {
    fn instances(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Instance>>> {
        self.instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets an instance that was stopped, and with it its values.
    fn forget(&self, instance: &Arc<Instance>) {
        let mut instances = self.instances();
        // Another one of that id may have been started since.
        if instances
            .get(instance.id())
            .is_some_and(|known| Arc::ptr_eq(known, instance))
        {
            instances.remove(instance.id());
        }
    }
}
