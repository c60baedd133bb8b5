//! The file that the database is in, before SQLite opens it: ours, closed to others, no link; made so where there is none.
//!
//! An existing database is looked at by its path only, and never opened here: closing it again would drop the locks that
//! this process holds on it, see <https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_>.
//! Nobody else can exchange it in between, since the folder is closed to others.
//!
//! INVARIANT: nothing that is in the file's place is replaced or shortened.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

/// How long an open waits for others that open.
// LIMIT: the system frees the lock of a dead process, so only a stopped one is ever waited for this long.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(60);

/// The files that SQLite keeps beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such folder.
    #[error("{} does not exist; make it with: mira init", path.display())]
    NoHome {
        /// Where it should be.
        path: PathBuf,
    },
    /// The path is a symbolic link, which is never followed.
    #[error(
        "{} is a symbolic link, and Mira follows none; put the real one in its place", path.display()
    )]
    Symlink {
        /// The link.
        path: PathBuf,
    },
    /// The path is something other than a file, or other than a folder.
    #[error("{} is not a {expected}; look at it and move it away", path.display())]
    WrongType {
        /// What was found.
        path: PathBuf,
        /// What it should be: a regular file or a folder.
        expected: &'static str,
    },
    /// It belongs to another user.
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
    /// The path is not UTF-8, which SQLite wants.
    #[error("{} is not UTF-8, and a database needs that; choose another home: MIRA_HOME", path.display())]
    NotUtf8 {
        /// The path.
        path: PathBuf,
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
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// Returns a home's absolute path, if it is a folder of ours and closed to others.
pub(crate) fn home(path: &Path) -> Result<PathBuf, FileError> {
    // Absolute, since SQLite takes a name that begins with `file:` for a URL.
    let path = std::path::absolute(path).map_err(FileError::io("examine", path))?;
    if path.to_str().is_none() {
        return Err(FileError::NotUtf8 { path });
    }
    let found = look_at(&path)?.ok_or_else(|| FileError::NoHome { path: path.clone() })?;
    check(&path, &found, fs::FileType::is_dir, "folder")?;
    Ok(path)
}

/// The right to open the database. Dropping it gives it to the next.
#[derive(Debug)]
pub(crate) struct OpenLock {
    _file: File,
}

impl OpenLock {
    /// Waits for the lock beside a database.
    pub(crate) async fn take(database: &Path) -> Result<Self, FileError> {
        let path = beside(database, ".lock");
        if let Some(found) = look_at(&path)? {
            check(&path, &found, fs::FileType::is_file, "regular file")?;
        }
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = private(&mut options)
            .open(&path)
            .map_err(FileError::io("open", &path))?;
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(TryLockError::WouldBlock) => wait_for(file, &path).await?,
            Err(TryLockError::Error(error)) => return Err(FileError::io("lock", &path)(error)),
        };
        Ok(Self { _file: file })
    }
}

/// Waits in a thread of its own: the system's call has no time-out, and a runtime would wait for its own threads.
async fn wait_for(file: File, path: &Path) -> Result<File, FileError> {
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let locked = file.lock().map(|()| file);
        // Nobody listens after the time-out; the lock is then dropped with the file.
        drop(sender.send(locked));
    });
    match tokio::time::timeout(LOCK_WAIT_MAX, receiver).await {
        Ok(Ok(locked)) => locked.map_err(FileError::io("lock", path)),
        Ok(Err(_)) | Err(_) => Err(FileError::Busy {
            path: path.to_owned(),
            waited_s: LOCK_WAIT_MAX.as_secs(),
        }),
    }
}

/// What was found in the database's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file, to be opened by SQLite; perhaps an empty one.
    File,
    /// No file, or an empty one, beside a journal that is not empty. SQLite would throw that away.
    OnlyJournal,
}

/// Checks the database's file and those beside it, and makes an empty private one where there is none.
///
/// The lock is asked for as proof: nobody else makes the file or opens it meanwhile.
pub(crate) fn prepare(_lock: &OpenLock, path: &Path) -> Result<Found, FileError> {
    let found = look_at(path)?;
    if let Some(found) = &found {
        check(path, found, fs::FileType::is_file, "regular file")?;
    }
    let mut journal = false;
    for companion in COMPANIONS {
        let path = beside(path, companion);
        let Some(found) = look_at(&path)? else {
            continue;
        };
        check(&path, &found, fs::FileType::is_file, "regular file")?;
        journal |= companion == "-wal" && found.len() > 0;
    }
    if journal && found.as_ref().is_none_or(|found| found.len() == 0) {
        return Ok(Found::OnlyJournal);
    }
    if found.is_none() {
        create(path)?;
    }
    Ok(Found::File)
}

/// Makes an empty file for us alone, durably. SQLite gives its journals the same mode.
fn create(path: &Path) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    private(&mut options)
        .open(path)
        .map_err(FileError::io("create", path))?;
    sync_folder_of(path)
}

/// Returns what is at a path, links not followed.
fn look_at(path: &Path) -> Result<Option<Metadata>, FileError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FileError::io("examine", path)(error)),
    }
}

fn check(
    path: &Path,
    found: &Metadata,
    is_expected: impl FnOnce(&fs::FileType) -> bool,
    expected: &'static str,
) -> Result<(), FileError> {
    let path = path.to_owned();
    if found.is_symlink() {
        return Err(FileError::Symlink { path });
    }
    if !is_expected(&found.file_type()) {
        return Err(FileError::WrongType { path, expected });
    }
    check_owner(path, found)
}

#[cfg(unix)]
fn check_owner(path: PathBuf, found: &Metadata) -> Result<(), FileError> {
    use std::os::unix::fs::MetadataExt;
    let expected = rustix::process::geteuid().as_raw();
    let owner = found.uid();
    if owner != expected {
        return Err(FileError::ForeignOwner {
            path,
            owner,
            expected,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o077 != 0 {
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        return Err(FileError::TooOpen { path, mode, wanted });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_owner(_path: PathBuf, _found: &Metadata) -> Result<(), FileError> {
    Ok(())
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    // Without NONBLOCK, opening a FIFO would wait for its other end.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options
        .mode(0o600)
        .custom_flags(i32::try_from(flags.bits()).expect("open flags are an int in C"))
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// A new file lasts only when its folder is on the disk.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = path.parent().expect("the database is in a home");
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::io("save", folder))
}

#[cfg(not(unix))]
fn sync_folder_of(_path: &Path) -> Result<(), FileError> {
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path in single quotes, to be pasted into a shell.
pub(crate) struct Quoted<'a>(pub(crate) &'a Path);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.to_string_lossy().replace('\'', r"'\''"))
    }
}
