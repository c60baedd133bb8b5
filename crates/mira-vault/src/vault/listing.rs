//! What a vault lists, kept by whoever lists it often: entries without values, without the document being read each time.
//!
//! INVARIANT: it was made from a verified vault; it holds no key and no value, sealed or not; and it counts only while the document
//! is the same file, and its key can be had.

use std::collections::BTreeMap;

use mira_secret::{Scope, SecretName};

use super::{LockedVault, UnlockOptions, root_key, wrong_key};
use crate::document::Document;
use crate::entry::Entry;
use crate::error::VaultError;
use crate::home::Home;
use crate::provider::{AskError, Passphrase};

/// The entries of a vault, as they were verified.
#[derive(Debug)]
pub struct Listing {
    home: Home,
    stamp: Option<Stamp>,
    /// Without its scopes.
    head: Document,
    entries: Vec<Entry>,
}

impl Listing {
    /// Reads and verifies the home's document. `ask` is called for a passphrase that the kernel does not remember.
    ///
    /// # Errors
    ///
    /// As [`LockedVault::read`] and [`LockedVault::unlock`].
    pub fn read(
        home: &Home,
        ask: &mut dyn FnMut() -> Result<Passphrase, AskError>,
        options: &UnlockOptions,
    ) -> Result<Self, VaultError> {
        // Taken before: a document that is replaced meanwhile is read once more the next time.
        let stamp = Stamp::of(home);
        let vault = LockedVault::read(home)?.unlock(ask, options)?;
        let entries = vault.secrets().cloned().collect();
        Ok(Self {
            home: home.clone(),
            stamp,
            head: Document {
                scopes: BTreeMap::new(),
                ..vault.document
            },
            entries,
        })
    }

    /// Returns whether a reading would list the same: the document is the file that it was, and the vault's key can still be had.
    ///
    /// # Errors
    ///
    /// The key cannot be had, or is another one.
    pub fn is_current(
        &self,
        ask: &mut dyn FnMut() -> Result<Passphrase, AskError>,
        options: &UnlockOptions,
    ) -> Result<bool, VaultError> {
        self.home.check()?;
        if self.stamp.is_none() || self.stamp != Stamp::of(&self.home) {
            return Ok(false);
        }
        let (root, _) = root_key(&self.home, &self.head, ask, options)?;
        match root.passes(&self.head.key_check) {
            true => Ok(true),
            false => Err(wrong_key(&self.home, &self.head)),
        }
    }

    /// Returns the document's generation, which each change raises by one.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.head.generation
    }

    /// Returns all secrets, sorted by scope and name.
    pub fn secrets(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Returns a secret, if it is saved.
    #[must_use]
    pub fn find(&self, scope: &Scope, name: &SecretName) -> Option<&Entry> {
        let order = |entry: &Entry| (entry.scope(), entry.name()).cmp(&(scope, name));
        let at = self.entries.binary_search_by(order).ok()?;
        self.entries.get(at)
    }
}

/// What tells one state of a file from another. A document is replaced and never written in place, so it is another file each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    #[cfg(unix)]
    fn of(home: &Home) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let found = home.credentials().symlink_metadata().ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    /// Where files have no such marks, the document is read each time.
    #[cfg(not(unix))]
    fn of(_: &Home) -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use mira_secret::{SecretBytes, SecretValue};

    use super::*;
    use crate::{
        Backend, FaultKind, KeychainLink, NewProvider, NewSecret, NewVault, ProviderKind, Vault,
    };

    fn save(vault: &mut Vault, name: &str) {
        let name: SecretName = name.parse().unwrap();
        let value = SecretBytes::copy_from(b"a-value-of-some-length");
        let new = NewSecret {
            value: SecretValue::new(&name, value).unwrap(),
            label: None,
            kind: None,
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let saved = vault.update(|draft| draft.set(&Scope::User, &name, new).map(drop));
        saved.unwrap();
    }

    #[test]
    fn a_listing_counts_while_the_file_is_the_same_and_its_key_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("mira"));
        let new = NewVault {
            backend: Backend::File,
            provider: NewProvider::Keyfile { path: None },
            keychain: KeychainLink::default(),
        };
        let mut vault = Vault::create(&home, new).unwrap();
        assert_eq!(vault.provider(), ProviderKind::Keyfile);
        for name in ["B_KEY", "A_KEY", "C_KEY"] {
            save(&mut vault, name);
        }
        let read = || Listing::read(&home, &mut nobody, &UnlockOptions::default());
        let is_current =
            |listing: &Listing| listing.is_current(&mut nobody, &UnlockOptions::default());
        let listing = read().unwrap();
        assert!(is_current(&listing).unwrap());
        let names: Vec<_> = listing
            .secrets()
            .map(|entry| entry.name().as_str())
            .collect();
        assert_eq!(names, ["A_KEY", "B_KEY", "C_KEY"]);
        let name = "C_KEY".parse().unwrap();
        assert!(listing.find(&Scope::User, &name).is_some());
        assert!(listing.find(&Scope::Mcp("a".into()), &name).is_none());
        save(&mut vault, "D_KEY");
        assert!(!is_current(&listing).unwrap());
        let listing = read().unwrap();
        assert_eq!(listing.generation(), vault.generation());
        // A file with the same bytes that somebody else put there is another one.
        let path = home.credentials();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        assert!(!is_current(&listing).unwrap());
        let listing = read().unwrap();
        let keyfile = LockedVault::read(&home).unwrap().keyfile_path().unwrap();
        std::fs::rename(&keyfile, folder.path().join("elsewhere")).unwrap();
        let error = is_current(&listing).unwrap_err();
        assert_eq!(error.kind(), FaultKind::Locked, "{error}");
    }

    fn nobody() -> Result<Passphrase, AskError> {
        Err(AskError::new("nobody is asked"))
    }
}
