//! Each thing that is wrong with a file has its own refusal, and a killed writer leaves nothing that matters.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;
use crate::home::Home;

fn folder() -> (TempDir, Home) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = Home::new(folder.path().join("home"));
    home.create().expect("a home in it");
    (folder, home)
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).expect("a file in the folder");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("our own file");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file is there").mode() & 0o7777
}

#[test]
fn a_private_file_is_read_within_its_bound() {
    let (_folder, home) = folder();
    let path = home.credentials();
    write(&path, b"12345", 0o600);
    assert_eq!(read(&path, 5).unwrap(), b"12345");
    assert!(matches!(
        read(&path, 4),
        Err(FileError::TooLong { bytes_max: 4, .. })
    ));
    let secret = read_secret(&path, Trust::Ours, 5).unwrap();
    assert_eq!(secret.expose(), b"12345");
    fs::remove_file(&path).unwrap();
    assert!(matches!(read(&path, 5), Err(FileError::Missing { .. })));
}

#[test]
fn modes_wider_than_ours_are_refused_with_the_repair() {
    let (_folder, home) = folder();
    let path = home.credentials();
    for wide in [0o644, 0o640, 0o604, 0o660, 0o666, 0o602, 0o610, 0o601] {
        write(&path, b"x", wide);
        let refused = read(&path, 5).unwrap_err();
        assert!(matches!(refused, FileError::TooOpen { wanted: 0o600, mode, .. } if mode == wide));
        let repair = format!("chmod 0600 '{}'", path.display());
        assert!(refused.to_string().ends_with(&repair), "{refused}");
    }
    for narrow in [0o600, 0o400] {
        write(&path, b"x", narrow);
        // Root reads whatever the mode says, everybody else reads their own.
        assert_eq!(read(&path, 5).unwrap(), b"x");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn links_folders_and_pipes_are_no_private_files() {
    let (folder, home) = folder();
    let real = folder.path().join("real");
    write(&real, b"x", 0o600);
    let path = home.credentials();
    symlink(&real, &path).unwrap();
    assert!(matches!(read(&path, 5), Err(FileError::Symlink { .. })));
    fs::remove_file(&path).unwrap();
    symlink(folder.path().join("nothing"), &path).unwrap();
    assert!(matches!(read(&path, 5), Err(FileError::Symlink { .. })));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(matches!(read(&path, 5), Err(FileError::WrongType { .. })));
    fs::remove_dir(&path).unwrap();
    // A pipe without a writer: opening it must not wait for one.
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).unwrap();
    assert!(matches!(read(&path, 5), Err(FileError::WrongType { .. })));
}

#[test]
fn foreign_owners_are_refused() {
    let (_folder, home) = folder();
    let us = rustix::process::geteuid();
    let path = home.credentials();
    write(&path, b"x", 0o600);
    let foreign = match us.is_root() {
        true => {
            let other = rustix::fs::Uid::from_raw(65534);
            rustix::fs::chown(&path, Some(other), None).unwrap();
            path
        }
        // Only root gives files away; root's own are foreign to everybody else.
        false => PathBuf::from("/etc/passwd"),
    };
    let refused = read(&foreign, 1 << 20).unwrap_err();
    let FileError::ForeignOwner {
        owner, expected, ..
    } = refused
    else {
        panic!("{refused:?}");
    };
    assert_ne!(owner, expected);
    assert_eq!(expected, us.as_raw());
    assert!(refused.to_string().contains("sudo chown"));
}

#[test]
fn a_credential_that_root_hands_out_is_accepted_as_a_keyfile_only() {
    let found = |mode: u32, path: &Path| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        (
            read_secret(path, Trust::OursOrRoots, 5).is_ok(),
            read_secret(path, Trust::Ours, 5).is_ok(),
        )
    };
    let (_folder, home) = folder();
    let path = home.default_keyfile();
    write(&path, b"x", 0o600);
    assert_eq!(found(0o400, &path), (true, true));
    assert_eq!(found(0o444, &path), (false, false));
    // The form of systemd, root's own group may read: only root can make such a file.
    let is_roots =
        fs::metadata(&path).unwrap().uid() == 0 && fs::metadata(&path).unwrap().gid() == 0;
    assert_eq!(found(0o440, &path), (is_roots, false));
}

#[test]
fn the_home_is_a_private_folder() {
    let (folder, home) = folder();
    assert_eq!(mode(home.path()), 0o700);
    home.create().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o750)).unwrap();
    let refused = home.check().unwrap_err();
    assert!(matches!(
        refused,
        FileError::TooOpen {
            wanted: 0o700,
            mode: 0o750,
            ..
        }
    ));
    assert!(home.create().is_err());
    let link = Home::new(folder.path().join("link"));
    symlink(home.path(), link.path()).unwrap();
    assert!(matches!(link.check(), Err(FileError::Symlink { .. })));
    let file = Home::new(folder.path().join("file"));
    write(file.path(), b"", 0o600);
    assert!(matches!(
        file.check(),
        Err(FileError::WrongType {
            expected: "folder",
            ..
        })
    ));
    assert!(matches!(file.create(), Err(FileError::WrongType { .. })));
    let absent = Home::new(folder.path().join("absent"));
    assert!(matches!(absent.check(), Err(FileError::Missing { .. })));
}

#[test]
fn a_write_replaces_the_whole_file_or_nothing() {
    let (_folder, home) = folder();
    let path = home.credentials();
    let lock = WriteLock::take(&home).unwrap();
    let staged = Staged::write(&lock, &path, b"old").unwrap();
    assert!(!path.exists());
    staged.commit().unwrap();
    assert_eq!(
        (read(&path, 9).unwrap(), mode(&path)),
        (b"old".to_vec(), 0o600)
    );
    drop(Staged::write(&lock, &path, b"new").unwrap());
    assert_eq!(read(&path, 9).unwrap(), b"old");
    Staged::write(&lock, &path, b"new")
        .unwrap()
        .commit()
        .unwrap();
    assert_eq!(read(&path, 9).unwrap(), b"new");
    let left: Vec<_> = fs::read_dir(home.path())
        .unwrap()
        .map(|found| found.unwrap().file_name())
        .collect();
    assert_eq!(left.len(), 2, "the file and the lock: {left:?}");
}

#[test]
fn what_a_killed_writer_left_goes_with_the_next_lock() {
    let (folder, home) = folder();
    let victim = folder.path().join("victim");
    write(&victim, b"x", 0o600);
    let leftovers = [
        home.path().join("credentials.json.new"),
        home.path().join("root.key.new"),
    ];
    write(&leftovers[0], b"half", 0o600);
    symlink(&victim, &leftovers[1]).unwrap();
    drop(WriteLock::take(&home).unwrap());
    assert!(
        leftovers
            .iter()
            .all(|path| path.symlink_metadata().is_err())
    );
    assert!(victim.exists());
}

#[test]
fn the_lock_is_a_private_file_too() {
    let (folder, home) = folder();
    symlink(folder.path().join("elsewhere"), home.lock()).unwrap();
    assert!(matches!(
        WriteLock::take(&home),
        Err(FileError::Symlink { .. })
    ));
    assert!(!folder.path().join("elsewhere").exists());
}

#[test]
fn a_created_file_replaces_none() {
    let (_folder, home) = folder();
    let path = home.default_keyfile();
    create(&path, b"one").unwrap();
    assert!(matches!(
        create(&path, b"two"),
        Err(FileError::Io {
            action: "create",
            ..
        })
    ));
    assert_eq!(
        (read(&path, 9).unwrap(), mode(&path)),
        (b"one".to_vec(), 0o600)
    );
}

#[test]
fn repairs_can_be_pasted_into_a_shell() {
    let quoted = Quoted(Path::new("/a b/it's")).to_string();
    assert_eq!(quoted, r"'/a b/it'\''s'");
}
