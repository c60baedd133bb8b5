//! An instance's secrets: which it declares, where each comes from, and which are missing.

use mira_package::manifest::{Manifest, SecretSpec};
use mira_secret::{Kind, Scope, SecretName, SecretValue};
use mira_store::{Binding, Instance, InstanceId};
use mira_vault::{Entry, Vault};

use super::{InstanceError, Instances, autosaved};
use crate::service::{Origin, Value};

/// Where a declared secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The instance has a value of its own.
    Own,
    /// It is bound to one of the user's secrets.
    Bound(SecretName),
    /// It is sealed in the package.
    Sealed,
}

/// A declared secret and where it comes from.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// What the manifest says.
    pub declared: &'a SecretSpec,
    /// Where it comes from; nothing if it is missing.
    pub source: Option<Source>,
}

/// What became of an instance's declared secrets.
#[derive(Debug)]
pub struct Resolution<'a> {
    /// All of them, in the manifest's order.
    pub wanted: Vec<Wanted<'a>>,
}

impl<'a> Resolution<'a> {
    /// Returns those that are missing.
    pub fn missing(&self) -> impl Iterator<Item = &'a SecretSpec> {
        self.wanted
            .iter()
            .filter(|wanted| wanted.source.is_none())
            .map(|wanted| wanted.declared)
    }

    /// Returns the names of those without which nothing is started.
    #[must_use]
    pub fn missing_required(&self) -> Vec<SecretName> {
        self.missing()
            .filter(|declared| declared.required)
            .map(|declared| declared.name.clone())
            .collect()
    }
}

/// Returns the scope of an instance's own secrets.
#[must_use]
pub(super) fn scope(id: &InstanceId) -> Scope {
    Scope::Instance(id.as_str().into())
}

impl Instances {
    /// Binds a declared name of an instance to a secret of the user: to `wanted`, or to the one of the same name or that has it
    /// as a part. Returns what it is bound to, from the next start on.
    ///
    /// # Errors
    ///
    /// It is not declared, the secret is not saved or is the server's own, or the instance has a value of its own.
    pub async fn bind(
        &self,
        instance: &Instance,
        name: &SecretName,
        wanted: Option<&SecretName>,
        vault: &Vault,
    ) -> Result<SecretName, InstanceError> {
        self.check_declared(instance, name)?;
        let entry = match wanted {
            Some(secret) => vault.find(&Scope::User, secret),
            None => vault.carrier(&Scope::User, name)?,
        };
        let entry = entry.ok_or_else(|| InstanceError::NotSaved {
            name: wanted.unwrap_or(name).clone(),
        })?;
        let secret = entry.name().clone();
        if secret.is_of_server() {
            return Err(InstanceError::OfServer { secret });
        }
        let name = name.clone();
        if entry.kind() == Kind::AwsCredentials && vault.value_for(&name, entry)?.is_none() {
            return Err(InstanceError::NoPart { secret, name });
        }
        if vault.find(&scope(&instance.id), &name).is_some() {
            let instance = instance.name.to_string();
            return Err(InstanceError::HasOwn { instance, name });
        }
        self.store
            .set_binding(&instance.id, name.as_str(), secret.as_str())
            .await?;
        Ok(secret)
    }

    /// Refuses a name that an instance's app does not declare, where it is known what it declares.
    ///
    /// # Errors
    ///
    /// It is not declared, or the copy of the package cannot be used.
    pub fn check_declared(
        &self,
        instance: &Instance,
        name: &SecretName,
    ) -> Result<(), InstanceError> {
        let Some(unpacked) = self.unpacked(instance)? else {
            return Ok(());
        };
        let declared = unpacked.manifest.secrets.into_iter().map(|one| one.name);
        let declared: Vec<SecretName> = declared.collect();
        match declared.contains(name) {
            true => Ok(()),
            false => Err(InstanceError::NotDeclared {
                instance: instance.name.to_string(),
                name: name.clone(),
                declared,
            }),
        }
    }

    /// Refuses a declared name that is bound to one of the user's secrets: a value of its own would be a second one.
    ///
    /// # Errors
    ///
    /// It is bound, or the database cannot be read.
    pub async fn check_unbound(
        &self,
        instance: &Instance,
        name: &SecretName,
    ) -> Result<(), InstanceError> {
        let bindings = self.store.bindings(&instance.id).await?;
        match bindings.iter().any(|binding| binding.name == name.as_str()) {
            false => Ok(()),
            true => Err(InstanceError::IsBound {
                instance: instance.name.to_string(),
                name: name.clone(),
            }),
        }
    }

    /// Says where each declared secret comes from. `sealed` names what is sealed in the package; without a vault, nothing is saved.
    ///
    /// # Errors
    ///
    /// A name comes from two places, or AWS credentials that it is bound to cannot be read.
    pub async fn resolve<'a>(
        &self,
        instance: &Instance,
        manifest: &'a Manifest,
        vault: Option<&Vault>,
        sealed: &[SecretName],
    ) -> Result<Resolution<'a>, InstanceError> {
        let bindings = self.store.bindings(&instance.id).await?;
        let own = scope(&instance.id);
        let mut wanted = Vec::with_capacity(manifest.secrets.len());
        for declared in &manifest.secrets {
            let name = &declared.name;
            let is_own = vault.is_some_and(|vault| vault.find(&own, name).is_some());
            let bound = bound(&bindings, name);
            let entry = |secret: &SecretName| Some((vault?, vault?.find(&Scope::User, secret)?));
            let gives = match bound.as_ref().and_then(entry) {
                // AWS credentials need not have every part that is asked of them.
                Some((vault, entry)) if entry.kind() == Kind::AwsCredentials => {
                    vault.value_for(name, entry)?.is_some()
                }
                found => found.is_some(),
            };
            let found = [
                is_own.then_some(Source::Own),
                bound.filter(|_| gives).map(Source::Bound),
                sealed.contains(name).then_some(Source::Sealed),
            ];
            let mut found = found.into_iter().flatten();
            let source = found.next();
            if found.next().is_some() {
                return Err(InstanceError::Collision {
                    instance: instance.name.to_string(),
                    name: name.clone(),
                });
            }
            wanted.push(Wanted { declared, source });
        }
        Ok(Resolution { wanted })
    }

    /// Returns the values of an instance's secrets.
    ///
    /// # Errors
    ///
    /// A required one is missing, or a value cannot be read.
    pub fn values(
        &self,
        instance: &Instance,
        resolution: &Resolution<'_>,
        vault: Option<&Vault>,
        mut sealed: Vec<(SecretName, SecretValue)>,
    ) -> Result<Vec<Value>, InstanceError> {
        let missing = resolution.missing_required();
        if !missing.is_empty() {
            return Err(InstanceError::Missing {
                instance: instance.name.to_string(),
                names: missing,
            });
        }
        let own = scope(&instance.id);
        let mut values = Vec::new();
        for Wanted { declared, source } in &resolution.wanted {
            let Some(source) = source else { continue };
            let name = declared.name.clone();
            let (scope, saved_as) = match source {
                Source::Own => (&own, &name),
                Source::Bound(secret) => (&Scope::User, secret),
                Source::Sealed => {
                    let at = sealed.iter().position(|(sealed, _)| *sealed == name);
                    let value = at.map(|at| sealed.swap_remove(at).1);
                    let value = value.ok_or_else(|| InstanceError::Missing {
                        instance: instance.name.to_string(),
                        names: vec![name.clone()],
                    })?;
                    let origin = None;
                    values.push(Value {
                        name,
                        value,
                        origin,
                    });
                    continue;
                }
            };
            let entry = vault.and_then(|vault| Some((vault, vault.find(scope, saved_as)?)));
            if let Some((vault, entry)) = entry
                && let Some(value) = vault.value_for(&name, entry)?
            {
                values.push(Value {
                    value,
                    origin: Some(origin(entry)),
                    name,
                });
            }
        }
        Ok(values)
    }

    /// Returns whether an instance needs the vault: for the secrets that it declares, or for the password of its snapshots.
    #[must_use]
    pub fn needs_vault(manifest: &Manifest) -> bool {
        !manifest.secrets.is_empty() || autosaved(manifest).is_some()
    }
}

fn bound(bindings: &[Binding], name: &SecretName) -> Option<SecretName> {
    let binding = bindings
        .iter()
        .find(|binding| binding.name == name.as_str())?;
    // The database's text is checked like any other.
    binding.secret.parse().ok()
}

fn origin(entry: &Entry) -> Origin {
    Origin {
        secret_id: entry.id().to_string(),
        scope: entry.scope().clone(),
        version: entry.version(),
    }
}
