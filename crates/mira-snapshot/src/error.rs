//! What can go wrong, each with what to do.
//!
//! INVARIANT: paths in here are already redacted, and texts of the library's are about files of the repository.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustic_core::{ErrorKind, RusticError};

use crate::model::{Finding, SnapshotId};

/// Why an operation on a repository did not happen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The password opens none of the repository's keys.
    #[error(
        "the password does not open the snapshot repository {}; use the password that it was created with",
        folder.display()
    )]
    WrongPassword {
        /// The repository.
        folder: PathBuf,
    },
    /// There is no repository.
    #[error("there is no snapshot repository at {}; take a snapshot to create one", folder.display())]
    Missing {
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The repository is not whole.
    #[error(
        "the snapshot repository {} is damaged: {what}; copy the folder, then try `restic check` and `restic rebuild-index` on it",
        folder.display()
    )]
    Damaged {
        /// The repository.
        folder: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Another process of Mira's works on the repository.
    #[error(
        "another process is working on the snapshots in {}; wait until it has ended, then try again",
        folder.display()
    )]
    Busy {
        /// The repository.
        folder: PathBuf,
    },
    /// A `restic` works on the repository, or ended without taking its lock away.
    #[error(
        "restic holds a lock on {}; wait until it has ended, or run `restic unlock` if none is running",
        folder.display()
    )]
    LockedByRestic {
        /// The repository.
        folder: PathBuf,
    },
    /// The folder is not one that only its owner can enter.
    #[error("{} is not a private folder of yours: {what}", folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it, and the repair.
        what: &'static str,
    },
    /// A password that cannot be one: not UTF-8, or empty.
    #[error(
        "a repository's password is text and not empty; make one with `Repository::make_password`"
    )]
    Password,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    /// No volume was named, one twice, or one with a name that cannot be a folder's.
    #[error(
        "`{name}` cannot be a volume: names are unique, of letters, digits, `.`, `_` and `-`, and do not begin with a dot"
    )]
    VolumeName {
        /// The name; empty if there was none at all.
        name: String,
    },
    /// Values of secrets are in the volumes, so there is no snapshot.
    #[error(
        "no snapshot was taken, because it would hold values of secrets: {0}; remove them from these files, or leave the files out"
    )]
    SecretsFound(Findings),
    /// Files cannot be read.
    #[error(
        "no snapshot was taken, because files cannot be read: {}; make them readable, or remove them",
        list(files)
    )]
    Unreadable {
        /// The files, and why.
        files: Vec<String>,
    },
    /// Files got shorter again and again while they were read.
    #[error(
        "no snapshot was taken, because files changed each time they were read: {}; stop the app, then try again",
        list(files)
    )]
    Unstable {
        /// The files.
        files: Vec<String>,
    },
    /// Databases were locked for longer than the wait.
    #[error(
        "no snapshot was taken, because databases were locked by the app: {}; stop the app, then try again",
        list(files)
    )]
    DatabaseBusy {
        /// The databases.
        files: Vec<String>,
    },
    /// The finished snapshot does not hold what was read; nothing of it was kept.
    #[error(
        "no snapshot was taken: {stored} of {expected} files would have been stored; try again, and report this if it stays"
    )]
    Incomplete {
        /// How many files there are.
        expected: u64,
        /// How many the snapshot would have held.
        stored: u64,
    },
    /// No snapshot has this id.
    #[error("there is no snapshot {id}; list the snapshots to see which there are")]
    NoSuchSnapshot {
        /// The id, or the beginning of one.
        id: String,
    },
    /// The beginning of an id fits several snapshots.
    #[error("{id} is the beginning of more than one snapshot's id; give more of it")]
    AmbiguousSnapshot {
        /// The beginning.
        id: String,
    },
    /// The snapshot does not hold a volume that was to be restored.
    #[error("snapshot {id} does not hold the volume `{volume}`; restore the volumes that it holds")]
    NoSuchVolume {
        /// The snapshot.
        id: SnapshotId,
        /// The volume.
        volume: String,
    },
    /// A retention that keeps nothing.
    #[error("this retention would remove every snapshot; keep at least one")]
    RetentionEmpty,
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// Every place where a value of a secret was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The places, in the order of the volumes; the first [`Findings::LISTED_MAX`] of them.
    pub listed: Vec<Finding>,
    /// How many there are in all.
    pub total: u64,
}

impl Findings {
    /// The most places that are listed.
    // LIMIT: a volume full of one value must not fill the memory; the count goes on.
    pub const LISTED_MAX: usize = 10_000;
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.listed.iter().take(SHOWN_MAX).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{finding}")?;
        }
        match self.total.saturating_sub(SHOWN_MAX as u64) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// How many items of a list an error's text shows.
// LIMIT: a text that fits a screen; the error's fields hold the rest.
const SHOWN_MAX: usize = 5;

fn list(files: &[String]) -> String {
    let mut text = files.get(..SHOWN_MAX).unwrap_or(files).join(", ");
    if let Some(more) = files.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

impl SnapshotError {
    /// Returns a function that turns the system's answer into an error.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// Turns an error of the format's library into ours.
    pub(crate) fn library(folder: &Path, error: &RusticError) -> Self {
        if error.is_incorrect_password() {
            return Self::WrongPassword {
                folder: folder.to_owned(),
            };
        }
        Self::Damaged {
            folder: folder.to_owned(),
            what: one_line(error),
        }
    }
}

/// Returns what a library's error says, in one line and without its advice to report it elsewhere.
fn one_line(error: &RusticError) -> String {
    let text = error.display_log();
    let text = text.strip_prefix("Error: ").unwrap_or(&text);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns an error for the library, which knows only its own.
pub(crate) fn to_library(doing: &'static str, path: &Path, source: io::Error) -> Box<RusticError> {
    RusticError::with_source(
        ErrorKind::InputOutput,
        format!("cannot {doing} {}", path.display()),
        source,
    )
}
