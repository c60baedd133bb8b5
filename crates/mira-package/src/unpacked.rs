//! Unpacked packages: a folder for each, named by the package's digest, read-only, verified before each use.
//!
//! A copy is made beside its place and renamed into it when it is whole. Nobody waits for anybody: of two processes that unpack
//! the same package, the first to rename has made the copy, and the other one uses it. What a killed process leaves is removed by the next.
//!
//! INVARIANT: a folder with a digest's name either was whole when it appeared, or is found to be changed when it is used.

mod files;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::archive::{OpenError, Package};
use crate::digest::{DIGESTS_PATH, Digest, Digests, DigestsError};

/// What the names of copies begin with that are not whole yet, or on their way out.
const TEMPORARY: &str = ".unpacking-";
/// How the name of its copy goes on.
const COPY: &str = ".copy";

/// The folder of all unpacked packages.
#[derive(Clone, Debug)]
pub struct Packages {
    folder: PathBuf,
}

/// An unpacked package, which was whole and unchanged a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Its folder, which is read-only.
    pub folder: PathBuf,
    /// Its digest manifest.
    pub digests: Digests,
}

/// Why a package is not unpacked, or a copy not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnpackError {
    /// The package is refused.
    #[error(transparent)]
    Package(#[from] OpenError),
    /// The copy's digest manifest is not that of the package.
    #[error("the unpacked copy {} was changed: {DIGESTS_PATH} is not the package's; open the package again to replace the copy", folder.display())]
    Manifest {
        /// The copy.
        folder: PathBuf,
        /// What is wrong with the digest manifest, if it is one no more.
        source: Option<DigestsError>,
    },
    /// A file of the copy was changed.
    #[error("the unpacked copy {} was changed: {path:?} is not as it was packed; open the package again to replace the copy", folder.display())]
    Changed {
        /// The copy.
        folder: PathBuf,
        /// The file or folder.
        path: String,
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

impl UnpackError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl Packages {
    /// Takes the folder, which exists and is the user's own.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns where the copy of a package is, if there is one.
    #[must_use]
    pub fn folder_of(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// Returns the copy of a package, with all its files verified; `None` if there is none.
    ///
    /// # Errors
    ///
    /// The copy was changed.
    pub fn find(&self, digest: &Digest) -> Result<Option<Unpacked>, UnpackError> {
        let folder = self.folder_of(digest);
        match fs::symlink_metadata(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(UnpackError::io("examine", &folder)(error)),
            Ok(_) => {}
        }
        let digests = files::verify(&folder, digest)?;
        Ok(Some(Unpacked { folder, digests }))
    }

    /// Unpacks a package, unless there is an unchanged copy already; a changed one is replaced.
    ///
    /// # Errors
    ///
    /// A file of the package does not have its digest, or the copy cannot be written.
    pub fn unpack(&self, package: &mut Package) -> Result<Unpacked, UnpackError> {
        let digest = package.digest();
        let folder = self.folder_of(&digest);
        let unpacked = |digests: Digests| Unpacked {
            folder: folder.clone(),
            digests,
        };
        let changed = match self.find(&digest) {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => false,
            Err(_) => true,
        };
        self.remove_leftovers()?;
        let temporary = Temporary::create(&self.folder)?;
        let digests = files::write(&temporary.copy(), package)?;
        if changed {
            replace(&temporary.copy(), &folder)?;
        } else if let Err(error) = fs::rename(temporary.copy(), &folder) {
            // Somebody else was faster. Their copy is as good as ours, if it is whole.
            return match self.find(&digest)? {
                Some(found) => Ok(found),
                None => Err(UnpackError::io("move into place", &folder)(error)),
            };
        }
        sync(&self.folder)?;
        Ok(unpacked(digests))
    }

    /// Removes the copy of a package; returns whether there was one. The caller knows that nobody uses it.
    ///
    /// # Errors
    ///
    /// Returns the system's refusal.
    pub fn remove(&self, digest: &Digest) -> Result<bool, UnpackError> {
        self.remove_leftovers()?;
        let folder = self.folder_of(digest);
        let temporary = Temporary::create(&self.folder)?;
        // Out of its place in one step, so that nobody finds half a copy.
        match fs::rename(&folder, temporary.copy()) {
            Ok(()) => {
                sync(&self.folder)?;
                temporary.remove().map(|()| true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                temporary.remove().map(|()| false)
            }
            Err(error) => Err(UnpackError::io("remove", &folder)(error)),
        }
    }

    /// Returns the digests of all copies, sorted.
    ///
    /// # Errors
    ///
    /// Returns the system's refusal.
    pub fn list(&self) -> Result<Vec<Digest>, UnpackError> {
        let names = self.names()?;
        let mut digests: Vec<Digest> = names.iter().filter_map(|name| name.parse().ok()).collect();
        digests.sort();
        Ok(digests)
    }

    /// Removes what killed processes left.
    fn remove_leftovers(&self) -> Result<(), UnpackError> {
        for name in self
            .names()?
            .iter()
            .filter(|name| name.starts_with(TEMPORARY) && !name.ends_with(COPY))
        {
            if let Some(left) = Temporary::take_over(self.folder.join(name))? {
                left.remove()?;
            }
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, UnpackError> {
        let io = || UnpackError::io("list", &self.folder);
        let listed = fs::read_dir(&self.folder).map_err(io())?;
        let names: Vec<_> = listed.collect::<Result<_, _>>().map_err(io())?;
        Ok(names
            .iter()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect())
    }
}

/// A folder that stands for a copy which is not in its place, and lies beside it. Its maker holds a lock on it, which ends with the maker; dropped,
/// both are removed, the copy first.
#[derive(Debug)]
struct Temporary {
    folder: PathBuf,
    _lock: File,
}

impl Temporary {
    fn create(parent: &Path) -> Result<Self, UnpackError> {
        loop {
            let made = tempfile::Builder::new()
                .prefix(TEMPORARY)
                .tempdir_in(parent);
            let folder = made
                .map_err(UnpackError::io("make a folder in", parent))?
                .keep();
            // Between the two steps somebody may have taken it for a leftover.
            if let Some(temporary) = Self::take_over(folder)? {
                return Ok(temporary);
            }
        }
    }

    /// Takes a folder that nobody holds; `None` if somebody does, or it is gone.
    fn take_over(folder: PathBuf) -> Result<Option<Self>, UnpackError> {
        let lock = match File::open(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(UnpackError::io("open", &folder))?,
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(UnpackError::io("lock", &folder)(error)),
        }
        // It can have been removed while we waited for nothing.
        let is_there = files::is_same(&lock, &folder);
        Ok(is_there.then_some(Self {
            folder,
            _lock: lock,
        }))
    }

    /// Returns where the copy itself is: in the folder that it moves in, as the system lets nobody but root move a read-only folder to another.
    fn copy(&self) -> PathBuf {
        let mut copy = self.folder.clone().into_os_string();
        copy.push(COPY);
        copy.into()
    }

    fn remove(self) -> Result<(), UnpackError> {
        self.clear()
    }

    fn clear(&self) -> Result<(), UnpackError> {
        files::remove(&self.copy())?;
        files::remove(&self.folder)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After a failure the next process tries again.
        drop(self.clear());
    }
}

/// Puts a copy in the place of one that was changed, which then is where the new one was.
#[cfg(target_os = "linux")]
fn replace(copy: &Path, folder: &Path) -> Result<(), UnpackError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let exchanged = renameat_with(CWD, copy, CWD, folder, RenameFlags::EXCHANGE);
    exchanged.map_err(|error| UnpackError::io("replace", folder)(error.into()))
}

#[cfg(not(target_os = "linux"))]
fn replace(copy: &Path, folder: &Path) -> Result<(), UnpackError> {
    let changed = copy.with_file_name("changed");
    fs::rename(folder, changed).map_err(UnpackError::io("replace", folder))?;
    fs::rename(copy, folder).map_err(UnpackError::io("replace", folder))
}

/// A rename lasts only when the folder itself is on the disk.
fn sync(folder: &Path) -> Result<(), UnpackError> {
    if cfg!(unix) {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(UnpackError::io("save", folder))?;
    }
    Ok(())
}
