//! Snapshots of instances: their repository's password rests in the vault, and every secret of theirs is looked for.

use std::time::Duration;

use mira_package::manifest::{Manifest, Retention};
use mira_secret::{Kind, SecretBytes, SecretName, SecretValue};
use mira_snapshot::{Repository, Secrets, Snapshot, Volume};
use mira_store::{Instance, InstanceId};
use mira_vault::{NewSecret, Vault};

use super::secrets::{Resolution, Source, scope};
use super::{InstanceError, Instances};
use crate::service::Value;

/// The name under which the password of an instance's repository is saved, in the instance's scope.
pub const SNAPSHOT_PASSWORD: &str = "MIRA_SNAPSHOT_PASSWORD";

fn password_name() -> SecretName {
    let name = SNAPSHOT_PASSWORD.parse();
    name.expect("it is made of capital letters and underscores")
}

impl Instances {
    /// Returns the password of an instance's snapshots; it is made and saved where there is none.
    ///
    /// # Errors
    ///
    /// The vault cannot be used, or there are snapshots of another password.
    pub fn snapshot_password(
        &self,
        instance: &Instance,
        vault: &mut Vault,
    ) -> Result<Value, InstanceError> {
        let (scope, name) = (scope(&instance.id), password_name());
        if vault.find(&scope, &name).is_none() {
            let folder = self.layout.snapshots(&instance.id);
            if folder.join("config").exists() {
                let instance = instance.name.to_string();
                return Err(InstanceError::NoSnapshotPassword { instance, folder });
            }
            let value = SecretValue::new(&name, Repository::make_password()?);
            let value = value.map_err(|source| mira_vault::VaultError::Value {
                name: name.clone(),
                source,
            })?;
            let new = NewSecret {
                value,
                label: Some(format!("Snapshots of {}", instance.name)),
                kind: Some(Kind::Password),
                now: jiff::Timestamp::now(),
            };
            vault.update(|draft| match draft.find(&scope, &name) {
                // Somebody else made one in the meantime.
                Some(_) => Ok(()),
                None => draft.set(&scope, &name, new).map(drop),
            })?;
        }
        let entry = vault.find(&scope, &name);
        let value = entry.map(|entry| vault.value(entry)).transpose()?;
        let value = value.ok_or_else(|| InstanceError::Missing {
            instance: instance.name.to_string(),
            names: vec![name.clone()],
        })?;
        let origin = None;
        Ok(Value {
            name,
            value,
            origin,
        })
    }

    /// Returns an instance's snapshots; repository and password are made where there are none.
    ///
    /// # Errors
    ///
    /// The vault or the repository cannot be used.
    pub fn repository(
        &self,
        instance: &Instance,
        vault: &mut Vault,
    ) -> Result<Repository, InstanceError> {
        let password = self.snapshot_password(instance, vault)?;
        // EXPOSE: to the repository, whose key is made of it.
        let password = SecretBytes::copy_from(password.value.expose());
        super::folders::make(&self.layout.instance(&instance.id))?;
        let folder = self.layout.snapshots(&instance.id);
        Ok(Repository::open_or_create(&folder, &password)?)
    }

    /// Returns an instance's snapshots; `None` if it has none yet. Nothing is made.
    ///
    /// # Errors
    ///
    /// The vault or the repository cannot be used.
    pub fn existing_repository(
        &self,
        instance: &Instance,
        vault: &mut Vault,
    ) -> Result<Option<Repository>, InstanceError> {
        match self.layout.snapshots(&instance.id).exists() {
            true => self.repository(instance, vault).map(Some),
            false => Ok(None),
        }
    }

    /// Returns the values of an instance that none of its services gets: saved ones that its package does not declare, and
    /// the password of its snapshots. They are looked for in its files as all others are.
    ///
    /// # Errors
    ///
    /// A value cannot be read.
    pub fn undelivered(
        &self,
        instance: &Instance,
        manifest: &Manifest,
        vault: &Vault,
    ) -> Result<Vec<Value>, InstanceError> {
        let own = scope(&instance.id);
        let declared = |name: &SecretName| manifest.secrets.iter().any(|one| one.name == *name);
        let kept = vault.secrets();
        let mut values = Vec::new();
        for entry in kept.filter(|entry| *entry.scope() == own && !declared(entry.name())) {
            let parts = vault.delivered(entry)?.variables.into_iter();
            values.extend(parts.map(|(name, value)| Value {
                name,
                value,
                origin: None,
            }));
        }
        Ok(values)
    }

    /// Makes the folders of an instance's volumes where they are missing, and returns the volumes.
    ///
    /// # Errors
    ///
    /// A folder cannot be made.
    pub fn provide_volumes(
        &self,
        id: &InstanceId,
        manifest: &Manifest,
    ) -> Result<Vec<Volume>, InstanceError> {
        let volumes = self.volumes(id, manifest);
        for volume in &volumes {
            super::folders::make(&volume.path)?;
        }
        Ok(volumes)
    }

    /// Returns the volumes of an instance.
    #[must_use]
    pub fn volumes(&self, id: &InstanceId, manifest: &Manifest) -> Vec<Volume> {
        let volumes = manifest.state.volumes.iter();
        volumes
            .map(|volume| Volume::new(volume.as_str(), self.layout.volume(id, volume.as_str())))
            .collect()
    }

    /// Returns what is looked for in an instance's files: its own secrets, all of them, and those that it is bound to.
    ///
    /// What is sealed in its package is not known here: the caller adds it, where the package is open.
    ///
    /// # Errors
    ///
    /// A value cannot be read.
    pub fn secrets_to_find(
        &self,
        instance: &Instance,
        resolution: &Resolution<'_>,
        vault: &Vault,
        sealed: &[(SecretName, SecretValue)],
    ) -> Result<Secrets, InstanceError> {
        let mut secrets = Secrets::builder();
        let own = scope(&instance.id);
        for entry in vault.secrets().filter(|entry| *entry.scope() == own) {
            for (name, value) in vault.delivered(entry)?.variables {
                // EXPOSE: to the scanner, which keeps it out of snapshots.
                secrets.add(name.as_str(), value.expose());
            }
        }
        for wanted in &resolution.wanted {
            let Some(Source::Bound(secret)) = &wanted.source else {
                continue;
            };
            let name = &wanted.declared.name;
            let entry = vault.find(&mira_secret::Scope::User, secret);
            let value = entry
                .map(|entry| vault.value_for(name, entry))
                .transpose()?;
            if let Some(value) = value.flatten() {
                // EXPOSE: to the scanner, which keeps it out of snapshots.
                secrets.add(name.as_str(), value.expose());
            }
        }
        for (name, value) in sealed {
            // EXPOSE: to the scanner, which keeps it out of snapshots.
            secrets.add(name.as_str(), value.expose());
        }
        Ok(secrets.build())
    }
}

/// What goes into the snapshots of an instance.
#[derive(Debug)]
pub struct Content {
    /// Its volumes.
    pub volumes: Vec<Volume>,
    /// What is looked for in them.
    pub secrets: Secrets,
}

impl Instances {
    /// Returns what an instance keeps, and all secrets of it: its own, those that it is bound to, those that are sealed.
    ///
    /// # Errors
    ///
    /// It keeps no state, or a value cannot be read.
    pub async fn content(
        &self,
        instance: &Instance,
        manifest: &Manifest,
        vault: &Vault,
        sealed: &[(SecretName, SecretValue)],
    ) -> Result<Content, InstanceError> {
        let names: Vec<SecretName> = sealed.iter().map(|(name, _)| name.clone()).collect();
        let resolution = self
            .resolve(instance, manifest, Some(vault), &names)
            .await?;
        let secrets = self.secrets_to_find(instance, &resolution, vault, sealed)?;
        let volumes = self.provide_volumes(&instance.id, manifest)?;
        match volumes.is_empty() {
            true => Err(InstanceError::NoState {
                instance: instance.name.to_string(),
            }),
            false => Ok(Content { volumes, secrets }),
        }
    }

    /// Returns the volumes that a snapshot holds and the app has.
    ///
    /// # Errors
    ///
    /// There are none, or a folder cannot be made.
    pub fn restorable(
        &self,
        instance: &Instance,
        manifest: &Manifest,
        snapshot: &Snapshot,
    ) -> Result<Vec<Volume>, InstanceError> {
        let mut volumes = self.provide_volumes(&instance.id, manifest)?;
        volumes.retain(|volume| snapshot.volumes.contains(&volume.name));
        match volumes.is_empty() {
            false => Ok(volumes),
            true => Err(InstanceError::NoCommonVolume {
                instance: instance.name.to_string(),
                snapshot: snapshot.id.short().to_owned(),
                held: snapshot.volumes.join(", "),
            }),
        }
    }
}

/// Returns how often snapshots of an app are taken by themselves; nothing if they are not, or it keeps nothing.
#[must_use]
pub fn autosaved(manifest: &Manifest) -> Option<Duration> {
    let state = &manifest.state;
    state.autosave.filter(|_| !state.volumes.is_empty())
}

/// Returns how many snapshots are kept, as the library wants to know it.
#[must_use]
pub fn retention(retention: &Retention) -> mira_snapshot::Retention {
    let number = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    mira_snapshot::Retention {
        last: number(retention.last),
        daily: number(retention.daily),
        weekly: number(retention.weekly),
        monthly: number(retention.monthly),
    }
}
