//! Guesses at a package's password through the command line: limited, and locked after five.

use mira_age::Recipients;
use mira_package::archive::{PackOptions, pack};
use mira_package::sealed::seal;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use mira_testkit::home::TestHome;

use super::{PASSWORD, folder, home_with_app, ok, says, write};
use crate::support::{VALUE, mira};

/// A password that costs next to nothing to try: how often one may is what is tested.
fn cheap() -> Recipients {
    Recipients::dangerous_passphrase(SecretBytes::copy_from(PASSWORD.as_bytes()), 2)
}

/// Changes how long is waited since the last wrong password: nothing here depends on how fast it runs.
fn wait_ms(home: &TestHome, delay_ms: u32) {
    let database = home.mira_home().join("mira.db");
    let change =
        format!("UPDATE guesses SET state = json_set(state, '$.last.delay_ms', {delay_ms})");
    let run = home
        .mira("sqlite3")
        .args(["-cmd", ".timeout 60000"])
        .arg(database)
        .arg(change)
        .run();
    run.assert_code(0);
}

/// A home with the package `a.mira` and files with the right and a wrong password.
fn home_with(options: &PackOptions) -> TestHome {
    let home = home_with_app();
    write(&home, "wrong", "wrong horse battery");
    let folder = folder(&home);
    pack(&folder.join("app"), &folder.join("a.mira"), options).unwrap();
    home
}

fn five_wrong_ones_lock(home: &TestHome) {
    let inspect = |file: &str| {
        let args = ["--sealed-names", "--password-file", file];
        mira(home, &[&["inspect", "a.mira"], &args[..]].concat()).run()
    };
    inspect("wrong").assert_code(5);
    wait_ms(home, 60_000);
    says(&inspect("pw").assert_code(5), "after a wrong password");
    wait_ms(home, 0);
    // Right once: counted from the start again.
    inspect("pw").assert_code(0);
    for left in (1..5).rev() {
        let wrong = inspect("wrong").assert_code(5);
        says(&wrong, &format!("after {left} more"));
        wait_ms(home, 0);
    }
    says(&inspect("wrong").assert_code(6), "locked for 5 minutes");
    let right = inspect("pw").assert_code(6);
    says(&right, "locked after 5 wrong passwords");
}

#[test]
fn five_wrong_passwords_lock_an_encrypted_package_for_the_right_one_too() {
    let mut options = PackOptions::default();
    options.encrypt = Some(cheap());
    let home = home_with(&options);
    five_wrong_ones_lock(&home);
    // For every command.
    let verify = ["verify", "a.mira", "--password-file", "pw"];
    mira(&home, &verify).run().assert_code(6);
    wait_ms(&home, 0);
    says(&mira(&home, &verify).run().assert_code(5), "not signed");
    ok(&home, &["inspect", "a.mira", "--password-file", "pw"]);
}

#[test]
fn five_wrong_passwords_lock_sealed_secrets_for_the_right_one_too() {
    let name: SecretName = "API_KEY".parse().unwrap();
    let value = SecretBytes::copy_from(VALUE.as_bytes());
    let value = SecretValue::new(&name, value).unwrap();
    let mut options = PackOptions::default();
    options.sealed = Some(seal(&[(name, value)], &cheap()).unwrap());
    let home = home_with(&options);
    five_wrong_ones_lock(&home);
    // What needs no password goes on.
    ok(&home, &["inspect", "a.mira"]);
}
