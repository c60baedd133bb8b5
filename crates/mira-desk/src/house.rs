//! The instances of the home and the way to their supervisor, for requests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use mira_host::instances::Instances;
use mira_package::manifest::Manifest;
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
    /// What was read of packages, verified then: they never change, and what is started is verified again.
    pub(crate) packages: Packages,
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("House")
    }
}

/// What is in a package.
pub(crate) struct Package {
    pub(crate) manifest: Manifest,
    /// Whether it holds sealed secrets.
    pub(crate) is_sealed: bool,
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
    pub(crate) async fn named(&self, wanted: &str) -> Result<Instance, DeskError> {
        Ok(self.instances.store().find(wanted).await?)
    }

    /// Returns the instance of a name or an id, and how it fares.
    pub(crate) async fn find(&self, wanted: &str) -> Result<Known, DeskError> {
        let instance = self.named(wanted).await?;
        let state = self.client.instance(instance.id.as_str()).await?;
        Ok(Known { instance, state })
    }

    /// Refuses an instance that runs.
    pub(crate) async fn refuse_running(&self, instance: &Instance) -> Result<(), DeskError> {
        match self.client.instance(instance.id.as_str()).await? {
            None => Ok(()),
            Some(_) => Err(DeskError::new(
                StatusCode::CONFLICT,
                format!("{} runs; stop it first", instance.name),
            )),
        }
    }

    /// Returns what is in an instance's package; nothing of an encrypted one that does not run.
    pub(crate) fn package(&self, instance: &Instance) -> Result<Option<Arc<Package>>, DeskError> {
        match self.instances.has_copy(instance)? {
            true => self.seen(instance),
            false => Ok(None),
        }
    }

    /// Returns what is in an instance's package; nothing of an encrypted one that does not run and never did here.
    pub(crate) fn seen(&self, instance: &Instance) -> Result<Option<Arc<Package>>, DeskError> {
        let digest = &instance.package.digest;
        if let Some(known) = self.packages.lock().get(digest) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(unpacked) = self.instances.unpacked(instance)? else {
            return Ok(None);
        };
        let package = Arc::new(Package {
            manifest: unpacked.manifest,
            is_sealed: unpacked.sealed.is_some(),
        });
        self.packages
            .lock()
            .insert(digest.clone(), Arc::clone(&package));
        Ok(Some(package))
    }
}

/// What is in a package, by its digest.
#[derive(Default)]
pub(crate) struct Packages(Mutex<BTreeMap<String, Arc<Package>>>);

impl Packages {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Package>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
