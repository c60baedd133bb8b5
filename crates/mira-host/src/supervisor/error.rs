//! Why an instance was not started or stopped.

use std::sync::Arc;

use crate::network::NetworkError;
use crate::service::{FolderError, ProgramError, ServiceError, SpecError};

/// Why an instance does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its parts do not fit together.
    #[error("the instance cannot be started: {0}")]
    Spec(#[from] SpecError),
    /// It was started before.
    #[error("instance {id:?} runs already; stop it first")]
    AlreadyThere {
        /// Its id.
        id: String,
    },
    /// A folder of it cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its network is not there.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A program that it needs is missing.
    #[error("service {service:?} cannot be started: {error}")]
    Program {
        /// The service.
        service: String,
        /// What is missing.
        error: ProgramError,
    },
    /// Somebody else listens on a port that it needs.
    #[error(
        "service {service:?} needs port {port} of 127.0.0.1, on which another program listens; end that one or choose another port"
    )]
    PortTaken {
        /// The service.
        service: String,
        /// The port.
        port: u16,
    },
    /// A service failed for good; the others were stopped.
    #[error("service {service:?} does not run: {error}")]
    Service {
        /// The service.
        service: String,
        /// Why.
        error: Arc<ServiceError>,
    },
    /// It was stopped before it was up.
    #[error("the instance was stopped before it was up")]
    Stopped,
    /// There is no such instance.
    #[error("no instance {id:?} runs")]
    NotThere {
        /// The id.
        id: String,
    },
    /// The instance has no such service.
    #[error("the instance has no service {service:?}")]
    NoService {
        /// The name.
        service: String,
    },
    /// A process of it did not die.
    #[error(
        "process {pid} of service {service:?} was killed and does not end; the system holds it"
    )]
    Stuck {
        /// The service.
        service: String,
        /// Its main process.
        pid: u32,
    },
}

/// Why the rules of an instance's network were not replaced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// There is no such instance.
    #[error(transparent)]
    NotThere(#[from] StopError),
    /// It cannot be done.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// Why an instance was not stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// There is no such instance.
    #[error("no instance {id:?} runs")]
    NotThere {
        /// The id.
        id: String,
    },
    /// A process of it did not die.
    #[error(
        "process {pid} of service {service:?} was killed and does not end; the system holds it"
    )]
    Stuck {
        /// The service.
        service: String,
        /// Its main process.
        pid: u32,
    },
}

/// Why an instance tells nothing of how it fares.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// There is no such instance.
    #[error("no instance {id:?} runs")]
    NotThere {
        /// The id.
        id: String,
    },
    /// Its manifest names no report.
    #[error("the app tells nothing of how it fares: its manifest names no `report`")]
    Untold,
    /// The service did not answer as it should.
    #[error("service {service:?} did not tell how the instance fares: {what}")]
    NoAnswer {
        /// The service.
        service: String,
        /// What went wrong.
        what: String,
    },
}

impl From<StopError> for ReportError {
    fn from(error: StopError) -> Self {
        match error {
            StopError::NotThere { id } => Self::NotThere { id },
            StopError::Stuck { service, .. } => Self::NoAnswer {
                service,
                what: "it is being stopped".to_owned(),
            },
        }
    }
}

impl From<StopError> for StartError {
    fn from(error: StopError) -> Self {
        match error {
            StopError::NotThere { id } => Self::NotThere { id },
            StopError::Stuck { service, pid } => Self::Stuck { service, pid },
        }
    }
}
