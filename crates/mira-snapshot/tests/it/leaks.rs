//! No value of a secret gets into a repository, in whatever spelling and place.

use std::fs;
use std::sync::Arc;

use mira_snapshot::{Form, Place, SnapshotError};
use mira_testkit::canary::{Canary, Sweep};

use crate::support::{Fixture, SECRET, noise, options, secrets};

#[test]
fn a_value_anywhere_stops_the_snapshot_and_nothing_of_it_stays() {
    let canaries = Canary::generate();
    let sweep = Sweep::new(&canaries);
    let fixture = Fixture::new();
    let mut builder = mira_snapshot::Secrets::builder();
    let mut expected = 0;
    for canary in &canaries {
        builder.add(canary.name(), canary.value());
        // Behind the part of a large file that the library has stored when it comes, and in a small one.
        let mut large = noise(expected, 11 << 20);
        large.extend_from_slice(canary.value());
        fixture.write(&format!("large-{expected}"), &large);
        fixture.write(&format!("small-{expected}"), canary.value());
        expected += 1;
    }
    fixture.write("clean", noise(7, 9 << 20));
    let error = fixture.take_with(&builder.build(), &options()).unwrap_err();
    let SnapshotError::SecretsFound(findings) = error else {
        panic!("{error}");
    };
    for number in 0..expected {
        for kind in ["large", "small"] {
            let path = format!("/data/{kind}-{number}");
            assert!(
                findings.listed.iter().any(|found| found.path == path),
                "{path}"
            );
        }
    }
    assert!(
        findings
            .listed
            .iter()
            .all(|found| found.path != "/data/clean")
    );
    assert!(fixture.repository.list().unwrap().is_empty());
    assert_eq!(fixture.left_over(), [""; 0]);
    sweep.folder(&fixture.snapshots()).assert_clean();
    sweep
        .bytes("the decrypted packs", &fixture.decrypted())
        .assert_clean();
    assert_eq!(packs(&fixture), 0, "not even encrypted ones");
}

fn packs(fixture: &Fixture) -> usize {
    let folders = fs::read_dir(fixture.snapshots().join("data")).unwrap();
    folders
        .map(|folder| fs::read_dir(folder.unwrap().path()).unwrap().count())
        .sum()
}

#[test]
fn findings_tell_where_and_how() {
    let fixture = Fixture::new();
    fixture.write("a/config.json", format!("{{\"key\": \"{SECRET}\"}}"));
    fixture.write(
        "b.txt",
        data_encoding::BASE64.encode(format!("xy{SECRET}").as_bytes()),
    );
    fixture.write(&format!("sub-{SECRET}/file"), "clean");
    std::os::unix::fs::symlink(format!("/tmp/{SECRET}"), fixture.data().join("link")).unwrap();
    let error = fixture.take().unwrap_err();
    let text = error.to_string();
    let SnapshotError::SecretsFound(findings) = error else {
        panic!("{text}");
    };
    let listed: Vec<_> = findings
        .listed
        .iter()
        .map(|found| {
            (
                found.path.as_str(),
                found.place.clone(),
                found.offset,
                found.form,
            )
        })
        .collect();
    assert_eq!(
        listed,
        [
            ("/data/a/config.json", Place::Content, 9, Form::Raw),
            ("/data/b.txt", Place::Content, 2, Form::Base64),
            ("/data/link", Place::LinkTarget, 5, Form::Raw),
            ("/data/sub-[redacted:API_KEY]", Place::Name, 10, Form::Raw),
        ]
    );
    assert_eq!(findings.total, 4);
    assert!(!text.contains(SECRET), "{text}");
    assert!(
        text.contains("/data/a/config.json (API_KEY at byte 9, raw)"),
        "{text}"
    );
}

#[test]
fn extended_attributes_are_searched() {
    let fixture = Fixture::new();
    fixture.write("file", "clean");
    let path = fixture.data().join("file");
    let flags = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(&path, "user.note", SECRET.as_bytes(), flags).unwrap();
    let error = fixture.take().unwrap_err();
    let SnapshotError::SecretsFound(findings) = error else {
        panic!("{error}");
    };
    assert_eq!(findings.listed[0].place, Place::Attribute);
    assert_eq!(findings.total, 1);
}

#[test]
fn left_out_files_are_listed_and_the_rest_is_stored() {
    let fixture = Fixture::new();
    fixture.write("a/key", SECRET);
    fixture.write("a/clean", "clean");
    let mut large = noise(3, 12 << 20);
    large.extend_from_slice(SECRET.as_bytes());
    fixture.write("large", &large);
    fixture.write(&format!("dir-{SECRET}/inner"), "below a name with a secret");
    let mut options = options();
    options.leave_out = true;
    let report = fixture
        .take_with(&secrets(&[("API_KEY", SECRET)]), &options)
        .unwrap();
    let paths: Vec<_> = report
        .left_out
        .listed
        .iter()
        .map(|found| &*found.path)
        .collect();
    assert_eq!(
        paths,
        ["/data/a/key", "/data/dir-[redacted:API_KEY]", "/data/large"]
    );

    let id = report.snapshot.id.as_str();
    let listed = fixture.restic_ok(&["ls", id]);
    let files: Vec<_> = listed
        .lines()
        .filter(|line| line.starts_with('/'))
        .collect();
    assert_eq!(files, ["/data", "/data/a", "/data/a/clean"]);
    fixture.restic_ok(&["check", "--read-data"]);
    let sweep = Sweep::new(&[Canary::new("API_KEY", SECRET)]);
    sweep
        .bytes("the decrypted packs", &fixture.decrypted())
        .assert_clean();
    let stored = fixture.decrypted();
    let large_is_there = stored.windows(64).any(|part| part == &large[..64]);
    assert!(!large_is_there, "nothing of a file that is left out");
}

#[test]
fn a_new_secret_means_that_old_files_are_read_again() {
    let fixture = Fixture::new();
    let late = "tok-live-88Zk2Qw7Yh31Mb";
    fixture.write("old", format!("it was no secret then: {late}"));
    let first = fixture.take().unwrap();
    let unchanged = fixture.take().unwrap();
    assert_eq!(unchanged.parent.as_ref(), Some(&first.snapshot.id));
    assert_eq!(unchanged.files_read, 0);

    let more = secrets(&[("API_KEY", SECRET), ("LATE", late)]);
    let error = fixture.take_with(&more, &options()).unwrap_err();
    assert!(matches!(error, SnapshotError::SecretsFound(_)), "{error}");

    // Rotated: the old value does not count any more, and so does the search for it.
    let rotated = secrets(&[("API_KEY", "sk-proj-another-value-9081726354")]);
    let report = fixture.take_with(&rotated, &options()).unwrap();
    assert_eq!((report.parent, report.files_read), (None, 1));
    // Fewer secrets than a snapshot was searched for: what did not change is clean of them.
    let report = fixture.take_with(&secrets(&[]), &options()).unwrap();
    assert_eq!(report.files_read, 0);
}

#[test]
fn a_secret_that_spans_the_blocks_of_a_large_file_is_found() {
    let fixture = Fixture::new();
    let mut large = noise(5, 12 << 20);
    for at in [(1 << 20) - 7, (9 << 20) - 1, (8 << 20) + 13] {
        large[at..at + SECRET.len()].copy_from_slice(SECRET.as_bytes());
    }
    fixture.write("large", &large);
    let SnapshotError::SecretsFound(findings) = fixture.take().unwrap_err() else {
        panic!("it was not found");
    };
    let offsets: Vec<u64> = findings.listed.iter().map(|found| found.offset).collect();
    assert_eq!(offsets, [(1 << 20) - 7, (8 << 20) + 13, (9 << 20) - 1]);
}

#[test]
fn short_values_are_told_and_not_searched_for() {
    let fixture = Fixture::new();
    fixture.write("file", "abc");
    let report = fixture
        .take_with(&secrets(&[("PIN", "abc")]), &options())
        .unwrap();
    assert_eq!(report.not_looked_for, [Arc::from("PIN")]);
}
