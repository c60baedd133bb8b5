//! Repositories that are not whole, not ours, or not private: an error that says so, and never a panic or garbage.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mira_secret::SecretBytes;
use mira_snapshot::{Repository, SnapshotError, Volume};

use crate::support::{Fixture, contents, copy_tree, noise};

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    files
}

type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 3] = [
    ("flipped", |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("cut off", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("removed", |path| fs::remove_file(path).unwrap()),
];

/// Every file of a repository, with a flipped byte, cut off, and removed: the error is typed, and nothing but the whole
/// state is ever restored.
#[test]
fn damage_anywhere_is_told_and_never_restored() {
    let fixture = Fixture::new();
    fixture.write("a", noise(1, 1 << 20));
    fixture.write("b/c", "content");
    let id = fixture.take().unwrap().snapshot.id;
    let state = contents(&fixture.data());
    let whole = fixture.folder().join("whole");
    copy_tree(&fixture.snapshots(), &whole);
    let target = fixture.folder().join("state/target");
    let volumes = [Volume::new("data", &target)];
    for file in files_below(&whole) {
        let name = file.strip_prefix(&whole).unwrap();
        for (how, damage) in DAMAGES {
            let what = format!("{} {how}", name.display());
            fs::remove_dir_all(fixture.snapshots()).unwrap();
            copy_tree(&whole, &fixture.snapshots());
            damage(&fixture.snapshots().join(name));
            fs::create_dir(&target).unwrap();
            fs::write(target.join("old"), "state").unwrap();
            let before = contents(&target);
            match Repository::open(&fixture.snapshots(), &fixture.password) {
                Ok(repository) => {
                    match repository.restore(&id, &volumes, &mut |_| {}) {
                        // What is damaged was not needed.
                        Ok(_) => assert!(contents(&target) == state, "{what}"),
                        Err(error) => {
                            assert!(typed(&error), "{what}: {error:?}");
                            assert_eq!(contents(&target), before, "{what}");
                        }
                    }
                    let checked = repository.check(true);
                    if how == "removed" && name.starts_with("snapshots") {
                        assert!(repository.list().unwrap().is_empty());
                    } else {
                        let error = checked.expect_err(&what);
                        assert!(typed(&error), "{what}: {error:?}");
                    }
                }
                Err(error) => assert!(typed(&error), "{what}: {error:?}"),
            }
            fs::remove_dir_all(&target).unwrap();
            assert_eq!(fixture.left_over(), ["whole"], "{what}");
        }
    }
}

fn typed(error: &SnapshotError) -> bool {
    matches!(
        error,
        SnapshotError::Damaged { .. }
            | SnapshotError::WrongPassword { .. }
            | SnapshotError::NoSuchSnapshot { .. }
    )
}

#[test]
fn another_password_opens_nothing() {
    let fixture = Fixture::new();
    let other = Repository::make_password().unwrap();
    let error = Repository::open(&fixture.snapshots(), &other).unwrap_err();
    assert!(
        matches!(error, SnapshotError::WrongPassword { .. }),
        "{error}"
    );
    for bad in [&b""[..], b"\xff\xfe"] {
        let bad = SecretBytes::copy_from(bad);
        let error = Repository::open(&fixture.snapshots(), &bad).unwrap_err();
        assert!(matches!(error, SnapshotError::Password), "{error}");
    }
}

#[test]
fn a_missing_repository_is_missing_and_a_beheaded_one_is_not_written_over() {
    let fixture = Fixture::new();
    let nowhere = fixture.folder().join("nowhere");
    let error = Repository::open(&nowhere, &fixture.password).unwrap_err();
    assert!(matches!(error, SnapshotError::Missing { .. }), "{error}");
    assert!(!nowhere.exists());

    fs::remove_file(fixture.snapshots().join("config")).unwrap();
    let error = Repository::open_or_create(&fixture.snapshots(), &fixture.password).unwrap_err();
    assert!(matches!(error, SnapshotError::Damaged { .. }), "{error}");
    assert!(!fixture.snapshots().join("config").exists());
}

#[test]
fn a_folder_that_others_may_enter_is_refused() {
    let fixture = Fixture::new();
    let folder = fixture.snapshots();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o750)).unwrap();
    let error = Repository::open(&folder, &fixture.password).unwrap_err();
    assert!(matches!(error, SnapshotError::NotPrivate { .. }), "{error}");
    assert!(error.to_string().contains("chmod 700"), "{error}");

    let link = fixture.folder().join("link");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    let error = Repository::open(&link, &fixture.password).unwrap_err();
    assert!(matches!(error, SnapshotError::NotPrivate { .. }), "{error}");
}

#[test]
fn all_that_is_created_is_private() {
    let fixture = Fixture::new();
    fixture.write("file", noise(1, 1 << 20));
    fixture.take().unwrap();
    fixture.write("file", noise(2, 1 << 20));
    let id = fixture.take().unwrap().snapshot.id;
    fixture.repository.forget(&[id]).unwrap();
    let mut folders = vec![fixture.snapshots()];
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
            }
        }
    }
    let lock = fixture.folder().join("snapshots.lock");
    assert_eq!(
        fs::metadata(lock).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn absurd_costs_in_a_key_file_are_refused_before_any_work() {
    let fixture = Fixture::new();
    let [key] = files_below(&fixture.snapshots().join("keys"))
        .try_into()
        .unwrap();
    let text = fs::read_to_string(&key).unwrap();
    for (from, to) in [
        ("\"N\":1024", "\"N\":2147483648"),
        ("\"N\":1024", "\"N\":0"),
        ("\"N\":1024", "\"N\":1025"),
        ("\"r\":8", "\"r\":4000000000"),
        ("\"p\":1", "\"p\":100000"),
        ("\"r\":8", "\"r\":0"),
        ("\"scrypt\"", "\"none\""),
    ] {
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from} in {text}");
        fs::write(&key, changed).unwrap();
        let error = Repository::open(&fixture.snapshots(), &fixture.password).unwrap_err();
        assert!(
            matches!(error, SnapshotError::Damaged { .. }),
            "{to}: {error}"
        );
    }
}
