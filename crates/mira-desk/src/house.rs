//! The instances of the home and the way to their supervisor, for requests.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use axum::http::StatusCode;
use mira_host::instances::{Instances, Unpacked};
use mira_server::{Client, InstanceState, Spawn};
use mira_store::Instance;

use crate::error::DeskError;

/// The instances, and their supervisor.
pub(crate) struct House {
    pub(crate) instances: Instances,
    pub(crate) client: Client,
    /// The variables that services are given some of.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// This program, which clients of MCP servers start, and by which these are tested.
    pub(crate) program: PathBuf,
    pub(crate) spawn: Box<dyn Spawn + Send>,
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("House")
    }
}

/// An instance, and what the supervisor knows of it.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) instance: Instance,
    pub(crate) state: Option<InstanceState>,
}

impl Known {
    /// Returns its state in one word.
    pub(crate) fn phase(&self) -> &'static str {
        match &self.state {
            _ if self.instance.deleting => "deleting",
            Some(state) => state.phase(),
            None => "stopped",
        }
    }
}

impl House {
    /// Returns all instances.
    pub(crate) async fn all(&self) -> Result<Vec<Known>, DeskError> {
        let running = self.client.instances().await?;
        let instances = self.instances.store().instances().await?;
        let known = instances.into_iter().map(|instance| Known {
            state: running
                .iter()
                .find(|state| state.id == instance.id.as_str())
                .cloned(),
            instance,
        });
        Ok(known.collect())
    }

    /// Returns the instance of a name or an id.
    pub(crate) async fn find(&self, wanted: &str) -> Result<Known, DeskError> {
        let instance = self.instances.store().find(wanted).await?;
        let running = self.client.instances().await?;
        let state = running
            .into_iter()
            .find(|state| state.id == instance.id.as_str());
        Ok(Known { instance, state })
    }

    /// Refuses an instance that runs.
    pub(crate) async fn refuse_running(&self, instance: &Instance) -> Result<(), DeskError> {
        let running = self.client.instances().await?;
        match running.iter().any(|state| state.id == instance.id.as_str()) {
            false => Ok(()),
            true => Err(DeskError::new(
                StatusCode::CONFLICT,
                format!("{} runs; stop it first", instance.name),
            )),
        }
    }

    /// Returns the copy of an instance's package; an encrypted one is there while it runs.
    pub(crate) fn unpacked(&self, instance: &Instance) -> Result<Option<Unpacked>, DeskError> {
        Ok(self.instances.unpacked(instance)?)
    }
}
