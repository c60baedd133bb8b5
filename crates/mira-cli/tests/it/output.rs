//! What the surfaces say: help, completions, man pages, and silence where nothing is to be said.

use crate::support::{keyfile_home, mira};

#[test]
fn help_completions_and_manual_pages_name_every_command() {
    let home = keyfile_home();
    let commands = [
        "init",
        "set",
        "list",
        "rm",
        "import",
        "export",
        "run",
        "explain",
        "redact",
        "unlock",
        "lock",
        "rekey",
        "doctor",
        "new",
        "validate",
        "keygen",
        "pack",
        "inspect",
        "verify",
        "completions",
        "man",
    ];
    let help = mira(&home, &["--help"]).run().assert_code(0).stdout_text();
    let bash = mira(&home, &["completions", "bash"])
        .run()
        .assert_code(0)
        .stdout_text();
    for command in commands {
        assert!(help.contains(&format!("  {command}")), "{command}: {help}");
        assert!(bash.contains(command), "{command}");
    }
    let man = mira(&home, &["man"]).run().assert_code(0).stdout_text();
    assert!(
        man.starts_with(".ie") && man.contains("SUBCOMMANDS"),
        "{man}"
    );
    let folder = home.path().join("pages");
    std::fs::create_dir(&folder).unwrap();
    mira(&home, &["man", "--out", folder.to_str().unwrap()])
        .run()
        .assert_code(0);
    assert!(std::fs::read_dir(&folder).unwrap().count() > commands.len());
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        mira(&home, &["completions", shell]).run().assert_code(0);
    }
}

#[test]
fn wrong_usage_is_told_on_stderr() {
    let home = keyfile_home();
    let nothing = mira(&home, &[]).run().assert_code(2);
    assert_eq!(nothing.stdout_text(), "");
    assert!(nothing.stderr_text().contains("Usage"), "{nothing:?}");
    let wrong = mira(&home, &["lst"]).run().assert_code(2);
    assert!(
        wrong.stderr_text().contains("did you mean") && wrong.stderr_text().contains("`list`"),
        "{wrong:?}"
    );
}

#[test]
fn doctor_tells_what_it_found() {
    let home = keyfile_home();
    let said = mira(&home, &["doctor"]).run().assert_code(0).stdout_text();
    for part in [
        "home",
        "keyfile",
        "every byte authenticated",
        "recorded, not enforced",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json = mira(&home, &["doctor", "--json"])
        .run()
        .assert_code(0)
        .stdout;
    let checks: Vec<serde_json::Value> = serde_json::from_slice(&json).unwrap();
    assert!(
        checks.iter().all(|check| check["state"] != "bad"),
        "{checks:?}"
    );

    mira(&home, &["set", "PIN", "--stdin"])
        .stdin_bytes("123")
        .run()
        .assert_code(0);
    let said = mira(&home, &["doctor"]).run().assert_code(0).stdout_text();
    assert!(
        said.contains("PIN has fewer than 4 bytes and is NOT redacted"),
        "{said}"
    );

    std::fs::write(home.mira_home().join("credentials.json"), "{}").unwrap();
    let bad = mira(&home, &["doctor"]).run().assert_code(5);
    assert!(bad.stdout_text().contains("BAD"), "{bad:?}");
}
