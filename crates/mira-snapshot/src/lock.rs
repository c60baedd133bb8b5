//! One writer at a time: a lock of ours, and respect for restic's.
//!
//! Our lock is on a file beside the repository, so that it exists before the repository does, and ends with the process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use crate::error::SnapshotError;
use crate::files::{beside, create_folder};
use crate::repository::LOCK_WAIT;

/// How old a lock of restic's is when it no longer counts.
// LIMIT: restic itself refreshes locks every 5 minutes and takes those of 30 for stale.
const STALE: Duration = Duration::from_secs(30 * 60);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Keeps a repository as it is, for as long as what is returned lives: for whoever copies its files.
///
/// # Errors
///
/// [`SnapshotError::Busy`] if somebody changes it and does not come to an end, or the system's refusal.
pub fn hold(repository: &Path) -> Result<Held, SnapshotError> {
    Lock::take(repository, Mode::Shared, LOCK_WAIT).map(Held)
}

/// A repository that nobody changes.
#[derive(Debug)]
pub struct Held(#[expect(dead_code, reason = "it is held")] Lock);

/// Whether others may hold the lock too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For what changes the repository.
    Alone,
    /// For what only reads it.
    Shared,
}

impl Lock {
    /// Takes the lock, within a time.
    pub(crate) fn take(
        repository: &Path,
        mode: Mode,
        wait: Duration,
    ) -> Result<Self, SnapshotError> {
        let path = beside(repository, ".lock");
        let failed = SnapshotError::io("lock", &path);
        if let Some(parent) = path.parent() {
            create_folder(parent).map_err(SnapshotError::io("create the folder", parent))?;
        }
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits() as i32)
            .open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) => return Err(failed(error)),
        };
        let tried = match mode {
            Mode::Alone => file.try_lock(),
            Mode::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => {
                Self::wait(file, mode, wait).ok_or_else(|| SnapshotError::Busy {
                    folder: repository.to_owned(),
                })
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Waits on another thread, since the system's wait has no bound. A lock that comes too late is let go at once.
    fn wait(file: File, mode: Mode, wait: Duration) -> Option<Self> {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let locked = match mode {
                Mode::Alone => file.lock(),
                Mode::Shared => file.lock_shared(),
            };
            if locked.is_ok() {
                // Nobody may be waiting any more.
                sender.send(file).unwrap_or_default();
            }
        });
        let file = receiver.recv_timeout(wait).ok()?;
        Some(Self { _file: file })
    }
}

/// Checks that no restic works on the repository.
///
/// Its locks are encrypted and do not show whether they are exclusive, so each counts.
pub(crate) fn check_restic(repository: &Path) -> Result<(), SnapshotError> {
    let folder = repository.join("locks");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SnapshotError::io("list", &folder)(error)),
    };
    let now = SystemTime::now();
    for entry in entries {
        let entry = entry.map_err(SnapshotError::io("list", &folder))?;
        let age = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .map(|modified| now.duration_since(modified).unwrap_or_default());
        // One that is gone by now is no lock any more.
        if age.is_ok_and(|age| age < STALE) {
            return Err(SnapshotError::LockedByRestic {
                folder: repository.to_owned(),
            });
        }
    }
    Ok(())
}
