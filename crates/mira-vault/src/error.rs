//! What can go wrong with a vault, and who has to act.

use std::path::PathBuf;

use mira_secret::{Scope, SecretName, ValueError};

use crate::aws::AwsCredentialsError;
use crate::crypto::NoRandomness;
use crate::entry::LabelError;
use crate::format::FormatError;
use crate::os::kernel_keyring::CacheError;
use crate::os::keychain::KeychainError;
use crate::private_file::FileError;
use crate::provider::AskError;

/// Which kind of failure it is: a surface chooses its exit code by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The vault, or a secret that was named, is not there.
    Missing,
    /// The vault's key cannot be reached, or is the wrong one.
    Locked,
    /// What was found is not what Mira wrote, or is not to be trusted.
    Integrity,
    /// The caller asked for something that cannot be.
    Usage,
    /// The system refused.
    Io,
}

/// Why a vault was not opened, read or changed. No variant holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// There is no vault in the home.
    #[error("there is no vault at {}", path.display())]
    NoVault {
        /// Where it would be.
        path: PathBuf,
    },
    /// There is one already.
    #[error("there is a vault already at {}", path.display())]
    Exists {
        /// Where it is.
        path: PathBuf,
    },
    /// A file or folder is not as it must be.
    #[error(transparent)]
    File(#[from] FileError),
    /// The document is not one.
    #[error(
        "{} is damaged or was changed: {source}; put a backup of it back, or import a recovery file into a new vault",
        path.display()
    )]
    Format {
        /// The document.
        path: PathBuf,
        /// How it differs from the format.
        source: FormatError,
    },
    /// The key is right and the MAC is wrong.
    #[error(
        "{} was changed by something other than Mira: its MAC does not hold; put a backup of it back, or import a \
         recovery file into a new vault",
        path.display()
    )]
    Tampered {
        /// The document.
        path: PathBuf,
    },
    /// An older document than was seen before.
    #[error(
        "{} is an old copy: it has generation {found}, and generation {seen} was there before; if you put it back on \
         purpose: mira doctor --accept-restored",
        path.display()
    )]
    RolledBack {
        /// The document.
        path: PathBuf,
        /// Its generation.
        found: u64,
        /// The highest that was seen.
        seen: u64,
    },
    /// The record of the highest generation is damaged.
    #[error(
        "{} is damaged, so an old vault put back would not be noticed; if the vault is the newest one: mira doctor \
         --accept-restored",
        path.display()
    )]
    Floor {
        /// The record.
        path: PathBuf,
    },
    /// The passphrase does not open the document.
    #[error("that is not the passphrase of {}", path.display())]
    WrongPassphrase {
        /// The document.
        path: PathBuf,
    },
    /// The passphrase could not be asked for.
    #[error("the vault is locked: {0}")]
    Ask(#[from] AskError),
    /// The key that the provider gave is another vault's, or the document's key check was changed.
    #[error(
        "the key from {provider} does not open {}: it is another vault's key, or the file's beginning was changed",
        path.display()
    )]
    WrongKey {
        /// Where the key came from.
        provider: String,
        /// The document.
        path: PathBuf,
    },
    /// The OS keyring has no key for the vault.
    #[error(
        "the OS keyring has no key for this vault (account `{account}`): it was made in another keyring, or its item \
         was deleted; a recovery file can be imported into a new vault"
    )]
    KeyringItemMissing {
        /// The item's account.
        account: String,
    },
    /// The OS keyring did not give or take the key.
    #[error("the vault's key is in the OS keyring, or shall be: {0}")]
    Keyring(#[source] KeychainError),
    /// The key file is not there or not as it must be.
    #[error("the vault's key file cannot be used: {0}")]
    Keyfile(#[source] FileError),
    /// The key file is no key file.
    #[error("{} is no key file of Mira's (a line `mira-keyfile-1:` and 44 characters)", path.display())]
    KeyfileFormat {
        /// The file.
        path: PathBuf,
    },
    /// Another process changed the key meanwhile, or put another vault there.
    #[error("the vault got another key or was replaced meanwhile; run the command again")]
    Rekeyed,
    /// A change of keys that would change nothing.
    #[error(
        "the key in that key file is the one that the vault has already; name a file that is not there, to have a new key made"
    )]
    SameKey,
    /// The vault has its new key, and the old one is still where it was.
    #[error("the vault has its new key, but the old one could not be removed: {0}")]
    OldKeyLeft(#[source] Box<Self>),
    /// The OS keychain did not give or take a value.
    #[error("the values rest in the OS keychain: {0}")]
    Keychain(#[source] KeychainError),
    /// The OS keychain has no item for a secret that is listed.
    #[error(
        "the OS keychain has no item for {name} of scope {scope}: it was deleted there; save or remove {name}"
    )]
    ItemMissing {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
    },
    /// A value was sealed for another place, or changed.
    #[error(
        "the value of {name} of scope {scope} was changed by something other than Mira; save it anew"
    )]
    ValueForged {
        /// The scope.
        scope: Scope,
        /// The name.
        name: SecretName,
    },
    /// The OS keychain holds a value that Mira would not have taken.
    #[error("the value of {name} cannot be used: {source}")]
    Value {
        /// The name.
        name: SecretName,
        /// Which rule it breaks.
        source: ValueError,
    },
    /// A secret of that kind has another value.
    #[error(
        "the value of {name} is not one of AWS credentials: {source}; `mira aws set` saves them"
    )]
    Aws {
        /// The name.
        name: SecretName,
        /// How it differs.
        source: AwsCredentialsError,
    },
    /// A label is not one.
    #[error(transparent)]
    Label(#[from] LabelError),
    /// Too many secrets, versions or generations.
    #[error("the vault cannot hold more: {0}")]
    Full(FormatError),
    /// A counter is at its end.
    #[error("the vault or this secret was changed as often as the format can count")]
    Counter,
    /// The machine has not the memory for the key derivation.
    #[error("there is not enough memory to derive the key from the passphrase")]
    NoMemory,
    /// The kernel did not remember or forget the key.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// There is no randomness.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl VaultError {
    /// Returns which kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::NoVault { .. } => FaultKind::Missing,
            Self::WrongPassphrase { .. }
            | Self::Ask(_)
            | Self::WrongKey { .. }
            | Self::KeyringItemMissing { .. }
            | Self::Keyring(_)
            | Self::Keyfile(_)
            | Self::KeyfileFormat { .. }
            | Self::Keychain(_)
            | Self::Rekeyed => FaultKind::Locked,
            Self::File(error) if error.is_distrust() => FaultKind::Integrity,
            Self::Format { .. }
            | Self::Tampered { .. }
            | Self::RolledBack { .. }
            | Self::Floor { .. }
            | Self::ItemMissing { .. }
            | Self::ValueForged { .. }
            | Self::Value { .. } => FaultKind::Integrity,
            Self::Exists { .. }
            | Self::SameKey
            | Self::Aws { .. }
            | Self::Label(_)
            | Self::Full(_)
            | Self::Counter => FaultKind::Usage,
            Self::OldKeyLeft(_)
            | Self::File(_)
            | Self::NoMemory
            | Self::Cache(_)
            | Self::NoRandomness(_) => FaultKind::Io,
        }
    }
}
