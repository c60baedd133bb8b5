//! A secret's life: saved, listed, delivered, rotated, removed.

use crate::support::{VALUE, keyfile_home, list, mira, set};

#[test]
fn a_secret_is_saved_listed_delivered_rotated_and_removed() {
    let home = keyfile_home();
    let saved = mira(
        &home,
        &[
            "set",
            "OPENAI_API_KEY",
            "--stdin",
            "--label",
            "OpenAI API Key",
        ],
    )
    .stdin_bytes(format!("{VALUE}\n"))
    .run()
    .assert_code(0);
    assert_eq!(
        saved.stderr_text(),
        "mira: saved OPENAI_API_KEY in scope user\n"
    );
    assert_eq!(saved.stdout_text(), "");

    let listed = mira(&home, &["list"]).run().assert_code(0).stdout_text();
    for part in ["NAME", "OPENAI_API_KEY", "OpenAI API Key", "user", "token"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    let entry = &list(&home)[0];
    assert_eq!(
        (&entry["version"], &entry["rotated"]),
        (&1.into(), &().into())
    );

    let script = r#"printf '%s' "$OPENAI_API_KEY" | wc -c; echo "key: $OPENAI_API_KEY""#;
    let ran = mira(&home, &["run", "--", "sh", "-c", script])
        .run()
        .assert_code(0);
    let expected = format!("{}\nkey: [redacted:OPENAI_API_KEY]\n", VALUE.len());
    assert_eq!(ran.stdout_text(), expected);
    assert_eq!(ran.stderr_text(), "");

    set(&home, "OPENAI_API_KEY", "another-value-altogether");
    let entry = &list(&home)[0];
    assert_eq!(entry["version"], 2);
    assert_eq!(entry["label"], "OpenAI API Key");
    assert!(entry["rotated"].is_string());

    mira(&home, &["rm", "OPENAI_API_KEY", "--yes"])
        .run()
        .assert_code(0);
    assert_eq!(list(&home), [] as [serde_json::Value; 0]);
    let gone = mira(&home, &["run", "--only", "OPENAI_API_KEY", "--", "true"])
        .run()
        .assert_code(3);
    assert!(gone.stderr_text().contains("OPENAI_API_KEY"), "{gone:?}");
}

#[test]
fn stdin_is_taken_as_it_is_less_one_newline() {
    let home = keyfile_home();
    let check = |given: &[u8], expect: &[u8]| {
        mira(&home, &["set", "KEY", "--stdin", "--replace"])
            .stdin_bytes(given)
            .run()
            .assert_code(0);
        let script = r#"printf '%s' "$KEY" | od -An -v -tx1 | tr -d ' \n'"#;
        let ran = mira(&home, &["run", "--", "sh", "-c", script])
            .run()
            .assert_code(0);
        let hex: String = expect.iter().map(|byte| format!("{byte:02x}")).collect();
        // The hexadecimal spelling of a value of 8 bytes or more is redacted too.
        assert_eq!(ran.stdout_text(), hex, "{given:?}");
    };
    check(b"abc\n", b"abc");
    check(b"abc\n\n", b"abc\n");
    check(b" a \r\n", b" a \r");
    check(b"\xff\xfe\x01", b"\xff\xfe\x01");
}

#[test]
fn values_that_no_variable_can_carry_are_refused() {
    let home = keyfile_home();
    let check = |given: Vec<u8>, says: &str| {
        let refused = mira(&home, &["set", "KEY", "--stdin"])
            .stdin_bytes(given)
            .run()
            .assert_code(1);
        assert!(refused.stderr_text().contains(says), "{refused:?}");
    };
    check(Vec::new(), "is empty");
    check(b"\n".to_vec(), "is empty");
    check(b"a\0b".to_vec(), "NUL");
    check(vec![b'x'; 128 * 1024], "at most 131067");
    check(vec![b'x'; 512 * 1024], "longer than 131072 bytes");
    assert!(list(&home).is_empty());

    let longest = vec![b'x'; 131_067];
    mira(&home, &["set", "KEY", "--stdin"])
        .stdin_bytes(longest)
        .run()
        .assert_code(0);
    let script = r#"printf '%s' "$KEY" | wc -c"#;
    let ran = mira(&home, &["run", "--", "sh", "-c", script])
        .run()
        .assert_code(0);
    assert_eq!(ran.stdout_text(), "131067\n");
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let home = keyfile_home();
    for args in [
        &["set", "KEY", VALUE] as &[&str],
        &["set", &format!("KEY={VALUE}")],
        &["set", "KEY", "--stdin", VALUE],
        &["set", "KEY", "--value", VALUE],
        &["set", &format!("--value={VALUE}"), "KEY"],
        &["set", VALUE],
        &["rm", VALUE],
        &["explain", VALUE],
        &["run", "--only", VALUE, "--", "true"],
    ] {
        let refused = mira(&home, args).run().assert_code(2);
        let said = refused.stderr_text() + &refused.stdout_text();
        assert!(!said.contains(VALUE), "{args:?}: {said}");
    }
    let refused = mira(&home, &["set", "KEY", VALUE]).run();
    assert!(
        refused.stderr_text().contains("mira set NAME --stdin"),
        "{refused:?}"
    );
}

#[test]
fn without_a_terminal_nothing_is_asked_and_the_missing_is_named() {
    let home = keyfile_home();
    let missing = mira(&home, &["set", "KEY"])
        .stdin_bytes("value")
        .run()
        .assert_code(3);
    assert!(missing.stderr_text().contains("--stdin"), "{missing:?}");
    set(&home, "KEY", "first-value");
    let replacing = mira(&home, &["set", "KEY", "--stdin"])
        .stdin_bytes("second")
        .run()
        .assert_code(3);
    assert!(
        replacing.stderr_text().contains("--replace"),
        "{replacing:?}"
    );
    let removing = mira(&home, &["rm", "KEY"]).run().assert_code(3);
    assert!(removing.stderr_text().contains("--yes"), "{removing:?}");
    let absent = mira(&home, &["explain", "OTHER", "--json"])
        .run()
        .assert_code(3);
    let told: serde_json::Value = serde_json::from_slice(&absent.stdout).unwrap();
    assert_eq!(told["source"], "nothing");
    assert_eq!(list(&home)[0]["version"], 1);
}

#[test]
fn scopes_do_not_mix() {
    let home = keyfile_home();
    set(&home, "TOKEN", "the-users-own-token");
    mira(&home, &["set", "TOKEN", "--stdin", "--scope", "mcp/github"])
        .stdin_bytes("the-servers-token")
        .run()
        .assert_code(0);
    let print = |args: &[&str]| {
        let all = [
            &["run"],
            args,
            &["--", "sh", "-c", "printf %s \"$TOKEN\" | cut -c1-9"],
        ]
        .concat();
        mira(&home, &all).run().assert_code(0).stdout_text()
    };
    assert_eq!(print(&[]), "the-users\n");
    assert_eq!(print(&["--scope", "mcp/github"]), "the-serve\n");
    mira(&home, &["rm", "--yes", "--scope", "mcp/github", "TOKEN"])
        .run()
        .assert_code(0);
    assert_eq!(list(&home).len(), 1);
    assert_eq!(list(&home)[0]["scope"], "user");
    mira(&home, &["list", "--scope", "elsewhere"])
        .run()
        .assert_code(2);
}

#[test]
fn before_init_every_command_says_what_to_do() {
    let home = mira_testkit::home::TestHome::new();
    for args in [
        &["list"] as &[&str],
        &["set", "KEY", "--stdin"],
        &["run", "--", "true"],
        &["rm", "KEY"],
        &["explain", "KEY"],
        &["redact"],
    ] {
        let refused = mira(&home, args).run().assert_code(3);
        assert!(
            refused.stderr_text().contains("mira init"),
            "{args:?}: {refused:?}"
        );
    }
    let refused = mira(&home, &["init"]).run().assert_code(3);
    for choice in [
        "--provider keyring",
        "--provider passphrase",
        "--provider keyfile",
    ] {
        assert!(refused.stderr_text().contains(choice), "{refused:?}");
    }
    assert!(!home.mira_home().join("credentials.json").exists());
}

#[test]
fn init_never_makes_a_vault_over_another() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let refused = mira(&home, &["init", "--provider", "keyfile"])
        .run()
        .assert_code(1);
    assert!(
        refused.stderr_text().contains("there is a vault already"),
        "{refused:?}"
    );
    assert_eq!(list(&home).len(), 1);
}
