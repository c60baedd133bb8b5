//! How long to wait before a service is started again, and when to give up. It reads no clock.

use std::time::Duration;

/// When a service that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffRules {
    /// How long the first wait is; each is twice the one before.
    pub first: Duration,
    /// How long a wait is at most.
    pub longest: Duration,
    /// After how long a time of being well the count begins anew.
    pub well_after: Duration,
    /// How many restarts in a row there are.
    pub restarts_max: u32,
}

impl Default for BackoffRules {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            well_after: Duration::from_secs(60),
            // LIMIT: with the waits above about five minutes: what is not up by then needs somebody to look at it.
            restarts_max: 10,
        }
    }
}

/// The waits of one service.
#[derive(Debug)]
pub(super) struct Backoff {
    rules: BackoffRules,
    restarts: u32,
}

impl Backoff {
    pub(super) fn new(rules: BackoffRules) -> Self {
        Self { rules, restarts: 0 }
    }

    /// Takes note of how long the service was well before it ended.
    pub(super) fn was_well(&mut self, time: Duration) {
        if time >= self.rules.well_after {
            self.restarts = 0;
        }
    }

    /// Returns how long to wait before the next start; nothing if there were enough of them.
    pub(super) fn next(&mut self) -> Option<Duration> {
        if self.restarts >= self.rules.restarts_max {
            return None;
        }
        let doubled = 2_u32.checked_pow(self.restarts);
        let wait = doubled.and_then(|times| self.rules.first.checked_mul(times));
        self.restarts += 1;
        Some(wait.unwrap_or(self.rules.longest).min(self.rules.longest))
    }

    /// Returns how many starts in a row there were.
    pub(super) fn starts(&self) -> u32 {
        self.restarts + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &mut Backoff) -> Vec<u64> {
        std::iter::from_fn(|| backoff.next())
            .map(|wait| wait.as_secs())
            .collect()
    }

    #[test]
    fn waits_double_up_to_a_minute_and_end_after_ten() {
        let mut backoff = Backoff::new(BackoffRules::default());
        assert_eq!(seconds(&mut backoff), [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(backoff.next(), None);
        assert_eq!(backoff.starts(), 11);
    }

    #[test]
    fn a_minute_of_being_well_begins_anew_and_less_does_not() {
        let mut backoff = Backoff::new(BackoffRules::default());
        backoff.next();
        backoff.was_well(Duration::from_millis(59_999));
        assert_eq!(backoff.next(), Some(Duration::from_secs(2)));
        backoff.was_well(Duration::from_secs(60));
        assert_eq!(seconds(&mut backoff).len(), 10);
    }

    #[test]
    fn many_restarts_do_not_overflow() {
        let rules = BackoffRules {
            restarts_max: 100,
            ..BackoffRules::default()
        };
        assert_eq!(seconds(&mut Backoff::new(rules)).last(), Some(&60));
    }
}
