//! Secrets delivered as files: one folder of one service, on a file system that is memory only, for as long as it runs.
//!
//! INVARIANT: the folder is made, filled and removed by the keeper, so there is no moment at which it is there and nobody
//! answers for it. If the keeper is killed, the supervisor removes it; if both are, the next start does.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::launch::Launch;

/// A service's secret files; dropping it removes them.
#[derive(Debug)]
pub(super) struct SecretFiles {
    folder: Option<PathBuf>,
}

impl SecretFiles {
    /// Writes the files of a launch, if it has any.
    pub(super) fn deliver(launch: &Launch<'_>) -> io::Result<Self> {
        if launch.files.is_empty() {
            return Ok(Self { folder: None });
        }
        // What a crash left there is of an earlier run.
        remove(launch.files_folder)?;
        DirBuilder::new().mode(0o700).create(launch.files_folder)?;
        let files = Self {
            folder: Some(launch.files_folder.to_owned()),
        };
        for (name, value) in &launch.files {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o400)
                .open(launch.files_folder.join(name))?;
            file.write_all(value)?;
        }
        Ok(files)
    }
}

impl Drop for SecretFiles {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            // If the service made that impossible, the supervisor tries again and says so.
            remove(folder).ok();
        }
    }
}

/// Removes a folder of secret files and all in it; that there is none is fine.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            // The service may have closed its own folder to us.
            if fs::symlink_metadata(folder)?.is_dir() {
                fs::set_permissions(folder, Permissions::from_mode(0o700))?;
            }
            fs::remove_dir_all(folder)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
