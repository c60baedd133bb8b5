//! Bringing an instance up with what is saved, and changing what it may call: what `mira start -d` and `mira net allow` do.

use mira_host::instances::{Instances, Key, KeyWanted, NoKey, Surroundings};
use mira_package::manifest::HostPattern;
use mira_secret::{SecretBytes, SecretName};
use mira_server::{Attachment, Autosave, Started, Starting};
use mira_store::{AuditAction, Desired, Instance};
use mira_vault::Vault;
use mira_vault::settings::Settings;

use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::{Desk, Handle};

/// What opens an encrypted package and its sealed secrets, where somebody gave it.
#[derive(Debug)]
pub(crate) struct Password(pub(crate) Option<SecretBytes>);

impl Password {
    /// Takes what somebody gave; an empty one is none.
    pub(crate) fn given(password: Option<SecretBytes>) -> Self {
        Self(password.filter(|password| !password.is_empty()))
    }

    /// Answers what a package asks for.
    pub(crate) fn answer(&self, wanted: KeyWanted) -> Result<Key, NoKey> {
        let what = match wanted {
            KeyWanted::Package { .. } => "the package",
            KeyWanted::Secrets { .. } => "the package's secrets",
        };
        match (wanted.is_password(), &self.0) {
            // EXPOSE: to the key of the package, which is made of it once more for each part.
            (true, Some(password)) => {
                Ok(Key::Passphrase(SecretBytes::copy_from(password.expose())))
            }
            (true, None) => Err(NoKey(format!("the password of {what} is missing"))),
            (false, _) => Err(NoKey(format!(
                "{what} is encrypted to somebody's key; `mira open` takes that with --identity"
            ))),
        }
    }
}

/// Starts an instance, with what is saved.
pub(crate) async fn bring_up(
    desk: &Handle,
    id: &str,
    identity: &Identity,
    password: Password,
) -> Result<Instance, DeskError> {
    let instance = desk.house.named(id).await?;
    let started = start(desk, &instance, password).await;
    let name = instance.name.as_str();
    desk.told(identity, AuditAction::InstanceStart, name, started)
        .await?;
    Ok(instance)
}

/// Stops an instance.
pub(crate) async fn bring_down(
    desk: &Desk,
    id: &str,
    identity: &Identity,
) -> Result<Instance, DeskError> {
    let instance = desk.house.named(id).await?;
    let stopped = desk.house.client.stop(instance.id.as_str()).await;
    let name = instance.name.as_str();
    desk.told(identity, AuditAction::InstanceStop, name, stopped)
        .await?;
    desk.house
        .instances
        .store()
        .set_desired(&instance.id, Desired::Stopped)
        .await?;
    Ok(instance)
}

/// Starts an instance; returns once all its services are up.
async fn start(desk: &Handle, instance: &Instance, password: Password) -> Result<(), DeskError> {
    let (begun, wanted) = (desk.clone(), instance.clone());
    // The vault is read here, and it is not to be kept waiting for anything else.
    let runtime = tokio::runtime::Handle::current();
    let begun = blocking(move || runtime.block_on(begin(&begun, &wanted, &password))).await;
    let mut starting = match begun {
        Ok(starting) => starting,
        Err(error) => {
            // What is unpacked in memory is of no use then.
            sweep(desk).await?;
            return Err(error);
        }
    };
    let store = desk.house.instances.store();
    let up = loop {
        match starting.next().await {
            Ok(Some(Started::Event(_))) => {}
            Ok(Some(Started::Up)) => break Ok(()),
            Ok(Some(Started::Failed(message))) => {
                break Err(DeskError::failed(format!(
                    "{} did not start: {message}",
                    instance.name
                )));
            }
            Ok(Some(Started::Stopped) | None) => {
                break Err(DeskError::failed(format!(
                    "{} was stopped before it was up",
                    instance.name
                )));
            }
            Err(error) => break Err(error.into()),
        }
    };
    let desired = if up.is_ok() {
        Desired::Running
    } else {
        Desired::Stopped
    };
    store.set_desired(&instance.id, desired).await?;
    up
}

/// Removes what instances that do not run left in memory.
pub(crate) async fn sweep(desk: &Handle) -> Result<(), DeskError> {
    let running = async || {
        let running = desk.house.client.instances().await?;
        Ok::<_, DeskError>(running.into_iter().map(|state| state.id).collect())
    };
    desk.house.instances.sweep_memory(running).await
}

async fn begin(
    desk: &Handle,
    instance: &Instance,
    password: &Password,
) -> Result<Starting, DeskError> {
    let instances = &desk.house.instances;
    let (instance, claim) = instances.claim(instance).await?;
    let mut ask = |wanted| password.answer(wanted);
    let unpacked = instances.reopen(&instance, &mut ask).await?;
    let manifest = &unpacked.manifest;
    let sealed = match &unpacked.sealed {
        Some(sealed) => instances.unseal(sealed, &mut ask).await?,
        None => Vec::new(),
    };
    let names: Vec<SecretName> = sealed.iter().map(|(name, _)| name.clone()).collect();
    let mut vault: Option<Vault> = match Instances::needs_vault(manifest) {
        true => desk.custody.open_if_there()?,
        false => None,
    };
    let resolution = instances
        .resolve(&instance, manifest, vault.as_ref(), &names)
        .await?;
    let mut values = instances.values(&instance, &resolution, vault.as_ref(), sealed)?;
    let autosave = match &mut vault {
        Some(vault) => Autosave::plan(instances, &instance, manifest, vault, &mut values)?,
        None => None,
    };
    drop(vault);
    for value in &values {
        // EXPOSE: to the log, which is kept free of it.
        desk.opened.tell(value.name.as_str(), value.value.expose());
    }
    let settings = Settings::read(desk.custody.home()).map_err(DeskError::failed)?;
    let surroundings = Surroundings {
        aws_region: settings.aws_region.map(|region| region.to_string()),
        variables: desk.house.variables.clone(),
        require_enforcement: false,
    };
    let spec = instances
        .spec(&instance, &unpacked, values, &surroundings)
        .await?;
    let starting = desk
        .house
        .client
        .start(
            &spec,
            autosave.as_ref(),
            Attachment::None,
            &*desk.house.spawn,
        )
        .await?;
    // The values are the supervisor's from here on.
    drop(spec);
    drop(claim);
    Ok(starting)
}

/// Decides whether an instance may call hosts, from now on.
pub(crate) async fn decide(
    desk: &Handle,
    instance: &Instance,
    hosts: &HostPattern,
    allow: bool,
) -> Result<(), DeskError> {
    let instances = &desk.house.instances;
    instances
        .store()
        .decide(&instance.id, &hosts.to_string(), allow)
        .await?;
    if let Some(unpacked) = instances.unpacked(instance)? {
        let rules = instances.policy_rules(instance, &unpacked.manifest).await?;
        // Where it does not run, they are read when it is started.
        desk.house
            .client
            .replace_rules(instance.id.as_str(), &rules)
            .await?;
    }
    Ok(())
}
