//! Files that nobody else may read or have written: checked when read, replaced in one step when written.
//!
//! The one place where the vault touches the file system. It knows nothing of what is in a file.
//!
//! INVARIANT: a reader sees a whole old or a whole new file, whenever a writer is killed; and nothing is read through a
//! symbolic link, from somebody else's file, or without a bound.

mod checks;
mod write;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mira_secret::SecretBytes;

pub(crate) use checks::{Trust, check_folder, create_folder};
pub(crate) use write::{Staged, WriteLock, remove};

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is nothing at this path.
    #[error("{} does not exist", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The path is a symbolic link, which is never followed.
    #[error(
        "{} is a symbolic link, and Mira follows none; put the real one in its place, or name its real path", path.display()
    )]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// The path is something other than a file, or other than a folder.
    #[error("{} is not a {expected}; move it away: mv {} {}", path.display(), Quoted(path), Quoted(&aside(path)))]
    WrongType {
        /// What was found.
        path: PathBuf,
        /// What it should be: a regular file or a folder.
        expected: &'static str,
    },
    /// The file belongs to another user.
    #[error(
        "{} belongs to user {owner} and Mira runs as user {expected}; if it is yours: sudo chown {expected} {}", path.display(), Quoted(path)
    )]
    ForeignOwner {
        /// The file or folder.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
        /// The numeric id of the user that runs Mira.
        expected: u32,
    },
    /// Others may read or write it.
    #[error(
        "{} has mode {mode:04o}, so others can get at it; repair it: chmod {wanted:04o} {}", path.display(), Quoted(path)
    )]
    TooOpen {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The widest that is accepted.
        wanted: u32,
    },
    /// The file is longer than it can rightly be.
    #[error("{} is longer than {bytes_max} bytes, so it is not what it should be; look at it and move it away: mv {} {}", path.display(), Quoted(path), Quoted(&aside(path)))]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The bound, in bytes.
        bytes_max: u64,
    },
    /// Another process has held the lock for too long.
    #[error(
        "another Mira has held the lock {} for {waited_s} seconds; find it with: fuser {}", path.display(), Quoted(path)
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
        /// How long was waited, in seconds.
        waited_s: u64,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl FileError {
    /// Returns whether something was found that is not to be trusted, rather than nothing or a refusal.
    #[must_use]
    pub(crate) fn is_distrust(&self) -> bool {
        matches!(
            self,
            Self::Symlink { .. }
                | Self::WrongType { .. }
                | Self::ForeignOwner { .. }
                | Self::TooOpen { .. }
                | Self::TooLong { .. }
        )
    }

    /// Makes a function that says, of a system error, what was tried with which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::NotFound if action == "open" => Self::Missing { path },
            _ => Self::Io {
                action,
                path,
                source,
            },
        }
    }
}

/// Writes a new private file, durably; a path where something is already is refused.
///
/// # Errors
///
/// Returns the system's refusal; nothing is left at the path then.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write::create(path, bytes)
}

/// Replaces a regular file by a private one in one step, durably.
///
/// # Errors
///
/// Refuses a symbolic link; returns the system's refusal. The file is as it was then.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write::replace(path, bytes)
}

/// Changes a private file: takes its lock, the file `<path>.lock`, reads it, and replaces it by what `change` returns.
///
/// `change` gets nothing where there is no file yet; beside the new content it returns what the caller wants to know.
///
/// # Errors
///
/// Returns the error of `change`, or why the file was not read or written. It is as it was then.
pub fn update<T, E: From<FileError>>(
    path: &Path,
    bytes_max: u64,
    change: impl FnOnce(Option<Vec<u8>>) -> Result<(Vec<u8>, T), E>,
) -> Result<T, E> {
    let lock = WriteLock::of(path)?;
    let old = match read(path, bytes_max) {
        Ok(old) => Some(old),
        Err(FileError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let (new, result) = change(old)?;
    Staged::write(&lock, path, &new)?.commit()?;
    Ok(result)
}

/// Reads a whole private file of at most `bytes_max` bytes.
///
/// # Errors
///
/// There is none, it is not ours alone, it is too long, or the system refuses.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, FileError> {
    let (file, len) = checks::open(path, Trust::Ours, bytes_max)?;
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(FileError::io("read", path))?;
    // The file can have grown since it was measured.
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > bytes_max {
        return Err(FileError::TooLong {
            path: path.to_owned(),
            bytes_max,
        });
    }
    Ok(bytes)
}

/// Reads a short private file straight into memory that is wiped.
pub(crate) fn read_secret(
    path: &Path,
    trust: Trust,
    bytes_max: u64,
) -> Result<SecretBytes, FileError> {
    let (mut file, len): (File, u64) = checks::open(path, trust, bytes_max)?;
    let len = usize::try_from(len).unwrap_or_default();
    SecretBytes::try_fill(len, |buffer| file.read_exact(buffer))
        .map_err(FileError::io("read", path))
}

/// A path in single quotes, to be pasted into a shell.
struct Quoted<'a>(&'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.to_string_lossy().replace('\'', r"'\''"))
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".aside");
    name.into()
}

#[cfg(all(test, unix))]
mod tests;
