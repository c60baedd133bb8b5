//! Copying an instance in two steps, with its state copied by the caller in between.
//!
//! INVARIANT: until the last step the copy counts as one that is being deleted: nobody uses it half, and after a crash it is
//! found and removed as one.

use crate::error::StoreError;
use crate::id::{InstanceId, InstanceName};
use crate::instances::{Instance, NewInstance, live};
use crate::store::Store;

impl Store {
    /// Begins a copy of an instance: another id and name, the same package, settings and decisions about hosts; no binding, no port.
    ///
    /// `agreed` says whether the user agreed to its package for the copy too.
    ///
    /// # Errors
    ///
    /// Refuses a source that is gone or being deleted, and a name that is taken.
    pub async fn begin_copy(
        &self,
        source: &Instance,
        name: Option<InstanceName>,
        agreed: bool,
    ) -> Result<Instance, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            live(&mut transaction, &source.id).await?;
            let mut new = NewInstance {
                name,
                app_id: source.app_id.clone(),
                package: source.package.clone(),
            };
            new.package.unsigned_agreed = agreed;
            let copy = Self::insert(&mut transaction, &new, true).await?;
            sqlx::query(
                "INSERT INTO settings (instance_id, name, value)
                 SELECT $1, name, value FROM settings WHERE instance_id = $2",
            )
            .bind(copy.id.as_str())
            .bind(source.id.as_str())
            .execute(&mut *transaction)
            .await?;
            sqlx::query(
                "INSERT INTO net_decisions (instance_id, host, allow, decided_ms)
                 SELECT $1, host, allow, decided_ms FROM net_decisions WHERE instance_id = $2",
            )
            .bind(copy.id.as_str())
            .bind(source.id.as_str())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(copy)
        };
        self.told(work).await
    }

    /// Finishes a copy: from now on it is an instance as any other.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NotFound`] where it was deleted meanwhile.
    pub async fn finish_copy(&self, id: &InstanceId) -> Result<Instance, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let row =
                sqlx::query("UPDATE instances SET deleting = FALSE WHERE id = $1 RETURNING *")
                    .bind(id.as_str())
                    .fetch_optional(&mut *transaction)
                    .await?;
            let instance = Instance::of_row(&row.ok_or(StoreError::NotFound)?)?;
            transaction.commit().await?;
            Ok(instance)
        };
        self.told(work).await
    }
}
