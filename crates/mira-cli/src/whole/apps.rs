//! Apps as a command uses them: the instances of the home, and their supervisor.

mod asking;
pub(crate) mod autosave;
mod error;
mod follow;
mod launch;
mod password;
pub(crate) mod snapshots;

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use mira_host::instances::{Claim, Instances, Surroundings, Unpacked};
use mira_server::{Client, InstanceState, Place, Spawn};
use mira_store::{Instance, InstanceName, StoreError};
use mira_vault::home::Home;
use mira_vault::settings::Settings;
use mira_vault::{LockedVault, Vault};

use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

pub(crate) use launch::{LaunchArgs, launch, prepare};
pub(crate) use password::KeyArgs;

/// The variables that the supervisor gets; services get fewer.
const PASSED_ON: [&str; 10] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "XDG_CONFIG_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    // Whom the gate trusts.
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// The instances of the home, and the way to their supervisor.
pub(crate) struct Apps {
    runtime: tokio::runtime::Runtime,
    pub(crate) instances: Instances,
    pub(crate) client: Client,
}

impl Apps {
    /// Opens the home's instances.
    pub(crate) fn open() -> Result<Self, CommandError> {
        let home = session::home()?;
        let place = place(&home)?;
        place.create()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let instances = runtime.block_on(Instances::open(home, place.folder().to_owned()))?;
        let apps = Self {
            runtime,
            instances,
            client: Client::new(place),
        };
        // What cannot be removed now is told by the commands whose business it is.
        drop(apps.sweep());
        Ok(apps)
    }

    /// Waits for a future.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Returns the instance of a name, an id, or the beginning of one.
    pub(crate) fn find(&self, wanted: &str) -> Result<Instance, CommandError> {
        Ok(self.wait(self.instances.store().find(wanted))?)
    }

    /// Returns the instance of a name, an id, or the beginning of one; also one whose deletion was interrupted.
    pub(crate) fn find_to_delete(&self, wanted: &str) -> Result<Instance, CommandError> {
        let store = self.instances.store();
        let found = match self.wait(store.find(wanted)) {
            Err(StoreError::Deleting { id }) => self.wait(store.instance(&id)),
            found => found,
        };
        Ok(found?)
    }

    /// Returns the instances that the supervisor has.
    pub(crate) fn running(&self) -> Result<Vec<InstanceState>, CommandError> {
        Ok(self.wait(self.client.instances())?)
    }

    /// Returns whether an instance has services that run, or that are about to.
    pub(crate) fn is_running(&self, instance: &Instance) -> Result<bool, CommandError> {
        let running = self.running()?;
        Ok(running.iter().any(|state| state.id == instance.id.as_str()))
    }

    /// Opens the vault, if there is one.
    pub(crate) fn vault(
        &self,
        ui: &Ui,
        unlock: &UnlockArgs,
    ) -> Result<Option<Vault>, CommandError> {
        let home = self.instances.home();
        match LockedVault::read(home) {
            Err(mira_vault::VaultError::NoVault { .. }) => Ok(None),
            _ => session::open(ui, unlock).map(Some),
        }
    }

    /// Returns the instance of exactly this name.
    pub(crate) fn named(&self, name: &InstanceName) -> Result<Option<Instance>, CommandError> {
        let mut instances = self.wait(self.instances.store().instances())?.into_iter();
        Ok(instances.find(|instance| instance.name == *name))
    }

    /// Returns the copy of an instance's package; an encrypted one is there while it runs.
    pub(crate) fn unpacked(&self, instance: &Instance) -> Result<Unpacked, CommandError> {
        self.instances.unpacked(instance)?.ok_or_else(|| {
            CommandError::failed(format!(
                "the package of {} is encrypted; what it declares is known while it runs",
                instance.name
            ))
        })
    }

    /// Claims an instance, and returns it as it is now.
    pub(crate) fn claim(&self, instance: &Instance) -> Result<(Instance, Claim), CommandError> {
        Ok(self.wait(self.instances.claim(instance))?)
    }

    /// Removes what stopped instances left in memory.
    pub(crate) fn sweep(&self) -> Result<(), CommandError> {
        self.wait(self.instances.sweep_memory(async || {
            let running = self.client.instances().await?;
            Ok(running.into_iter().map(|state| state.id).collect())
        }))
    }
}

/// Returns the place of the home's supervisor, and makes the home where there is none: the place is found by its real path.
pub(crate) fn place(home: &Home) -> Result<Place, CommandError> {
    home.create()
        .map_err(|error| CommandError::failed(error.to_string()))?;
    let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime_dir = runtime_dir.filter(|folder| folder.is_absolute());
    Ok(Place::of(home.path(), runtime_dir.as_deref()))
}

/// Returns what services find around them.
pub(crate) fn surroundings(
    home: &Home,
    require_enforcement: bool,
) -> Result<Surroundings, CommandError> {
    let region = Settings::read(home)?.aws_region;
    Ok(Surroundings {
        variables: std::env::vars_os().collect(),
        aws_region: region.map(|region| region.to_string()),
        require_enforcement,
    })
}

/// Starts the supervisor of a home.
pub(crate) struct Supervisor {
    pub(crate) home: Home,
}

impl Spawn for Supervisor {
    fn spawn(&self, timeout: Duration) -> Result<(), String> {
        let home = std::path::absolute(self.home.path()).map_err(|error| error.to_string())?;
        let passed_on = PASSED_ON
            .iter()
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)));
        let variables = passed_on.chain([("MIRA_HOME".into(), home.into())]);
        let words = [OsStr::new("serve"), OsStr::new("--on-demand")];
        mira_host::background::start("/proc/self/exe".as_ref(), &words, variables, timeout)
    }
}
