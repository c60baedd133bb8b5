//! The document's form: what is written is read, and nothing else is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use mira_secret::{Kind, SecretBytes};

use super::*;
use crate::crypto::Argon2Cost;
use crate::document::beside_value;
use crate::id::{EntryId, VaultId};
use crate::provider::{Parameters, PassphraseParameters};

const SECRETS: [(&str, &str, &[u8]); 3] = [
    ("user", "AWS_SECRET", b"canary one"),
    ("user", "OPENAI_API_KEY", b"canary two"),
    ("mcp/github", "OPENAI_API_KEY", b"canary \xff\xfe"),
];

fn root() -> RootKey {
    RootKey::from_secret(SecretBytes::copy_from(&[7; KEY_BYTES])).unwrap()
}

fn entry(scope: &str, name: &str) -> Entry {
    let created: Timestamp = "2026-11-24T07:05:09Z".parse().unwrap();
    Entry {
        id: EntryId::make_random().unwrap(),
        scope: scope.parse().unwrap(),
        name: name.parse().unwrap(),
        label: format!("The \"key\" of {name}"),
        kind: Kind::Token,
        created,
        updated: created,
        version: 3,
    }
}

fn document() -> Document {
    let vault = VaultId::make_random().unwrap();
    let root = root();
    let wrapping = root.derive_wrapping_key(&vault);
    let mut scopes = BTreeMap::<Scope, ScopeRecord>::new();
    for (scope, name, value) in SECRETS {
        let entry = entry(scope, name);
        let record = scopes
            .entry(entry.scope.clone())
            .or_insert_with(|| ScopeRecord {
                key: Some(WrappedKey::make_random(&wrapping, &vault, &entry.scope).unwrap()),
                secrets: BTreeMap::new(),
            });
        let key = record.key.as_ref().unwrap();
        let key = key.open(&wrapping, &vault, &entry.scope).unwrap();
        let beside = beside_value(&vault, &entry);
        let sealed = key.seal(&SecretBytes::copy_from(value), &beside).unwrap();
        let sealed = Some(sealed);
        record
            .secrets
            .insert(entry.name.clone(), Record { entry, sealed });
    }
    Document {
        vault,
        generation: 41,
        backend: Backend::File,
        provider: Parameters::Keyfile { path: None },
        key_check: root.check(),
        scopes,
    }
}

fn encoded(document: &Document) -> Vec<u8> {
    encode(document, &root().derive_mac_key(&document.vault)).unwrap()
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Replaces text and gives the whole a MAC that holds, as somebody with the root key could.
fn with_right_mac(document: &Document, from: &str, to: &str) -> Vec<u8> {
    let bytes = encoded(document);
    let (covered, _) = split(&bytes).unwrap();
    let text = as_text(&bytes[..covered]);
    assert!(text.contains(from), "{from}");
    let mut changed = text.replacen(from, to, 1).into_bytes();
    let mac = root()
        .derive_mac_key(&document.vault)
        .authenticate(&changed);
    changed.extend_from_slice(MAC_LINE);
    changed.extend_from_slice(HEXLOWER.encode(&mac).as_bytes());
    changed.extend_from_slice(END);
    changed
}

fn refusal(bytes: Vec<u8>) -> FormatError {
    Unverified::parse(bytes).unwrap_err()
}

#[test]
fn what_is_written_is_read() {
    let check = |document: &Document| {
        let bytes = encoded(document);
        let read = Unverified::parse(bytes.clone())
            .unwrap()
            .verify(&root())
            .unwrap();
        assert_eq!(encoded(&read), bytes);
        assert_eq!(read.entries().count(), document.entries().count());
        assert!(read.entries().eq(document.entries()));
        assert_eq!(read.provider, document.provider);
    };
    let mut document = document();
    check(&document);
    document.provider = Parameters::Keyring;
    check(&document);
    document.provider = Parameters::Keyfile {
        path: Some(PathBuf::from("/run/secrets/mira \"key\"")),
    };
    check(&document);
    let cost = Argon2Cost {
        memory_kib: 65536,
        iterations: 3,
        parallelism: 1,
    };
    let parameters = PassphraseParameters::checked(cost, [9; 16]).unwrap();
    document.provider = Parameters::Passphrase(parameters);
    check(&document);
    document.scopes.clear();
    check(&document);
}

#[test]
fn every_flipped_byte_is_refused_with_a_reason() {
    let bytes = encoded(&document());
    let whole = Unverified::parse(bytes.clone()).unwrap().verify(&root());
    assert!(whole.is_ok());
    let mut tampered = 0;
    for at in 0..bytes.len() {
        for mask in [0x01, 0x02, 0x08, 0x10, 0x20, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            match Unverified::parse(changed).map(|document| document.verify(&root())) {
                Err(reason) => assert!(!reason.to_string().is_empty()),
                Ok(Err(VerifyError::Tampered)) => tampered += 1,
                // The right key is recognised whichever byte was changed, so this never looks like a wrong one.
                Ok(Err(VerifyError::WrongKey)) => panic!("byte {at} ^ {mask:#x}: wrong key"),
                Ok(Ok(_)) => panic!("byte {at} ^ {mask:#x} went unnoticed"),
            }
        }
    }
    assert!(
        tampered > bytes.len(),
        "most changes pass for JSON, and the MAC finds them"
    );
}

#[test]
fn every_truncation_and_extension_is_refused() {
    let bytes = encoded(&document());
    for len in 0..bytes.len() {
        let cut = Unverified::parse(bytes[..len].to_vec());
        assert!(cut.is_err(), "cut to {len}");
    }
    for extra in [&b"\n"[..], b" ", b"\0", b"{}", b"//"] {
        assert!(Unverified::parse([&bytes, extra].concat()).is_err());
        assert!(
            Unverified::parse([extra, &bytes].concat())
                .map(|d| d.verify(&root()))
                .is_ok_and(|d| d.is_err())
                || Unverified::parse([extra, &bytes].concat()).is_err()
        );
    }
}

#[test]
fn a_wrong_key_is_told_from_tampering() {
    let bytes = encoded(&document());
    let wrong = RootKey::make_random().unwrap();
    let outcome = Unverified::parse(bytes).unwrap().verify(&wrong);
    assert_eq!(outcome.unwrap_err(), VerifyError::WrongKey);
}

#[test]
fn faults_have_names_even_under_a_right_mac() {
    let document = document();
    let check = |from: &str, to: &str, expect: FormatError| {
        assert_eq!(
            refusal(with_right_mac(&document, from, to)),
            expect,
            "{from} -> {to}"
        );
    };
    let field = |name: &str| FormatError::Field {
        field: name.to_owned(),
    };
    check(
        "mira-credentials",
        "mira-credential",
        FormatError::NotCredentials,
    );
    check(
        "\"version\": 1,",
        "\"version\": 2,",
        FormatError::Newer { version: 2 },
    );
    check(
        "\"version\": 1,",
        "\"version\": 2, \"new\": [1],",
        FormatError::Newer { version: 2 },
    );
    check("\"version\": 1,", "\"version\": 0,", field("version"));
    check(
        "\"generation\": 41",
        "\"generation\": 0",
        field("generation"),
    );
    check(
        "\"generation\": 41",
        "\"generation\": 9007199254740992",
        field("generation"),
    );
    check(
        "\"backend\": \"file\"",
        "\"backend\": \"tape\"",
        field("backend"),
    );
    check(
        "\"backend\": \"file\"",
        "\"backend\": \"keychain\"",
        field("scopes"),
    );
    check(
        "\"keyfile\": {}",
        "\"keyfile\": {\"path\": \"key\"}",
        field("provider.keyfile.path"),
    );
    check(
        "\"kind\": \"token\"",
        "\"kind\": \"Token\"",
        field("secrets[0].kind"),
    );
    check("07:05:09Z", "07:05:09.0Z", field("secrets[0].created"));
    check(
        "\"name\": \"AWS_SECRET\"",
        "\"name\": \"AWS-SECRET\"",
        field("secrets[0].name"),
    );
    check(
        "\"version\": 3",
        "\"version\": 0",
        field("secrets[0].version"),
    );
    check("The \\\"key\\\"", "The \\u001b", field("secrets[0].label"));
    check("\"user\"", "\"User\"", field("scopes[0].scope"));
    check(
        "\"user\"",
        "\"mcp/github\"",
        FormatError::Order {
            list: "scopes",
            at: 1,
        },
    );
    check(
        "\"AWS_SECRET\"",
        "\"OPENAI_API_KEY\"",
        FormatError::Order {
            list: "secrets",
            at: 1,
        },
    );
    check(
        "\"AWS_SECRET\"",
        "\"Z\"",
        FormatError::Order {
            list: "secrets",
            at: 1,
        },
    );
    check(
        "\"mcp/github\",\n      \"name\"",
        "\"mcp/gitlab\",\n      \"name\"",
        FormatError::Scopes,
    );
}

#[test]
fn the_schema_is_closed() {
    let document = document();
    let shape = |from: &str, to: &str| {
        let reason = refusal(with_right_mac(&document, from, to));
        assert!(
            matches!(reason, FormatError::Shape { .. }),
            "{to}: {reason:?}"
        );
    };
    shape("\"generation\": 41", "\"generation\": 41, \"note\": \"\"");
    shape(
        "\"generation\": 41",
        "\"generation\": 41, \"generation\": 41",
    );
    shape("\"generation\": 41", "\"generation\": \"41\"");
    shape("\"generation\": 41", "\"generation\": -1");
    shape("\"generation\": 41", "\"generation\": 41.5");
    shape("\"keyfile\": {}", "\"keyfile\": {\"path\": null}");
    shape("\"keyfile\": {}", "\"keyfile\": {}, \"keyring\": {}");
    shape("\"keyfile\": {}", "\"keyring\": {\"note\": 1}");
    shape("\"keyfile\": {}", "\"tpm\": {}");
    shape(
        "\"name\": \"AWS_SECRET\"",
        "\"value\": \"x\", \"name\": \"AWS_SECRET\"",
    );
    shape("\"version\": 3,", "\"version\": 3, \"nonce\": null,");
}

#[test]
fn an_identifier_stands_for_one_secret() {
    let document = document();
    let ids: Vec<String> = document
        .entries()
        .map(|entry| entry.id.to_string())
        .collect();
    let reason = refusal(with_right_mac(&document, &ids[0], &ids[1]));
    assert_eq!(
        reason,
        FormatError::Field {
            field: "secrets[].id".to_owned()
        }
    );
}

#[test]
fn a_scope_without_secrets_is_refused() {
    let mut document = document();
    document
        .scopes
        .last_entry()
        .unwrap()
        .get_mut()
        .secrets
        .clear();
    assert_eq!(refusal(encoded(&document)), FormatError::Scopes);
}

#[test]
fn only_the_last_line_is_the_mac() {
    let document = document();
    let bytes = encoded(&document);
    let text = as_text(&bytes);
    let check = |changed: String| {
        let reason = refusal(changed.into_bytes());
        assert!(
            matches!(reason, FormatError::MacLine | FormatError::Shape { .. }),
            "{reason:?}"
        );
    };
    check(text.trim_end().to_owned());
    check(text.replace("\n  \"mac\"", "\n    \"mac\""));
    check(text.replace("\"mac\": \"", "\"mac\":\""));
    check(text.replace("\"\n}\n", "\"\r\n}\r\n"));
    check(text.to_owned() + "\n");
    let upper = text
        .rsplit_once("\"mac\"")
        .map(|(head, mac)| format!("{head}\"mac\"{}", mac.to_uppercase()));
    let upper = upper.filter(|upper| upper != text).unwrap();
    check(upper);
    let (head, line) = text.rsplit_once(",\n  \"mac\"").unwrap();
    let line = line.trim_end_matches("\n}\n");
    check(format!(
        "{{\n  \"mac\"{line},{}\n}}\n",
        head.trim_start_matches('{')
    ));
}

#[test]
fn refusals_quote_nothing_of_the_file() {
    let document = document();
    for (from, to) in [
        ("\"version\": 3", "\"version\": \"canary\""),
        ("\"label\": \"The", "\"canary\": \"The"),
        ("\"kind\": \"token\"", "\"kind\": \"canary\""),
        ("\"keyfile\": {}", "\"canary\": {}"),
    ] {
        let reason = refusal(with_right_mac(&document, from, to));
        assert!(
            !format!("{reason} {reason:?}").contains("canary"),
            "{reason:?}"
        );
    }
}

#[test]
fn the_file_holds_no_plaintext() {
    let bytes = encoded(&document());
    assert!(!bytes.windows(6).any(|window| window == b"canary"));
    let sealed = SECRETS.map(|(_, _, value)| BASE64.encode(value));
    assert!(
        sealed
            .iter()
            .all(|value| !as_text(&bytes).contains(value.trim_end_matches('=')))
    );
}
