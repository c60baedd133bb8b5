//! Changes of the root key, and crashes in the middle of them.

use std::fs;

use mira_vault::{Backend, FaultKind, NewProvider, ProviderKind, Vault, VaultError};

use crate::common::{Place, keyfile, keyfile_at, passphrase, put, save, value};

const SESAME: &str = "open sesame";

/// Opens the vault as its provider wants, and checks that its secrets are whole.
#[track_caller]
fn assert_opens(place: &Place, provider: ProviderKind) -> Vault {
    let opened = match provider {
        ProviderKind::Passphrase => place.unlock_by(SESAME),
        _ => place.unlock(),
    };
    let vault = opened.unwrap_or_else(|error| panic!("{provider}: {error}"));
    assert_eq!(vault.provider(), provider);
    assert_eq!(value(&vault, "user", "A").expect("a value"), b"one");
    assert_eq!(value(&vault, "mcp/github", "B").expect("a value"), b"two");
    vault
}

fn with_secrets() -> (Place, Vault) {
    let (place, mut vault) = Place::with_vault();
    save(&mut vault, "user", "A", b"one").expect("saved");
    save(&mut vault, "mcp/github", "B", b"two").expect("saved");
    (place, vault)
}

#[test]
fn a_vault_moves_between_all_providers() {
    use ProviderKind::{Keyfile, Keyring, Passphrase};
    let (place, mut vault) = with_secrets();
    let elsewhere = place.folder.path().join("mira.key");
    let sesame = || NewProvider::Passphrase(passphrase(SESAME));
    let mut generation = vault.generation();
    for (provider, kind, items) in [
        (sesame(), Passphrase, 0),
        (NewProvider::Keyring, Keyring, 1),
        (NewProvider::Keyring, Keyring, 1),
        (keyfile_at(elsewhere.clone()), Keyfile, 0),
        (NewProvider::Keyring, Keyring, 1),
        (sesame(), Passphrase, 0),
        (
            keyfile_at(place.folder.path().join("third.key")),
            Keyfile,
            0,
        ),
    ] {
        let before = place.text();
        let account = place.keychain.accounts();
        vault.rekey(provider).unwrap();
        generation += 1;
        assert_eq!(vault.generation(), generation);
        let accounts = place.keychain.accounts();
        assert_eq!(accounts.len(), items, "{kind}");
        assert!(
            accounts.is_empty() || accounts != account,
            "the old item is still there"
        );
        let after = place.text();
        let key_check = |text: &str| {
            text.split_once("key_check")
                .map(|(_, rest)| rest.chars().take(70).collect::<String>())
        };
        assert_ne!(key_check(&before), key_check(&after));
        vault = assert_opens(&place, kind);
    }
    assert!(elsewhere.exists(), "it may be another vault's too");
}

#[test]
fn a_new_key_in_the_same_file_replaces_the_old_one() {
    for spelled_otherwise in [false, true] {
        let (place, mut vault) = with_secrets();
        let (document, floor) = (place.document(), fs::read(place.home.generation()).unwrap());
        let old = fs::read(place.home.default_keyfile()).unwrap();
        vault
            .rekey(match spelled_otherwise {
                false => keyfile(),
                true => keyfile_at(place.home.path().join("../mira/root.key")),
            })
            .unwrap();
        let new = fs::read(place.home.default_keyfile()).unwrap();
        assert_ne!(new, old);
        assert_eq!(new.len(), old.len());
        assert_opens(&place, ProviderKind::Keyfile);
        // The new key does not open what was there before.
        put(&place.home.generation(), &floor);
        place.put_document(&document);
        let error = place.unlock().unwrap_err();
        assert!(matches!(error, VaultError::WrongKey { .. }), "{error}");
        assert!(error.to_string().contains("root.key"), "{error}");
        assert_eq!(error.kind(), FaultKind::Locked);
    }
}

#[test]
fn a_crash_between_any_two_steps_of_a_new_key_leaves_a_vault_that_opens() {
    let (place, mut vault) = with_secrets();
    let files = || {
        [
            place.home.credentials(),
            place.home.generation(),
            place.home.default_keyfile(),
        ]
    };
    let read = || files().map(|path| fs::read(path).unwrap());
    let [old_document, old_floor, old_key] = read();
    vault.rekey(keyfile()).unwrap();
    let [new_document, new_floor, new_key] = read();
    let both_keys = [new_key.as_slice(), &old_key].concat();
    for (document, floor, keys) in [
        (&old_document, &old_floor, &both_keys),
        (&new_document, &old_floor, &both_keys),
        (&new_document, &new_floor, &both_keys),
    ] {
        for (path, bytes) in files().iter().zip([document, floor, keys]) {
            put(path, bytes);
        }
        let mut vault = assert_opens(&place, ProviderKind::Keyfile);
        save(&mut vault, "user", "C", b"three").unwrap();
        vault.rekey(keyfile()).unwrap();
        let lines = fs::read_to_string(place.home.default_keyfile()).unwrap();
        assert_eq!(lines.lines().count(), 1);
        let vault = assert_opens(&place, ProviderKind::Keyfile);
        assert_eq!(value(&vault, "user", "C").unwrap(), b"three");
    }
}

#[test]
fn a_keyring_that_refuses_leaves_the_old_key() {
    let (place, mut vault) = with_secrets();
    let before = place.document();
    place.keychain.refuse(true);
    let error = vault.rekey(NewProvider::Keyring).unwrap_err();
    assert!(matches!(error, VaultError::Keyring(_)), "{error}");
    assert_eq!(place.document(), before);
    assert_opens(&place, ProviderKind::Keyfile);
}

#[test]
fn who_had_the_vault_open_notices_a_new_key() {
    let (place, mut vault) = with_secrets();
    let mut other = place.unlock().unwrap();
    vault.rekey(keyfile()).unwrap();
    let before = place.document();
    let error = save(&mut other, "user", "A", b"lost").unwrap_err();
    assert!(matches!(error, VaultError::Rekeyed), "{error}");
    assert_eq!(place.document(), before);
}

#[test]
fn a_key_that_cannot_be_had_is_named() {
    let (place, _) = with_secrets();
    let keyfile = place.home.default_keyfile();
    for garbage in ["", "mira-keyfile-1:short\n", "sk-canary\n"] {
        put(&keyfile, garbage.as_bytes());
        let error = place.unlock().unwrap_err();
        assert!(matches!(error, VaultError::KeyfileFormat { .. }), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    fs::remove_file(&keyfile).unwrap();
    let error = place.unlock().unwrap_err();
    assert!(matches!(error, VaultError::Keyfile(_)), "{error}");
    assert!(error.to_string().contains("root.key"), "{error}");

    let place = Place::new();
    let vault = place.create(Backend::File, NewProvider::Keyring);
    let accounts = place.keychain.accounts();
    assert!(place.keychain.take(&accounts[0]));
    let error = place.unlock().unwrap_err();
    assert!(
        matches!(&error, VaultError::KeyringItemMissing { account } if *account == accounts[0]),
        "{error}"
    );
    assert!(accounts[0].contains(&vault.id().to_string()));
}
