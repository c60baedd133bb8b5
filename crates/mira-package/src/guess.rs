//! The rules by which guesses at a password are limited: pure, with the clock given.
//!
//! For each encrypted file (by its digest) somebody else keeps a [`Guesses`] in the database. An attempt is reserved
//! there, in one transaction, before any work is done for it, and counts as a failure until it is reported as a success: so
//! neither many processes at once nor a killed one get a guess for free. This limits guessing through Mira only: whoever has a copy of the
//! file can guess elsewhere, and there the work that its passphrase costs is what protects it.
//!
//! INVARIANT: within one boot the wall clock decides nothing.

mod clock;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

pub use clock::{Clock, ClockError};

/// After this many failures in a row there is a lock.
pub const FAILURES_MAX: u32 = 5;
/// How long a lock lasts.
pub const LOCK: Duration = Duration::from_secs(5 * 60);
/// The longest serialised state, in bytes.
// LIMIT: what is written has less than 200 bytes.
pub const STATE_BYTES_MAX: usize = 1024;

/// What is known of the guesses at one file's password. The default is: there were none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guesses {
    failures: u32,
    last: Option<Last>,
}

/// The last attempt, or the last time that its delay was counted anew.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    at: Clock,
    /// How long after `at` the next attempt may begin.
    delay: Duration,
}

/// Says that no attempt may begin now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct Wait {
    /// How long to wait from now on.
    pub left: Duration,
    /// When that is by the wall clock, for people: it decides nothing.
    pub until: Timestamp,
    /// Whether this is the lock after too many failures, rather than the delay after one.
    pub locked: bool,
    /// What to keep from now on; it differs from what was kept after a reboot only.
    pub state: Guesses,
}

/// Says that bytes are no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is kept about wrong passwords is damaged")]
pub struct StateError;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireGuesses {
    version: u64,
    failures: u32,
    last: Option<WireLast>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireLast {
    wall_ms: i64,
    since_boot_ms: u64,
    boot: String,
    delay_ms: u64,
}

impl Guesses {
    /// Reserves an attempt: returns what to keep before it begins.
    ///
    /// # Errors
    ///
    /// Returns how long to wait; nothing may be tried until then, not even the right password.
    pub fn reserve(&self, now: &Clock) -> Result<Self, Wait> {
        let left = self
            .last
            .as_ref()
            .map_or(Duration::ZERO, |last| last.left(now));
        if left > Duration::ZERO {
            return Err(self.wait(left, now));
        }
        Ok(self.counted(self.failures.saturating_add(1), now))
    }

    /// Returns what to keep after a reserved attempt failed: its delay begins now, not when it began.
    #[must_use]
    pub fn on_failure(&self, now: &Clock) -> Self {
        match self.failures {
            0 => self.clone(),
            failures => self.counted(failures, now),
        }
    }

    /// Returns what to keep after a reserved attempt succeeded: nothing.
    #[must_use]
    pub fn on_success(&self) -> Self {
        Self::default()
    }

    /// Returns how many attempts in a row have failed, reserved ones included.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the state as JSON, to be kept.
    #[must_use]
    pub fn to_json(&self) -> String {
        let last = self.last.as_ref().map(|last| WireLast {
            wall_ms: last.at.wall.as_millisecond(),
            since_boot_ms: millis(last.at.since_boot),
            boot: last.at.boot_id.clone(),
            delay_ms: millis(last.delay),
        });
        let wire = WireGuesses {
            version: 1,
            failures: self.failures,
            last,
        };
        serde_json::to_string(&wire).expect("text and numbers are JSON")
    }

    /// Reads what was kept.
    ///
    /// # Errors
    ///
    /// It is damaged. Then nothing may be tried: a state that is lost is a guess for free.
    pub fn from_json(text: &str) -> Result<Self, StateError> {
        if text.len() > STATE_BYTES_MAX {
            return Err(StateError);
        }
        let wire: WireGuesses = serde_json::from_str(text).map_err(|_| StateError)?;
        let last = wire.last.map(from_wire).transpose()?;
        match wire.version == 1 && (wire.failures == 0) == last.is_none() {
            true => Ok(Self {
                failures: wire.failures,
                last,
            }),
            false => Err(StateError),
        }
    }

    fn counted(&self, failures: u32, now: &Clock) -> Self {
        let delay = delay_after(failures);
        Self {
            failures,
            last: Some(Last {
                at: now.clone(),
                delay,
            }),
        }
    }

    fn wait(&self, left: Duration, now: &Clock) -> Wait {
        let state = match &self.last {
            // Another boot: what is left counts from now on, by a clock that nobody sets.
            Some(last) if !last.at.is_same_boot(now) => Self {
                failures: self.failures,
                last: Some(Last {
                    at: now.clone(),
                    delay: left,
                }),
            },
            _ => self.clone(),
        };
        let until = SignedDuration::try_from(left)
            .ok()
            .and_then(|left| now.wall.checked_add(left).ok());
        Wait {
            left,
            until: until.unwrap_or(Timestamp::MAX),
            locked: self.failures >= FAILURES_MAX,
            state,
        }
    }
}

impl Last {
    fn left(&self, now: &Clock) -> Duration {
        let passed = if self.at.is_same_boot(now) {
            now.since_boot.saturating_sub(self.at.since_boot)
        } else {
            // A clock that was set back makes this negative: then no time has passed.
            Duration::try_from(now.wall.duration_since(self.at.wall)).unwrap_or_default()
        };
        self.delay.saturating_sub(passed)
    }
}

impl Wait {
    fn message(&self) -> String {
        // A second that has begun is waited for.
        let seconds = self.left.as_millis().div_ceil(1000);
        match self.locked {
            true => format!(
                "locked after {} wrong passwords; try again in {seconds} s",
                self.state.failures
            ),
            false => format!("wait {seconds} s after a wrong password"),
        }
    }
}

fn delay_after(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        1..FAILURES_MAX => Duration::from_secs(1 << (failures - 1)),
        _ => LOCK,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn from_wire(wire: WireLast) -> Result<Last, StateError> {
    let wall = Timestamp::from_millisecond(wire.wall_ms).map_err(|_| StateError)?;
    let delay = Duration::from_millis(wire.delay_ms);
    if delay > LOCK {
        return Err(StateError);
    }
    let since_boot = Duration::from_millis(wire.since_boot_ms);
    Ok(Last {
        at: Clock {
            wall,
            since_boot,
            boot_id: wire.boot,
        },
        delay,
    })
}

#[cfg(test)]
mod tests;
