//! What somebody without the key can do to the files: nothing that is not noticed.

use std::fs;
use std::path::Path;

use mira_vault::{FaultKind, UnlockOptions, Vault, VaultError};

use crate::common::{Place, put, remove, save, value};

/// Puts a vector that a passphrase opens at the least cost that is allowed.
fn passphrase_vault() -> Place {
    let vector =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/credentials/passphrase.json");
    let place = Place::new();
    place.put_document(&fs::read(vector).expect("the vector"));
    place
}

const PASSPHRASE: &str = "correct horse battery staple";

/// Returns the text of each entry in the list of secrets.
fn entries(text: &str) -> Vec<&str> {
    let (_, list) = text.split_once("\"secrets\": [\n").expect("a list");
    let (list, _) = list.split_once("\n  ],\n").expect("its end");
    list.split(",\n    {").collect()
}

#[test]
fn every_flipped_byte_is_refused_and_named() {
    let (place, mut vault) = Place::with_vault();
    save(&mut vault, "user", "OPENAI_API_KEY", b"canary").unwrap();
    let whole = place.document();
    for at in 0..whole.len() {
        for mask in [0x01, 0x04, 0x20, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= mask;
            place.put_document(&changed);
            let Err(error) = place.unlock() else {
                panic!("byte {at} ^ {mask:#x} went unnoticed")
            };
            let message = error.to_string();
            assert_eq!(error.kind(), FaultKind::Integrity, "byte {at}: {message}");
            assert!(message.contains("credentials.json"), "byte {at}: {message}");
            assert!(!message.contains("canary"), "{message}");
        }
    }
    place.put_document(&whole);
    assert_eq!(
        value(&place.unlock().unwrap(), "user", "OPENAI_API_KEY").unwrap(),
        b"canary"
    );
}

#[test]
fn entries_removed_moved_or_reordered_are_noticed() {
    let (place, mut vault) = Place::with_vault();
    for (scope, name) in [
        ("user", "A"),
        ("user", "B"),
        ("mcp/github", "C"),
        ("mcp/gitlab", "C"),
    ] {
        save(&mut vault, scope, name, scope.as_bytes()).unwrap();
    }
    let text = place.text();
    let entries = entries(&text);
    let [a, b, c, d] = entries[..] else {
        panic!("{entries:?}")
    };
    let is_tampered = |changed: String| {
        assert_ne!(changed, text);
        place.put_document(changed.as_bytes());
        let error = place.unlock().unwrap_err();
        assert!(matches!(error, VaultError::Tampered { .. }), "{error}");
    };
    is_tampered(text.replace(&format!(",\n    {{{b}"), ""));
    is_tampered(text.replace(a, &a.replace("\"A\"", "\"AA\"")));
    is_tampered(
        text.replace(c, "*")
            .replace(d, &c.replace("github", "gitlab"))
            .replace('*', &d.replace("gitlab", "github")),
    );
    is_tampered(text.replace("\"backend\": \"file\"", "\"backend\":\"file\""));
    let is_refused = |changed: String| {
        place.put_document(changed.as_bytes());
        let error = place.unlock().unwrap_err();
        assert!(matches!(error, VaultError::Format { .. }), "{error}");
    };
    is_refused(text.replace(c, "*").replace(d, c).replace('*', d));
    is_refused(text.replace(b, &format!("{b},\n    {{{b}")));
    is_refused(text.replace(b, &b.replace("\"user\"", "\"mcp/nobody\"")));
    place.put_document(text.as_bytes());
    assert_eq!(place.unlock().unwrap().secrets().count(), 4);
}

#[test]
fn an_old_document_put_back_is_noticed() {
    let (place, mut vault) = Place::with_vault();
    save(&mut vault, "user", "KEY", b"old").unwrap();
    let old = place.document();
    save(&mut vault, "user", "KEY", b"new").unwrap();
    place.put_document(&old);
    let rolled_back = |result: Result<(), VaultError>| {
        let error = result.unwrap_err();
        assert!(
            matches!(
                error,
                VaultError::RolledBack {
                    found: 2,
                    seen: 3,
                    ..
                }
            ),
            "{error}"
        );
    };
    rolled_back(place.unlock().map(drop));
    // Somebody who has it open does not write over it either.
    rolled_back(remove(&mut vault, "user", "KEY").map(drop));
    assert_eq!(place.document(), old);

    let accept_restored = true;
    let accepted = UnlockOptions {
        accept_restored,
        ..place.options()
    };
    let mut vault = place.unlock_with(&accepted, None).unwrap();
    assert_eq!(value(&vault, "user", "KEY").unwrap(), b"old");
    save(&mut vault, "user", "KEY", b"newer").unwrap();
    assert_eq!(
        value(&place.unlock().unwrap(), "user", "KEY").unwrap(),
        b"newer"
    );
}

#[test]
fn a_damaged_floor_is_an_error_and_can_be_accepted() {
    let (place, _) = Place::with_vault();
    put(&place.home.generation(), b"garbage");
    let error = place.unlock().unwrap_err();
    assert!(matches!(error, VaultError::Floor { .. }), "{error}");
    let accept_restored = true;
    let accepted = UnlockOptions {
        accept_restored,
        ..place.options()
    };
    assert!(place.unlock_with(&accepted, None).is_ok());
    assert!(place.unlock().is_ok());
}

#[test]
fn a_wrong_passphrase_is_told_from_tampering() {
    let place = passphrase_vault();
    let text = place.text();
    let wrong = |result: Result<Vault, VaultError>| {
        let error = result.unwrap_err();
        assert!(
            matches!(error, VaultError::WrongPassphrase { .. }),
            "{error}"
        );
        assert_eq!(error.kind(), FaultKind::Locked);
    };
    let tampered = |result: Result<Vault, VaultError>| {
        let error = result.unwrap_err();
        assert!(matches!(error, VaultError::Tampered { .. }), "{error}");
    };
    assert_eq!(place.unlock_by(PASSPHRASE).unwrap().secrets().count(), 2);
    wrong(place.unlock_by("correct horse battery"));
    wrong(place.unlock_by(""));
    assert!(matches!(place.unlock(), Err(VaultError::Ask(_))));
    // Who changed the file cannot make the right passphrase look wrong, nor the wrong one right.
    for (from, to) in [
        ("\"label\": \"Database\"", "\"label\": \"Databases\""),
        ("\"key_check\": \"", "\"key_check\": \"0"),
    ] {
        let mut changed = text.replace(from, to);
        if let Some((head, tail)) = changed.split_once("\"key_check\": \"0") {
            // One digit in and one out.
            let (digits, rest) = tail.split_once('"').unwrap();
            let digits: String = digits.chars().skip(digits.len() - 63).collect();
            changed = format!("{head}\"key_check\": \"0{digits}\"{rest}");
        }
        place.put_document(changed.as_bytes());
        tampered(place.unlock_by(PASSPHRASE));
        wrong(place.unlock_by("correct horse battery"));
    }
}

#[test]
fn a_foreign_cost_is_refused_before_anybody_is_asked() {
    let place = passphrase_vault();
    let text = place.text();
    place.put_document(
        text.replace("\"memory_kib\": 19456", "\"memory_kib\": 4294967295")
            .as_bytes(),
    );
    // Nobody is there: were it asked for, the error would say so.
    let error = place.unlock().unwrap_err();
    assert!(matches!(error, VaultError::Format { .. }), "{error}");
    assert!(
        error.to_string().contains("provider.passphrase.memory_kib"),
        "{error}"
    );
}
