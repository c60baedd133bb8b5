//! Packages on their way in: each in a file that goes when nobody wants it any more, or when the process that took it is gone.
//!
//! INVARIANT: a file of an upload is locked for as long as its process has it, from before the first byte; so what is not locked
//! is nobody's.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use tempfile::TempPath;

use super::{InstanceError, Instances};

/// What the names of uploads begin with.
const PREFIX: &str = ".upload-";

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

impl Instances {
    /// Begins to take a package in.
    ///
    /// # Errors
    ///
    /// The file cannot be made.
    pub fn receive(&self) -> Result<Upload, InstanceError> {
        let folder = self.layout.packages();
        let failed = |error| InstanceError::folder(&folder, error);
        loop {
            let made = tempfile::Builder::new().prefix(PREFIX).tempfile_in(&folder);
            let (file, path) = made.map_err(failed)?.into_parts();
            file.lock().map_err(failed)?;
            // Somebody who swept may have taken it for a leftover a moment ago.
            if file.metadata().map_err(failed)?.nlink() > 0 {
                return Ok(Upload { file, path });
            }
        }
    }

    /// Removes uploads that a process left when it was killed; returns how many.
    ///
    /// # Errors
    ///
    /// The folder cannot be read, or a file not removed.
    pub fn sweep_uploads(&self) -> Result<usize, InstanceError> {
        let folder = self.layout.packages();
        let failed = |error| InstanceError::folder(&folder, error);
        let mut removed = 0;
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let is_upload = entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(PREFIX.as_bytes());
            if is_upload && remove_if_nobodys(&entry.path()).map_err(failed)? {
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
        Ok(()) => std::fs::remove_file(path).map_or_else(gone, |()| Ok(true)),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
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
        assert_eq!(instances.sweep_uploads().unwrap(), 1);
        assert_eq!(std::fs::read(upload.path()).unwrap(), b"so far");
        assert!(packages.join("something-else").exists());
        assert!(!packages.join(".upload-left").exists());
        let path = upload.path().to_owned();
        drop(upload);
        assert!(!path.exists());
        assert_eq!(instances.sweep_uploads().unwrap(), 0);
    }
}
