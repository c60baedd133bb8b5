//! What goes into operations and comes out of them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

pub use mira_redact::Form;

use crate::error::{Findings, SnapshotError};

/// The tag of a snapshot that was taken before a restore, so that the restore can be undone.
pub const TAG_SAFETY: &str = "safety";

/// The tag of a snapshot that was taken by itself while the app ran, or when it was stopped.
pub const TAG_AUTOSAVE: &str = "autosave";

/// A folder of an instance's state, under the name that it has in snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its name: in a snapshot, its files are below `/<name>`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Volume {
    /// Names a folder.
    #[must_use]
    pub fn new(name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
        }
    }
}

/// How a snapshot is taken.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether files with a secret are left out, rather than stopping the snapshot.
    pub leave_out: bool,
    /// Whether there is to be no new snapshot where all is as in the last one that was searched for the same secrets.
    pub skip_unchanged: bool,
    /// Tags, such as [`TAG_SAFETY`].
    pub tags: Vec<String>,
    /// The instance's id; restic shows it as the host.
    pub instance: String,
    /// What the user calls it; empty for nothing.
    pub label: String,
}

/// A snapshot's id: 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(Box<str>);

impl SnapshotId {
    /// How many digits tell snapshots of one repository apart, in listings.
    const SHORT_LEN: usize = 8;

    /// Returns the id in full.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its first eight digits, as restic shows it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..Self::SHORT_LEN).unwrap_or(&self.0)
    }
}

impl FromStr for SnapshotId {
    type Err = SnapshotError;

    fn from_str(text: &str) -> Result<Self, SnapshotError> {
        if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(SnapshotError::NoSuchSnapshot {
                id: text.chars().take(64).collect(),
            })
        }
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.short())
    }
}

/// A snapshot that is in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// When it was taken.
    pub time: jiff::Timestamp,
    /// The instance's id, or the host of one that restic took.
    pub instance: String,
    /// Its label.
    pub label: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// The names of its volumes.
    pub volumes: Vec<String>,
    /// How many files it holds; 0 where the program that took it did not say.
    pub files: u64,
    /// How many bytes they have, before compression.
    pub bytes: u64,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Files seen or written so far.
    pub files: u64,
    /// Bytes read, known to be unchanged, or written so far.
    pub bytes: u64,
}

/// Where in a volume a value was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Place {
    /// In a file's content.
    Content,
    /// In its path.
    Name,
    /// In what a symbolic link points to.
    LinkTarget,
    /// In an extended attribute, its name or its value.
    Attribute,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Content => "content",
            Self::Name => "name",
            Self::LinkTarget => "link target",
            Self::Attribute => "attribute",
        })
    }
}

/// A value of a secret in a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file, as `/<volume>/…`; values in the path itself are replaced by their markers.
    pub path: String,
    /// Where in the file.
    pub place: Place,
    /// The secret's name.
    pub name: Arc<str>,
    /// How many bytes before it.
    pub offset: u64,
    /// In which spelling.
    pub form: Form,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            place,
            name,
            offset,
            form,
        } = self;
        match place {
            Place::Content => write!(f, "{path} ({name} at byte {offset}, {form})"),
            _ => write!(f, "{path} ({name} in its {place}, {form})"),
        }
    }
}

/// What a thing is that snapshots do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkippedKind {
    /// A socket.
    Socket,
    /// A named pipe.
    Fifo,
    /// A block or character device.
    Device,
}

impl fmt::Display for SkippedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Socket => "socket",
            Self::Fifo => "fifo",
            Self::Device => "device",
        })
    }
}

/// Something that was not stored, because it has no content to store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Its path, as in [`Finding`].
    pub path: String,
    /// What it is.
    pub kind: SkippedKind,
}

/// What a finished snapshot is, and what it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The snapshot; the last one if nothing changed since, and it was to be skipped then.
    pub snapshot: Snapshot,
    /// Whether no snapshot was taken, as nothing changed. False unless [`Options::skip_unchanged`] was set.
    pub unchanged: bool,
    /// The snapshot whose unchanged files were not read again; none if everything was read.
    pub parent: Option<SnapshotId>,
    /// How many files were new or changed.
    pub files_read: u64,
    /// How many bytes the repository grew by.
    pub bytes_added: u64,
    /// What was left out, because a secret was found there. Empty unless [`Options::leave_out`] was set.
    pub left_out: Findings,
    /// Sockets, pipes and devices.
    pub skipped: Vec<Skipped>,
    /// Files that changed while they were read: stored, but maybe half old and half new.
    pub changed: Vec<String>,
    /// Databases that failed SQLite's check: stored as they are.
    pub damaged: Vec<String>,
    /// Secrets too short to be looked for.
    pub not_looked_for: Vec<Arc<str>>,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Restored {
    /// How many files were written.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Files whose owner, group or extended attributes could not be set, for want of the right to.
    pub plain: Vec<String>,
}
