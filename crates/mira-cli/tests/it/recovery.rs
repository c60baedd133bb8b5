//! `mira export --recovery`: a file that `age` opens, and `mira import` takes back into a fresh vault.

use mira_testkit::home::TestHome;

use crate::support::{VALUE, keyfile_home, list, mira, set};

fn path(home: &TestHome, name: &str) -> String {
    home.path().join(name).to_str().unwrap().to_owned()
}

#[test]
fn recipients_open_it_with_age_and_with_mira() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    mira(
        &home,
        &[
            "set",
            "BINARY",
            "--stdin",
            "--scope",
            "mcp/files",
            "--label",
            "Some bytes",
        ],
    )
    .stdin_bytes(b"\xff\xfe\x01bytes".to_vec())
    .run()
    .assert_code(0);
    let (identity, out) = (path(&home, "identity.txt"), path(&home, "recovery.age"));
    home.mira("age-keygen")
        .args(["-o", &identity])
        .run()
        .assert_code(0);
    let recipient = home
        .mira("age-keygen")
        .args(["-y", &identity])
        .run()
        .assert_code(0);
    let recipient = recipient.stdout_text().trim().to_owned();
    let args = [
        "export",
        "--recovery",
        "--recipient",
        &recipient,
        "--out",
        &out,
    ];
    mira(&home, &args).run().assert_code(0);
    mira(&home, &args).run().assert_code(1);
    let sweep =
        mira_testkit::canary::Sweep::new(&[mira_testkit::canary::Canary::new("KEY", VALUE)]);
    sweep.file(out.as_ref()).assert_clean();

    let opened = home
        .mira("age")
        .args(["-d", "-i", &identity, &out])
        .run()
        .assert_code(0);
    let opened: serde_json::Value = serde_json::from_slice(&opened.stdout).unwrap();
    assert_eq!(opened["secrets"].as_array().unwrap().len(), 2);

    let fresh = keyfile_home();
    mira(&fresh, &["import", "--yes", "--identity", &identity, &out])
        .run()
        .assert_code(0);
    let names: Vec<_> = list(&fresh)
        .iter()
        .map(|e| (e["scope"].clone(), e["label"].clone()))
        .collect();
    assert_eq!(names.len(), 2);
    assert!(
        names
            .iter()
            .any(|(scope, label)| scope == "mcp/files" && label == "Some bytes")
    );
    let ran = mira(&fresh, &["run", "--", "sh", "-c", "echo $KEY"])
        .run()
        .assert_code(0);
    assert_eq!(ran.stdout_text(), "[redacted:KEY]\n");
}

#[test]
fn a_passphrase_opens_it_and_a_wrong_one_does_not() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let (good, wrong, out) = (
        path(&home, "good"),
        path(&home, "wrong"),
        path(&home, "r.age"),
    );
    std::fs::write(&good, "correct horse battery").unwrap();
    std::fs::write(&wrong, "incorrect horse battery").unwrap();
    let args = [
        "export",
        "--recovery",
        "--recovery-passphrase-file",
        &good,
        "--out",
        &out,
    ];
    mira(&home, &args).run().assert_code(0);

    let fresh = keyfile_home();
    let import = |key: &str| {
        mira(
            &fresh,
            &["import", "--yes", "--recovery-passphrase-file", key, &out],
        )
        .run()
    };
    let refused = import(&wrong);
    assert!(matches!(refused.code(), Some(4 | 5)), "{refused:?}");
    assert!(list(&fresh).is_empty());
    import(&good).assert_code(0);
    assert_eq!(list(&fresh).len(), 1);
    let asked = mira(&fresh, &["import", "--yes", &out])
        .run()
        .assert_code(3);
    assert!(asked.stderr_text().contains("--identity"), "{asked:?}");
}
