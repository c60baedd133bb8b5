//! Private files and folders, and their durability.
//!
//! INVARIANT: what this crate creates, nobody but its owner can open: folders 0700, files 0600.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::SnapshotError;

/// Returns the path with something appended to its last part: what stands beside a repository.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path
        .file_name()
        .map_or_else(OsString::new, ToOwned::to_owned);
    name.push(suffix);
    path.with_file_name(name)
}

/// Creates a folder for its owner only, and those above it where they are missing.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates a file for its owner only; it must not exist.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Writes a file whole, under another name first: a crash leaves the old one, or none.
pub(crate) fn write_whole<'a>(
    path: &Path,
    temporary: &Path,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> io::Result<()> {
    remove_if_there(temporary)?;
    let mut file = create_new(temporary)?;
    for piece in pieces {
        file.write_all(piece)?;
    }
    file.sync_all()?;
    fs::rename(temporary, path)?;
    sync_parent(path)
}

/// Makes a folder's entries durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the entry of a file durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Removes a file, if there is one.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with all that is in it, if there is one; also what the app made unwritable in it.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        done => done,
    }
}

/// Gives the owner all rights on a folder and those in it.
fn open_up(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}

/// Checks that a folder is a real one, ours, and closed to everybody else.
pub(crate) fn check_private(folder: &Path) -> Result<(), SnapshotError> {
    let metadata =
        fs::symlink_metadata(folder).map_err(SnapshotError::io("look at the folder", folder))?;
    let what = if !metadata.is_dir() {
        "it is something else; move it away"
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        "it belongs to somebody else; run this as its owner"
    } else if metadata.mode() & 0o077 != 0 {
        "others may enter it; run `chmod 700` on it"
    } else {
        return Ok(());
    };
    Err(SnapshotError::NotPrivate {
        folder: folder.to_owned(),
        what,
    })
}
