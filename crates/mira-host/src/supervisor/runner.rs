//! The life of one service: wait for others, start, watch, start again or give up, stop.
//!
//! One task per service runs this. What it should do is set by the instance, in a [`Goal`]; how it fares is in its [`Status`].

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mira_redact::NeedleSet;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::Config;
use super::backoff::Backoff;
use super::health::{Checks, Verdict};
use super::kept::{self, Kept};
use super::lease;
use super::output::{Log, Pump};
use super::status::Status;
use crate::keeper::{self, NewLaunch};
use crate::network::Net;
use crate::service::{
    End, InstanceSpec, Phase, Restart, ServiceError, ServiceSpec, ServiceState, find_program,
};
use mira_run::lease::Lease;

/// How long after a service's end its output may still be open: something outside of its tree was given it.
// LIMIT: what is written later is lost; it may not pass unredacted, and nobody waits for it for ever.
const OUTPUT_LINGER: Duration = Duration::from_secs(2);

/// The exit code by which a service says, before it is up, that something it needs is missing: Mira's own for that.
const LACKING: i32 = 3;

/// What a service should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Run,
    Stop,
}

/// What a service is made of.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) spec: Arc<InstanceSpec>,
    pub(super) service: ServiceSpec,
    pub(super) config: Arc<Config>,
    pub(super) needles: Arc<NeedleSet>,
    pub(super) open_files: u64,
    pub(super) net: Option<Arc<Net>>,
}

impl Context {
    pub(super) fn label(&self) -> String {
        kept::label(&self.spec.id, &self.service.name)
    }

    pub(super) fn variables(&self) -> Vec<(OsString, OsString)> {
        let own = self.service.variables(&self.spec, &self.files_folder());
        let Some(net) = &self.net else {
            return own;
        };
        // What the service sets itself is its own business: it may know better where its certificates are.
        let set: Vec<_> = own.iter().map(|(name, _)| name.clone()).collect();
        let added = net.variables().into_iter();
        let added = added.filter(|(name, _)| !set.contains(name));
        own.into_iter().chain(added).collect()
    }

    fn files_folder(&self) -> PathBuf {
        kept::files_folder(&self.spec.folders.runtime_secrets, &self.service.name)
    }

    /// Returns what starts a program as the service is started, but for the secret files, which are there once.
    pub(super) fn launch<'a>(
        &'a self,
        program: &'a Path,
        arguments: &'a [OsString],
        variables: &'a [(OsString, OsString)],
    ) -> NewLaunch<'a> {
        NewLaunch {
            program,
            arguments,
            folder: &self.spec.folders.package,
            variables,
            secrets: self.service.secrets(&self.spec),
            files_folder: Path::new(""),
            files: Vec::new(),
            open_files: self.open_files,
            room: self.net.as_ref().and_then(|net| net.entrance()),
        }
    }

    /// Connects to a port of the service.
    pub(super) async fn connect(&self, port: u16) -> Option<TcpStream> {
        match &self.net {
            Some(net) => net.connect(port).await.ok(),
            None => TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok(),
        }
    }
}

/// Runs a service for as long as its instance is there.
pub(super) struct Runner {
    pub(super) context: Context,
    pub(super) status: Status,
    pub(super) goal: watch::Receiver<Goal>,
    /// The states of the services that it depends on.
    pub(super) needs: Vec<watch::Receiver<ServiceState>>,
}

/// A run of a service.
struct Running {
    kept: Kept,
    output: JoinHandle<Log>,
    /// Dropped when the output is not waited for any longer.
    over: oneshot::Sender<()>,
    lease: Option<Lease>,
}

/// How a run came out.
enum Outcome {
    /// It was stopped, as it should be.
    Stopped,
    /// It ended by itself.
    Ended(End),
    /// It ended by itself before it was up, and said that something it needs is missing.
    Lacking,
    /// It was stopped because its health failed.
    Unwell,
}

impl Runner {
    /// Follows the goal, of which only the latest counts: one that was replaced before it was seen was never there.
    pub(super) async fn run(mut self) {
        loop {
            if *self.goal.borrow_and_update() == Goal::Stop {
                if !matches!(self.status.now().phase, Phase::Stopped) {
                    self.status.enter(Phase::Stopped);
                }
                if self.goal.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let phase = self.serve().await;
            let stopped = matches!(phase, Phase::Stopped);
            self.status.enter(phase);
            // Where it has ended by itself, it is stopped only when that is asked for. Where it was stopped, that was asked for
            // already, and by now it may be to run again.
            if !stopped
                && self
                    .goal
                    .wait_for(|goal| *goal == Goal::Stop)
                    .await
                    .is_err()
            {
                return;
            }
            if self.goal.has_changed().is_err() {
                return;
            }
        }
    }

    /// Keeps the service up; returns the phase in which that ends.
    async fn serve(&mut self) -> Phase {
        let mut backoff = Backoff::new(self.context.config.backoff);
        let mut restarts = 0;
        loop {
            self.status
                .enter_with(Phase::Waiting, |state| state.restarts = restarts);
            if self.wait_for_needs().await.is_none() {
                return Phase::Stopped;
            }
            let outcome = match self.start().await {
                Ok(running) => Ok(self.attend(running, &mut backoff).await),
                Err(error) => Err(error),
            };
            let error = match (outcome, self.context.service.restart) {
                (Ok(Outcome::Stopped), _) => return Phase::Stopped,
                (Ok(Outcome::Ended(End::Exited(0))), Restart::Never | Restart::OnFailure) => {
                    return Phase::Ended;
                }
                (Ok(Outcome::Ended(end)), Restart::Never) => {
                    return failed(ServiceError::Ended(end));
                }
                (Ok(Outcome::Unwell), Restart::Never) => return failed(ServiceError::Unhealthy),
                (Ok(Outcome::Ended(end)), _) => ServiceError::Ended(end),
                (Ok(Outcome::Unwell), _) => ServiceError::Unhealthy,
                // What is missing now is missing a second later.
                (Ok(Outcome::Lacking), _) => return failed(ServiceError::Lacking),
                (Err(error @ ServiceError::Program(_)), _) => return failed(error),
                (Err(error), _) => error,
            };
            let Some(wait) = backoff.next() else {
                return failed(ServiceError::GaveUp {
                    starts: backoff.starts(),
                    last: Box::new(error),
                });
            };
            let now = Timestamp::now();
            self.status.enter(Phase::Delayed {
                until: now.checked_add(wait).unwrap_or(now),
            });
            if timeout(wait, stop_asked(&mut self.goal)).await.is_ok() {
                return Phase::Stopped;
            }
            restarts += 1;
        }
    }

    /// Waits until everything that it depends on is up; nothing if it is to stop.
    async fn wait_for_needs(&mut self) -> Option<()> {
        let needs = &mut self.needs;
        let all_up = async {
            for need in needs {
                let up = |state: &ServiceState| matches!(state.phase, Phase::Up | Phase::Ended);
                if need.wait_for(up).await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = stop_asked(&mut self.goal) => None,
            () = all_up => Some(()),
        }
    }

    async fn start(&self) -> Result<Running, ServiceError> {
        let context = &self.context;
        let Context {
            spec,
            service,
            config,
            ..
        } = context;
        let name = service.command.first().cloned().unwrap_or_default();
        let program = find_program(&name, &service.env, &spec.folders.package)
            .map_err(ServiceError::Program)?;
        let (taken, log) = self.prepare().await?;
        self.status.lease_trouble(taken.as_ref().err());
        let variables = context.variables();
        let files_folder = context.files_folder();
        let launch = NewLaunch {
            files_folder: &files_folder,
            files: service.files(spec),
            ..context.launch(&program, &service.command, &variables)
        };
        let resident = |keeper| {
            let net = context.net.as_ref()?;
            Some(net.residents().moved_in(&service.name, keeper))
        };
        let label = context.label();
        let started = Kept::start(&config.keeper, &label, &launch, resident);
        let (kept, output) = started.await?;
        let mut lease = taken.unwrap_or_default();
        // The lease itself is there: a missing note makes it ours instead of the service's.
        lease.as_mut().map(|lease| lease.started(kept.pid).ok());
        let (over, is_over) = oneshot::channel();
        let pump = Pump::new(output, &context.needles, log, self.status.clone());
        Ok(Running {
            kept,
            output: tokio::spawn(pump.run(is_over)),
            over,
            lease,
        })
    }

    /// Does what touches the disk before a start: the lease, and a look at the log.
    async fn prepare(&self) -> Result<(std::io::Result<Option<Lease>>, Log), ServiceError> {
        let (spec, config) = (
            Arc::clone(&self.context.spec),
            Arc::clone(&self.context.config),
        );
        let service = self.context.service.clone();
        spawn_blocking(move || {
            let lease = lease::take(&config.leases, &spec, &service);
            let log = Log::new(&spec.folders.logs, &service.name, config.rotation);
            (lease, log)
        })
        .await
        .map_err(|error| ServiceError::System(std::io::Error::other(error)))
    }

    /// Watches a run until nothing is left of it.
    async fn attend(&mut self, mut running: Running, backoff: &mut Backoff) -> Outcome {
        let pid = running.kept.pid;
        self.status
            .enter_with(Phase::Starting, |state| state.pid = Some(pid));
        let mut checks = Checks::new(&self.context);
        let mut well_since = None;
        let outcome = loop {
            tokio::select! {
                biased;
                end = running.kept.ended() => break match (end, well_since) {
                    (End::Exited(LACKING), None) => Outcome::Lacking,
                    _ => Outcome::Ended(end),
                },
                () = stop_asked(&mut self.goal) => {
                    stop(&self.status, &self.context.service, &mut running.kept).await;
                    break Outcome::Stopped;
                }
                verdict = checks.verdict() => match verdict {
                    Verdict::Well => {
                        well_since = Some(Instant::now());
                        self.status.enter(Phase::Up);
                    }
                    Verdict::Unwell => {
                        stop(&self.status, &self.context.service, &mut running.kept).await;
                        break Outcome::Unwell;
                    }
                },
            }
        };
        if let Some(since) = well_since {
            backoff.was_well(since.elapsed());
        }
        self.clear_up(running).await;
        outcome
    }

    /// Sees to it that nothing is left of a run whose main process has ended.
    async fn clear_up(&self, mut running: Running) {
        let end = running.kept.ended().await;
        let lost = !running.kept.left_in_order();
        let folder = self.context.files_folder();
        let has_files = !self.context.service.files(&self.context.spec).is_empty();
        let cleared = spawn_blocking(move || {
            if lost {
                keeper::kill_strays();
            }
            // The keeper has done so, unless it was killed or kept from it.
            if has_files {
                keeper::remove_secret_files(&folder)
            } else {
                Ok(())
            }
        });
        // What could not be removed is removed before the next start.
        drop(cleared.await);
        if timeout(OUTPUT_LINGER, &mut running.output).await.is_err() {
            drop(running.over);
            drop(running.output.await);
        }
        drop(running.lease);
        self.status.change(|state| {
            state.pid = None;
            state.last_end = Some(end);
        });
    }
}

fn failed(error: ServiceError) -> Phase {
    let error = Arc::new(error);
    Phase::Failed { error }
}

/// Waits until the service is to stop; its instance's end means that too.
async fn stop_asked(goal: &mut watch::Receiver<Goal>) {
    drop(goal.wait_for(|goal| *goal == Goal::Stop).await);
}

/// Asks a service to end, and kills it if it does not.
async fn stop(status: &Status, service: &ServiceSpec, kept: &mut Kept) {
    status.enter(Phase::Stopping);
    kept.signal(service.stop_signal);
    if timeout(service.stop_grace, kept.ended()).await.is_err() {
        kept.kill();
        kept.ended().await;
    }
}
