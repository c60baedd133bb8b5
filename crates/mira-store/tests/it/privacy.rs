//! The files are ours alone, whoever's mask it is; what others own, may read or have linked is refused.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use mira_store::{FileError, OpenError, Store};

use crate::common::{Place, example, new, run};

const NOBODY: u32 = 65_534;

fn refusal(home: &Path) -> FileError {
    match run(Store::open(home)) {
        Err(OpenError::File(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn all_files_are_private_under_any_mask() {
    let place = Place::new();
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 0; exec \"$0\" \"$@\""])
        .arg(example());
    let mut child = place.prepare(shell, "churn", &["one"]).spawn().unwrap();
    drop(child.stdin.take());
    let mut said = [0; 1];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut said).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut names: Vec<String> = Vec::new();
    for entry in fs::read_dir(place.home()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.file_name());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(
        names,
        ["mira.db", "mira.db-shm", "mira.db-wal", "mira.db.lock"]
    );
}

#[test]
fn files_and_homes_that_are_open_to_others_are_refused_with_the_repair() {
    let place = Place::new();
    place.with_instance();
    for suffix in ["", "-wal", "-shm", "-journal", ".lock"] {
        let path = place.file(suffix);
        if !path.exists() {
            fs::write(&path, b"").unwrap();
        }
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let refused = refusal(&place.home());
        let repair = format!("chmod 0600 '{}'", path.display());
        assert!(refused.to_string().ends_with(&repair), "{refused}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(place.home(), Permissions::from_mode(0o755)).unwrap();
    let refused = refusal(&place.home());
    assert!(
        matches!(refused, FileError::TooOpen { wanted: 0o700, .. }),
        "{refused}"
    );
}

#[test]
fn links_are_not_followed() {
    let elsewhere = Place::new();
    elsewhere.with_instance();
    for suffix in ["", "-wal", "-shm", "-journal", ".lock"] {
        for target in [elsewhere.file(""), elsewhere.file("-nothing")] {
            let place = Place::new();
            symlink(&target, place.file(suffix)).unwrap();
            let refused = refusal(&place.home());
            assert!(
                matches!(refused, FileError::Symlink { .. }),
                "{suffix}: {refused}"
            );
        }
    }
    assert!(!elsewhere.file("-nothing").exists());
    let place = Place::new();
    let link = place.home().join("link");
    symlink(elsewhere.home(), &link).unwrap();
    assert!(matches!(refusal(&link), FileError::Symlink { .. }));
}

#[test]
fn what_is_no_file_is_refused() {
    for suffix in ["", "-wal", ".lock"] {
        let place = Place::new();
        fs::create_dir(place.file(suffix)).unwrap();
        let refused = refusal(&place.home());
        assert!(matches!(refused, FileError::WrongType { .. }), "{refused}");
        fs::remove_dir(place.file(suffix)).unwrap();
        // A pipe without a writer: opening it must not wait for one.
        let made = Command::new("mkfifo").arg(place.file(suffix)).status();
        assert!(made.unwrap().success());
        let refused = refusal(&place.home());
        assert!(matches!(refused, FileError::WrongType { .. }), "{refused}");
    }
    let place = Place::new();
    place.with_instance();
    let refused = refusal(&place.file(""));
    assert!(
        matches!(
            refused,
            FileError::WrongType {
                expected: "folder",
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn foreign_owners_are_refused() {
    let us = rustix::process::geteuid().as_raw();
    let check = |home: &Path| {
        let FileError::ForeignOwner {
            owner, expected, ..
        } = refusal(home)
        else {
            panic!("another refusal");
        };
        assert_ne!(owner, expected);
        assert_eq!(expected, us);
    };
    if !is_root() {
        // Only root gives files away; root's own are foreign to everybody else.
        check(Path::new("/"));
        return;
    }
    for suffix in ["", "-wal", ".lock"] {
        let place = Place::new();
        place.with_instance();
        fs::write(place.file("-wal"), b"").unwrap();
        fs::set_permissions(place.file("-wal"), Permissions::from_mode(0o600)).unwrap();
        chown(place.file(suffix), Some(NOBODY), None).unwrap();
        check(&place.home());
    }
    let place = Place::new();
    chown(place.home(), Some(NOBODY), None).unwrap();
    check(&place.home());
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    // Root writes everywhere, so it is somebody else who tries, with a copy of the program where that one reaches it.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("store");
    fs::copy(example(), &program).unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    if is_root() {
        chown(&home, Some(NOBODY), None).unwrap();
    }
    let open = |mode: u32| {
        fs::set_permissions(&home, Permissions::from_mode(mode)).unwrap();
        let mut command = Command::new(&program);
        command.args(["open".as_ref(), home.as_os_str()]);
        if is_root() {
            command.uid(NOBODY);
        }
        let output = command.stdin(std::process::Stdio::null()).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), error)
    };
    let (opened, error) = open(0o500);
    assert!(
        !opened && error.contains("mira.db.lock: Permission denied"),
        "{error}"
    );
    let (opened, error) = open(0o700);
    assert!(opened, "{error}");
    let (opened, error) = open(0o500);
    assert!(!opened && error.contains("cannot be written"), "{error}");
    let (opened, error) = open(0o700);
    assert!(opened, "{error}");
}

#[test]
fn a_home_with_an_odd_name_is_a_home() {
    let place = Place::new();
    for name in ["file:x?mode=memory", "it's", ":memory:", "ü %20"] {
        let home = place.home().join(name);
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
        run(async {
            let store = Store::open(&home).await.unwrap();
            store.insert_instance(&new()).await.unwrap();
            store.close().await;
        });
        assert!(
            fs::metadata(home.join("mira.db")).unwrap().len() > 0,
            "{name}"
        );
    }
}
