//! An instance that is there: its services, and how they are brought up and down together.

use std::sync::{Arc, Weak};
use std::time::Duration;

use mira_gate::Refused;
use mira_redact::NeedleSet;
use mira_secret::{SecretBytes, SecretName};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::events::{Event, Events, Hub};
use super::runner::{Context, Goal, Runner};
use super::status::Status;
use super::{Config, InstanceState, ReportError, StartError, StopError, report};
use crate::instances::delivery;
use crate::network::{Ingress, Net, NetworkMode, Tokens};
use crate::service::{
    Check, InstanceSpec, Phase, ServiceSpec, ServiceState, find_program, is_free, provide_folders,
};

/// How long a killed process may take to end.
// LIMIT: only the system can hold it longer, in a call that does not return; nobody waits for that.
const KILL_WAIT: Duration = Duration::from_secs(20);

/// An instance of which all is known to be there.
pub(super) struct Prepared {
    spec: InstanceSpec,
    needles: NeedleSet,
    network: Option<(Arc<Net>, NetworkMode)>,
    ingress: Ingress,
}

impl Prepared {
    /// Opens the services' ports for the user, where services are in a room.
    pub(super) async fn open_ports(&mut self) -> Result<(), StartError> {
        let Some((net, _)) = &self.network else {
            return Ok(());
        };
        let services = self.spec.services.iter();
        let ports: Vec<u16> = services.flat_map(|service| service.ports.clone()).collect();
        self.ingress = Ingress::open(net, &ports).await.map_err(|(port, _)| {
            let uses = |service: &&ServiceSpec| service.ports.contains(&port);
            let service = self.spec.services.iter().find(uses);
            let service = service
                .map(|service| service.name.clone())
                .unwrap_or_default();
            StartError::PortTaken { service, port }
        })?;
        Ok(())
    }
}

/// Checks an instance, and makes its folders. Nothing is started.
pub(super) fn prepare(spec: InstanceSpec, config: &Config) -> Result<Prepared, StartError> {
    spec.check()?;
    provide_folders(&spec)?;
    for service in &spec.services {
        let words = match service.health.as_ref().map(|health| &health.check) {
            Some(Check::Command(words)) => words.first(),
            _ => None,
        };
        for program in service.command.first().into_iter().chain(words) {
            find_program(program, &service.env, &spec.folders.package).map_err(|error| {
                StartError::Program {
                    service: service.name.clone(),
                    error,
                }
            })?;
        }
        if let Some(port) = service.ports.iter().copied().find(|port| !is_free(*port)) {
            let service = service.name.clone();
            return Err(StartError::PortTaken { service, port });
        }
    }
    let mut needles = NeedleSet::builder();
    for value in &spec.values {
        // EXPOSE: to the redactor, so that the value is found in what the services say.
        needles.add(value.name.as_str(), value.value.expose());
    }
    let needles = needles.build();
    let network = match &spec.network {
        None => None,
        Some(network) => {
            let value = |name: &SecretName| {
                let named = spec.values.iter().find(|value| value.name == *name);
                named.map(|value| &value.value)
            };
            let source = config.tokens.as_ref().filter(|_| network.has_tokens);
            let tokens = source.map(|source| Tokens {
                source: Arc::clone(source),
                instance: spec.id.clone(),
            });
            let services: Vec<&str> = spec.services.iter().map(|one| one.name.as_str()).collect();
            let (net, mode) = Net::of_instance(network, &services, value, tokens, &config.room)?;
            Some((Arc::new(net), mode))
        }
    };
    Ok(Prepared {
        spec,
        needles,
        network,
        ingress: Ingress::default(),
    })
}

/// An instance that is there.
#[derive(Debug)]
pub(super) struct Instance {
    spec: Arc<InstanceSpec>,
    services: Vec<Service>,
    hub: Arc<Hub>,
    config: Arc<Config>,
    needles: Arc<NeedleSet>,
    open_files: u64,
    network: Option<(Arc<Net>, NetworkMode)>,
    ingress: Mutex<Ingress>,
    /// Held by whoever brings it up or down.
    turn: Mutex<()>,
    /// Goes with it, which is what the other ends wait for.
    alive: watch::Sender<()>,
}

/// Services on their way up.
pub(super) struct Rise(JoinSet<Result<(), StartError>>);

impl Rise {
    /// Waits until all of them are up, or one is not going to be.
    pub(super) async fn wait(mut self) -> Result<(), StartError> {
        while let Some(up) = self.0.join_next().await {
            up.unwrap_or(Err(StartError::Stopped))?;
        }
        Ok(())
    }
}

/// A service as its instance sees it.
#[derive(Debug)]
struct Service {
    spec: ServiceSpec,
    status: Status,
    goal: watch::Sender<Goal>,
}

impl Service {
    fn is(&self, name: &str) -> bool {
        self.spec.name == name
    }
}

impl Instance {
    pub(super) fn new(prepared: Prepared, config: Arc<Config>, open_files: u64) -> Self {
        let Prepared {
            spec,
            needles,
            network,
            ingress,
        } = prepared;
        let hub = Arc::new(Hub::new(config.backlog_bytes_max));
        let services = spec.services.iter().map(|service| Service {
            spec: service.clone(),
            status: Status::new(service.name.as_str().into(), Arc::clone(&hub)),
            goal: watch::channel(Goal::Run).0,
        });
        Self {
            services: services.collect(),
            spec: Arc::new(spec),
            hub,
            config,
            needles: Arc::new(needles),
            open_files,
            network,
            ingress: Mutex::new(ingress),
            turn: Mutex::default(),
            alive: watch::channel(()).0,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.spec.id
    }

    /// Returns what its services know Mira by when it posts them events.
    pub(super) fn delivery_token(&self) -> Option<SecretBytes> {
        let mut values = self.spec.values.iter();
        let token = values.find(|value| value.name.as_str() == delivery::TOKEN)?;
        // EXPOSE: to whoever delivers events to the instance.
        Some(SecretBytes::copy_from(token.value.expose()))
    }

    /// Asks the service that tells of the instance.
    pub(super) async fn report(&self) -> Result<Vec<u8>, ReportError> {
        let report = self.spec.report.as_ref().ok_or(ReportError::Untold)?;
        let token = self.delivery_token().ok_or(ReportError::Untold)?;
        let authorization = delivery::authorization(&token).ok_or(ReportError::Untold)?;
        report::fetch(report, self.net(), authorization, &self.needles).await
    }

    /// Has the services run, from now on and for as long as this instance is there. If `asks`, whoever follows its events is asked about hosts that no
    /// rule names.
    pub(super) fn run(&self, asks: bool) {
        if let Some(net) = self.net() {
            if asks {
                let (net, hub) = (Arc::downgrade(net), Arc::downgrade(&self.hub));
                tokio::spawn(tell_questions(net, hub));
            }
            tokio::spawn(tell_refusals(
                net.gate().refusals(),
                Arc::downgrade(&self.hub),
            ));
        }
        for service in &self.services {
            let needed = |need: &&Service| service.spec.depends_on.contains(&need.spec.name);
            let needs = self.services.iter().filter(needed);
            let runner = Runner {
                context: Context {
                    spec: Arc::clone(&self.spec),
                    service: service.spec.clone(),
                    config: Arc::clone(&self.config),
                    needles: Arc::clone(&self.needles),
                    open_files: self.open_files,
                    net: self.net().map(Arc::clone),
                },
                status: service.status.clone(),
                goal: service.goal.subscribe(),
                needs: needs.map(|need| need.status.watch()).collect(),
            };
            tokio::spawn(runner.run());
        }
    }

    pub(super) fn net(&self) -> Option<&Arc<Net>> {
        self.network.as_ref().map(|(net, _)| net)
    }

    pub(super) fn state(&self) -> InstanceState {
        let services = self.services.iter();
        InstanceState {
            id: self.spec.id.clone(),
            name: self.spec.name.clone(),
            services: services
                .map(|service| (Arc::clone(&service.status.service), service.status.now()))
                .collect(),
            network: self.network.as_ref().map(|(_, mode)| mode.clone()),
        }
    }

    /// Returns what ends when the instance does.
    pub(super) fn gone(&self) -> watch::Receiver<()> {
        self.alive.subscribe()
    }

    pub(super) fn subscribe(&self) -> Events {
        let events = self.hub.subscribe();
        for service in &self.services {
            service.status.show(&events);
        }
        events
    }

    /// Returns what waits until all services are up, or one is not going to be; it does not keep the instance.
    pub(super) fn rise(&self) -> Rise {
        rise(&self.services)
    }

    /// Stops all services, each after those that depend on it, and closes the way in: who starts it next finds its ports free.
    pub(super) async fn stop(&self) -> Result<(), StopError> {
        let _turn = self.turn.lock().await;
        self.stop_these(|_| true).await?;
        self.ingress.lock().await.close().await;
        Ok(())
    }

    /// Stops and starts one service, or all.
    pub(super) async fn restart(&self, name: Option<&str>) -> Result<(), StartError> {
        let chosen = |service: &Service| name.is_none_or(|name| service.is(name));
        if let Some(service) = name
            && !self.services.iter().any(|known| known.is(service))
        {
            let service = service.to_owned();
            return Err(StartError::NoService { service });
        }
        {
            let _turn = self.turn.lock().await;
            self.stop_these(chosen).await?;
            for service in self.services.iter().filter(|service| chosen(service)) {
                // Before the runner does it itself, so that nobody takes the old state for the new one.
                service.status.enter(Phase::Waiting);
                service.goal.send_replace(Goal::Run);
            }
        }
        let started = self.services.iter().filter(|service| chosen(service));
        rise(started).wait().await
    }

    async fn stop_these(&self, chosen: impl Fn(&Service) -> bool) -> Result<(), StopError> {
        let mut stopping = JoinSet::new();
        for service in self.services.iter().filter(|service| chosen(service)) {
            let depends = |other: &&Service| other.spec.depends_on.contains(&service.spec.name);
            let dependants = self.services.iter().filter(|other| chosen(other));
            let dependants: Vec<_> = dependants
                .filter(depends)
                .map(|dependant| dependant.status.watch())
                .collect();
            let (goal, state) = (service.goal.clone(), service.status.watch());
            let name = service.spec.name.clone();
            let wait = service.spec.stop_grace + KILL_WAIT;
            stopping.spawn(async move {
                for dependant in dependants {
                    until_stopped(dependant).await;
                }
                goal.send_replace(Goal::Stop);
                match timeout(wait, until_stopped(state.clone())).await {
                    Ok(()) => Ok(()),
                    Err(_) => Err(StopError::Stuck {
                        service: name,
                        pid: state.borrow().pid.unwrap_or_default(),
                    }),
                }
            });
        }
        // A service that does not end keeps those that it depends on up: they are what it may be waiting for.
        while let Some(stopped) = stopping.join_next().await {
            // A task of ours neither panics nor is cancelled.
            stopped.unwrap_or(Ok(()))?;
        }
        Ok(())
    }
}

/// Tells of what the gate refuses, for as long as there is anybody to tell.
async fn tell_refusals(mut refusals: broadcast::Receiver<Refused>, hub: Weak<Hub>) {
    loop {
        match refusals.recv().await {
            Ok(refused) => match hub.upgrade() {
                Some(hub) => hub.publish([Event::Refused(Arc::new(refused))]),
                None => return,
            },
            // All of them are in the record.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// Tells of what a person is to be asked, for as long as there is anybody to tell.
fn tell_questions(net: Weak<Net>, hub: Weak<Hub>) -> impl Future<Output = ()> {
    // Before this is first polled: the services are started in the meantime.
    let questions = net.upgrade().map(|net| net.questions());
    async move {
        let Some(mut questions) = questions else {
            return;
        };
        while let Some(question) = questions.recv().await {
            let event = Event::Asked {
                service: question.service.clone(),
                host: question.host.to_string().into(),
                port: question.port,
            };
            let (Some(net), Some(hub)) = (net.upgrade(), hub.upgrade()) else {
                return;
            };
            net.keep(question);
            hub.publish([event]);
        }
    }
}

async fn until_stopped(mut state: watch::Receiver<ServiceState>) {
    // If there is nobody any more who could change it, it is stopped.
    drop(
        state
            .wait_for(|state| matches!(state.phase, Phase::Stopped))
            .await,
    );
}

fn rise<'a>(services: impl IntoIterator<Item = &'a Service>) -> Rise {
    let mut rising = JoinSet::new();
    for service in services {
        let (name, state) = (service.spec.name.clone(), service.status.watch());
        rising.spawn(until_up(name, state));
    }
    Rise(rising)
}

async fn until_up(
    service: String,
    mut state: watch::Receiver<ServiceState>,
) -> Result<(), StartError> {
    let settled = state.wait_for(|state| {
        matches!(
            state.phase,
            Phase::Up | Phase::Ended | Phase::Failed { .. } | Phase::Stopped
        )
    });
    let Ok(state) = settled.await.map(|state| state.clone()) else {
        return Err(StartError::Stopped);
    };
    match state.phase {
        Phase::Failed { error } => Err(StartError::Service { service, error }),
        Phase::Stopped => Err(StartError::Stopped),
        _ => Ok(()),
    }
}
