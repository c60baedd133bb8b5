//! What requests came to: counted, and those that nobody has signed in the audit, as long as they are few.
//!
//! INVARIANT: however many requests are refused, what is written about them is bounded: a number for each verdict and hour, and
//! [`AUDIT_ROWS_MAX`] rows of the audit in an hour.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use mira_store::{Actor, AuditAction, AuditEntry, Outcome, Shared, SharedError};
use tokio::time::Instant;

/// How many rows of the audit there are in an hour.
// LIMIT: enough to see from where it comes; the numbers are counted in any case.
const AUDIT_ROWS_MAX: usize = 30;

/// How long the same verdict about the same address is not written again.
const AUDIT_SPAN: Duration = Duration::from_secs(60 * 60);

macro_rules! verdicts {
    ($($(#[$what:meta])* $variant:ident = $text:literal,)+) => {
        /// What a request came to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Verdict {
            $($(#[$what])* $variant,)+
        }

        impl Verdict {
            /// Every one, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns its one spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

verdicts! {
    /// It was accepted, and goes to an app.
    Accepted = "accepted",
    /// It was accepted, and no app wants it.
    Ignored = "ignored",
    /// It was accepted before.
    Repeated = "repeated",
    /// The sender tried whether anybody answers.
    Ping = "ping",
    /// Beside another verdict: the previous secret has signed it.
    PreviousSecret = "previous_secret",
    /// It came from where none are taken.
    ForeignSource = "foreign_source",
    /// It had no signature.
    NoSignature = "no_signature",
    /// Its signature was none.
    MalformedSignature = "malformed_signature",
    /// Nobody who knows a secret has signed it.
    WrongSignature = "wrong_signature",
    /// It was too large.
    TooLarge = "too_large",
    /// It broke off, or took too long.
    Incomplete = "incomplete",
    /// It was signed, and is no event.
    Malformed = "malformed",
    /// There was too much of it; the sender has to try again.
    Overloaded = "overloaded",
    /// It could not be kept; the sender has to try again.
    Unavailable = "unavailable",
}

impl Verdict {
    /// Returns whether it is about a request of somebody who has not shown that they know a secret.
    fn is_of_nobody(self) -> bool {
        matches!(
            self,
            Self::ForeignSource
                | Self::NoSignature
                | Self::MalformedSignature
                | Self::WrongSignature
                | Self::TooLarge
        )
    }
}

/// What is counted, until it is written down.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: [AtomicU64; Verdict::ALL.len()],
    audited: Mutex<Vec<(Instant, Verdict, IpAddr)>>,
}

impl Tally {
    pub(crate) fn count(&self, verdict: Verdict) {
        if let Some(count) = self.counts.get(verdict as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns whether a refusal is to be written into the audit.
    fn is_news(&self, verdict: Verdict, from: IpAddr) -> bool {
        let now = Instant::now();
        let mut audited = self.audited.lock().unwrap_or_else(PoisonError::into_inner);
        audited.retain(|(time, ..)| now.duration_since(*time) < AUDIT_SPAN);
        let is_known = audited
            .iter()
            .any(|(_, known, address)| (*known, *address) == (verdict, from));
        let is_news = !is_known && audited.len() < AUDIT_ROWS_MAX;
        if is_news {
            audited.push((now, verdict, from));
        }
        is_news
    }

    /// Counts a refusal, and writes it into the audit if it is news there.
    pub(crate) async fn refuse(&self, shared: &Shared, verdict: Verdict, from: IpAddr) {
        self.count(verdict);
        if !verdict.is_of_nobody() || !self.is_news(verdict, from) {
            return;
        }
        let entry = AuditEntry {
            actor: Actor::Nobody,
            address: Some(from),
            action: AuditAction::HookReject,
            subject: verdict.as_str(),
            outcome: Outcome::Denied,
        };
        // It is refused whether the database takes note of it or not.
        shared.record(&entry, Timestamp::now()).await.ok();
    }

    /// Writes down what was counted; what cannot be written is counted on.
    pub(crate) async fn flush(&self, shared: &Shared) -> Result<(), SharedError> {
        let taken: Vec<(&str, u64)> = Verdict::ALL
            .iter()
            .zip(&self.counts)
            .map(|(verdict, count)| (verdict.as_str(), count.swap(0, Ordering::Relaxed)))
            .collect();
        let some: Vec<(&str, u64)> = taken
            .iter()
            .copied()
            .filter(|(_, count)| *count > 0)
            .collect();
        if some.is_empty() {
            return Ok(());
        }
        let written = shared.count_hooks(&some, Timestamp::now()).await;
        if written.is_err() {
            for ((_, taken), count) in taken.iter().zip(&self.counts) {
                count.fetch_add(*taken, Ordering::Relaxed);
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_few_rows_of_the_audit() {
        let tally = Tally::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        assert!(tally.is_news(Verdict::WrongSignature, address(1)));
        assert!(!tally.is_news(Verdict::WrongSignature, address(1)));
        assert!(tally.is_news(Verdict::NoSignature, address(1)));
        let news = (2..10_000).filter(|n| tally.is_news(Verdict::WrongSignature, address(*n)));
        assert_eq!(news.count(), AUDIT_ROWS_MAX - 2);
        tokio::time::advance(AUDIT_SPAN).await;
        assert!(tally.is_news(Verdict::WrongSignature, address(1)));
    }
}
