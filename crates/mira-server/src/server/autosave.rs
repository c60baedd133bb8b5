//! Snapshots that are taken by themselves: every interval while an instance runs, and once more when it has stopped.
//!
//! INVARIANT: one at a time per instance, also over a stop and a new start; and none begins after what waits for the last one
//! was told that it is done. What is searched for, and the password, are in this process's memory only as long as that takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mira_host::service::{InstanceSpec, Value};
use mira_host::supervisor::Gone;
use mira_secret::SecretBytes;
use mira_snapshot::{Options, Repository, Secrets, SnapshotError, TAG_AUTOSAVE};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, spawn_blocking};

use super::{AtWork, Desk};
use crate::wire::{Autosave, AutosaveState};

/// How many instances are saved at once.
// LIMIT: each keeps a core busy; what runs is to go on meanwhile.
const AT_ONCE_MAX: usize = 2;

/// How long a snapshot waits for a command that works on the same repository.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The instances that are saved by themselves.
#[derive(Debug)]
pub(super) struct Autosaves {
    running: Mutex<Running>,
    turns: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Running {
    by_id: BTreeMap<String, Known>,
    /// How many there were, which tells one run of an instance from the next.
    count: u64,
}

/// One run of an instance that is saved, as others see it.
#[derive(Debug)]
struct Known {
    run: u64,
    order: watch::Sender<Order>,
    /// Ends when the last snapshot is done.
    state: watch::Receiver<AutosaveState>,
}

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Save it until it is gone.
    GoOn,
    /// Save it now for the last time.
    Finish,
    /// Do not save it any more.
    Discard,
}

impl Default for Autosaves {
    fn default() -> Self {
        Self {
            running: Mutex::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }
}

/// All that a snapshot needs.
#[derive(Debug)]
pub(super) struct Plan {
    instance: String,
    autosave: Autosave,
    secrets: Secrets,
    password: SecretBytes,
}

impl Plan {
    /// Takes what is needed of an instance that is about to be started; nothing if the password is not among its values.
    pub(super) fn new(autosave: Autosave, spec: &InstanceSpec) -> Option<Self> {
        let mut secrets = Secrets::builder();
        for Value { name, value, .. } in &spec.values {
            // EXPOSE: to the scanner, which keeps it out of snapshots.
            secrets.add(name.as_str(), value.expose());
        }
        let password = spec.values.iter();
        let password = password.filter(|value| value.name == autosave.password);
        // EXPOSE: to the repository, whose key is made of it.
        let mut password = password.map(|value| SecretBytes::copy_from(value.value.expose()));
        Some(Self {
            instance: spec.id.clone(),
            password: password.next()?,
            autosave,
            secrets: secrets.build(),
        })
    }

    /// Takes a snapshot, if anything changed, and removes those that are not kept.
    fn save(&self) -> Result<String, SnapshotError> {
        let Autosave {
            repository,
            volumes,
            retention,
            ..
        } = &self.autosave;
        let mut repository = Repository::open_or_create(repository, &self.password)?;
        repository.set_lock_wait(LOCK_WAIT);
        let options = Options {
            skip_unchanged: true,
            tags: vec![TAG_AUTOSAVE.to_owned()],
            instance: self.instance.clone(),
            ..Options::default()
        };
        let report = repository.snapshot(volumes, &self.secrets, &options, &mut |_| {})?;
        if let Some(retention) = retention.filter(|_| !report.unchanged) {
            repository.apply_retention_to_autosaves(&retention)?;
        }
        Ok(report.snapshot.id.as_str().to_owned())
    }
}

impl Autosaves {
    /// Begins to save an instance that was just begun.
    pub(super) fn begin(&self, desk: &Arc<Desk>, plan: Plan, gone: Gone) {
        let (order, ordered) = watch::channel(Order::GoOn);
        let (tell, state) = watch::channel(AutosaveState::default());
        let mut running = self.lock();
        running.count += 1;
        let run = running.count;
        let id = plan.instance.clone();
        let before = running.by_id.insert(id, Known { run, order, state });
        drop(running);
        let saver = Saver {
            plan: Arc::new(plan),
            run,
            ordered,
            tell,
            turns: Arc::clone(&self.turns),
            work: desk.at_work(),
        };
        tokio::spawn(saver.work(gone, before));
    }

    /// Returns how an instance's snapshots fare, now and from now on.
    pub(super) fn watch(&self, id: &str) -> Option<watch::Receiver<AutosaveState>> {
        let running = self.lock();
        Some(running.by_id.get(id)?.state.clone())
    }

    /// Has an instance not be saved any more, not even for the last time.
    pub(super) fn discard(&self, id: &str) {
        if let Some(known) = self.lock().by_id.get(id) {
            known.order.send_replace(Order::Discard);
        }
    }

    /// Waits until an instance that is gone was saved for the last time; returns how that went.
    pub(super) async fn ended(&self, id: &str) -> Option<AutosaveState> {
        let state = self.watch(id)?;
        Some(end_of(state).await)
    }

    /// Has all instances saved for the last time, and waits for that.
    pub(super) async fn finish(&self) {
        let mut ending = JoinSet::new();
        for known in self.lock().by_id.values() {
            known.order.send_if_modified(|order| {
                let goes_on = *order == Order::GoOn;
                if goes_on {
                    *order = Order::Finish;
                }
                goes_on
            });
            ending.spawn(end_of(known.state.clone()));
        }
        while ending.join_next().await.is_some() {}
    }

    fn forget(&self, id: &str, run: u64) {
        let by_id = &mut self.lock().by_id;
        if by_id.get(id).is_some_and(|known| known.run == run) {
            by_id.remove(id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // Each change is one step, so it is whole after a panic too.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until nobody changes a state any more, and returns it.
async fn end_of(mut state: watch::Receiver<AutosaveState>) -> AutosaveState {
    while state.changed().await.is_ok() {}
    state.borrow().clone()
}

/// Saves one instance.
struct Saver {
    plan: Arc<Plan>,
    run: u64,
    ordered: watch::Receiver<Order>,
    tell: watch::Sender<AutosaveState>,
    turns: Arc<Semaphore>,
    /// Keeps the supervisor from leaving before the last snapshot.
    work: AtWork,
}

impl Saver {
    async fn work(mut self, mut gone: Gone, before: Option<Known>) {
        if let Some(before) = before {
            end_of(before.state).await;
        }
        let mut last = false;
        while !last {
            let due = tokio::time::sleep(self.plan.autosave.interval);
            tokio::select! {
                () = due => {}
                () = gone.wait() => last = true,
                // Whoever gives the orders outlives us: the end of the channel means as much as the last one.
                _ = self.ordered.changed() => last = true,
            }
            if *self.ordered.borrow() == Order::Discard {
                break;
            }
            self.save().await;
        }
        let Self {
            plan,
            run,
            tell,
            work,
            ..
        } = self;
        work.desk().autosaves.forget(&plan.instance, run);
        // Told last: whoever waits may do with the state what they want then.
        drop(tell);
        drop(work);
    }

    async fn save(&self) {
        let Ok(turn) = self.turns.acquire().await else {
            return;
        };
        let plan = Arc::clone(&self.plan);
        let saved = spawn_blocking(move || plan.save()).await;
        drop(turn);
        self.tell.send_modify(|state| match saved {
            Ok(Ok(snapshot)) => state.saved(&snapshot),
            Ok(Err(error)) => {
                let findings = match &error {
                    SnapshotError::SecretsFound(findings) => Some(findings),
                    _ => None,
                };
                state.failed(error.to_string(), findings);
            }
            Err(_) => state.failed(
                "the snapshot broke off; this is an error of Mira's".to_owned(),
                None,
            ),
        });
    }
}
