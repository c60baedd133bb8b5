//! What the tests share: a home with a vault, and short ways to run `mira` in it.

use mira_testkit::home::{Invocation, Run, TestHome};

pub(crate) const MIRA: &str = env!("CARGO_BIN_EXE_mira");

/// A value that no program prints by chance.
pub(crate) const VALUE: &str = "sk-proj-7Fq2mXv9LrT4bWc8ZnYd";

/// Prepares `mira` with arguments.
pub(crate) fn mira(home: &TestHome, args: &[&str]) -> Invocation {
    home.mira(MIRA).args(args)
}

/// Makes a home with a vault that opens with a key file.
pub(crate) fn keyfile_home() -> TestHome {
    let home = TestHome::new();
    mira(&home, &["init", "--provider", "keyfile"])
        .run()
        .assert_code(0);
    home
}

/// Saves a value.
#[track_caller]
pub(crate) fn set(home: &TestHome, name: &str, value: &str) -> Run {
    mira(home, &["set", name, "--stdin", "--replace"])
        .stdin_bytes(value)
        .run()
        .assert_code(0)
}

/// Returns the listing as JSON.
#[track_caller]
pub(crate) fn list(home: &TestHome) -> Vec<serde_json::Value> {
    let run = mira(home, &["list", "--json"]).run().assert_code(0);
    serde_json::from_slice(&run.stdout).unwrap()
}
