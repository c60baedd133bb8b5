//! How a service fares.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::ProgramError;

/// How a service fares.
#[derive(Clone, Debug)]
pub struct ServiceState {
    /// What it does now.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// Its main process, while there is one.
    pub pid: Option<u32>,
    /// How often it was started again without being asked to.
    pub restarts: u32,
    /// How it ended the last time.
    pub last_end: Option<End>,
    /// Why its log is not written at the moment; the service goes on without.
    pub log_trouble: Option<Arc<str>>,
    /// Why it is not recorded that it holds its secrets.
    pub lease_trouble: Option<Arc<str>>,
}

/// What a service does.
#[derive(Clone, Debug)]
pub enum Phase {
    /// It waits for the services that it depends on.
    Waiting,
    /// It runs, and is not found to be well yet.
    Starting,
    /// It runs, and is well as far as is known.
    Up,
    /// It was asked to end.
    Stopping,
    /// It ended, and is started again at this time.
    Delayed {
        /// When.
        until: Timestamp,
    },
    /// It was stopped.
    Stopped,
    /// It ended by itself, as it should.
    Ended,
    /// It ended, and is not started again.
    Failed {
        /// Why.
        error: Arc<ServiceError>,
    },
}

impl Phase {
    /// Returns the phase's one spelling, for listings.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Stopping => "stopping",
            Self::Delayed { .. } => "delayed",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
            Self::Failed { .. } => "failed",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It exited with this code.
    Exited(i32),
    /// It died by this signal.
    Signaled(i32),
    /// Its keeper was killed, and so was what was left of it.
    Lost,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "it exited with {code}"),
            Self::Signaled(signal) => write!(f, "it died by signal {signal}"),
            Self::Lost => f.write_str("its keeper was killed, and it with it"),
        }
    }
}

/// Why a service does not run. No variant holds a value, or anything that the service said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The program could not be started.
    #[error("{0}")]
    Program(#[source] ProgramError),
    /// Its secret files could not be written.
    #[error("its secret files cannot be written: {0}")]
    Files(#[source] std::io::Error),
    /// The system refused what is needed to start a program.
    #[error("the system refused what is needed to start it: {0}")]
    System(#[source] std::io::Error),
    /// It ended, and is not to be started again.
    #[error("{0}; see its log")]
    Ended(End),
    /// It exited with 3 before it was up.
    #[error("something that it needs is missing (it exited with 3); see its log")]
    Lacking,
    /// Its health check failed.
    #[error("its health check failed; see its log")]
    Unhealthy,
    /// It was started again too often.
    #[error("it was started {starts} times in a row and did not stay up (at last: {last})")]
    GaveUp {
        /// How often.
        starts: u32,
        /// What happened the last time.
        last: Box<ServiceError>,
    },
}
