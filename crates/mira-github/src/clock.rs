//! Time, as tokens have it: a clock that nobody sets, for how long something lasts, and the one on the wall, for what GitHub says.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

/// Tells the time; a test tells another one.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> (Instant, Timestamp) + Send + Sync>);

impl Clock {
    /// Makes a clock of a function that tells both times.
    pub fn new(now: impl Fn() -> (Instant, Timestamp) + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> (Instant, Timestamp) {
        (self.0)()
    }
}

impl Default for Clock {
    /// Returns this machine's.
    fn default() -> Self {
        Self::new(|| (Instant::now(), Timestamp::now()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
