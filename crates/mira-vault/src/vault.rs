//! The vault: locked as it is found, and unlocked once its key is there and its MAC holds.
//!
//! INVARIANT: a [`Vault`] is made by [`LockedVault::unlock`], [`Vault::create`] and a verified re-read only, so having one proves that the
//! document is what Mira wrote.

mod change;
mod delivered;
mod listing;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mira_secret::{Scope, SecretName, SecretValue};

pub use change::{Draft, NewSecret};
pub use delivered::Delivered;
pub use listing::Listing;

use crate::crypto::{RootKey, WrappingKey};
use crate::document::{Document, Record, beside_value};
use crate::entry::Entry;
use crate::error::VaultError;
use crate::floor::Floor;
use crate::format::{self, DOCUMENT_BYTES_MAX, Unverified, VerifyError};
use crate::home::Home;
use crate::id::VaultId;
use crate::os::kernel_keyring::{self, CacheError};
use crate::private_file::{self, FileError, Staged, WriteLock};
use crate::provider::{self, AskError, KeyOf, NewProvider, Parameters, Passphrase, ProviderKind};
use crate::values::{Backend, KeychainLink, account};

/// How a vault is made.
#[derive(Debug)]
pub struct NewVault {
    /// Where its values rest.
    pub backend: Backend,
    /// What unlocks it.
    pub provider: NewProvider,
    /// The OS keychain, if one is needed.
    pub keychain: KeychainLink,
}

/// How a vault is unlocked.
#[derive(Debug, Default)]
pub struct UnlockOptions {
    /// How long the kernel remembers the key of a passphrase vault; `None` leaves it as it is.
    pub cache_ttl: Option<Duration>,
    /// Take an old document for the newest from now on: the user put it back on purpose.
    pub accept_restored: bool,
    /// The OS keychain, if one is needed.
    pub keychain: KeychainLink,
}

/// A vault as its file claims to be; nothing of it is verified yet.
#[derive(Debug)]
pub struct LockedVault {
    home: Home,
    floor: Result<Option<Floor>, VaultError>,
    unverified: Unverified,
}

impl LockedVault {
    /// Reads the home's document.
    ///
    /// # Errors
    ///
    /// [`VaultError::NoVault`] if there is none; else what is wrong with the home, the file or its format.
    pub fn read(home: &Home) -> Result<Self, VaultError> {
        match home.check() {
            Err(FileError::Missing { .. }) => {
                return Err(VaultError::NoVault {
                    path: home.credentials(),
                });
            }
            other => other?,
        }
        let floor = Floor::read(home);
        let path = home.credentials();
        let bytes = match private_file::read(&path, DOCUMENT_BYTES_MAX) {
            Err(FileError::Missing { .. }) => return Err(VaultError::NoVault { path }),
            other => other?,
        };
        let unverified =
            Unverified::parse(bytes).map_err(|source| VaultError::Format { path, source })?;
        Ok(Self {
            home: home.clone(),
            floor,
            unverified,
        })
    }

    /// Returns the vault's identifier.
    #[must_use]
    pub fn id(&self) -> &VaultId {
        &self.unverified.claimed().vault
    }

    /// Returns what unlocks it.
    #[must_use]
    pub fn provider(&self) -> ProviderKind {
        self.unverified.claimed().provider.kind()
    }

    /// Returns where its values rest.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.unverified.claimed().backend
    }

    /// Returns where its key file is, if it has one.
    #[must_use]
    pub fn keyfile_path(&self) -> Option<PathBuf> {
        self.unverified.claimed().provider.keyfile(&self.home)
    }

    /// Has the kernel forget the key of a passphrase vault; returns whether it knew one.
    ///
    /// # Errors
    ///
    /// Returns [`VaultError::Cache`] if the kernel refused.
    pub fn forget_unlock(&self) -> Result<bool, VaultError> {
        Ok(kernel_keyring::forget(&self.id().to_string())?)
    }

    /// Gets the key and verifies the document. `ask` is called for a passphrase that the kernel does not remember.
    ///
    /// # Errors
    ///
    /// The key cannot be had or is the wrong one ([`FaultKind::Locked`](crate::FaultKind)), or the document is not what Mira
    /// wrote last ([`FaultKind::Integrity`](crate::FaultKind)).
    pub fn unlock(
        self,
        ask: &mut dyn FnMut() -> Result<Passphrase, AskError>,
        options: &UnlockOptions,
    ) -> Result<Vault, VaultError> {
        let (root, cache_error) = root_key(&self.home, self.unverified.claimed(), ask, options)?;
        let keychain = options.keychain.clone();
        let vault = self.verify(root, keychain, options.accept_restored)?;
        Ok(Vault {
            cache_error,
            ..vault
        })
    }

    fn verify(
        self,
        root: RootKey,
        keychain: KeychainLink,
        accept_restored: bool,
    ) -> Result<Vault, VaultError> {
        let path = self.home.credentials();
        let wrong_key = wrong_key(&self.home, self.unverified.claimed());
        let document = self.unverified.verify(&root).map_err(|error| match error {
            VerifyError::WrongKey => wrong_key,
            VerifyError::Tampered => VaultError::Tampered { path: path.clone() },
        })?;
        let vault = Vault::new(self.home, document, root, keychain);
        if accept_restored {
            let lock = WriteLock::take(&vault.home)?;
            Floor::write(&vault.home, vault.id(), vault.generation(), &lock)?;
            return Ok(vault);
        }
        let seen = self.floor?.map_or(0, |floor| floor.of(vault.id()));
        if vault.generation() < seen {
            return Err(VaultError::RolledBack {
                path,
                found: vault.generation(),
                seen,
            });
        }
        Ok(vault)
    }
}

/// Gets the key that a document names, and says why the kernel does not remember it, if it was to. It may be the wrong one.
fn root_key(
    home: &Home,
    document: &Document,
    ask: &mut dyn FnMut() -> Result<Passphrase, AskError>,
    options: &UnlockOptions,
) -> Result<(RootKey, Option<CacheError>), VaultError> {
    let of = KeyOf {
        home,
        vault: &document.vault,
        check: &document.key_check,
    };
    let Parameters::Passphrase(parameters) = &document.provider else {
        let root = provider::fetch(&document.provider, of, &options.keychain)?;
        return Ok((root.expect("only a passphrase is asked for"), None));
    };
    if let Some(root) = remembered(of) {
        return Ok((root, None));
    }
    let root = parameters.derive(&ask()?)?;
    let cache_error = match options.cache_ttl {
        Some(ttl) if root.passes(of.check) => remember(of.vault, &root, ttl).err(),
        _ => None,
    };
    Ok((root, cache_error))
}

/// Says that a key is not a document's.
fn wrong_key(home: &Home, document: &Document) -> VaultError {
    let path = home.credentials();
    let provider = match document.provider.kind() {
        ProviderKind::Passphrase => return VaultError::WrongPassphrase { path },
        ProviderKind::Keyring => "the OS keyring".to_owned(),
        ProviderKind::Keyfile => {
            let keyfile = document.provider.keyfile(home).unwrap_or_default();
            keyfile.display().to_string()
        }
    };
    VaultError::WrongKey { provider, path }
}

/// Returns the key that the kernel remembers, if it is the document's.
fn remembered(of: KeyOf<'_>) -> Option<RootKey> {
    // A kernel that cannot remember is asked again when there is something to remember.
    let key = kernel_keyring::cached(&of.vault.to_string())
        .ok()
        .flatten()?;
    RootKey::from_secret(key).filter(|root| root.passes(of.check))
}

fn remember(vault: &VaultId, root: &RootKey, ttl: Duration) -> Result<(), CacheError> {
    kernel_keyring::cache(&vault.to_string(), root.as_secret(), ttl)
}

/// An unlocked, verified vault.
pub struct Vault {
    home: Home,
    document: Document,
    root: RootKey,
    wrapping: WrappingKey,
    keychain: KeychainLink,
    cache_error: Option<CacheError>,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("id", &format_args!("{}", self.id()))
            .field("generation", &self.generation())
            .finish_non_exhaustive()
    }
}

impl Vault {
    fn new(home: Home, document: Document, root: RootKey, keychain: KeychainLink) -> Self {
        let wrapping = root.derive_wrapping_key(&document.vault);
        Self {
            home,
            document,
            root,
            wrapping,
            keychain,
            cache_error: None,
        }
    }

    /// Makes an empty vault in a home that has none, and the folder if it is not there.
    ///
    /// # Errors
    ///
    /// [`VaultError::Exists`], or why the folder, the key or the file could not be made; there is no vault then.
    pub fn create(home: &Home, new: NewVault) -> Result<Self, VaultError> {
        home.create()?;
        let lock = WriteLock::take(home)?;
        let path = home.credentials();
        if path.symlink_metadata().is_ok() {
            return Err(VaultError::Exists { path });
        }
        let vault = VaultId::make_random()?;
        let provided = provider::provide(new.provider, home, &vault, &new.keychain)?;
        if new.backend == Backend::Keychain {
            new.keychain.connect().map_err(VaultError::Keychain)?;
        }
        let document = Document {
            vault,
            generation: 1,
            backend: new.backend,
            provider: provided.parameters,
            key_check: provided.root.check(),
            scopes: std::collections::BTreeMap::new(),
        };
        let vault = Self::new(home.clone(), document, provided.root, new.keychain);
        vault.stage(&lock)?.commit()?;
        vault.raise_floor(&lock)?;
        Ok(vault)
    }

    /// Returns the vault's identifier.
    #[must_use]
    pub fn id(&self) -> &VaultId {
        &self.document.vault
    }

    /// Returns the document's generation, which each change raises by one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.document.generation
    }

    /// Returns what unlocks the vault.
    #[must_use]
    pub fn provider(&self) -> ProviderKind {
        self.document.provider.kind()
    }

    /// Returns where the values rest.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.document.backend
    }

    /// Returns where the key file is, if the vault has one.
    #[must_use]
    pub fn keyfile_path(&self) -> Option<PathBuf> {
        self.document.provider.keyfile(&self.home)
    }

    /// Returns why the kernel did not remember the key, if that was asked for and failed.
    #[must_use]
    pub fn cache_error(&self) -> Option<&CacheError> {
        self.cache_error.as_ref()
    }

    /// Returns all secrets, sorted by scope and name.
    pub fn secrets(&self) -> impl Iterator<Item = &Entry> {
        self.document.entries()
    }

    /// Returns a secret, if it is saved.
    #[must_use]
    pub fn find(&self, scope: &Scope, name: &SecretName) -> Option<&Entry> {
        self.document.find(scope, name).map(|record| &record.entry)
    }

    /// Opens one value.
    ///
    /// # Errors
    ///
    /// The value was changed or exchanged, or the OS keychain does not give it.
    pub fn value(&self, entry: &Entry) -> Result<SecretValue, VaultError> {
        let (scope, name) = (entry.scope(), entry.name());
        let bytes = match self.document.backend {
            Backend::File => self.open(entry)?,
            Backend::Keychain => {
                let keychain = self.keychain.connect().map_err(VaultError::Keychain)?;
                keychain
                    .load(&account(scope, name))
                    .map_err(VaultError::Keychain)?
                    .ok_or_else(|| VaultError::ItemMissing {
                        scope: scope.clone(),
                        name: name.clone(),
                    })?
            }
        };
        SecretValue::new(name, bytes).map_err(|source| VaultError::Value {
            name: name.clone(),
            source,
        })
    }

    fn open(&self, entry: &Entry) -> Result<mira_secret::SecretBytes, VaultError> {
        let forged = || VaultError::ValueForged {
            scope: entry.scope().clone(),
            name: entry.name().clone(),
        };
        let scope = self.document.scopes.get(entry.scope()).ok_or_else(forged)?;
        let Some(Record {
            entry: saved,
            sealed: Some(sealed),
        }) = scope.secrets.get(entry.name())
        else {
            return Err(forged());
        };
        let key = scope.key.as_ref().ok_or_else(forged)?;
        key.open(&self.wrapping, &self.document.vault, entry.scope())
            .and_then(|key| key.open(sealed, &beside_value(&self.document.vault, saved)))
            .map_err(|_| forged())
    }

    /// Has the kernel remember the key of a passphrase vault.
    ///
    /// # Errors
    ///
    /// Returns [`VaultError::Cache`] if the kernel refused.
    pub fn remember_unlock(&self, ttl: Duration) -> Result<(), VaultError> {
        Ok(remember(self.id(), &self.root, ttl)?)
    }

    /// Writes the document beside the one that is there.
    fn stage(&self, lock: &WriteLock) -> Result<Staged, VaultError> {
        let mac_key = self.root.derive_mac_key(&self.document.vault);
        let bytes = format::encode(&self.document, &mac_key).map_err(VaultError::Full)?;
        Ok(Staged::write(lock, &self.home.credentials(), &bytes)?)
    }

    fn raise_floor(&self, lock: &WriteLock) -> Result<(), VaultError> {
        Floor::write(&self.home, self.id(), self.generation(), lock)
    }

    /// Reads the document as it is now, under the lock, with the key that this vault was unlocked with.
    fn read_again(&self) -> Result<Self, VaultError> {
        let root = self.root.duplicate();
        let locked = LockedVault::read(&self.home)?;
        // Two vaults may share a key file, so the right key does not make it the same vault.
        if locked.id() != self.id() {
            return Err(VaultError::Rekeyed);
        }
        locked
            .verify(root, self.keychain.clone(), false)
            .map_err(|error| match error {
                VaultError::WrongPassphrase { .. } | VaultError::WrongKey { .. } => {
                    VaultError::Rekeyed
                }
                other => other,
            })
    }
}

/// Returns whether two paths lead to one file, however they are spelled.
fn same_path(a: Option<&Path>, b: Option<&Path>) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    a.is_some() && a.map(real) == b.map(real)
}

#[cfg(test)]
mod tests;
