//! SQLite databases: a copy that is whole, while the app goes on writing.
//!
//! The copy is made page by page with SQLite's backup interface, from one read transaction: pages keep their places, so
//! that what did not change is found to be known (`VACUUM INTO` would move them). In WAL mode writers go on meanwhile; with a
//! rollback journal they wait. The database itself is opened for reading only.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::files;

/// What a database begins with, <https://www.sqlite.org/fileformat.html#magic_header_string>.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The smallest page; a database is a whole number of pages.
const PAGE_BYTES_MIN: u64 = 512;

/// How long an app may keep a database locked.
// LIMIT: an app's transaction takes milliseconds; one that takes longer than this is no reason to wait on.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// What stands beside a database and belongs to it.
pub(crate) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A copy in a private folder, removed when dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    path: PathBuf,
    size: u64,
}

/// What came of copying.
#[derive(Debug)]
pub(crate) enum Copied {
    /// A copy.
    Done(Copy),
    /// It is no database, whatever it begins with.
    NotOne,
    /// The app kept it locked.
    Busy,
}

/// Returns whether a file of this size could be a database, without opening it.
pub(crate) fn fits(size: u64) -> bool {
    size > 0 && size.is_multiple_of(PAGE_BYTES_MIN)
}

/// Returns whether a file begins as a database does.
///
/// To be called before a connection to it is opened: closing any of a process's handles ends all its locks on a file.
pub(crate) fn begins_as_one(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    let read = File::options()
        .read(true)
        .custom_flags(open_flags())
        .open(path)
        .and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *MAGIC
}

/// Copies a database into a folder.
pub(crate) fn copy(database: &Path, folder: &Path) -> io::Result<Copied> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!("database-{number}"));
    // Created here, so that SQLite finds a private file.
    files::create_new(&path)?;
    let mut copy = Copy { path, size: 0 };
    let done = backup(database, &copy.path).or_else(|error| match code(&error) {
        // What a crashed app left has to be rolled back before it can be read, and that is done in the copy.
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => recovered(database, &copy.path),
        _ => Err(error),
    });
    match done {
        Ok(true) => {}
        Ok(false) => return Ok(Copied::Busy),
        Err(error) => {
            return match code(&error) {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Ok(Copied::Busy),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Ok(Copied::NotOne),
                _ => Err(io::Error::other(error)),
            };
        }
    }
    copy.size = fs::metadata(&copy.path)?.len();
    Ok(Copied::Done(copy))
}

impl Copy {
    /// Returns its size, in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns whether it passes SQLite's own check.
    pub(crate) fn is_sound(&self) -> bool {
        let check = |pragma: &str| -> rusqlite::Result<bool> {
            let connection = Connection::open_with_flags(&self.path, flags(true))?;
            connection.query_row(pragma, [], |row| Ok(row.get::<_, String>(0)? == "ok"))
        };
        // The full check needs the app's own collations; the quick one does without.
        check("PRAGMA integrity_check(1)")
            .or_else(|_| check("PRAGMA quick_check(1)"))
            .unwrap_or(false)
    }

    /// Opens it; from now on it has no name and ends with the handle.
    pub(crate) fn open(self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for suffix in BESIDE {
            drop(files::remove_if_there(&files::beside(&self.path, suffix)));
        }
        // What cannot be removed now is removed at the next run's start, which tells if it cannot.
        drop(files::remove_if_there(&self.path));
    }
}

/// Returns whether the copy was made, or the database was locked all the time.
fn backup(database: &Path, copy: &Path) -> rusqlite::Result<bool> {
    let from = Connection::open_with_flags(database, flags(false))?;
    from.busy_timeout(BUSY_WAIT)?;
    let mut to = Connection::open_with_flags(copy, flags(true))?;
    // A copy that a crash cuts off is thrown away, so nothing has to be durable.
    to.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")?;
    let step = Backup::new(&from, &mut to)?.step(-1)?;
    Ok(matches!(step, StepResult::Done))
}

/// Copies the files as they are, with what stands beside them, and lets SQLite recover the copy.
fn recovered(database: &Path, copy: &Path) -> rusqlite::Result<bool> {
    let parts = ["", "-wal", "-journal"];
    let times = || {
        parts.map(|suffix| {
            let path = files::beside(database, suffix);
            fs::symlink_metadata(path)
                .map(|of| (of.len(), of.mtime_nsec(), of.ctime(), of.ctime_nsec()))
                .ok()
        })
    };
    let before = times();
    for suffix in parts {
        let (from, to) = (files::beside(database, suffix), files::beside(copy, suffix));
        let copied = File::options()
            .read(true)
            .custom_flags(open_flags())
            .open(&from)
            .and_then(|mut from| {
                files::remove_if_there(&to)?;
                io::copy(&mut from, &mut files::create_new(&to)?)
            });
        match copied {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
            Err(error) => return Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
            Ok(_) => {}
        }
    }
    if before != times() {
        return Ok(false);
    }
    let connection = Connection::open_with_flags(copy, flags(true))?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(true)
}

fn flags(write: bool) -> OpenFlags {
    let access = if write {
        OpenFlags::SQLITE_OPEN_READ_WRITE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW
}

fn open_flags() -> i32 {
    (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK).bits() as i32
}

fn code(error: &rusqlite::Error) -> Option<ErrorCode> {
    error.sqlite_error_code()
}
