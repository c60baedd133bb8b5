//! Who owns a file, who may read it, and is it one at all: asked of the open file, not of its path.
//!
//! On systems without Unix owners and modes only the type, the length and symbolic links are checked; the folder of
//! the user's own application data is closed to others there.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

use super::FileError;

/// Whose file is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Ours, closed to all others.
    Ours,
    /// Ours or root's, closed to all others: what a service manager or container hands to a service.
    OursOrRoots,
}

/// Opens a regular file without following a link, checks it, and returns it with its length.
pub(super) fn open(path: &Path, trust: Trust, bytes_max: u64) -> Result<(File, u64), FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    let file = open_unfollowed(path, &mut options)?;
    let found = file.metadata().map_err(FileError::io("examine", path))?;
    if !found.is_file() {
        return Err(FileError::WrongType {
            path: path.to_owned(),
            expected: "regular file",
        });
    }
    check_owner(path, &found, trust)?;
    if found.len() > bytes_max {
        return Err(FileError::TooLong {
            path: path.to_owned(),
            bytes_max,
        });
    }
    Ok((file, found.len()))
}

/// Opens a path that must not be a symbolic link.
pub(super) fn open_unfollowed(path: &Path, options: &mut OpenOptions) -> Result<File, FileError> {
    let opened = unfollowed(options).open(path);
    opened.map_err(|error| match is_link(path) {
        true => FileError::Symlink {
            path: path.to_owned(),
        },
        false => FileError::io("open", path)(error),
    })
}

#[cfg(unix)]
fn unfollowed(options: &mut OpenOptions) -> &mut OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    // Without NONBLOCK, opening a FIFO would wait for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(i32::try_from(flags.bits()).expect("open flags are an int in C"))
}

#[cfg(not(unix))]
fn unfollowed(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// Checks that a path is a real folder, ours, and closed to others.
pub(crate) fn check_folder(path: &Path) -> Result<(), FileError> {
    let found = fs::symlink_metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing {
            path: path.to_owned(),
        },
        _ => FileError::io("examine", path)(error),
    })?;
    if found.is_symlink() {
        return Err(FileError::Symlink {
            path: path.to_owned(),
        });
    }
    if !found.is_dir() {
        return Err(FileError::WrongType {
            path: path.to_owned(),
            expected: "folder",
        });
    }
    check_owner(path, &found, Trust::Ours)
}

/// Creates a folder and those above it, each closed to others; one that is there already is left as it is.
pub(crate) fn create_folder(path: &Path) -> Result<(), FileError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        // Something that is no folder stands there: the check names it better.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(FileError::io("create", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn check_owner(path: &Path, found: &Metadata, trust: Trust) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    const ROOT: u32 = 0;
    let us = rustix::process::geteuid().as_raw();
    let owner = found.uid();
    let roots = trust == Trust::OursOrRoots && owner == ROOT;
    if owner != us && !roots {
        return Err(FileError::ForeignOwner {
            path: path.to_owned(),
            owner,
            expected: us,
        });
    }
    let mode = found.mode() & 0o7777;
    // systemd hands a credential to a service by an access list, whose mask shows as the group's permission: 0440 of root's
    // own group, in which nobody else is.
    let credential = roots && found.gid() == ROOT && mode == 0o440;
    if mode & 0o077 != 0 && !credential {
        return Err(FileError::TooOpen {
            path: path.to_owned(),
            mode,
            wanted: if found.is_dir() { 0o700 } else { 0o600 },
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_path: &Path, _found: &Metadata, _trust: Trust) -> Result<(), FileError> {
    Ok(())
}
