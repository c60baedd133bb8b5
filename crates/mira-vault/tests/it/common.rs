//! A vault in a temporary home, and a keychain in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use mira_secret::{Scope, SecretBytes, SecretName, SecretValue};
use mira_vault::home::Home;
use mira_vault::os::keychain::{Keychain, KeychainError};
use mira_vault::{
    AskError, Backend, KeychainLink, LockedVault, NewProvider, NewSecret, NewVault, Passphrase,
    UnlockOptions, Vault, VaultError, private_file,
};
use tempfile::TempDir;

/// A keychain that lives as long as the test and can refuse.
#[derive(Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, Vec<u8>>>, Mutex<bool>);

impl Memory {
    /// Returns the accounts that have an item.
    pub(crate) fn accounts(&self) -> Vec<String> {
        self.0.lock().expect("no panic").keys().cloned().collect()
    }

    /// Puts an item there, as another program would.
    pub(crate) fn put(&self, account: &str, bytes: &[u8]) {
        let mut items = self.0.lock().expect("no panic");
        items.insert(account.to_owned(), bytes.to_vec());
    }

    /// Takes an item away, as another program would; returns whether it was there.
    pub(crate) fn take(&self, account: &str) -> bool {
        self.0.lock().expect("no panic").remove(account).is_some()
    }

    /// Refuses everything from now on, or no longer.
    pub(crate) fn refuse(&self, refuses: bool) {
        *self.1.lock().expect("no panic") = refuses;
    }

    fn check(&self) -> Result<(), KeychainError> {
        match *self.1.lock().expect("no panic") {
            true => Err(KeychainError::Locked),
            false => Ok(()),
        }
    }
}

impl Keychain for Memory {
    fn store(
        &self,
        account: &str,
        _label: &str,
        secret: &SecretBytes,
    ) -> Result<(), KeychainError> {
        self.check()?;
        self.put(account, secret.expose());
        Ok(())
    }

    fn load(&self, account: &str) -> Result<Option<SecretBytes>, KeychainError> {
        self.check()?;
        let items = self.0.lock().expect("no panic");
        Ok(items
            .get(account)
            .map(|bytes| SecretBytes::copy_from(bytes)))
    }

    fn delete(&self, account: &str) -> Result<bool, KeychainError> {
        self.check()?;
        Ok(self.take(account))
    }
}

/// A home that is removed at the end, and the keychain of its user.
pub(crate) struct Place {
    pub(crate) home: Home,
    pub(crate) keychain: Arc<Memory>,
    pub(crate) folder: TempDir,
}

impl Place {
    /// Makes the folder; no vault is in it.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Home::new(folder.path().join("mira"));
        home.create().expect("a folder in the temporary one");
        Self {
            home,
            keychain: Arc::default(),
            folder,
        }
    }

    /// Makes a vault under the default key file, with its values in the document.
    pub(crate) fn with_vault() -> (Self, Vault) {
        let place = Self::new();
        let vault = place.create(Backend::File, keyfile());
        (place, vault)
    }

    /// Makes a vault.
    #[track_caller]
    pub(crate) fn create(&self, backend: Backend, provider: NewProvider) -> Vault {
        let keychain = self.link();
        let new = NewVault {
            backend,
            provider,
            keychain,
        };
        Vault::create(&self.home, new).expect("a vault")
    }

    pub(crate) fn link(&self) -> KeychainLink {
        KeychainLink::given(Arc::clone(&self.keychain) as Arc<dyn Keychain>)
    }

    /// Unlocks with the key file or the keyring; a passphrase is not given.
    pub(crate) fn unlock(&self) -> Result<Vault, VaultError> {
        self.unlock_with(&self.options(), None)
    }

    /// Unlocks with a passphrase.
    pub(crate) fn unlock_by(&self, passphrase: &str) -> Result<Vault, VaultError> {
        self.unlock_with(&self.options(), Some(passphrase))
    }

    pub(crate) fn unlock_with(
        &self,
        options: &UnlockOptions,
        typed: Option<&str>,
    ) -> Result<Vault, VaultError> {
        let mut ask = || {
            typed
                .map(passphrase)
                .ok_or_else(|| AskError::new("nobody is there"))
        };
        LockedVault::read(&self.home)?.unlock(&mut ask, options)
    }

    pub(crate) fn options(&self) -> UnlockOptions {
        UnlockOptions {
            keychain: self.link(),
            ..UnlockOptions::default()
        }
    }

    /// Returns the document's bytes.
    pub(crate) fn document(&self) -> Vec<u8> {
        fs::read(self.home.credentials()).expect("the document")
    }

    /// Returns the document as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.document()).expect("JSON is UTF-8")
    }

    /// Writes a document in place of the one that is there, as an attacker or a restored backup would.
    pub(crate) fn put_document(&self, bytes: &[u8]) {
        put(&self.home.credentials(), bytes);
    }

    /// Returns the names of the home's files, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        let listed = fs::read_dir(self.home.path()).expect("the home");
        let mut names: Vec<_> = listed
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Writes a private file, over the one that may be there.
pub(crate) fn put(path: &std::path::Path, bytes: &[u8]) {
    // In place where it can be: a test that writes thousands of times needs no fsync.
    match path.exists() {
        true => fs::write(path, bytes).expect("our file"),
        false => private_file::create(path, bytes).expect("a private file"),
    }
}

pub(crate) fn keyfile() -> NewProvider {
    NewProvider::Keyfile { path: None }
}

pub(crate) fn keyfile_at(path: PathBuf) -> NewProvider {
    NewProvider::Keyfile { path: Some(path) }
}

pub(crate) fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(SecretBytes::copy_from(text.as_bytes()))
}

pub(crate) fn scope(text: &str) -> Scope {
    text.parse().expect("a scope")
}

pub(crate) fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

/// Returns a value as `set` takes it, of a time that never changes.
pub(crate) fn new_secret(secret: &SecretName, value: &[u8]) -> NewSecret {
    let value = SecretValue::new(secret, SecretBytes::copy_from(value)).expect("a value");
    NewSecret {
        value,
        label: None,
        kind: None,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// Saves a value.
pub(crate) fn save(
    vault: &mut Vault,
    of: &str,
    secret: &str,
    value: &[u8],
) -> Result<(), VaultError> {
    let (of, secret) = (scope(of), name(secret));
    vault.update(|draft| {
        draft
            .set(&of, &secret, new_secret(&secret, value))
            .map(drop)
    })
}

/// Removes a secret.
pub(crate) fn remove(vault: &mut Vault, of: &str, secret: &str) -> Result<bool, VaultError> {
    let (of, secret) = (scope(of), name(secret));
    vault.update(|draft| draft.remove(&of, &secret))
}

/// Opens a value that is saved.
pub(crate) fn value(vault: &Vault, of: &str, secret: &str) -> Result<Vec<u8>, VaultError> {
    let entry = vault.find(&scope(of), &name(secret)).expect("it is saved");
    vault.value(entry).map(|value| value.expose().to_vec())
}
