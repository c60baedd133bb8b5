//! Several processes at one repository, and what they say: nothing that was not asked for.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use mira_snapshot::SnapshotError;

use crate::support::{Fixture, SECRET, example, noise};

fn words(fixture: &Fixture) -> [std::path::PathBuf; 3] {
    let (password, secrets) = (
        fixture.folder().join("password"),
        fixture.folder().join("secrets"),
    );
    fs::write(&password, fixture.password.expose()).unwrap();
    fs::write(&secrets, format!("API_KEY={SECRET}\n")).unwrap();
    [fixture.snapshots(), password, secrets]
}

#[test]
fn processes_at_once_wait_for_each_other() {
    let fixture = Fixture::new();
    for number in 0..8 {
        fixture.write(&format!("file-{number}"), noise(number, 1 << 20));
    }
    let [repository, password, secrets] = words(&fixture);
    let children: Vec<_> = (0..4)
        .map(|_| {
            Command::new(example())
                .arg("take")
                .args([&repository, &password, &fixture.data(), &secrets])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stderr, b"", "{output:?}");
    }
    assert_eq!(fixture.repository.list().unwrap().len(), 4);
    fixture.restic_ok(&["check", "--read-data"]);
    let parents = fixture.repository.list().unwrap();
    assert!(parents.iter().all(|one| one.files == 8));
}

#[test]
fn a_lock_that_stays_is_an_error_in_time() {
    let mut fixture = Fixture::new();
    fixture.write("file", "content");
    let id = fixture.take().unwrap().snapshot.id;
    let held = fs::File::open(fixture.folder().join("snapshots.lock")).unwrap();
    held.lock().unwrap();
    fixture.repository.set_lock_wait(Duration::from_millis(1));
    let busy =
        |error: SnapshotError| assert!(matches!(error, SnapshotError::Busy { .. }), "{error}");
    busy(fixture.take().unwrap_err());
    busy(
        fixture
            .repository
            .forget(std::slice::from_ref(&id))
            .unwrap_err(),
    );
    busy(fixture.repository.check(false).unwrap_err());
    busy(
        fixture
            .repository
            .restore(&id, &fixture.volumes(), &mut |_| {})
            .unwrap_err(),
    );
    assert_eq!(
        fixture.repository.list().unwrap().len(),
        1,
        "a list needs no lock"
    );
    drop(held);
    fixture.repository.set_lock_wait(mira_snapshot::LOCK_WAIT);
    fixture.take().unwrap();
}

#[test]
fn restics_locks_count_until_they_are_stale() {
    let fixture = Fixture::new();
    fixture.write("file", "content");
    let lock = fixture.snapshots().join("locks").join("ab".repeat(32));
    fs::write(&lock, "what restic would write").unwrap();
    let error = fixture.take().unwrap_err();
    assert!(
        matches!(error, SnapshotError::LockedByRestic { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("restic unlock"), "{error}");
    let old = std::time::SystemTime::now() - Duration::from_secs(31 * 60);
    fs::File::options()
        .write(true)
        .open(&lock)
        .unwrap()
        .set_modified(old)
        .unwrap();
    fixture.take().unwrap();
}

#[test]
fn failures_are_told_by_the_caller_only() {
    let fixture = Fixture::new();
    fixture.write("file", SECRET);
    let [repository, password, secrets] = words(&fixture);
    let output = Command::new(example())
        .arg("take")
        .args([&repository, &password, &fixture.data(), &secrets])
        // What a logger would listen to.
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("snapshots: no snapshot was taken"),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
}
