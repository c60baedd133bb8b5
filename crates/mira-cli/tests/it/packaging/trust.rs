//! `mira verify`: exit 0 for a whole package by somebody known, and 5 for everything else.

use std::fs;

use mira_testkit::home::{Run, TestHome};

use super::{folder, home_with_app, json, key, name_publisher, ok, read, says};
use crate::support::mira;

fn verify(home: &TestHome, args: &[&str]) -> Run {
    mira(home, &[&["verify", "a.mira"], args].concat()).run()
}

fn pack(home: &TestHome, args: &[&str]) {
    ok(
        home,
        &[&["pack", "app", "-o", "a.mira", "--replace"], args].concat(),
    );
}

fn flip(home: &TestHome, file: &str, at: usize) {
    let mut bytes = read(home, file);
    bytes[at] ^= 1;
    fs::write(folder(home).join(file), bytes).unwrap();
}

#[test]
fn a_package_that_nobody_known_signed_is_not_verified() {
    let home = home_with_app();
    pack(&home, &[]);
    says(
        &verify(&home, &[]).assert_code(5),
        "a.mira: not signed: there is no a.mira.minisig",
    );
    let mine = key(&home, "mine");
    says(
        &verify(&home, &["--key", &mine]).assert_code(5),
        "not signed",
    );
    pack(&home, &["--sign", "mine.key"]);
    let found = verify(&home, &["--json"]).assert_code(5);
    assert_eq!(json(&found)["trust"], "unsigned");
    assert_eq!(json(&found)["accepted"], false);
    says(&found, "signed by a key that nobody here knows");
}

#[test]
fn a_key_that_is_given_decides_alone() {
    let home = home_with_app();
    let (mine, other) = (key(&home, "mine"), key(&home, "other"));
    pack(&home, &["--sign", "mine.key"]);
    let found = verify(&home, &["--key", &mine, "--json"]).assert_code(0);
    assert_eq!(json(&found)["signedBy"], mine);
    verify(&home, &["--key", "mine.pub"]).assert_code(0);
    says(
        &verify(&home, &["--key", &other]).assert_code(5),
        "another key",
    );
    name_publisher(&home, &mine);
    pack(&home, &["--sign", "mine.key"]);
    let found = verify(&home, &["--key", &other, "--json"]).assert_code(5);
    assert_eq!(json(&found)["trust"], "new publisher");
    verify(&home, &["--key", "RWnothing"]).assert_code(2);
    verify(&home, &["--key", "mine.key"]).assert_code(2);
}

#[test]
fn the_key_of_the_manifest_counts_until_another_was_seen() {
    let home = home_with_app();
    let (mine, other) = (key(&home, "mine"), key(&home, "other"));
    name_publisher(&home, &mine);
    pack(&home, &["--sign", "mine.key"]);
    let found = verify(&home, &[]).assert_code(0);
    says(&found, "new publisher");
    says(&found, "compare the key with what its publisher says");
    // A first open remembers the key; its required secret is missing, so nothing is started.
    mira(&home, &["open", "a.mira"]).run().assert_code(3);
    says(
        &verify(&home, &[]).assert_code(0),
        "the publisher that org.example.app was opened with before",
    );
    name_publisher(&home, &other);
    pack(&home, &["--sign", "other.key"]);
    let found = verify(&home, &["--json"]).assert_code(5);
    assert_eq!(json(&found)["trust"], "new publisher");
    says(
        &found,
        "another key than org.example.app was opened with before",
    );
    verify(&home, &["--key", &other]).assert_code(0);
    // Once the user has agreed, both are known.
    mira(&home, &["open", "a.mira", "--agree"])
        .run()
        .assert_code(3);
    let found = verify(&home, &["--json"]).assert_code(0);
    assert_eq!(json(&found)["trust"], "trusted");
}

#[test]
fn what_was_changed_is_not_verified_whoever_signed_it() {
    let home = home_with_app();
    let mine = key(&home, "mine");
    name_publisher(&home, &mine);
    let fresh = || pack(&home, &["--sign", "mine.key"]);
    fresh();
    // In the signature's bytes; the line before it is not signed.
    let signature = String::from_utf8(read(&home, "a.mira.minisig")).unwrap();
    flip(&home, "a.mira.minisig", signature.find('\n').unwrap() + 40);
    says(
        &verify(&home, &[]).assert_code(5),
        "the signature does not hold",
    );
    says(
        &verify(&home, &["--key", &mine]).assert_code(5),
        "the signature does not hold",
    );
    fs::write(folder(&home).join("a.mira.minisig"), "no signature").unwrap();
    assert_eq!(
        json(&verify(&home, &["--json"]).assert_code(5))["trust"],
        "tampered"
    );
    // In a file's content: that is found before any signature is asked about.
    fresh();
    // The first one is that of main.py, behind its header and its name.
    flip(&home, "a.mira", 30 + 7 + 3);
    says(
        &verify(&home, &[]).assert_code(5),
        "does not have its digest",
    );
    // Signed anew by somebody else.
    fresh();
    key(&home, "thief");
    let sign = ["-S", "-m", "a.mira", "-s", "thief.key"];
    home.mira("minisign").args(sign).run().assert_code(0);
    says(
        &verify(&home, &[]).assert_code(5),
        "another key than the one that the package names",
    );
}

#[test]
fn only_packages_are_verified() {
    let home = home_with_app();
    says(
        &mira(&home, &["verify", "app"]).run().assert_code(2),
        "folders are not signed",
    );
    mira(&home, &["verify", "nowhere"]).run().assert_code(1);
    mira(&home, &["verify", "pw"]).run().assert_code(5);
}
