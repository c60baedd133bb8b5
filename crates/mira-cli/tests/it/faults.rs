//! A vault that cannot be trusted, read or written: clear errors, distinct exit codes, and nothing lost.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use mira_testkit::home::{Run, TestHome};

use crate::support::{MIRA, VALUE, keyfile_home, list, mira, set};

#[test]
fn every_changed_byte_is_refused_with_what_is_wrong() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let file = home.mira_home().join("credentials.json");
    let good = fs::read(&file).unwrap();
    // Each byte is tried by the vault's own tests; here a sample of them reaches the user.
    for at in (0..good.len()).step_by(good.len() / 25) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, &bad).unwrap();
        let refused = mira(&home, &["list"]).run();
        let said = refused.stderr_text();
        assert!(
            matches!(refused.code(), Some(4 | 5)),
            "byte {at}: {refused:?}"
        );
        assert!(
            said.contains("credentials.json") || said.contains("root.key"),
            "byte {at}: {said}"
        );
        assert!(!said.contains("panicked"), "byte {at}: {said}");
    }
    fs::write(&file, &good).unwrap();
    assert_eq!(list(&home).len(), 1);
}

#[test]
fn an_old_vault_put_back_is_noticed_and_can_be_accepted() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let file = home.mira_home().join("credentials.json");
    let old = fs::read(&file).unwrap();
    mira(&home, &["rm", "--yes", "KEY"]).run().assert_code(0);
    fs::write(&file, &old).unwrap();

    let refused = mira(&home, &["run", "--", "true"]).run().assert_code(5);
    assert!(
        refused.stderr_text().contains("--accept-restored"),
        "{refused:?}"
    );
    mira(&home, &["set", "OTHER", "--stdin"])
        .stdin_bytes("x-value")
        .run()
        .assert_code(5);
    assert_eq!(fs::read(&file).unwrap(), old, "nothing was written");

    mira(&home, &["doctor", "--accept-restored"])
        .run()
        .assert_code(0);
    assert_eq!(list(&home).len(), 1);
}

#[test]
fn links_foreign_owners_and_open_modes_are_refused() {
    let home = keyfile_home();
    set(&home, "KEY", VALUE);
    let file = home.mira_home().join("credentials.json");
    let refused = |says: &str| {
        let run = mira(&home, &["list"]).run();
        assert!(matches!(run.code(), Some(1 | 5)), "{run:?}");
        assert!(run.stderr_text().contains(says), "{says}: {run:?}");
    };
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    refused("chmod 0600");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let elsewhere = home.path().join("elsewhere.json");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    refused("symbolic link");
    fs::remove_file(&file).unwrap();
    fs::rename(&elsewhere, &file).unwrap();

    fs::set_permissions(home.mira_home(), fs::Permissions::from_mode(0o755)).unwrap();
    refused("chmod 0700");
    fs::set_permissions(home.mira_home(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(list(&home).len(), 1);

    // Root's own folders are foreign to everybody else, and another user's file is foreign to root.
    let foreign = if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
        mira(&home, &["list"]).run()
    } else {
        mira(&home, &["list"]).env("MIRA_HOME", "/usr").run()
    };
    assert!(matches!(foreign.code(), Some(1 | 5)), "{foreign:?}");
    assert!(foreign.stderr_text().contains("belongs to"), "{foreign:?}");
}

/// Runs a script in a mount namespace of its own, where it may mount.
fn in_own_mounts(home: &TestHome, script: &str) -> Run {
    let script = format!("set -eu; mira={MIRA}; {script}");
    home.mira("unshare")
        .args(["-Urm", "sh", "-c", &script])
        .run()
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let home = TestHome::new();
    let run = in_own_mounts(
        &home,
        r#"
        mount -t tmpfs -o size=64k,mode=700 none "$MIRA_HOME"
        $mira init --provider keyfile
        printf first-value | $mira set KEY --stdin
        head -c 30000 /dev/zero | tr '\0' x > value
        code=0; n=0
        while [ $code = 0 ] && [ $n -lt 9 ]; do
            n=$((n + 1))
            $mira set BIG_$n --stdin < value || code=$?
        done
        echo "code $code"
        $mira run --only KEY -- sh -c 'printf %s "$KEY" | tr a-z n-za-m'
        $mira doctor > /dev/null
        ls -A "$MIRA_HOME" | tr '\n' ' '
        "#,
    )
    .assert_code(0);
    assert!(
        run.stdout_text().starts_with("code 1\nsvefg-inyhr"),
        "{run:?}"
    );
    assert!(!run.stdout_text().contains(".tmp"), "{run:?}");
    assert!(
        run.stderr_text().contains("No space left on device"),
        "{run:?}"
    );
}

#[test]
fn a_read_only_home_can_be_read_and_says_why_it_cannot_be_written() {
    let home = TestHome::new();
    let run = in_own_mounts(
        &home,
        r#"
        mount -t tmpfs -o mode=700 none "$MIRA_HOME"
        $mira init --provider keyfile
        printf first-value | $mira set KEY --stdin
        mount -o remount,ro none "$MIRA_HOME"
        code=0; printf second-value | $mira set KEY --stdin --replace || code=$?
        echo "code $code"
        $mira run -- sh -c 'printf %s "$KEY" | tr a-z n-za-m'
        "#,
    )
    .assert_code(0);
    assert_eq!(run.stdout_text(), "code 1\nsvefg-inyhr", "{run:?}");
    assert!(
        run.stderr_text().contains("Read-only file system"),
        "{run:?}"
    );
    assert!(
        run.stderr_text().contains("cannot record that sh holds"),
        "{run:?}"
    );
}
