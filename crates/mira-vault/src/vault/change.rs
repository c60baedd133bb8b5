//! Changes: one draft, one lock, one write.
//!
//! The order of a change: take the lock; read and verify the document as it is now; change it in memory; write it beside the
//! old one; change the items of the OS keychain, where values rest there; rename; raise the floor. So a full disk shows before
//! anything has changed. A crash among the keychain's items leaves a saved value that its listing does not know yet (saving
//! it again heals that), or a listing whose item is gone (removing it again completes the removal); never an item that
//! nothing lists after a removal.

use jiff::Timestamp;
use mira_secret::{Kind, Scope, SecretBytes, SecretName, SecretValue};

use super::{Vault, same_path};
use crate::aws::AwsCredentials;
use crate::document::{COUNTER_MAX, Document, Record, ScopeRecord, WrappedKey, beside_value};
use crate::entry::{Entry, check_label, to_second};
use crate::error::VaultError;
use crate::id::EntryId;
use crate::private_file::WriteLock;
use crate::provider::{self, KeyOf, NewProvider, Provided};
use crate::values::{Backend, account};

/// A value to save.
#[derive(Debug)]
pub struct NewSecret {
    /// The value.
    pub value: SecretValue,
    /// What a person calls it; `None` keeps the label, or takes the name for a new secret.
    pub label: Option<String>,
    /// What it is; `None` keeps the kind, or takes the default for a new secret.
    pub kind: Option<Kind>,
    /// The time of the change.
    pub now: Timestamp,
}

/// A document while it is being changed.
#[derive(Debug)]
pub struct Draft {
    vault: Vault,
    items: Vec<ItemChange>,
    changed: bool,
}

/// What is to happen to an item of the OS keychain.
#[derive(Debug)]
enum ItemChange {
    Store {
        account: String,
        label: String,
        value: SecretBytes,
    },
    Delete {
        account: String,
    },
}

impl Vault {
    /// Changes the vault: takes the lock, reads the document as it is now, applies `change` and writes the result.
    ///
    /// Nothing is written if `change` fails or changes nothing. Afterwards this vault is the document as it is then.
    ///
    /// # Errors
    ///
    /// Returns the error of `change`, or why the document could not be read, verified or written.
    pub fn update<R>(
        &mut self,
        change: impl FnOnce(&mut Draft) -> Result<R, VaultError>,
    ) -> Result<R, VaultError> {
        let lock = WriteLock::take(&self.home)?;
        let vault = self.read_again()?;
        let mut draft = Draft {
            vault,
            items: Vec::new(),
            changed: false,
        };
        let result = change(&mut draft)?;
        if draft.changed {
            *self = draft.commit(&lock)?;
        } else {
            *self = draft.vault;
        }
        Ok(result)
    }

    /// Gives the vault a new root key and all scopes new keys, and then removes the old root key from its provider.
    ///
    /// The values are sealed anew as well: whoever has the old root key and a copy of the old file has the old scopes' keys, and
    /// would read with them what is saved later.
    ///
    /// # Errors
    ///
    /// The new provider cannot keep a key, it has no other than the old one, or the document could not be written: then the old
    /// key is still the vault's. After [`VaultError::OldKeyLeft`] the new key is.
    pub fn rekey(&mut self, new: NewProvider) -> Result<(), VaultError> {
        let lock = WriteLock::take(&self.home)?;
        let old = self.read_again()?;
        let new_keyfile = match &new {
            NewProvider::Keyfile { path } => {
                Some(path.clone().unwrap_or_else(|| self.home.default_keyfile()))
            }
            _ => None,
        };
        let same_keyfile = same_path(new_keyfile.as_deref(), old.keyfile_path().as_deref());
        let provided = if let (true, Some(path)) = (same_keyfile, &new_keyfile) {
            let document = &old.document;
            provider::provide_in_same_keyfile(path, &document.provider, &document.key_check, &lock)?
        } else {
            provider::provide(new, &self.home, old.id(), &self.keychain)?
        };
        if provided.root == old.root {
            return Err(VaultError::SameKey);
        }
        let document = resealed(&old, &provided)?;
        let mut vault = Self::new(
            self.home.clone(),
            document,
            provided.root.duplicate(),
            self.keychain.clone(),
        );
        raise(&mut vault.document.generation)?;
        vault.stage(&lock)?.commit()?;
        vault.raise_floor(&lock)?;
        *self = vault;
        let old_of = KeyOf {
            home: &old.home,
            vault: old.id(),
            check: &old.document.key_check,
        };
        provider::settle(
            &old.document.provider,
            old_of,
            &provided,
            &old.keychain,
            &lock,
        )
        .map_err(|error| VaultError::OldKeyLeft(Box::new(error)))
    }
}

/// Returns the document under the new root key: new keys for the scopes, each value sealed anew under its own.
fn resealed(old: &Vault, provided: &Provided) -> Result<Document, VaultError> {
    let id = *old.id();
    let wrapping = provided.root.derive_wrapping_key(&id);
    let mut scopes = std::collections::BTreeMap::new();
    for (scope, record) in &old.document.scopes {
        let is_sealed = old.backend() == Backend::File;
        let key = is_sealed
            .then(|| WrappedKey::make_random(&wrapping, &id, scope))
            .transpose()?;
        let mut secrets = std::collections::BTreeMap::new();
        for (name, Record { entry, .. }) in &record.secrets {
            let entry = entry.clone();
            let sealed = match &key {
                None => None,
                Some(key) => {
                    let key = key
                        .open(&wrapping, &id, scope)
                        .expect("it was just made under this key");
                    Some(key.seal(&old.open(&entry)?, &beside_value(&id, &entry))?)
                }
            };
            secrets.insert(name.clone(), Record { entry, sealed });
        }
        scopes.insert(scope.clone(), ScopeRecord { key, secrets });
    }
    Ok(Document {
        vault: id,
        generation: old.generation(),
        backend: old.backend(),
        provider: provided.parameters.clone(),
        key_check: provided.root.check(),
        scopes,
    })
}

fn raise(counter: &mut u64) -> Result<(), VaultError> {
    if *counter >= COUNTER_MAX {
        return Err(VaultError::Counter);
    }
    *counter += 1;
    Ok(())
}

impl Draft {
    /// Returns a secret, if it is saved.
    #[must_use]
    pub fn find(&self, scope: &Scope, name: &SecretName) -> Option<&Entry> {
        self.vault.find(scope, name)
    }

    /// Saves a value: a new secret, or the next version of one.
    ///
    /// # Errors
    ///
    /// The label is not one, the value is not of its kind, or the system gives no randomness.
    pub fn set(
        &mut self,
        scope: &Scope,
        name: &SecretName,
        new: NewSecret,
    ) -> Result<&Entry, VaultError> {
        let entry = next_entry(self.vault.find(scope, name), scope, name, &new)?;
        if entry.kind() == Kind::AwsCredentials {
            AwsCredentials::from_value(&new.value).map_err(|source| VaultError::Aws {
                name: name.clone(),
                source,
            })?;
        }
        let sealed = match self.vault.backend() {
            Backend::Keychain => {
                self.items.push(ItemChange::Store {
                    account: account(scope, name),
                    label: format!("Mira: {}", entry.label()),
                    // EXPOSE: to the OS keychain, which is where this vault's values rest.
                    value: SecretBytes::copy_from(new.value.expose()),
                });
                None
            }
            Backend::File => Some(self.seal(&entry, &new.value)?),
        };
        let scope = self
            .vault
            .document
            .scopes
            .entry(scope.clone())
            .or_insert_with(|| ScopeRecord {
                key: None,
                secrets: std::collections::BTreeMap::new(),
            });
        self.changed = true;
        let record = Record { entry, sealed };
        let slot = scope.secrets.entry(name.clone()).insert_entry(record);
        Ok(&slot.into_mut().entry)
    }

    fn seal(
        &mut self,
        entry: &Entry,
        value: &SecretValue,
    ) -> Result<crate::crypto::Sealed, VaultError> {
        let Vault {
            document,
            wrapping,
            home,
            ..
        } = &mut self.vault;
        let id = document.vault;
        let scope = document
            .scopes
            .entry(entry.scope().clone())
            .or_insert_with(|| ScopeRecord {
                key: None,
                secrets: std::collections::BTreeMap::new(),
            });
        let key = match &mut scope.key {
            Some(key) => key,
            none => none.insert(WrappedKey::make_random(wrapping, &id, entry.scope())?),
        };
        let tampered = |_| VaultError::Tampered {
            path: home.credentials(),
        };
        let key = key.open(wrapping, &id, entry.scope()).map_err(tampered)?;
        // EXPOSE: to the cipher.
        let plain = SecretBytes::copy_from(value.expose());
        Ok(key.seal(&plain, &beside_value(&id, entry))?)
    }

    /// Removes a secret; returns whether it was there. With the last one of a scope goes the scope's key.
    ///
    /// # Errors
    ///
    /// None today; callers that change several secrets at once stop at the first error.
    pub fn remove(&mut self, scope: &Scope, name: &SecretName) -> Result<bool, VaultError> {
        let Some(record) = self.vault.document.scopes.get_mut(scope) else {
            return Ok(false);
        };
        if record.secrets.remove(name).is_none() {
            return Ok(false);
        }
        if record.secrets.is_empty() {
            self.vault.document.scopes.remove(scope);
        }
        self.forget_item(scope, name);
        self.changed = true;
        Ok(true)
    }

    /// Removes a scope with its key and all its secrets; returns how many there were.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove).
    pub fn remove_scope(&mut self, scope: &Scope) -> Result<usize, VaultError> {
        let Some(record) = self.vault.document.scopes.remove(scope) else {
            return Ok(0);
        };
        for name in record.secrets.keys() {
            self.forget_item(scope, name);
        }
        self.changed = true;
        Ok(record.secrets.len())
    }

    fn forget_item(&mut self, scope: &Scope, name: &SecretName) {
        if self.vault.backend() == Backend::Keychain {
            self.items.push(ItemChange::Delete {
                account: account(scope, name),
            });
        }
    }

    fn commit(mut self, lock: &WriteLock) -> Result<Vault, VaultError> {
        raise(&mut self.vault.document.generation)?;
        let staged = self.vault.stage(lock)?;
        self.change_items()?;
        staged.commit()?;
        self.vault.raise_floor(lock)?;
        Ok(self.vault)
    }

    fn change_items(&self) -> Result<(), VaultError> {
        for item in &self.items {
            let keychain = self
                .vault
                .keychain
                .connect()
                .map_err(VaultError::Keychain)?;
            match item {
                ItemChange::Store {
                    account,
                    label,
                    value,
                } => keychain.store(account, label, value),
                ItemChange::Delete { account } => keychain.delete(account).map(drop),
            }
            .map_err(VaultError::Keychain)?;
        }
        Ok(())
    }
}

fn next_entry(
    known: Option<&Entry>,
    scope: &Scope,
    name: &SecretName,
    new: &NewSecret,
) -> Result<Entry, VaultError> {
    if let Some(label) = &new.label {
        check_label(label)?;
    }
    let now = to_second(new.now);
    match known {
        Some(known) => {
            let mut entry = known.clone();
            raise(&mut entry.version)?;
            // A clock that was set back does not make a secret older than it is.
            entry.updated = now.max(known.updated());
            entry.label = new.label.clone().unwrap_or(entry.label);
            entry.kind = new.kind.unwrap_or(entry.kind);
            Ok(entry)
        }
        None => Ok(Entry {
            id: EntryId::make_random()?,
            scope: scope.clone(),
            name: name.clone(),
            label: new.label.clone().unwrap_or_else(|| name.to_string()),
            kind: new.kind.unwrap_or_default(),
            created: now,
            updated: now,
            version: 1,
        }),
    }
}
