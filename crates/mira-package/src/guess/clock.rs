//! The clock of the guess limiter: two clocks, of which one cannot be set.

use std::time::Duration;

use jiff::Timestamp;

/// A moment by both clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The wall clock, which whoever owns the machine can set.
    pub wall: Timestamp,
    /// How long the machine has been up, sleep included; nobody can set it.
    pub since_boot: Duration,
    /// Which boot `since_boot` counts from; empty if the system does not tell, and then the wall clock decides.
    pub boot_id: String,
}

/// Says that the system does not tell which boot this is.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the boot's identifier from {BOOT_ID}: {0}")]
pub struct ClockError(std::io::Error);

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl Clock {
    /// Reads both clocks.
    ///
    /// # Errors
    ///
    /// The system should tell which boot this is, and does not.
    #[cfg(target_os = "linux")]
    pub fn now() -> Result<Self, ClockError> {
        let boot_id = std::fs::read_to_string(BOOT_ID).map_err(ClockError)?;
        let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Ok(Self {
            wall: Timestamp::now(),
            // It begins at zero and never goes back.
            since_boot: Duration::try_from(up).unwrap_or_default(),
            boot_id: boot_id.trim().to_owned(),
        })
    }

    /// Reads the wall clock, the only one that can be read here.
    ///
    /// # Errors
    ///
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn now() -> Result<Self, ClockError> {
        Ok(Self {
            wall: Timestamp::now(),
            since_boot: Duration::ZERO,
            boot_id: String::new(),
        })
    }

    pub(super) fn is_same_boot(&self, other: &Self) -> bool {
        !self.boot_id.is_empty() && self.boot_id == other.boot_id
    }
}
