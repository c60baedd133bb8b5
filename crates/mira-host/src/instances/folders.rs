//! Where the parts of instances are: one layout, in one place.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use mira_store::InstanceId;

use super::InstanceError;
use crate::service::Folders;

/// The folders of a home's instances.
///
/// ```text
/// packages/<digest>/          unpacked packages, read-only
/// instances/<id>/state/<volume>/
///               /state.lock, held while it is started, or its state replaced
///               /home/ /tmp/ /logs/
///               /snapshots/   a restic repository
///               /net/         the network record
/// net/run/                    the network record of commands without an instance
/// ```
///
/// In memory, in the run-time folder: `secrets/<id>/<service>/`, `packages/<digest>/` of encrypted packages, and `claims/<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    home: PathBuf,
    runtime: PathBuf,
}

impl Layout {
    /// Names the folders; nothing is made yet.
    #[must_use]
    pub fn new(home: &Path, runtime: PathBuf) -> Self {
        Self {
            home: home.to_owned(),
            runtime,
        }
    }

    /// Makes the folders that all instances share.
    pub(super) fn create(&self) -> Result<(), InstanceError> {
        make(&self.packages())?;
        make(&self.home.join("instances"))?;
        make(&self.packages_in_memory())
    }

    /// Returns the run-time folder, in which the supervisor is reached too.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Returns the folder of unpacked packages.
    #[must_use]
    pub fn packages(&self) -> PathBuf {
        self.home.join("packages")
    }

    /// Returns the folder of unpacked packages that are encrypted where they came from.
    #[must_use]
    pub fn packages_in_memory(&self) -> PathBuf {
        self.runtime.join("packages")
    }

    /// Returns the folder of the locks that say who is at work on an instance.
    #[must_use]
    pub fn claims(&self) -> PathBuf {
        self.runtime.join("claims")
    }

    /// Returns the folder of the secret files of all instances.
    #[must_use]
    pub fn runtime_secrets(&self) -> PathBuf {
        self.runtime.join("secrets")
    }

    /// Returns the folder that holds all of an instance that is on a disk.
    #[must_use]
    pub fn instance(&self, id: &InstanceId) -> PathBuf {
        self.home.join("instances").join(id.as_str())
    }

    /// Returns the folder of a volume.
    #[must_use]
    pub fn volume(&self, id: &InstanceId, volume: &str) -> PathBuf {
        self.instance(id).join("state").join(volume)
    }

    /// Returns the folder of an instance's logs.
    #[must_use]
    pub fn logs(&self, id: &InstanceId) -> PathBuf {
        self.instance(id).join("logs")
    }

    /// Returns the folder of an instance's snapshots.
    #[must_use]
    pub fn snapshots(&self, id: &InstanceId) -> PathBuf {
        self.instance(id).join("snapshots")
    }

    /// Returns the folder of an instance's network record.
    #[must_use]
    pub fn net(&self, id: &InstanceId) -> PathBuf {
        self.instance(id).join("net")
    }

    /// Returns the folder of the network record of commands that run without an instance.
    #[must_use]
    pub fn net_of_runs(home: &Path) -> PathBuf {
        home.join("net").join("run")
    }

    /// Returns the folders that an instance runs in.
    #[must_use]
    pub fn folders(&self, id: &InstanceId, package: PathBuf) -> Folders {
        let instance = self.instance(id);
        Folders {
            package,
            home: instance.join("home"),
            tmp: instance.join("tmp"),
            logs: self.logs(id),
            runtime_secrets: self.runtime_secrets().join(id.as_str()),
        }
    }
}

/// Makes a folder that nobody else looks into, and those above it.
pub(super) fn make(folder: &Path) -> Result<(), InstanceError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| InstanceError::folder(folder, error))
}

/// Removes a folder and all in it; that there is none is fine.
pub(super) fn remove(folder: &Path) -> Result<(), InstanceError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(InstanceError::folder(folder, error))
        }
        _ => Ok(()),
    }
}
