//! The two programs: what `mira` does by itself, and how it becomes the other.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mira_testkit::home::TestHome;

use crate::support::{MIRA, VALUE, keyfile_home, mira, set};

/// A folder with `mira` alone.
struct Alone(tempfile::TempDir);

impl Alone {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(MIRA, folder.path().join("mira")).unwrap();
        Self(folder)
    }

    fn mira(&self) -> PathBuf {
        self.0.path().join("mira")
    }
}

#[test]
fn mira_alone_has_the_commands_for_secrets() {
    let (alone, home) = (Alone::new(), TestHome::new());
    let run = |args: &[&str]| home.mira(alone.mira()).args(args);
    run(&["init", "--provider", "keyfile"]).run().assert_code(0);
    run(&["set", "API_KEY", "--stdin"])
        .stdin_bytes(VALUE)
        .run()
        .assert_code(0);
    let ran = run(&["run", "--", "sh", "-c", "echo $API_KEY"]).run();
    assert_eq!(ran.assert_code(0).stdout_text(), "[redacted:API_KEY]\n");
    run(&["doctor"]).run().assert_code(0);
    let version = run(&["--version"]).run().assert_code(0).stdout_text();
    assert_eq!(version, concat!("mira ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(&["--help"]).run().assert_code(0).stdout_text();
    assert!(
        help.contains("redact") && help.contains("mira-apps"),
        "{help}"
    );
    run(&[]).run().assert_code(2);
}

#[test]
fn mira_alone_says_what_is_missing_for_other_commands() {
    let (alone, home) = (Alone::new(), TestHome::new());
    for args in [
        &["ps"][..],
        &["frobnicate"],
        &["run", "--gate", "--", "true"],
    ] {
        let run = home.mira(alone.mira()).args(args).run().assert_code(3);
        let told = run.stderr_text();
        assert!(
            told.contains("mira-apps") && told.contains("cargo install"),
            "{told}"
        );
        assert!(!told.contains("frobnicate"), "{told}");
        assert_eq!(run.stdout_text(), "");
    }
}

#[test]
fn mira_is_found_by_a_link_and_finds_the_other_beside_the_file_itself() {
    let (folder, home) = (tempfile::tempdir().unwrap(), TestHome::new());
    let link = folder.path().join("m");
    std::os::unix::fs::symlink(MIRA, &link).unwrap();
    // What lies beside the link, or in PATH, is none of ours.
    let decoy = folder.path().join("mira-apps");
    std::os::unix::fs::symlink(Path::new("/bin/false"), decoy).unwrap();
    let listed = home.mira(&link).args(["ps", "--json"]).run();
    assert_eq!(listed.assert_code(0).stdout_text().trim(), "[]");
}

#[test]
fn mira_becomes_the_other_as_the_same_process() {
    let home = keyfile_home();
    set(&home, "API_KEY", VALUE);
    let mut child = Command::new(MIRA)
        .args([
            "run",
            "--gate",
            "--",
            "sh",
            "-c",
            "echo up; read line; exit 7",
        ])
        .env_clear()
        .envs(home.env().iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut said).unwrap();
    assert_eq!(said, "up\n");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", child.id())).unwrap();
    assert_eq!(name, "mira-apps\n");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    // And what it says of itself is `mira`, as it was called.
    let wrong = mira(&home, &["ps", "--no-such"]).run().assert_code(2);
    assert!(wrong.stderr_text().starts_with("mira: "), "{wrong:?}");
}
