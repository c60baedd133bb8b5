//! Key providers: where the root key lives, and how it is got from there.
//!
//! INVARIANT: a provider that fails is an error. No other one is tried in its place.

mod keyfile;
mod keyring;
mod passphrase;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub(crate) use passphrase::PassphraseParameters;
pub use passphrase::{AskError, Passphrase};

use crate::crypto::{DIGEST_BYTES, RootKey};
use crate::error::VaultError;
use crate::home::Home;
use crate::id::VaultId;
use crate::private_file::{self, WriteLock};
use crate::values::KeychainLink;

/// What unlocks a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// The OS keyring.
    Keyring,
    /// A passphrase, through Argon2id.
    Passphrase,
    /// A file that holds the key.
    Keyfile,
}

/// Says that a text names no provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key provider is one of `keyring`, `passphrase` and `keyfile`")]
pub struct ProviderKindError;

impl ProviderKind {
    /// Returns the provider's one spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keyring => "keyring",
            Self::Passphrase => "passphrase",
            Self::Keyfile => "keyfile",
        }
    }
}

impl FromStr for ProviderKind {
    type Err = ProviderKindError;

    fn from_str(text: &str) -> Result<Self, ProviderKindError> {
        [Self::Keyring, Self::Passphrase, Self::Keyfile]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(ProviderKindError)
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a vault shall be unlocked by.
#[derive(Debug)]
pub enum NewProvider {
    /// The OS keyring.
    Keyring,
    /// This passphrase.
    Passphrase(Passphrase),
    /// A key file: adopted if it is there, made if not.
    Keyfile {
        /// Where; `root.key` in the home by default.
        path: Option<PathBuf>,
    },
}

/// What the document says of its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parameters {
    Keyring,
    Passphrase(PassphraseParameters),
    Keyfile { path: Option<PathBuf> },
}

impl Parameters {
    pub(crate) fn kind(&self) -> ProviderKind {
        match self {
            Self::Keyring => ProviderKind::Keyring,
            Self::Passphrase(_) => ProviderKind::Passphrase,
            Self::Keyfile { .. } => ProviderKind::Keyfile,
        }
    }

    /// Returns where the key file is.
    pub(crate) fn keyfile(&self, home: &Home) -> Option<PathBuf> {
        match self {
            Self::Keyfile { path } => Some(path.clone().unwrap_or_else(|| home.default_keyfile())),
            _ => None,
        }
    }
}

/// Which vault's key is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyOf<'a> {
    pub(crate) home: &'a Home,
    pub(crate) vault: &'a VaultId,
    pub(crate) check: &'a [u8; DIGEST_BYTES],
}

/// Gets the root key from a keyring or key file; a passphrase is asked for by the caller.
pub(crate) fn fetch(
    parameters: &Parameters,
    of: KeyOf<'_>,
    link: &KeychainLink,
) -> Result<Option<RootKey>, VaultError> {
    match parameters {
        Parameters::Keyring => keyring::fetch(of, link).map(Some),
        Parameters::Keyfile { .. } => {
            let path = parameters.keyfile(of.home).unwrap_or_default();
            keyfile::fetch(&path, of.check).map(Some)
        }
        Parameters::Passphrase(_) => Ok(None),
    }
}

/// A root key, and what the document is to say of its provider.
#[derive(Debug)]
pub(crate) struct Provided {
    pub(crate) root: RootKey,
    pub(crate) parameters: Parameters,
}

/// Makes a root key and stores it durably where the new provider keeps it. What stands there for the document as it
/// is now stays beside it, until [`settle`] says that the new document is durable.
pub(crate) fn provide(
    new: NewProvider,
    home: &Home,
    vault: &VaultId,
    link: &KeychainLink,
) -> Result<Provided, VaultError> {
    match new {
        NewProvider::Keyring => {
            let root = RootKey::make_random()?;
            keyring::store(
                KeyOf {
                    home,
                    vault,
                    check: &root.check(),
                },
                &root,
                link,
            )?;
            Ok(Provided {
                root,
                parameters: Parameters::Keyring,
            })
        }
        NewProvider::Passphrase(passphrase) => {
            let parameters = PassphraseParameters::make_random()?;
            let root = parameters.derive(&passphrase)?;
            Ok(Provided {
                root,
                parameters: Parameters::Passphrase(parameters),
            })
        }
        NewProvider::Keyfile { path } => {
            let path = path
                .map(std::path::absolute)
                .transpose()
                .map_err(|source| {
                    VaultError::Keyfile(private_file::FileError::Io {
                        action: "find",
                        path: PathBuf::new(),
                        source,
                    })
                })?;
            let file = path.clone().unwrap_or_else(|| home.default_keyfile());
            let root = keyfile::provide(&file)?;
            Ok(Provided {
                root,
                parameters: Parameters::Keyfile { path },
            })
        }
    }
}

/// Makes a new root key in the key file that the document uses now, beside the old one.
pub(crate) fn provide_in_same_keyfile(
    path: &Path,
    parameters: &Parameters,
    check: &[u8; DIGEST_BYTES],
    lock: &WriteLock,
) -> Result<Provided, VaultError> {
    let root = keyfile::add(path, check, lock)?;
    Ok(Provided {
        root,
        parameters: parameters.clone(),
    })
}

/// Removes what a key that is no longer used has left: its keyring item, its line in the key file, its cache.
///
/// A key file that the user named is left where it is: it may be another vault's too. The home's own one is removed, or the
/// next change to a key file would take the old key for a new one.
pub(crate) fn settle(
    old: &Parameters,
    old_of: KeyOf<'_>,
    new: &Provided,
    link: &KeychainLink,
    lock: &WriteLock,
) -> Result<(), VaultError> {
    match old {
        Parameters::Keyring => keyring::remove(old_of, link),
        Parameters::Passphrase(_) => {
            // Where the kernel has no such keyring, nothing was remembered.
            drop(crate::os::kernel_keyring::forget(&old_of.vault.to_string()));
            Ok(())
        }
        Parameters::Keyfile { .. } => {
            let path = old.keyfile(old_of.home);
            match path {
                Some(path) if new.parameters.keyfile(old_of.home).as_ref() == Some(&path) => {
                    keyfile::write(&path, &[&new.root], lock)
                }
                Some(path) if path == old_of.home.default_keyfile() => private_file::remove(&path)
                    .map(drop)
                    .map_err(VaultError::Keyfile),
                _ => Ok(()),
            }
        }
    }
}
