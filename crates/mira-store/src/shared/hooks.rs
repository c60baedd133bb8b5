//! Events that were sent to Mira, and the queue of their deliveries to apps.
//!
//! A delivery is claimed for a while by whoever makes it (a lease), and is claimable again when that one gives no sign of life. So it is
//! made at least once, whoever dies when.
//!
//! INVARIANT: of the deliveries with one order key, only the one that was queued first is ever being made; what was accepted is in the
//! database before anybody is told so; the content of an event is there only while a delivery may need it.

mod accept;
mod packed;
mod queue;
mod upkeep;
mod view;

use jiff::Timestamp;

use crate::shared::id::HookEventId;
use crate::shared::words::words;

pub use accept::{HookAcceptance, HookBacklog, NewHookDelivery, NewHookEvent};
pub use queue::{ClaimedHook, HookClaim, HookEnd};
pub use upkeep::HookPurge;
pub use view::{HookCount, HookFilter, HookMark, HookStats};

words! {
    /// How far a delivery is.
    HookState {
        /// It waits for its turn, or for its next attempt.
        Queued = "queued",
        /// Somebody is at it.
        Running = "running",
        /// The app has taken it.
        Done = "done",
        /// It was given up; it can be queued again.
        Failed = "failed",
        /// No app wanted the event.
        Ignored = "ignored",
    }
}

/// An event that was accepted. Its texts are the sender's, cut and cleaned.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookEvent {
    /// Its id here.
    pub id: HookEventId,
    /// The sender's id of it.
    pub sent_id: String,
    /// What kind of event, as `pull_request`.
    pub event: String,
    /// What happened, as `opened`.
    pub action: Option<String>,
    /// The App that it was sent to, by the sender's id.
    pub sent_to: Option<String>,
    /// The installation that it is about.
    pub installation: Option<i64>,
    /// The repository that it is about, by name.
    pub repository: Option<String>,
    /// The pull request or issue that it is about.
    pub number: Option<i64>,
    /// When it was accepted.
    pub accepted: Timestamp,
    /// The size of its content.
    pub body_bytes: u64,
    /// Its delivery to one instance, unless none wanted it.
    pub delivery: Option<HookDelivery>,
}

/// A delivery of an event to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookDelivery {
    /// Which instance takes it, as `app/name`.
    pub target: String,
    /// How far it is.
    pub state: HookState,
    /// How often it was begun.
    pub attempts: u64,
    /// Not before this time, while it is queued.
    pub due: Timestamp,
    /// What came of the last attempt.
    pub answer: Option<String>,
    /// When it was done or given up.
    pub finished: Option<Timestamp>,
}

/// Returns a number that is never negative as it is kept.
fn kept(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Returns a number that is kept and never negative.
fn number(kept: i64) -> u64 {
    u64::try_from(kept).unwrap_or_default()
}
