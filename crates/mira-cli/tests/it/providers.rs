//! What unlocks the vault: key file, passphrase with its cache, and a real Secret Service; never one instead of another.

use mira_testkit::home::TestHome;
use mira_testkit::secret_service::SecretService;

use crate::support::{VALUE, list, mira, set};

const PASSPHRASE: &str = "correct horse battery staple";

fn write(home: &TestHome, name: &str, content: &str) -> String {
    let path = home.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

fn passphrase_home() -> (TestHome, String) {
    let home = TestHome::new();
    let file = write(&home, "passphrase", &format!("{PASSPHRASE}\n"));
    mira(
        &home,
        &[
            "init",
            "--provider",
            "passphrase",
            "--new-passphrase-file",
            &file,
        ],
    )
    .run()
    .assert_code(0);
    (home, file)
}

#[test]
fn a_passphrase_is_asked_for_once_and_forgotten_on_lock() {
    let (home, file) = passphrase_home();
    mira(&home, &["lock"]).run().assert_code(0);
    let locked = mira(&home, &["list"]).run().assert_code(4);
    assert!(locked.stderr_text().contains("mira unlock"), "{locked:?}");

    let wrong = write(&home, "wrong", "incorrect horse");
    let refused = mira(&home, &["unlock", "--passphrase-file", &wrong])
        .run()
        .assert_code(4);
    assert!(refused.stderr_text().contains("passphrase"), "{refused:?}");

    mira(
        &home,
        &["unlock", "--ttl", "10m", "--passphrase-file", &file],
    )
    .run()
    .assert_code(0);
    set(&home, "KEY", VALUE);
    assert_eq!(list(&home).len(), 1);
    mira(&home, &["lock"]).run().assert_code(0);
    mira(&home, &["list"]).run().assert_code(4);
    mira(&home, &["list", "--passphrase-file", &file])
        .run()
        .assert_code(0);
    mira(&home, &["lock"]).run().assert_code(0);
}

#[test]
fn short_and_missing_passphrases_make_no_vault() {
    let home = TestHome::new();
    let short = write(&home, "short", "secret\n");
    let args = [
        "init",
        "--provider",
        "passphrase",
        "--new-passphrase-file",
        &short,
    ];
    mira(&home, &args).run().assert_code(1);
    mira(&home, &["init", "--provider", "passphrase"])
        .run()
        .assert_code(3);
    assert!(!home.mira_home().join("credentials.json").exists());
}

#[test]
fn rekey_moves_the_vault_to_another_key() {
    let (home, passphrase) = passphrase_home();
    set(&home, "KEY", VALUE);
    mira(&home, &["rekey", "--provider", "keyfile"])
        .run()
        .assert_code(0);
    mira(&home, &["list", "--passphrase-file", "/dev/null"])
        .run()
        .assert_code(0);
    mira(
        &home,
        &[
            "rekey",
            "--provider",
            "passphrase",
            "--new-passphrase-file",
            &passphrase,
        ],
    )
    .run()
    .assert_code(0);
    assert_eq!(list(&home).len(), 1);
    mira(&home, &["lock"]).run().assert_code(0);
    mira(&home, &["list"]).run().assert_code(4);
}

#[test]
fn a_key_file_may_live_elsewhere_and_its_absence_is_told() {
    let home = TestHome::new();
    let key = home.path().join("elsewhere.key");
    mira(
        &home,
        &[
            "init",
            "--provider",
            "keyfile",
            "--keyfile",
            key.to_str().unwrap(),
        ],
    )
    .run()
    .assert_code(0);
    set(&home, "KEY", VALUE);
    let away = home.path().join("away.key");
    std::fs::rename(&key, &away).unwrap();
    let refused = mira(&home, &["list"]).run().assert_code(4);
    assert!(
        refused.stderr_text().contains("elsewhere.key"),
        "{refused:?}"
    );
    std::fs::rename(&away, &key).unwrap();
    assert_eq!(list(&home).len(), 1);
}

fn keyring_home(service: &SecretService) -> TestHome {
    let mut home = TestHome::new();
    for (name, value) in service.env() {
        home.set(name, value);
    }
    home
}

#[test]
fn a_keyring_vault_opens_with_the_secret_service_and_never_without() {
    let mut service = SecretService::start();
    let home = keyring_home(&service);
    mira(&home, &["init", "--provider", "keyring"])
        .run()
        .assert_code(0);
    set(&home, "KEY", VALUE);
    let document = std::fs::read_to_string(home.mira_home().join("credentials.json")).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let text = |field: &str| document[field].as_str().unwrap().to_owned();
    let account = format!("root-key/{}/{:.16}", text("vault"), text("key_check"));
    let seen = home
        .mira("secret-tool")
        .args(["lookup", "service", "mira", "account", &account])
        .run()
        .assert_code(0);
    assert!(!seen.stdout.is_empty());
    assert_eq!(list(&home).len(), 1);

    service.stop_keyring();
    let refused = mira(&home, &["list"]).run().assert_code(4);
    assert!(refused.stderr_text().contains("keyring"), "{refused:?}");
    let refused = mira(&home, &["run", "--", "true"]).run().assert_code(4);
    assert!(!refused.stderr_text().contains("panicked"), "{refused:?}");
    mira(&home, &["init", "--provider", "keyring"])
        .env("MIRA_HOME", home.path().join("fresh"))
        .run()
        .assert_code(4);
    assert!(!home.path().join("fresh/credentials.json").exists());
}

#[test]
fn a_keychain_vault_keeps_each_value_as_its_own_item() {
    let service = SecretService::start();
    let home = keyring_home(&service);
    mira(
        &home,
        &["init", "--provider", "keyring", "--backend", "keychain"],
    )
    .run()
    .assert_code(0);
    set(&home, "KEY", "first-value-of-the-item");
    set(&home, "KEY", VALUE);
    let lookup = || {
        home.mira("secret-tool")
            .args(["lookup", "service", "mira", "account", "user/KEY"])
            .run()
    };
    assert_eq!(lookup().assert_code(0).stdout_text(), VALUE);
    let length = format!("{}\n", VALUE.len());
    let script = "printf '%s' \"$KEY\" | wc -c; echo $KEY";
    let ran = mira(&home, &["run", "--", "sh", "-c", script])
        .run()
        .assert_code(0);
    assert_eq!(ran.stdout_text(), format!("{length}[redacted:KEY]\n"));
    mira(&home, &["rm", "--yes", "KEY"]).run().assert_code(0);
    assert_eq!(lookup().code(), Some(1));
    let sweep =
        mira_testkit::canary::Sweep::new(&[mira_testkit::canary::Canary::new("KEY", VALUE)]);
    sweep.folder(&home.mira_home()).assert_clean();
}

#[test]
fn no_keyring_and_no_terminal_is_an_error_and_not_another_provider() {
    let home = TestHome::new();
    let refused = mira(&home, &["init", "--provider", "keyring"])
        .run()
        .assert_code(4);
    assert!(refused.stderr_text().contains("--provider"), "{refused:?}");
    assert!(!home.mira_home().join("credentials.json").exists());
}
