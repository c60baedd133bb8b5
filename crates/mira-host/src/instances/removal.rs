//! Deleting an instance: all of it and nothing else, also when a deletion was interrupted.
//!
//! INVARIANT: it is marked first and forgotten last. Whatever interrupts it, the mark says that it is to be finished, and
//! every step may be done again.

use mira_store::Instance;
use mira_vault::Vault;

use super::folders::remove;
use super::secrets::scope;
use super::{InstanceError, Instances};

impl Instances {
    /// Deletes an instance that does not run: its secrets, state, logs, network record and snapshots. The vault may be left out only where
    /// there is none. The caller holds the instance's claim.
    ///
    /// # Errors
    ///
    /// A part cannot be removed; the instance stays marked, and a second call goes on.
    pub async fn delete(
        &self,
        instance: &Instance,
        vault: Option<&mut Vault>,
    ) -> Result<(), InstanceError> {
        if !instance.deleting {
            self.store.begin_delete(&instance.id).await?;
        }
        if let Some(vault) = vault {
            let scope = scope(&instance.id);
            vault.update(|draft| draft.remove_scope(&scope))?;
        }
        remove(&self.layout.instance(&instance.id))?;
        remove(&self.layout.runtime_secrets().join(instance.id.as_str()))?;
        self.store.finish_delete(&instance.id).await?;
        self.forget_claims(instance);
        self.give_up_copy(&instance.package.digest).await
    }
}
