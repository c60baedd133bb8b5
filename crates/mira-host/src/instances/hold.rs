//! Who may touch an instance's state: those who start it, or the one who replaces it.
//!
//! It closes the gap between looking whether an instance runs and replacing its state. The lock ends with the process.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;

use mira_store::Instance;

use super::folders::make;
use super::{InstanceError, Instances};

/// The right to start an instance, or to replace its state; others do not get it until this is dropped.
#[derive(Debug)]
pub struct StateHold {
    _file: File,
}

impl Instances {
    /// Takes the right to start an instance. Several may have it.
    ///
    /// # Errors
    ///
    /// Its state is being replaced at the moment.
    pub fn hold_to_start(&self, instance: &Instance) -> Result<StateHold, InstanceError> {
        let doing = "its state is being restored";
        self.hold(instance, doing, File::try_lock_shared)
    }

    /// Takes the right to replace an instance's state. Whether the instance runs is to be looked at after that.
    ///
    /// # Errors
    ///
    /// It is being started, or its state replaced, at the moment.
    pub fn hold_to_replace(&self, instance: &Instance) -> Result<StateHold, InstanceError> {
        let doing = "it is being started, or its state restored";
        self.hold(instance, doing, File::try_lock)
    }

    fn hold(
        &self,
        instance: &Instance,
        doing: &'static str,
        lock: impl FnOnce(&File) -> Result<(), TryLockError>,
    ) -> Result<StateHold, InstanceError> {
        let folder = self.layout.instance(&instance.id);
        make(&folder)?;
        let path = folder.join("state.lock");
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let file = opened.map_err(|error| InstanceError::folder(&path, error))?;
        match lock(&file) {
            Ok(()) => Ok(StateHold { _file: file }),
            Err(TryLockError::WouldBlock) => Err(InstanceError::Held {
                instance: instance.name.to_string(),
                doing,
            }),
            Err(TryLockError::Error(error)) => Err(InstanceError::folder(&path, error)),
        }
    }
}
