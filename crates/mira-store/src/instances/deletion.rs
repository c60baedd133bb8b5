//! Deleting an instance in two steps, with what it left on the disk and in the vault removed by the caller in between.
//!
//! INVARIANT: from the first step to the last the instance is in [`Store::deleting`], so whoever comes after a crash finds it.

use crate::error::StoreError;
use crate::id::InstanceId;
use crate::instances::Instance;
use crate::store::Store;

impl Store {
    /// Begins to delete an instance: it is not listed any more, and nothing of it can be changed. Begun twice, it is begun.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NotFound`] where there is none.
    pub async fn begin_delete(&self, id: &InstanceId) -> Result<Instance, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let row = sqlx::query(
                "UPDATE instances SET deleting = TRUE, desired = 'stopped' WHERE id = $1 RETURNING *",
            )
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
            let instance = Instance::of_row(&row.ok_or(StoreError::NotFound)?)?;
            transaction.commit().await?;
            Ok(instance)
        };
        self.told(work).await
    }

    /// Finishes a deletion: the instance, its bindings, settings, ports and decisions are gone. One that is gone already is no error.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::DeletionNotBegun`] where it was not begun.
    pub async fn finish_delete(&self, id: &InstanceId) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let deleting: Option<bool> =
                sqlx::query_scalar("SELECT deleting FROM instances WHERE id = $1")
                    .bind(id.as_str())
                    .fetch_optional(&mut *transaction)
                    .await?;
            if deleting == Some(false) {
                return Err(StoreError::DeletionNotBegun { id: id.clone() }.into());
            }
            // What refers to it goes with it.
            sqlx::query("DELETE FROM instances WHERE id = $1")
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }
}
