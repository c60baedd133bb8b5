//! Deliveries are made: claimed from the queue, posted, and ended, as many at once as there is room for.
//!
//! INVARIANT: a delivery that this process makes is claimed by it; when the process dies, the claim ends by itself. An attempt ends with its claim, so
//! that the next one, whoever makes it, does not run beside it; and one whose claim was lost ends nothing.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use mira_store::{ClaimedHook, HookClaim, HookEnd, HookPurge, Shared};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::along::Along;
use crate::backoff::delay;
use crate::deliver::post;
use crate::targets::{Placeholders, Targets};

/// How often old events are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long a delivery waits until it is given up, in hours.
const GIVEN_UP_AFTER: SignedDuration = SignedDuration::from_hours(3 * 24);

/// How long names, ids and times of an event are kept, so that a repeat is known.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long an event with a failed delivery is kept, with its content.
const FAILED_FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(14 * 24);

/// How long counts are kept.
const COUNTS_FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(90 * 24);

/// How deliveries are made.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// How many at once.
    pub deliveries_max: u32,
    /// How often a delivery is tried.
    pub attempts_max: u64,
    /// How long an app may take for an answer.
    pub answer_wait: Duration,
    /// How long after the first failed attempt the next one begins.
    pub retry_first: Duration,
    /// How long after any failed attempt the next one begins at the latest.
    pub retry_most: Duration,
    /// After how long without a sign of life a server is taken for dead.
    pub lease: Duration,
    /// How often it is looked for what other servers have queued, and what is due again.
    pub poll: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            // LIMIT: an app that reviews works on some at once and keeps the others waiting; contents are in memory meanwhile.
            deliveries_max: 32,
            attempts_max: 20,
            answer_wait: Duration::from_secs(15 * 60),
            retry_first: Duration::from_secs(5),
            retry_most: Duration::from_secs(60 * 60),
            lease: Duration::from_secs(60),
            poll: Duration::from_secs(2),
        }
    }
}

/// Delivers what is queued.
#[derive(Clone, Debug)]
pub struct Worker {
    shared: Shared,
    targets: Arc<dyn Targets>,
    placeholders: Option<Arc<dyn Placeholders>>,
    options: WorkerOptions,
    /// Who claims: random, so that nobody else does by this name.
    owner: Arc<str>,
}

impl Worker {
    /// Prepares deliveries; nothing is claimed yet.
    #[must_use]
    pub fn new(
        shared: Shared,
        targets: Arc<dyn Targets>,
        placeholders: Option<Arc<dyn Placeholders>>,
        options: WorkerOptions,
    ) -> Self {
        let owner = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        Self {
            shared,
            targets,
            placeholders,
            options,
            owner: owner.into(),
        }
    }

    /// Delivers until told to end; `wake` tells that something was queued here. What is being delivered then is given back.
    pub async fn run(self, wake: Arc<Notify>, until: impl Future<Output = ()>) {
        let ticks = |period: Duration| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut poll, mut purge) = (ticks(self.options.poll), ticks(PURGE_EVERY));
        let mut renew = ticks(self.options.lease / 3);
        let mut running = JoinSet::new();
        // Until when all that is claimed is held.
        let held = watch::Sender::new(Instant::now());
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => break,
                () = wake.notified() => {}
                _ = poll.tick() => {}
                // The next of its key may be claimed now.
                Some(_) = running.join_next() => {}
                _ = renew.tick() => {
                    if !running.is_empty() {
                        // Where it fails, what is being delivered ends with its claim, and is delivered again.
                        let (now, until) = (Instant::now(), from_now(self.options.lease));
                        if self.shared.renew_hooks(&self.owner, until).await.is_ok() {
                            held.send_replace(now + self.options.lease);
                        }
                    }
                    continue;
                }
                _ = purge.tick() => {
                    self.purge().await;
                    continue;
                }
            }
            // What cannot be claimed now is claimed at the next tick.
            let claimed_until = Instant::now() + self.options.lease;
            for claimed in self.claim(running.len()).await.unwrap_or_default() {
                let (worker, held) = (self.clone(), held.subscribe());
                running.spawn(async move {
                    tokio::select! {
                        () = worker.deliver(claimed) => {}
                        () = lost(claimed_until, held) => {}
                    }
                });
            }
        }
        running.shutdown().await;
        self.shared.release_hooks(Some(&self.owner)).await.ok();
    }

    async fn claim(&self, running: usize) -> Option<Vec<ClaimedHook>> {
        let running = u32::try_from(running).ok()?;
        let room = self.options.deliveries_max.saturating_sub(running);
        if room == 0 || self.shared.hook_backlog().await.ok()?.deliveries == 0 {
            return None;
        }
        let targets = self.targets.here().await.ok()?;
        if targets.is_empty() {
            return None;
        }
        let claim = HookClaim {
            owner: &self.owner,
            targets: &targets,
            until: from_now(self.options.lease),
            deliveries_max: room,
        };
        self.shared.claim_hooks(&claim, Timestamp::now()).await.ok()
    }

    /// Makes one attempt, and writes down how it ended. Where that cannot be written, the claim ends by itself.
    async fn deliver(&self, claimed: ClaimedHook) {
        let (end, answer) = match self.attempt(&claimed).await {
            Ok(status) if status.is_success() => (HookEnd::Done, status.as_u16().to_string()),
            Ok(StatusCode::GONE) => (HookEnd::Failed, "410: the app does not want it".to_owned()),
            Ok(status) => (self.again(&claimed), status.as_u16().to_string()),
            Err(reason) => (self.again(&claimed), reason),
        };
        let ours = (&*self.owner, &claimed);
        let ended = self.shared.end_hook(ours, end, &answer, Timestamp::now());
        ended.await.ok();
    }

    fn again(&self, claimed: &ClaimedHook) -> HookEnd {
        if claimed.attempt >= self.options.attempts_max {
            return HookEnd::Failed;
        }
        let (first, most) = (self.options.retry_first, self.options.retry_most);
        HookEnd::Again(from_now(delay(claimed.attempt, first, most)))
    }

    async fn attempt(&self, claimed: &ClaimedHook) -> Result<StatusCode, String> {
        let endpoint = self
            .targets
            .endpoint(&claimed.target, &claimed.event)
            .await?;
        let endpoint =
            endpoint.ok_or("the instance does not run, or does not take such events any more")?;
        let body = self.shared.hook_body(&claimed.event_id).await;
        let body = body.map_err(|error| error.to_string())?;
        let body = body.ok_or("the content of the event is gone")?;
        let along = match &self.placeholders {
            None => Along::default(),
            Some(placeholders) => Along::of(&**placeholders, &endpoint, claimed, &body).await,
        };
        post(&endpoint, claimed, &along, body, self.options.answer_wait).await
    }

    async fn purge(&self) {
        let now = Timestamp::now();
        let before = |span| now.saturating_sub(span).unwrap_or(Timestamp::MIN);
        let purge = HookPurge {
            given_up: before(GIVEN_UP_AFTER),
            forgotten: before(FORGOTTEN_AFTER),
            failed_forgotten: before(FAILED_FORGOTTEN_AFTER),
            counts_forgotten: before(COUNTS_FORGOTTEN_AFTER),
        };
        // What is too old is so in an hour too.
        self.shared.purge_hooks(&purge, now).await.ok();
    }
}

/// Waits until a claim has ended that holds until a time, and is prolonged with all others.
async fn lost(claimed_until: Instant, mut held: watch::Receiver<Instant>) {
    loop {
        let until = claimed_until.max(*held.borrow_and_update());
        match timeout_at(until, held.changed()).await {
            Ok(Ok(())) => {}
            // Nobody prolongs it any more: the worker ends, and this with it.
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

fn from_now(span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    Timestamp::now()
        .saturating_add(span)
        .unwrap_or(Timestamp::MAX)
}
