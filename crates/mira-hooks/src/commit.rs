//! Events become durable together: while one transaction is written, the next events gather, so that a disk that is slow costs each of
//! them little.
//!
//! INVARIANT: whoever handed in an event is told only after it is on the disk, or that it is not.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mira_store::{HookAcceptance, HookBacklog, NewHookDelivery, NewHookEvent, Shared};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::tally::Tally;

/// How many events become durable together.
// LIMIT: their contents are in memory, and others wait for the transaction.
const BATCH_MAX: usize = 64;

/// How long a transaction waits for events that are expected beside those that are there.
// LIMIT: about what syncing a disk takes, which it saves.
const GATHER_MAX: Duration = Duration::from_millis(2);

/// How old what is known of the queue may be.
// LIMIT: what others add in a second does not fill it.
const BACKLOG_AGE_MAX: Duration = Duration::from_secs(1);

/// How old it may be while less than half of what may wait does. What this server adds is counted meanwhile; what is done, is not.
// LIMIT: the whole queue is read to know it, and what others add in that time is not its second half.
const SHORT_BACKLOG_AGE_MAX: Duration = Duration::from_secs(10);

/// How often counts are written down.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// An event that is to be durable.
pub(crate) struct Job {
    pub(crate) sent_id: String,
    pub(crate) event: String,
    pub(crate) action: Option<String>,
    pub(crate) sent_to: Option<String>,
    pub(crate) installation: Option<i64>,
    pub(crate) repository: Option<String>,
    pub(crate) number: Option<i64>,
    pub(crate) body: String,
    pub(crate) deliveries: Vec<NewHookDelivery>,
    pub(crate) answer: oneshot::Sender<Committed>,
}

/// What became of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Accepted,
    Repeated,
    /// The queue is full.
    Full,
    /// The database refused.
    Failed,
}

/// How much may wait in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) deliveries_max: u64,
    pub(crate) bytes_max: u64,
}

impl Bounds {
    /// Returns how old what is known of the queue may be.
    fn age_max(self, known: &HookBacklog) -> Duration {
        let is_short =
            known.deliveries < self.deliveries_max / 2 && known.bytes < self.bytes_max / 2;
        match is_short {
            true => SHORT_BACKLOG_AGE_MAX,
            false => BACKLOG_AGE_MAX,
        }
    }
}

/// Makes events durable until nobody hands in any more, and writes counts down meanwhile.
pub(crate) async fn run(
    shared: Shared,
    mut jobs: mpsc::Receiver<Job>,
    bounds: Bounds,
    tally: Arc<Tally>,
) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let mut known: Option<(Instant, HookBacklog)> = None;
    let mut expected = 1;
    let mut flush = interval(FLUSH_EVERY);
    flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            taken = jobs.recv_many(&mut batch, BATCH_MAX) => {
                if taken == 0 {
                    break;
                }
                gather(&mut jobs, &mut batch, expected).await;
                expected = batch.len();
                commit(&shared, &mut batch, bounds, &mut known).await;
            }
            // They are counted on, and written the next time.
            _ = flush.tick() => drop(tally.flush(&shared).await),
        }
    }
    drop(tally.flush(&shared).await);
}

/// Waits until as many are there as became durable together the last time: a sender of many at once sends the next ones after the answers.
async fn gather(jobs: &mut mpsc::Receiver<Job>, batch: &mut Vec<Job>, expected: usize) {
    let rest = async {
        while batch.len() < expected {
            if jobs.recv_many(batch, BATCH_MAX - batch.len()).await == 0 {
                break;
            }
        }
    };
    // What has come by then is enough.
    timeout(GATHER_MAX, rest).await.ok();
}

async fn commit(
    shared: &Shared,
    batch: &mut Vec<Job>,
    bounds: Bounds,
    known: &mut Option<(Instant, HookBacklog)>,
) {
    let mut backlog = match known {
        Some((measured, backlog)) if measured.elapsed() < bounds.age_max(backlog) => *backlog,
        _ => match shared.hook_backlog().await {
            Ok(backlog) => {
                *known = Some((Instant::now(), backlog));
                backlog
            }
            Err(_) => return batch.drain(..).for_each(|job| job.tell(Committed::Failed)),
        },
    };
    let mut taken = Vec::with_capacity(batch.len());
    for job in batch.drain(..) {
        let is_full =
            backlog.deliveries >= bounds.deliveries_max || backlog.bytes >= bounds.bytes_max;
        if is_full && !job.deliveries.is_empty() {
            job.tell(Committed::Full);
            continue;
        }
        backlog.deliveries += job.deliveries.len() as u64;
        backlog.bytes += job.deliveries.len() as u64 * job.body.len() as u64;
        taken.push(job);
    }
    if let Some((_, known)) = known {
        *known = backlog;
    }
    let now = Timestamp::now();
    let events: Vec<NewHookEvent<'_>> = taken.iter().map(|job| job.event(now)).collect();
    let done = match events.is_empty() {
        true => return,
        false => shared.accept_hooks(&events).await,
    };
    drop(events);
    match done {
        Ok(accepted) => {
            for (job, accepted) in taken.into_iter().zip(accepted) {
                if let (HookAcceptance::Accepted(id), Some(gone)) = (&accepted, job.gone()) {
                    // What is left of it goes on the day when it is old, if not now.
                    shared
                        .forget_hooks_of_installation(gone, Some(id))
                        .await
                        .ok();
                }
                job.tell(match accepted {
                    HookAcceptance::Accepted(_) => Committed::Accepted,
                    HookAcceptance::Repeated => Committed::Repeated,
                });
            }
        }
        Err(_) => taken
            .into_iter()
            .for_each(|job| job.tell(Committed::Failed)),
    }
}

impl Job {
    fn event(&self, now: Timestamp) -> NewHookEvent<'_> {
        NewHookEvent {
            sent_id: &self.sent_id,
            event: &self.event,
            action: self.action.as_deref(),
            sent_to: self.sent_to.as_deref(),
            installation: self.installation,
            repository: self.repository.as_deref(),
            number: self.number,
            body: &self.body,
            accepted: now,
            deliveries: self.deliveries.clone(),
        }
    }

    /// Returns the installation that this event says is gone for good.
    fn gone(&self) -> Option<i64> {
        let is_end = self.event == "installation" && self.action.as_deref() == Some("deleted");
        self.installation.filter(|_| is_end)
    }

    fn tell(self, what: Committed) {
        // Whoever asked may have hung up.
        self.answer.send(what).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        deliveries_max: 10,
        bytes_max: 1000,
    };

    fn job() -> Job {
        Job {
            sent_id: String::new(),
            event: String::new(),
            action: None,
            sent_to: None,
            installation: None,
            repository: None,
            number: None,
            body: String::new(),
            deliveries: Vec::new(),
            answer: oneshot::channel().0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_wait_for_as_many_as_the_last_time_and_for_no_more_than_a_moment() {
        let (hand_in, mut jobs) = mpsc::channel(8);
        let begun = Instant::now();
        for _ in 0..3 {
            assert!(hand_in.send(job()).await.is_ok());
        }
        // One that is alone, and as many as were expected, wait for nobody.
        for expected in [1, 2] {
            let mut batch = Vec::new();
            jobs.recv_many(&mut batch, 1).await;
            gather(&mut jobs, &mut batch, expected).await;
            assert_eq!((batch.len(), begun.elapsed()), (expected, Duration::ZERO));
        }
        // It ends by itself, however few there are.
        let mut batch = vec![job()];
        let (_, sent) = tokio::join!(gather(&mut jobs, &mut batch, 3), hand_in.send(job()));
        assert!(sent.is_ok());
        assert_eq!((batch.len(), begun.elapsed()), (2, GATHER_MAX));
        drop(hand_in);
        // Nobody hands in any more.
        gather(&mut jobs, &mut batch, 9).await;
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn the_queue_is_looked_at_often_once_it_is_half_full() {
        for (deliveries, bytes, is_short) in [
            (0, 0, true),
            (4, 499, true),
            (5, 0, false),
            (0, 500, false),
            (10, 1000, false),
        ] {
            let known = HookBacklog { deliveries, bytes };
            let age = BOUNDS.age_max(&known);
            assert_eq!(age == SHORT_BACKLOG_AGE_MAX, is_short, "{known:?}");
        }
    }
}
