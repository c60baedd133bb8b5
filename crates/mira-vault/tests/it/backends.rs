//! A secret's life in both back ends: the same calls with the same results.

use mira_vault::os::keychain::KeychainError;
use mira_vault::{Backend, FaultKind, NewProvider, VaultError};

use crate::common::{Place, keyfile, name, remove, save, scope, value};

/// Returns what is listed, with versions.
fn listed(place: &Place) -> Vec<String> {
    let vault = place.unlock().expect("the vault opens");
    let show = |entry: &mira_vault::Entry| {
        format!("{}/{} {}", entry.scope(), entry.name(), entry.version())
    };
    vault.secrets().map(show).collect()
}

fn lives(backend: Backend) {
    let place = Place::new();
    let mut vault = place.create(backend, keyfile());
    save(&mut vault, "user", "B", b"canary one").expect("saved");
    save(&mut vault, "user", "A", b"canary \xff").expect("saved");
    save(&mut vault, "mcp/github", "A", b"canary three").expect("saved");
    assert_eq!(listed(&place), ["user/A 1", "user/B 1", "mcp/github/A 1"]);
    let first = vault
        .find(&scope("user"), &name("B"))
        .expect("it is there")
        .id();

    save(&mut vault, "user", "B", b"canary four").expect("saved");
    assert_eq!(listed(&place), ["user/A 1", "user/B 2", "mcp/github/A 1"]);
    let again = place.unlock().expect("the vault opens");
    assert_eq!(
        again
            .find(&scope("user"), &name("B"))
            .map(mira_vault::Entry::id),
        Some(first)
    );
    for (of, secret, expected) in [
        ("user", "A", b"canary \xff".as_slice()),
        ("user", "B", b"canary four"),
        ("mcp/github", "A", b"canary three"),
    ] {
        assert_eq!(value(&again, of, secret).expect("a value"), expected);
    }
    assert!(!place.text().contains("canary"));

    assert!(remove(&mut vault, "user", "B").expect("removed"));
    assert!(!remove(&mut vault, "user", "B").expect("nothing to do"));
    assert_eq!(listed(&place), ["user/A 1", "mcp/github/A 1"]);
    let gone = vault.update(|draft| draft.remove_scope(&scope("mcp/github")));
    assert_eq!(gone.expect("removed"), 1);
    assert_eq!(listed(&place), ["user/A 1"]);
    // The scope's key is gone with it.
    assert!(!place.text().contains("github"));
    // A secret that comes back is another one.
    save(&mut vault, "user", "B", b"canary five").expect("saved");
    let new = vault.find(&scope("user"), &name("B")).expect("it is there");
    assert_eq!(new.version(), 1);
    assert_ne!(new.id(), first);
    // With the last secret of a scope goes the scope's key.
    for secret in ["A", "B"] {
        assert!(remove(&mut vault, "user", secret).expect("removed"));
    }
    assert!(listed(&place).is_empty());
    assert!(!place.text().contains("wrapped_key"));
}

#[test]
fn secrets_live_in_the_file() {
    lives(Backend::File);
}

#[test]
fn secrets_live_in_the_keychain() {
    lives(Backend::Keychain);
}

#[test]
fn the_keychain_holds_an_item_for_each_secret_and_no_other() {
    let place = Place::new();
    let mut vault = place.create(Backend::Keychain, NewProvider::Keyring);
    save(&mut vault, "user", "A", b"one").unwrap();
    save(&mut vault, "mcp/github", "A", b"two").unwrap();
    let accounts = place.keychain.accounts();
    let [mcp, root, user] = &accounts[..] else {
        panic!("{accounts:?}")
    };
    assert_eq!((mcp.as_str(), user.as_str()), ("mcp/github/A", "user/A"));
    assert!(
        root.starts_with(&format!("root-key/{}/", vault.id())),
        "{root}"
    );
    remove(&mut vault, "user", "A").unwrap();
    vault
        .update(|draft| draft.remove_scope(&scope("mcp/github")))
        .unwrap();
    assert_eq!(place.keychain.accounts(), [root.as_str()]);
}

#[test]
fn an_item_that_is_gone_is_missing_until_saved_or_removed() {
    let place = Place::new();
    let mut vault = place.create(Backend::Keychain, keyfile());
    for secret in ["A", "B"] {
        save(&mut vault, "user", secret, b"value").unwrap();
        assert!(place.keychain.take(&format!("user/{secret}")));
        let error = value(&vault, "user", secret).unwrap_err();
        assert!(matches!(error, VaultError::ItemMissing { .. }), "{error}");
        assert_eq!(error.kind(), FaultKind::Integrity);
    }
    assert!(remove(&mut vault, "user", "A").unwrap());
    assert_eq!(listed(&place), ["user/B 1"]);
    save(&mut vault, "user", "B", b"healed").unwrap();
    assert_eq!(value(&vault, "user", "B").unwrap(), b"healed");
}

#[test]
fn a_keychain_that_refuses_changes_nothing() {
    let place = Place::new();
    let mut vault = place.create(Backend::Keychain, keyfile());
    save(&mut vault, "user", "A", b"kept").unwrap();
    let before = (place.document(), place.files());
    place.keychain.refuse(true);
    for failed in [
        save(&mut vault, "user", "A", b"new"),
        save(&mut vault, "user", "B", b"new"),
        remove(&mut vault, "user", "A").map(drop),
        value(&vault, "user", "A").map(drop),
    ] {
        let error = failed.unwrap_err();
        assert!(
            matches!(error, VaultError::Keychain(KeychainError::Locked)),
            "{error}"
        );
        assert_eq!(error.kind(), FaultKind::Locked);
    }
    assert_eq!((place.document(), place.files()), before);
    place.keychain.refuse(false);
    assert_eq!(
        value(&place.unlock().unwrap(), "user", "A").unwrap(),
        b"kept"
    );
}

#[test]
fn an_item_that_is_no_value_is_refused() {
    let place = Place::new();
    let mut vault = place.create(Backend::Keychain, keyfile());
    save(&mut vault, "user", "A", b"value").unwrap();
    for foreign in [b"".as_slice(), b"a\0b", &[b'x'; 200_000]] {
        place.keychain.put("user/A", foreign);
        let error = value(&vault, "user", "A").unwrap_err();
        assert!(matches!(error, VaultError::Value { .. }), "{error}");
    }
}

#[test]
fn two_vaults_do_not_share_a_home() {
    let (place, _) = Place::with_vault();
    let before = place.document();
    let new = mira_vault::NewVault {
        backend: Backend::File,
        provider: keyfile(),
        keychain: place.link(),
    };
    let error = mira_vault::Vault::create(&place.home, new).unwrap_err();
    assert!(matches!(error, VaultError::Exists { .. }), "{error}");
    assert_eq!(place.document(), before);
}
