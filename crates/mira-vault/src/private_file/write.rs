//! Replacing a file in one step, under one lock.
//!
//! Order of a write: take the lock, remove what a killed writer left, write the new file beside the old one, fsync it;
//! then, as a second step of the caller's choosing, rename it over the old one and fsync the folder. A full disk or a
//! read-only folder shows in the first step, when nothing has changed yet.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::{FileError, checks};
use crate::home::Home;

/// How long a writer waits for the others.
// LIMIT: the system frees the lock of a dead process, so only a stopped one is ever waited for this long.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(60);

/// The right to change the files of a home. Dropping it gives it to the next writer.
#[derive(Debug)]
pub(crate) struct WriteLock {
    _file: File,
}

impl WriteLock {
    /// Waits for the lock, then removes the files that a killed writer left.
    pub(crate) fn take(home: &Home) -> Result<Self, FileError> {
        let lock = Self::at(&home.lock())?;
        for target in [
            home.credentials(),
            home.default_keyfile(),
            home.generation(),
        ] {
            remove(&beside(&target))?;
        }
        Ok(lock)
    }

    /// Waits for the lock of one file, which is not the vault's.
    pub(super) fn of(path: &Path) -> Result<Self, FileError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        Self::at(Path::new(&name))
    }

    fn at(path: &Path) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        let file = checks::open_unfollowed(path, private(&mut options))?;
        let file = match file.try_lock() {
            Ok(()) => file,
            Err(TryLockError::WouldBlock) => wait_for(file, path)?,
            Err(TryLockError::Error(error)) => return Err(FileError::io("lock", path)(error)),
        };
        Ok(Self { _file: file })
    }
}

/// Waits in a thread of its own: the system's call has no time-out.
fn wait_for(file: File, path: &Path) -> Result<File, FileError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let locked = file.lock().map(|()| file);
        // Nobody listens after the time-out; the lock is then dropped with the file.
        drop(sender.send(locked));
    });
    match receiver.recv_timeout(LOCK_WAIT_MAX) {
        Ok(locked) => locked.map_err(FileError::io("lock", path)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(FileError::Busy {
            path: path.to_owned(),
            waited_s: LOCK_WAIT_MAX.as_secs(),
        }),
    }
}

/// A new file that is written and durable, but not in its place yet. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Staged {
    temporary: PathBuf,
    target: PathBuf,
}

impl Staged {
    /// Writes the bytes beside `target`, readable by us only.
    ///
    /// The lock is asked for as proof: the temporary file has one name, so there can be only one writer.
    pub(crate) fn write(_lock: &WriteLock, target: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let temporary = beside(target);
        remove(&temporary)?;
        write_new(&temporary, bytes)?;
        Ok(Self {
            temporary,
            target: target.to_owned(),
        })
    }

    /// Puts the file into its place, durably.
    pub(crate) fn commit(self) -> Result<(), FileError> {
        fs::rename(&self.temporary, &self.target)
            .map_err(FileError::io("replace", &self.target))?;
        sync_folder_of(&self.target)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a commit there is nothing to remove; after a failure the next writer tries again.
        drop(fs::remove_file(&self.temporary));
    }
}

/// Writes a new file, readable by us only, durably; removes it again if that fails.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_new(path, bytes)?;
    sync_folder_of(path)
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    let mut file = private(&mut options)
        .open(path)
        .map_err(FileError::io("create", path))?;
    let written = file
        .write_all(bytes)
        .map_err(FileError::io("write", path))
        .and_then(|()| file.sync_all().map_err(FileError::io("save", path)));
    written.inspect_err(|_| {
        // What was written so far is of no use; the error that is returned says why.
        drop(fs::remove_file(path));
    })
}

/// Replaces somebody's file; its place is theirs, so there is no lock for it.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(FileError::Symlink {
            path: path.to_owned(),
        });
    }
    let temporary = beside(path);
    write_new(&temporary, bytes)?;
    let staged = Staged {
        temporary,
        target: path.to_owned(),
    };
    staged.commit()
}

/// Removes a file, durably; returns whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Ok(()) => sync_folder_of(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(FileError::io("remove", path)(error)),
    }
}

fn beside(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// A rename or removal lasts only when the folder itself is on the disk.
#[cfg(unix)]
fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let folder = path
        .parent()
        .filter(|folder| *folder != Path::new(""))
        .unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::io("save", folder))
}

#[cfg(not(unix))]
fn sync_folder_of(_path: &Path) -> Result<(), FileError> {
    Ok(())
}
