//! Changes of keys, and vaults that are exchanged under an open one: what only the inside can see.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mira_secret::SecretBytes;
use tempfile::TempDir;

use super::*;
use crate::crypto::{ScopeKey, Sealed};
use crate::os::keychain::{Keychain, KeychainError};

/// A keychain with one place for an item, which can be told to refuse every deletion.
#[derive(Default)]
struct OneItem {
    item: std::sync::Mutex<Option<Vec<u8>>>,
    keeps: AtomicBool,
}

impl Keychain for OneItem {
    fn store(&self, _: &str, _: &str, secret: &SecretBytes) -> Result<(), KeychainError> {
        *self.item.lock().unwrap() = Some(secret.expose().to_vec());
        Ok(())
    }

    fn load(&self, _: &str) -> Result<Option<SecretBytes>, KeychainError> {
        let item = self.item.lock().unwrap();
        Ok(item.as_deref().map(SecretBytes::copy_from))
    }

    fn delete(&self, _: &str) -> Result<bool, KeychainError> {
        match self.keeps.load(Ordering::Relaxed) {
            true => Err(KeychainError::Locked),
            false => Ok(self.item.lock().unwrap().take().is_some()),
        }
    }
}

struct Place {
    folder: TempDir,
    home: Home,
    keychain: Arc<OneItem>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("mira"));
        Self {
            folder,
            home,
            keychain: Arc::default(),
        }
    }

    fn create(&self, provider: NewProvider) -> Vault {
        let new = NewVault {
            backend: Backend::File,
            provider,
            keychain: KeychainLink::given(self.keychain.clone()),
        };
        Vault::create(&self.home, new).unwrap()
    }

    fn open(&self) -> Result<Vault, VaultError> {
        let options = UnlockOptions {
            keychain: KeychainLink::given(self.keychain.clone()),
            ..UnlockOptions::default()
        };
        LockedVault::read(&self.home)?.unlock(&mut || panic!("asked"), &options)
    }

    fn document(&self) -> Vec<u8> {
        fs::read(self.home.credentials()).unwrap()
    }
}

fn keyfile() -> NewProvider {
    NewProvider::Keyfile { path: None }
}

fn keyfile_at(path: PathBuf) -> NewProvider {
    NewProvider::Keyfile { path: Some(path) }
}

fn save(vault: &mut Vault, name: &str, value: &[u8]) -> Result<(), VaultError> {
    let name: SecretName = name.parse().unwrap();
    let value = SecretValue::new(&name, SecretBytes::copy_from(value)).unwrap();
    let new = NewSecret {
        value,
        label: None,
        kind: None,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    vault.update(|draft| draft.set(&Scope::User, &name, new).map(drop))
}

fn value(vault: &Vault, name: &str) -> Vec<u8> {
    let entry = vault.find(&Scope::User, &name.parse().unwrap()).unwrap();
    vault.value(entry).unwrap().expose().to_vec()
}

/// A copy of the scope's key, as somebody could keep it who once had the root key.
fn scope_key(vault: &Vault) -> &ScopeKey {
    let key = vault.document.scopes[&Scope::User].key.as_ref().unwrap();
    key.open(&vault.wrapping, vault.id(), &Scope::User).unwrap()
}

fn sealed<'v>(vault: &'v Vault, name: &str) -> (&'v Entry, &'v Sealed) {
    let name = name.parse().unwrap();
    let record = vault.document.find(&Scope::User, &name).unwrap();
    (&record.entry, record.sealed.as_ref().unwrap())
}

#[test]
fn an_old_scopes_key_opens_nothing_of_a_rekeyed_vault() {
    let place = Place::new();
    let mut vault = place.create(keyfile());
    save(&mut vault, "A", b"one").unwrap();
    let stolen = place.open().unwrap();
    let reads = |vault: &Vault, name: &str| {
        let (entry, sealed) = sealed(vault, name);
        let beside = beside_value(vault.id(), entry);
        scope_key(&stolen).open(sealed, &beside).is_ok()
    };
    assert!(reads(&vault, "A"));
    vault.rekey(keyfile()).unwrap();
    save(&mut vault, "B", b"two").unwrap();
    assert!(!reads(&vault, "A") && !reads(&vault, "B"));
    assert_ne!(sealed(&stolen, "A").1.nonce, sealed(&vault, "A").1.nonce);
    let vault = place.open().unwrap();
    assert_eq!(
        (value(&vault, "A"), value(&vault, "B")),
        (b"one".to_vec(), b"two".to_vec())
    );
}

#[test]
fn a_rekey_leaves_no_old_key_in_the_home_and_a_named_one_to_its_owner() {
    let place = Place::new();
    let mut vault = place.create(keyfile());
    let in_home = place.home.default_keyfile();
    let named = place.folder.path().join("named.key");
    vault.rekey(keyfile_at(named.clone())).unwrap();
    assert!(!in_home.exists() && place.open().is_ok());
    vault.rekey(NewProvider::Keyring).unwrap();
    assert!(named.exists() && place.open().is_ok());
    vault.rekey(keyfile()).unwrap();
    assert!(place.keychain.item.lock().unwrap().is_none() && place.open().is_ok());
}

#[test]
fn the_key_that_is_there_is_no_new_key() {
    let place = Place::new();
    let mut vault = place.create(keyfile());
    let copy = place.folder.path().join("copy.key");
    fs::copy(place.home.default_keyfile(), &copy).unwrap();
    let before = place.document();
    let refused = vault.rekey(keyfile_at(copy)).unwrap_err();
    assert!(matches!(refused, VaultError::SameKey), "{refused:?}");
    assert_eq!(place.document(), before);
    assert!(place.open().is_ok());
}

#[test]
fn a_keyfile_under_another_spelling_is_never_removed_as_the_old_one() {
    let place = Place::new();
    let mut vault = place.create(keyfile());
    save(&mut vault, "A", b"one").unwrap();
    let path = place.home.default_keyfile();
    // As a rekey that was killed leaves it: the next key stands first, and the document needs the second.
    let (other, old) = (Place::new(), fs::read(&path).unwrap());
    other.create(keyfile());
    let next = fs::read(other.home.default_keyfile()).unwrap();
    fs::write(&path, [next, old].concat()).unwrap();
    let spelled = place.home.path().join("../mira/root.key");
    vault.rekey(keyfile_at(spelled)).unwrap();
    assert!(path.exists());
    assert_eq!(value(&place.open().unwrap(), "A"), b"one");
}

#[test]
fn an_old_key_that_cannot_be_removed_is_told_and_the_new_one_is_used() {
    let place = Place::new();
    let mut vault = place.create(NewProvider::Keyring);
    save(&mut vault, "A", b"one").unwrap();
    place.keychain.keeps.store(true, Ordering::Relaxed);
    let told = vault.rekey(keyfile()).unwrap_err();
    assert!(matches!(told, VaultError::OldKeyLeft(_)), "{told:?}");
    assert_eq!(vault.provider(), ProviderKind::Keyfile);
    save(&mut vault, "A", b"two").unwrap();
    assert_eq!(value(&place.open().unwrap(), "A"), b"two");
}

#[test]
fn another_vault_of_the_same_keyfile_is_not_written_to() {
    let (first, second) = (Place::new(), Place::new());
    first.create(keyfile());
    let shared = keyfile_at(first.home.default_keyfile());
    let mut vault = second.create(shared);
    fs::write(second.home.credentials(), first.document()).unwrap();
    let refused = save(&mut vault, "A", b"x").unwrap_err();
    assert!(matches!(refused, VaultError::Rekeyed), "{refused:?}");
    assert_eq!(second.document(), first.document());
}

#[test]
fn an_unlocked_vault_prints_neither_names_nor_ciphertext() {
    let place = Place::new();
    let mut vault = place.create(keyfile());
    save(&mut vault, "CANARY", b"canary").unwrap();
    let printed = format!("{vault:?}");
    assert!(
        !printed.contains("CANARY") && printed.len() < 100,
        "{printed}"
    );
}
