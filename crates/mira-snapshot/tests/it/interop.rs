//! restic reads what we wrote, and we read what restic wrote.

use std::fs;
use std::path::Path;

use mira_snapshot::{Repository, Volume};

use crate::support::{Fixture, contents, options, restic};

#[test]
fn restic_checks_lists_dumps_and_restores_our_snapshots() {
    let fixture = Fixture::new();
    fixture.write("notes/a.txt", "first");
    fixture.write("large", crate::support::noise(1, 20 << 20));
    fixture.write("odd/ä \"b\" \\ \n\t'.txt", "odd");
    std::os::unix::fs::symlink("notes/a.txt", fixture.data().join("link")).unwrap();
    let mut options = options();
    options.tags = vec!["safety".into(), "before".into()];
    let secrets = crate::support::secrets(&[("API_KEY", crate::support::SECRET)]);
    let report = fixture.take_with(&secrets, &options).unwrap();

    fixture.restic_ok(&["check", "--read-data"]);
    let listed = fixture.restic_ok(&["snapshots", "--json"]);
    let id = report.snapshot.id.as_str();
    for part in [id, "readlater-3kq7mzpa", "\"/data\"", "before", "safety"] {
        assert!(listed.contains(part), "{part} in {listed}");
    }
    assert_eq!(
        fixture.restic_ok(&["dump", id, "/data/notes/a.txt"]),
        "first"
    );

    let target = tempfile::tempdir().unwrap();
    fixture.restic_ok(&["restore", id, "--target", target.path().to_str().unwrap()]);
    assert_eq!(
        contents(&target.path().join("data")),
        contents(&fixture.data())
    );
}

#[test]
fn what_restic_took_is_listed_restored_and_no_parent_of_ours() {
    let fixture = Fixture::new();
    fixture.write("a.txt", "first");
    let data = fixture.data();
    // As the volume is called in snapshots: restic stores the path that it is given.
    let root = fixture.folder().join("state");
    let output = std::process::Command::new("restic")
        .args(["--no-cache", "--quiet", "--repo"])
        .arg(fixture.snapshots())
        .args(["backup", "--host", "readlater-3kq7mzpa", "data"])
        .env(
            "RESTIC_PASSWORD",
            std::str::from_utf8(fixture.password.expose()).unwrap(),
        )
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let [theirs] = fixture.repository.list().unwrap().try_into().unwrap();
    assert_eq!(theirs.instance, "readlater-3kq7mzpa");
    assert_eq!(theirs.files, 0, "this restic does not say");

    let report = fixture.take().unwrap();
    assert_eq!(report.parent, None, "restic searched for nothing");
    assert_eq!(report.files_read, 1);
    assert_eq!(fixture.take().unwrap().parent, Some(report.snapshot.id));
    drop(data);
}

#[test]
fn a_repository_of_restics_own_is_opened_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let (theirs, volume) = (folder.path().join("theirs"), folder.path().join("data"));
    let password = Repository::make_password().unwrap();
    assert!(restic(&theirs, &password, &["init"]).status.success());
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("a"), "content").unwrap();
    set_private(&theirs);

    let repository = Repository::open(&theirs, &password).unwrap();
    let volumes = [Volume::new("data", &volume)];
    let secrets = crate::support::secrets(&[]);
    let report = repository
        .snapshot(&volumes, &secrets, &options(), &mut |_| {})
        .unwrap();
    fs::write(volume.join("a"), "changed").unwrap();
    repository
        .restore(&report.snapshot.id, &volumes, &mut |_| {})
        .unwrap();
    assert_eq!(fs::read_to_string(volume.join("a")).unwrap(), "content");
    repository.check(true).unwrap();
    assert!(restic(&theirs, &password, &["check"]).status.success());
}

fn set_private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn restic_checks_what_we_pruned() {
    let fixture = Fixture::new();
    for round in 0..4 {
        fixture.write("changing", crate::support::noise(round, 3 << 20));
        fixture.write(
            &format!("kept-{round}"),
            crate::support::noise(100 + round, 1 << 20),
        );
        fixture.take().unwrap();
    }
    let ids: Vec<_> = fixture
        .repository
        .list()
        .unwrap()
        .into_iter()
        .map(|one| one.id)
        .collect();
    fixture.repository.forget(&ids[..3]).unwrap();
    fixture.restic_ok(&["check", "--read-data"]);
    fixture.repository.check(true).unwrap();
    assert_eq!(fixture.repository.list().unwrap().len(), 1);
    let (before, id) = (contents(&fixture.data()), ids[3].clone());
    fs::remove_file(fixture.data().join("kept-0")).unwrap();
    fixture.restore(&id);
    assert_eq!(contents(&fixture.data()), before);
}
