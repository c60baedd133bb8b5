//! Packages on their way in: one that is sent, in a file; one that is packed here, in a folder. Each goes when nobody wants it any
//! more, or when the process that made it is gone.
//!
//! INVARIANT: such a file or folder is locked for as long as its process has it, from before the first byte; so what is not
//! locked is nobody's.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tempfile::{TempDir, TempPath};

use super::{InstanceError, Instances};

/// What the names of uploads begin with.
const UPLOAD: &str = ".upload-";

/// What the names of folders begin with in which packages are packed.
const PACKING: &str = ".packing-";

/// A package that comes in. It is private to this user.
#[derive(Debug)]
pub struct Upload {
    /// Locked, which is how others know that somebody has it.
    file: File,
    path: TempPath,
}

impl Upload {
    /// Writes what came.
    ///
    /// # Errors
    ///
    /// Returns the system's error.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Moves it to where it stays.
    pub(super) fn keep(self, path: &Path) -> io::Result<()> {
        let Self { file, path: from } = self;
        from.persist(path).map_err(|error| error.error)?;
        drop(file);
        Ok(())
    }
}

/// A folder in which a package is packed. It is private to this user.
#[derive(Debug)]
pub(super) struct Packing {
    // Removed first, while nobody else can take it for a leftover.
    folder: TempDir,
    _locked: File,
}

impl Packing {
    /// Returns where the packed file goes.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("packed")
    }
}

impl Instances {
    /// Makes a folder in which a package is packed.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(super) fn packing(&self) -> Result<Packing, InstanceError> {
        let parent = self.layout.packages();
        let failed = |error| InstanceError::folder(&parent, error);
        loop {
            let made = tempfile::Builder::new().prefix(PACKING).tempdir_in(&parent);
            let folder = made.map_err(failed)?;
            let locked = match File::open(folder.path()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(failed)?,
            };
            locked.lock().map_err(failed)?;
            // Somebody who swept may have taken it for a leftover a moment ago.
            if folder.path().exists() {
                return Ok(Packing {
                    folder,
                    _locked: locked,
                });
            }
        }
    }

    /// Begins to take a package in.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub fn receive(&self) -> Result<Upload, InstanceError> {
        let folder = self.layout.packages();
        let failed = |error| InstanceError::folder(&folder, error);
        loop {
            let made = tempfile::Builder::new().prefix(UPLOAD).tempfile_in(&folder);
            let (file, path) = made.map_err(failed)?.into_parts();
            file.lock().map_err(failed)?;
            // Somebody who swept may have taken it for a leftover a moment ago.
            if file.metadata().map_err(failed)?.nlink() > 0 {
                return Ok(Upload { file, path });
            }
        }
    }

    /// Removes what processes left that were killed while a package came in; returns how many there were.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or something not removed.
    pub fn sweep_incoming(&self) -> Result<usize, InstanceError> {
        let folder = self.layout.packages();
        let failed = |error| InstanceError::folder(&folder, error);
        let mut removed = 0;
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let begins = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
            let came_in = begins(UPLOAD) || begins(PACKING);
            if came_in && remove_if_nobodys(&entry.path()).map_err(failed)? {
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn remove_if_nobodys(path: &Path) -> io::Result<bool> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(false),
        _ => Err(error),
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return gone(error),
    };
    match file.try_lock() {
        Ok(()) => remove(path).map_or_else(gone, |()| Ok(true)),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use mira_vault::home::Home;

    use super::*;

    #[tokio::test]
    async fn what_nobody_has_is_swept_and_what_comes_in_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        let runtime = folder.path().join("run");
        let instances = Instances::open(home, runtime).await.unwrap();
        let mut upload = instances.receive().unwrap();
        upload.write(b"so far").unwrap();
        let packages = instances.layout().packages();
        std::fs::write(packages.join(".upload-left"), "half").unwrap();
        std::fs::write(packages.join("something-else"), "whole").unwrap();
        let packing = instances.packing().unwrap();
        std::fs::write(packing.file(), "so far").unwrap();
        let left = packages.join(".packing-left");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("packed"), "half").unwrap();
        assert_eq!(instances.sweep_incoming().unwrap(), 2);
        assert_eq!(std::fs::read(packing.file()).unwrap(), b"so far");
        assert!(!left.exists());
        assert_eq!(std::fs::read(upload.path()).unwrap(), b"so far");
        assert!(packages.join("something-else").exists());
        assert!(!packages.join(".upload-left").exists());
        let path = upload.path().to_owned();
        let packed = packing.file();
        drop((upload, packing));
        assert!(!path.exists() && !packed.exists());
        assert_eq!(instances.sweep_incoming().unwrap(), 0);
    }
}
