//! What can go wrong with instances. Every message names the instance or the file, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use mira_package::archive::{OpenError, PackError};
use mira_package::guess::{ClockError, StateError};
use mira_package::manifest::{HostError, ManifestError};
use mira_package::sealed::SealedError;
use mira_package::signature::SignatureError;
use mira_package::trust::Trust;
use mira_package::unpacked::UnpackError;
use mira_secret::SecretName;
use mira_snapshot::SnapshotError;
use mira_store::{OpenError as StoreOpenError, StoreError};
use mira_vault::VaultError;
use mira_vault::private_file::FileError;

use super::candidate::NoKey;
use super::guesses::GuessError;
use crate::service::FolderError;

/// Why something was not done with an instance. No variant holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstanceError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] FileError),
    /// The database cannot be opened.
    #[error(transparent)]
    StoreOpen(#[from] StoreOpenError),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A folder that is to be in memory only is not.
    #[error(transparent)]
    Memory(#[from] FolderError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    NoRandomness(String),
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The package is refused.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The folder cannot be made a package.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// The unpacked copy cannot be made or used.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The sealed secrets do not open.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// The signature cannot be checked.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A password was wrong, or is not tried now.
    #[error(transparent)]
    Guess(#[from] GuessError),
    /// No password or identity was given.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// The system's clock cannot be read.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// What is remembered of wrong guesses cannot be read.
    #[error("{0}; without it no password is tried")]
    GuessState(#[from] StateError),
    /// A snapshot was not taken or restored.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The package's trust does not allow it.
    #[error("the package is refused: it is {}", .0.as_str())]
    Refused(Trust),
    /// Another publisher's package would get the instance's secrets.
    #[error(
        "the package is {}, and {instance} was opened from another publisher's before: it gets no secrets unless you agree", trust.as_str()
    )]
    NeedsAgreement {
        /// The instance's name.
        instance: String,
        /// What is known of the package's publisher.
        trust: Trust,
    },
    /// The package is that of another app.
    #[error("{instance} is an instance of {app}, and the package is {found}; choose another name")]
    OtherApp {
        /// The instance's name.
        instance: String,
        /// Its app.
        app: String,
        /// The package's app.
        found: String,
    },
    /// A secret comes from two places.
    #[error(
        "{name} of {instance} is there twice: as its own, bound, or sealed in the package; remove one: `mira secret rm --instance {instance} {name}`"
    )]
    Collision {
        /// The instance's name.
        instance: String,
        /// The secret.
        name: SecretName,
    },
    /// Another command brings the instance up, asks for its secrets, or deletes it.
    #[error("another command is at work on {instance}; try again when it is done")]
    Busy {
        /// The instance's name.
        instance: String,
    },
    /// Required secrets are missing.
    #[error("{instance} needs secrets that it does not have")]
    Missing {
        /// The instance's name.
        instance: String,
        /// Their names.
        names: Vec<SecretName>,
    },
    /// Its app does not declare such a secret.
    #[error("{instance} declares no secret {name}")]
    NotDeclared {
        /// The instance's name.
        instance: String,
        /// What was named.
        name: SecretName,
        /// What it declares.
        declared: Vec<SecretName>,
    },
    /// What it was to be bound to is not saved.
    #[error("{name} is not saved in scope user")]
    NotSaved {
        /// The user's secret.
        name: SecretName,
    },
    /// What it was to be bound to is for Mira's server alone.
    #[error("{secret} is for Mira's server alone, and no app gets it")]
    OfServer {
        /// The user's secret.
        secret: SecretName,
    },
    /// AWS credentials do not have the part that was asked of them.
    #[error("{secret} has no {name}")]
    NoPart {
        /// The user's secret.
        secret: SecretName,
        /// The declared name.
        name: SecretName,
    },
    /// A service would get a brokered value after all.
    #[error(
        "service {service:?} of {instance} would get what it is to have a placeholder for: {place} holds the value of {name}"
    )]
    Held {
        /// The instance's name.
        instance: String,
        /// The service.
        service: String,
        /// What holds it.
        place: String,
        /// The secret.
        name: String,
    },
    /// It has a value of its own already.
    #[error("{instance} has a {name} of its own")]
    HasOwn {
        /// The instance's name.
        instance: String,
        /// The declared name.
        name: SecretName,
    },
    /// It is bound to one of the user's secrets already.
    #[error("{name} of {instance} is bound to one of your secrets")]
    IsBound {
        /// The instance's name.
        instance: String,
        /// The declared name.
        name: SecretName,
    },
    /// A decision about hosts cannot be read, and what it forbids is not known.
    #[error("what was decided of {instance} about {} is about no host: {source}; `mira net forget` takes it back", host.escape_debug())]
    Decision {
        /// The instance's name.
        instance: String,
        /// What it is about.
        host: String,
        /// What is wrong with that.
        source: HostError,
    },
    /// There are snapshots, and what opens them is gone.
    #[error(
        "the password of the snapshots of {instance} is not in the vault any more: put it back, or move {} away to begin anew", folder.display()
    )]
    NoSnapshotPassword {
        /// The instance's name.
        instance: String,
        /// The repository.
        folder: PathBuf,
    },
    /// The unpacked copy of the package is gone.
    #[error("the package of {instance} has to be opened again: mira open {source_path}")]
    NoCopy {
        /// The instance's name.
        instance: String,
        /// Where the package came from.
        source_path: String,
    },
    /// Another package is where an instance's was.
    #[error("{} is not the package that {instance} was opened from any more; open it anew, which takes it as an update", source_path.display())]
    OtherPackage {
        /// The instance's name.
        instance: String,
        /// Where the package came from.
        source_path: PathBuf,
    },
    /// An app declares no volume.
    #[error("{instance} keeps no state: its app declares no volume")]
    NoState {
        /// The instance's name.
        instance: String,
    },
    /// A snapshot holds nothing of what an app has.
    #[error(
        "snapshot {snapshot} holds no volume that the app of {instance} has now; it holds {held}"
    )]
    NoCommonVolume {
        /// The instance's name.
        instance: String,
        /// The snapshot.
        snapshot: String,
        /// What it holds.
        held: String,
    },
    /// A folder of Mira's cannot be used.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The package cannot be read.
    #[error("{} cannot be opened: {source}", path.display())]
    Source {
        /// What was to be opened.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstanceError {
    pub(super) fn folder(path: &Path, source: io::Error) -> Self {
        Self::Folder {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn source(path: &Path, source: io::Error) -> Self {
        Self::Source {
            path: path.to_owned(),
            source,
        }
    }
}
