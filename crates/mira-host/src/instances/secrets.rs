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
