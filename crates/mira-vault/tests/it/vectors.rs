//! `vectors/credentials`: every good file opens to its secrets, every bad one is refused as it must be.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use data_encoding::{BASE64, HEXLOWER};
use mira_vault::{Backend, FaultKind, FormatError, LockedVault, ProviderKind, Vault, VaultError};
use serde_json::Value;

use crate::common::{Place, passphrase, put};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/credentials")
}

fn vectors(list: &str) -> Vec<Value> {
    let text = fs::read(folder().join("vectors.json")).expect("the vectors");
    let vectors: Value = serde_json::from_slice(&text).expect("JSON");
    vectors[list].as_array().expect("a list").clone()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().expect("a text")
}

fn bytes(secret: &Value) -> Vec<u8> {
    match secret["value"].as_str() {
        Some(value) => value.into(),
        None => {
            let value = text(secret, "value_base64");
            BASE64.decode(value.as_bytes()).expect("base64")
        }
    }
}

/// Puts a vector and its key where they belong.
fn place(vector: &Value) -> Place {
    let place = Place::new();
    place.put_document(&fs::read(folder().join(text(vector, "file"))).expect("the file"));
    let key = &vector["key"];
    if let Some(lines) = key["keyfile"].as_str() {
        put(&place.home.default_keyfile(), lines.as_bytes());
    }
    if let Some(root) = key["keyring"].as_str() {
        let root = HEXLOWER.decode(root.as_bytes()).expect("hex");
        place.keychain.put(&keyring_account(&place), &root);
    }
    place
}

fn keyring_account(place: &Place) -> String {
    let document: Value = serde_json::from_slice(&place.document()).expect("JSON");
    let check: String = text(&document, "key_check").chars().take(16).collect();
    format!("root-key/{}/{check}", text(&document, "vault"))
}

fn unlock(place: &Place, vector: &Value) -> Result<Vault, VaultError> {
    let typed = vector["key"]["passphrase"].as_str();
    let mut ask = || Ok(passphrase(typed.expect("only a passphrase is asked for")));
    LockedVault::read(&place.home)?.unlock(&mut ask, &place.options())
}

fn assert_good(vector: &Value) {
    let file = text(vector, "file");
    let place = place(vector);
    let secrets = vector["secrets"].as_array().expect("a list");
    let vault = unlock(&place, vector).unwrap_or_else(|error| panic!("{file}: {error}"));
    if vault.backend() == Backend::Keychain {
        for secret in secrets {
            let account = format!("{}/{}", text(secret, "scope"), text(secret, "name"));
            place.keychain.put(&account, &bytes(secret));
        }
    }
    assert_eq!(Some(vault.generation()), vector["generation"].as_u64());
    assert_eq!(vault.secrets().count(), secrets.len(), "{file}");
    for (entry, secret) in vault.secrets().zip(secrets) {
        assert_eq!(entry.scope().to_string(), text(secret, "scope"), "{file}");
        assert_eq!(entry.name().as_str(), text(secret, "name"), "{file}");
        assert_eq!(entry.label(), text(secret, "label"), "{file}");
        assert_eq!(entry.kind().as_str(), text(secret, "kind"), "{file}");
        assert_eq!(Some(entry.version()), secret["version"].as_u64(), "{file}");
        let value = vault.value(entry).expect("the value opens");
        assert_eq!(value.expose(), bytes(secret), "{file}");
    }
}

#[test]
fn every_good_vector_opens_to_its_secrets() {
    let good = vectors("good");
    good.iter().for_each(assert_good);
    let files: Vec<_> = good.iter().map(|vector| text(vector, "file")).collect();
    for expected in [
        "keyfile.json",
        "passphrase.json",
        "keyring.json",
        "keychain-backend.json",
    ] {
        assert!(files.contains(&expected), "{expected}");
    }
}

/// Returns how a bad vector is refused, in the words of `vectors.json`.
fn refusal(vector: &Value) -> (&'static str, VaultError) {
    let place = place(vector);
    let error = match unlock(&place, vector) {
        Err(error) => error,
        // A document that only who has the root key could write: its values are bound to their entries.
        Ok(vault) => vault
            .secrets()
            .find_map(|entry| vault.value(entry).err())
            .unwrap_or_else(|| panic!("{vector} was not refused")),
    };
    let word = match &error {
        VaultError::Format { source, .. } => match source {
            FormatError::Newer { .. } => "newer",
            FormatError::Truncated { .. } => "truncated",
            _ => "format",
        },
        VaultError::Tampered { .. } => "tampered",
        VaultError::ValueForged { .. } => "value",
        VaultError::WrongKey { .. } => "wrong-key",
        other => panic!("{vector}: {other}"),
    };
    (word, error)
}

#[test]
fn every_bad_vector_is_refused_as_it_must_be() {
    let bad = vectors("bad");
    assert!(bad.len() >= 20);
    for vector in bad {
        let (word, error) = refusal(&vector);
        assert_eq!(word, text(&vector, "refusal"), "{vector}: {error}");
        let expected = match word {
            "wrong-key" => FaultKind::Locked,
            _ => FaultKind::Integrity,
        };
        assert_eq!(error.kind(), expected, "{vector}");
        let names_it = match word {
            "value" => "the value of ",
            _ => "credentials.json",
        };
        assert!(error.to_string().contains(names_it), "{error}");
    }
}

#[test]
fn every_file_is_a_vector() {
    let listed: BTreeSet<_> = ["good", "bad"]
        .iter()
        .flat_map(|list| vectors(list))
        .map(|vector| text(&vector, "file").to_owned())
        .chain(["vectors.json".to_owned()])
        .collect();
    let found: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    assert_eq!(listed, found);
}

#[test]
fn each_provider_has_a_vector() {
    let kinds: Vec<_> = vectors("good")
        .iter()
        .map(|vector| LockedVault::read(&place(vector).home).unwrap().provider())
        .collect();
    for kind in [
        ProviderKind::Keyfile,
        ProviderKind::Passphrase,
        ProviderKind::Keyring,
    ] {
        assert!(kinds.contains(&kind), "{kind}");
    }
}
