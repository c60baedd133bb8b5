//! Who is at work on an instance: one command at a time, and none while copies in memory are cleared away.
//!
//! The locks are files in the run-time folder, beside the supervisor's own. The kernel lets go of them when their command ends,
//! however it ends.
//!
//! INVARIANT: whoever brings an instance up or deletes it holds its claim, from before looking until the supervisor has it or it
//! is gone. A claim is taken while nobody clears up, so what is claimed is not cleared away.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mira_store::Instance;

use super::folders::make;
use super::{InstanceError, Instances};

/// The right to bring an instance up, to change its package or to delete it; ends when it is dropped.
#[derive(Debug)]
pub struct Claim {
    _locked: File,
}

/// Copies of packages are being made by some, or removed by one.
#[derive(Debug)]
pub(super) struct Copies {
    _locked: File,
}

impl Instances {
    /// Claims an instance, and returns it as it is now.
    ///
    /// # Errors
    ///
    /// Another command is at work on it, or it is gone or being deleted by now.
    pub async fn claim(&self, instance: &Instance) -> Result<(Instance, Claim), InstanceError> {
        let (instance, claim) = self.claim_to_delete(instance).await?;
        match instance.deleting {
            true => Err(mira_store::StoreError::Deleting { id: instance.id }.into()),
            false => Ok((instance, claim)),
        }
    }

    /// Claims an instance that may be half deleted already.
    ///
    /// # Errors
    ///
    /// Another command is at work on it, or it is gone by now.
    pub async fn claim_to_delete(
        &self,
        instance: &Instance,
    ) -> Result<(Instance, Claim), InstanceError> {
        let claim = {
            let _copies = self.making_copies()?;
            self.try_claim(instance.id.as_str())?
        };
        let claim = claim.ok_or_else(|| InstanceError::Busy {
            instance: instance.name.to_string(),
        })?;
        Ok((self.store.instance(&instance.id).await?, claim))
    }

    /// Returns nothing where another command has it.
    pub(super) fn try_claim(&self, id: &str) -> Result<Option<Claim>, InstanceError> {
        let path = self.claims().join(id);
        let locked = open(&path)?;
        match locked.try_lock() {
            Ok(()) => Ok(Some(Claim { _locked: locked })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(InstanceError::folder(&path, error)),
        }
    }

    /// Waits until nobody removes copies; until what is returned is dropped, nobody begins to.
    pub(super) fn making_copies(&self) -> Result<Copies, InstanceError> {
        self.copies(File::lock_shared)
    }

    /// Waits until nobody makes copies or removes any; until what is returned is dropped, nobody begins to.
    pub(super) fn removing_copies(&self) -> Result<Copies, InstanceError> {
        self.copies(File::lock)
    }

    fn copies(&self, lock: fn(&File) -> std::io::Result<()>) -> Result<Copies, InstanceError> {
        let path = self.claims().join("copies.lock");
        let locked = open(&path)?;
        lock(&locked).map_err(|error| InstanceError::folder(&path, error))?;
        Ok(Copies { _locked: locked })
    }

    /// Forgets the claims on an instance that is gone.
    pub(super) fn forget_claims(&self, instance: &Instance) {
        // What cannot be removed is empty, and in memory.
        drop(std::fs::remove_file(
            self.claims().join(instance.id.as_str()),
        ));
    }

    fn claims(&self) -> PathBuf {
        self.layout.claims()
    }
}

fn open(path: &Path) -> Result<File, InstanceError> {
    make(path.parent().unwrap_or(path))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let opened = options.open(path);
    opened.map_err(|error| InstanceError::folder(path, error))
}
