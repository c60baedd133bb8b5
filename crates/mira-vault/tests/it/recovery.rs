//! Recovery files, also with the `age` of the system.

use std::fs;

use mira_age::{AgeError, Key, Recipients};
use mira_secret::SecretBytes;
use mira_testkit::home::TestHome;
use mira_vault::recovery::{self, Recovered, RecoveryError};

use crate::common::{Place, save};

const DOCUMENT: &str = r#"{"format": "mira-recovery", "version": 1, "secrets": [
  {"scope": "user", "name": "A", "label": "An A", "kind": "url", "value": "päss"},
  {"scope": "mcp/github", "name": "B", "label": "B", "kind": "token", "value_base64": "//4="}]}"#;

/// A key pair that `age-keygen` made, and a folder for `age`.
struct Pair {
    home: TestHome,
    identity: String,
    recipient: String,
}

impl Pair {
    fn make() -> Self {
        let home = TestHome::new();
        let identity = home.mira("age-keygen").run().assert_code(0).stdout_text();
        let public = home
            .mira("age-keygen")
            .arg("-y")
            .stdin_bytes(identity.clone())
            .run();
        let recipient = public.assert_code(0).stdout_text().trim().to_owned();
        let pair = Self {
            home,
            identity,
            recipient,
        };
        fs::write(pair.identity_path(), &pair.identity).expect("a temporary file");
        pair
    }

    fn identity_path(&self) -> std::path::PathBuf {
        self.home.path().join("identity")
    }

    fn key(&self) -> Key {
        Key::Identities(SecretBytes::copy_from(self.identity.as_bytes()))
    }

    fn recipients(&self) -> Recipients {
        Recipients::parse(std::slice::from_ref(&self.recipient)).expect("age-keygen made it")
    }

    /// Encrypts a text in-process.
    fn encrypt(&self, text: &[u8]) -> Vec<u8> {
        let recipient: age::x25519::Recipient = self.recipient.parse().expect("age-keygen made it");
        age::encrypt(&recipient, text).expect("in memory")
    }
}

fn word(text: &str) -> SecretBytes {
    SecretBytes::copy_from(text.as_bytes())
}

fn sealed(recipients: &Recipients) -> Vec<u8> {
    let (_place, mut vault) = Place::with_vault();
    save(&mut vault, "user", "A", "päss\n".as_bytes()).expect("saved");
    save(&mut vault, "mcp/github", "B", b"\xff\xfe").expect("saved");
    let (file, number) = recovery::seal(&vault, vault.secrets(), recipients).expect("sealed");
    assert_eq!(number, 2);
    file
}

fn shown(recovered: &[Recovered]) -> Vec<(String, String, String, Vec<u8>)> {
    let show = |one: &Recovered| {
        let name = format!("{}/{}", one.scope, one.name);
        (
            name,
            one.label.clone(),
            one.kind.to_string(),
            one.value.expose().to_vec(),
        )
    };
    recovered.iter().map(show).collect()
}

fn expected() -> Vec<(String, String, String, Vec<u8>)> {
    let one = |name: &str, label: &str, value: &[u8]| {
        (
            name.to_owned(),
            label.to_owned(),
            "token".to_owned(),
            value.to_vec(),
        )
    };
    vec![
        one("user/A", "A", "päss\n".as_bytes()),
        one("mcp/github/B", "B", b"\xff\xfe"),
    ]
}

#[test]
fn a_passphrase_opens_what_it_sealed() {
    let file = sealed(&Recipients::passphrase(word("open sesame")));
    assert!(mira_age::is_age(&file));
    let open = |text| recovery::open(&file, &Key::Passphrase(word(text)));
    assert_eq!(shown(&open("open sesame").unwrap()), expected());
    assert!(matches!(
        open("open simsim"),
        Err(RecoveryError::Age(AgeError::WrongKey))
    ));
    let key = Pair::make().key();
    assert!(matches!(
        recovery::open(&file, &key),
        Err(RecoveryError::Age(AgeError::WrongKey))
    ));
}

#[test]
fn a_passphrase_is_text() {
    let binary = || SecretBytes::copy_from(b"\xff");
    let (_place, vault) = Place::with_vault();
    let refused = recovery::seal(&vault, vault.secrets(), &Recipients::passphrase(binary()));
    assert!(matches!(
        refused,
        Err(RecoveryError::Age(AgeError::PassphraseNotText))
    ));
}

#[test]
fn age_opens_what_was_sealed_for_its_key() {
    let pair = Pair::make();
    let file = sealed(&pair.recipients());
    assert_eq!(
        shown(&recovery::open(&file, &pair.key()).unwrap()),
        expected()
    );
    let age = pair
        .home
        .mira("age")
        .arg("-d")
        .arg("-i")
        .arg(pair.identity_path());
    let text = age.stdin_bytes(file).run().assert_code(0).stdout_text();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["format"], "mira-recovery");
    assert_eq!(document["secrets"][0]["value"], "päss\n");
    assert_eq!(document["secrets"][1]["value_base64"], "//4=");
}

#[test]
fn what_age_sealed_is_opened() {
    let pair = Pair::make();
    for armor in [false, true] {
        let age = pair.home.mira("age").args(armor.then_some("-a"));
        let path = pair.home.path().join("sealed");
        let age = age.arg("-r").arg(&pair.recipient).arg("-o").arg(&path);
        age.stdin_bytes(DOCUMENT).run().assert_code(0);
        let file = fs::read(&path).unwrap();
        assert!(mira_age::is_age(&file));
        let opened = shown(&recovery::open(&file, &pair.key()).unwrap());
        assert_eq!(opened[0].3, "päss".as_bytes());
        assert_eq!(
            (opened[0].1.as_str(), opened[0].2.as_str()),
            ("An A", "url")
        );
        assert_eq!(opened[1].3, b"\xff\xfe");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn another_key_does_not_open_it() {
    let file = sealed(&Pair::make().recipients());
    let other = recovery::open(&file, &Pair::make().key());
    assert!(matches!(other, Err(RecoveryError::Age(AgeError::WrongKey))));
    let typed = recovery::open(&file, &Key::Passphrase(word("open sesame")));
    assert!(matches!(typed, Err(RecoveryError::Age(AgeError::WrongKey))));
    let nothing = Key::Identities(SecretBytes::copy_from(b"# no key\n"));
    assert!(matches!(
        recovery::open(&file, &nothing),
        Err(RecoveryError::Age(AgeError::Identity))
    ));
    let text = "age1nobody".to_owned();
    assert!(matches!(
        Recipients::parse(&[text]),
        Err(AgeError::Recipient { .. })
    ));
}

#[test]
fn absurd_work_is_refused_before_it_is_done() {
    // 2^30 would take a TiB of memory and minutes.
    let header = |factor: u8| {
        let (salt, body) = ("A".repeat(22), "A".repeat(43));
        let mut file =
            format!("age-encryption.org/v1\n-> scrypt {salt} {factor}\n{body}\n--- {body}\n")
                .into_bytes();
        file.extend([0; 64]);
        file
    };
    for factor in [21, 30, 63] {
        let opened = recovery::open(&header(factor), &Key::Passphrase(word("any")));
        assert!(
            matches!(opened, Err(RecoveryError::Age(AgeError::ExcessiveWork { asked })) if asked == factor),
            "{opened:?}"
        );
    }
    let cheap = recovery::open(&header(1), &Key::Passphrase(word("any")));
    assert!(
        matches!(cheap, Err(RecoveryError::Age(AgeError::WrongKey))),
        "{cheap:?}"
    );
}

#[test]
fn a_truncated_or_changed_file_is_refused() {
    let pair = Pair::make();
    let file = sealed(&pair.recipients());
    for len in 0..file.len() {
        let opened = recovery::open(&file[..len], &pair.key());
        assert!(
            matches!(opened, Err(RecoveryError::Age(AgeError::Damaged))),
            "{len}: {opened:?}"
        );
    }
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(recovery::open(&changed, &pair.key()).is_err(), "byte {at}");
    }
}

#[test]
fn what_is_no_recovery_document_is_refused() {
    let pair = Pair::make();
    let whole = recovery::open(&pair.encrypt(DOCUMENT.as_bytes()), &pair.key());
    assert_eq!(whole.unwrap().len(), 2);
    for (from, to) in [
        (DOCUMENT, "OPENAI_API_KEY=canary\n"),
        ("mira-recovery", "mira-credentials"),
        ("\"version\": 1", "\"version\": 2"),
        ("\"version\": 1", "\"version\": 1, \"canary\": 1"),
        ("\"scope\": \"user\"", "\"scope\": \"canary\""),
        ("\"name\": \"A\"", "\"name\": \"canary-1\""),
        ("\"kind\": \"url\"", "\"kind\": \"canary\""),
        ("\"value\": \"päss\"", "\"label\": \"canary\""),
        ("\"value\": \"päss\"", "\"value\": \"canary\\u0000\""),
        ("\"value\": \"päss\"", "\"value\": \"\""),
        (
            "\"value\": \"päss\"",
            "\"value\": \"canary\", \"value_base64\": \"//4=\"",
        ),
        (", \"value\": \"päss\"", ""),
        ("//4=", "canary!"),
    ] {
        let text = DOCUMENT.replacen(from, to, 1);
        assert_ne!(text, DOCUMENT);
        let error = recovery::open(&pair.encrypt(text.as_bytes()), &pair.key()).unwrap_err();
        assert!(matches!(error, RecoveryError::Content(_)), "{to}: {error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
    assert!(!mira_age::is_age(DOCUMENT.as_bytes()));
}
