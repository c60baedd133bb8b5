//! Snapshots of instances: their repository's password rests in the vault, and every secret of theirs is looked for.

use mira_package::manifest::{Manifest, Retention};
use mira_secret::{Kind, SecretName, SecretValue};
use mira_snapshot::{Repository, Secrets, Volume};
use mira_store::{Instance, InstanceId};
use mira_vault::{NewSecret, Vault};

use super::secrets::{Resolution, Source, scope};
use super::{InstanceError, Instances};

/// The name under which the password of an instance's repository is saved, in the instance's scope.
pub const SNAPSHOT_PASSWORD: &str = "MIRA_SNAPSHOT_PASSWORD";

fn password_name() -> SecretName {
    let name = SNAPSHOT_PASSWORD.parse();
    name.expect("it is made of capital letters and underscores")
}

impl Instances {
    /// Returns an instance's snapshots; its password is made and saved where there is none.
    ///
    /// # Errors
    ///
    /// The vault or the repository cannot be used.
    pub fn repository(
        &self,
        instance: &Instance,
        vault: &mut Vault,
    ) -> Result<Repository, InstanceError> {
        let (scope, name) = (scope(&instance.id), password_name());
        if vault.find(&scope, &name).is_none() {
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
        let password = entry.map(|entry| vault.value(entry)).transpose()?;
        let password = password.ok_or_else(|| InstanceError::Missing {
            instance: instance.name.to_string(),
            names: vec![name],
        })?;
        let folder = self.layout.snapshots(&instance.id);
        super::folders::make(&self.layout.instance(&instance.id))?;
        // EXPOSE: to the repository, whose key is made of it.
        let password = mira_secret::SecretBytes::copy_from(password.expose());
        Ok(Repository::open_or_create(&folder, &password)?)
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
            // EXPOSE: to the scanner, which keeps it out of snapshots.
            secrets.add(entry.name().as_str(), vault.value(entry)?.expose());
        }
        for wanted in &resolution.wanted {
            let Some(Source::Bound(secret)) = &wanted.source else {
                continue;
            };
            if let Some(entry) = vault.find(&mira_secret::Scope::User, secret) {
                // EXPOSE: to the scanner, which keeps it out of snapshots.
                secrets.add(wanted.declared.name.as_str(), vault.value(entry)?.expose());
            }
        }
        for (name, value) in sealed {
            // EXPOSE: to the scanner, which keeps it out of snapshots.
            secrets.add(name.as_str(), value.expose());
        }
        Ok(secrets.build())
    }
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
