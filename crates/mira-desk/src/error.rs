//! What a request is answered when it is not done: a status and words for whoever asked, as a page or as JSON.
//!
//! INVARIANT: the words of a failure within are told on the server's side alone; who asked gets those that are meant for people.

use axum::http::StatusCode;
use mira_host::instances::{GuessError, InstanceError};
use mira_mcp::config::ConfigError;
use mira_mcp::definition::{DefineError, DefinitionsError};
use mira_mcp::import::ImportError;
use mira_secret::SecretName;
use mira_server::ClientError;
use mira_snapshot::SnapshotError;
use mira_store::{SharedError, StoreError};
use mira_vault::{FaultKind, VaultError};

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct DeskError {
    pub(crate) status: StatusCode,
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl DeskError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What was sent cannot be taken.
    pub(crate) fn unfit(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what}"))
    }

    pub(crate) fn failed(message: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message.to_string())
    }
}

impl From<VaultError> for DeskError {
    fn from(error: VaultError) -> Self {
        let status = match error.kind() {
            FaultKind::Missing => StatusCode::NOT_FOUND,
            FaultKind::Locked => StatusCode::LOCKED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let hint = match error.kind() {
            FaultKind::Missing => Some("`mira init` on the machine of this server makes a vault."),
            FaultKind::Locked => {
                Some("`mira unlock` on the machine of this server unlocks it for a while.")
            }
            _ => None,
        };
        Self {
            hint: hint.map(str::to_owned),
            ..Self::new(status, error.to_string())
        }
    }
}

impl From<SharedError> for DeskError {
    fn from(error: SharedError) -> Self {
        let status = match &error {
            SharedError::NoSuchUser | SharedError::NoSuchEvent => StatusCode::NOT_FOUND,
            SharedError::NameTaken { .. }
            | SharedError::LastAdmin
            | SharedError::Stale
            | SharedError::NothingToReplay
            | SharedError::StillQueued => StatusCode::CONFLICT,
            SharedError::ScopeAboveRole => StatusCode::FORBIDDEN,
            SharedError::Unfit { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<StoreError> for DeskError {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ClientError> for DeskError {
    fn from(error: ClientError) -> Self {
        let status = match &error {
            ClientError::Refused(_) => StatusCode::CONFLICT,
            _ => StatusCode::BAD_GATEWAY,
        };
        Self::new(status, error.to_string())
    }
}

impl From<InstanceError> for DeskError {
    fn from(error: InstanceError) -> Self {
        let hint = what_to_do(&error);
        let status = match error {
            InstanceError::Vault(error) => return error.into(),
            InstanceError::Store(error) => return error.into(),
            InstanceError::Snapshot(error) => return error.into(),
            InstanceError::Guess(GuessError::Wait(_)) => StatusCode::TOO_MANY_REQUESTS,
            InstanceError::Guess(_) => StatusCode::FORBIDDEN,
            InstanceError::Missing { .. }
            | InstanceError::NeedsAgreement { .. }
            | InstanceError::Busy { .. }
            | InstanceError::Collision { .. }
            | InstanceError::Held { .. }
            | InstanceError::OtherPackage { .. } => StatusCode::CONFLICT,
            InstanceError::Open(_)
            | InstanceError::Pack(_)
            | InstanceError::Manifest(_)
            | InstanceError::Sealed(_)
            | InstanceError::Signature(_)
            | InstanceError::NoKey(_)
            | InstanceError::Refused(_)
            | InstanceError::OtherApp { .. }
            | InstanceError::NoState { .. }
            | InstanceError::NoCommonVolume { .. }
            | InstanceError::NotDeclared { .. }
            | InstanceError::NotSaved { .. }
            | InstanceError::OfServer { .. }
            | InstanceError::NoPart { .. }
            | InstanceError::HasOwn { .. }
            | InstanceError::IsBound { .. }
            | InstanceError::Source { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            hint,
            ..Self::new(status, error.to_string())
        }
    }
}

/// Says what somebody at the desk does about an instance's trouble.
fn what_to_do(error: &InstanceError) -> Option<String> {
    let list = |names: &[SecretName]| {
        let names: Vec<&str> = names.iter().map(SecretName::as_str).collect();
        names.join(", ")
    };
    Some(match error {
        InstanceError::Missing { names, .. } => {
            format!("Save {} on the instance's page first.", list(names))
        }
        InstanceError::NotDeclared { declared, .. } if declared.is_empty() => {
            "Its app declares none.".to_owned()
        }
        InstanceError::NotDeclared { declared, .. } => {
            format!("Its app declares {}.", list(declared))
        }
        InstanceError::NotSaved { name } => format!("Save {name} among your secrets first."),
        InstanceError::NoPart { secret, .. } => {
            format!("{secret} holds credentials of AWS, without this part.")
        }
        InstanceError::HasOwn { instance, name } => {
            format!("`mira secret rm --instance {instance} {name}` removes that first.")
        }
        InstanceError::IsBound { .. } => "Take the binding back first.".to_owned(),
        InstanceError::NeedsAgreement { .. } => {
            "Tick the agreement, if you trust whoever made it.".to_owned()
        }
        _ => return None,
    })
}

impl From<SnapshotError> for DeskError {
    fn from(error: SnapshotError) -> Self {
        let status = match error {
            SnapshotError::NoSuchSnapshot { .. } | SnapshotError::Missing { .. } => {
                StatusCode::NOT_FOUND
            }
            SnapshotError::SecretsFound(_) | SnapshotError::AmbiguousSnapshot { .. } => {
                StatusCode::CONFLICT
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<DefineError> for DeskError {
    fn from(error: DefineError) -> Self {
        Self::unfit(error.to_string())
    }
}

impl From<DefinitionsError> for DeskError {
    fn from(error: DefinitionsError) -> Self {
        Self::failed(error)
    }
}

impl From<ConfigError> for DeskError {
    fn from(error: ConfigError) -> Self {
        match &error {
            ConfigError::Changed { .. } | ConfigError::ReadOnly { .. } => {
                Self::new(StatusCode::CONFLICT, error.to_string())
            }
            _ => Self::unfit(error.to_string()),
        }
    }
}

impl From<ImportError> for DeskError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Vault(error) => error.into(),
            error => Self::unfit(error.to_string()),
        }
    }
}
