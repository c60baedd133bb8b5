//! One writer at a time: a lock of ours, and respect for restic's.
//!
//! Our lock is on a file beside the repository, so that it exists before the repository does, and ends with the process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::error::SnapshotError;
use crate::files::{beside, create_folder};

/// How long between two tries to get the lock.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// How old a lock of restic's is when it no longer counts.
// LIMIT: restic itself refreshes locks every 5 minutes and takes those of 30 for stale.
const STALE: Duration = Duration::from_secs(30 * 60);

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

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
        let deadline = Instant::now() + wait;
        loop {
            let tried = match mode {
                Mode::Alone => file.try_lock(),
                Mode::Shared => file.try_lock_shared(),
            };
            match tried {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(error)) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(failed(error));
                }
                Err(_) if Instant::now() >= deadline => {
                    return Err(SnapshotError::Busy {
                        folder: repository.to_owned(),
                    });
                }
                // The system's own wait has no bound.
                Err(_) => std::thread::sleep(TRY_AGAIN),
            }
        }
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
