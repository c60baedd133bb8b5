//! Finding instances: by id, by name, by the beginning of an id; and all of them.

use crate::error::{Fault, StoreError};
use crate::id::InstanceId;
use crate::instances::Instance;
use crate::store::Store;

impl Store {
    /// Returns all instances that are not being deleted, by name.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn instances(&self) -> Result<Vec<Instance>, StoreError> {
        self.listed(false).await
    }

    /// Returns the instances whose deletion has begun and is not finished, by name.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn deleting(&self) -> Result<Vec<Instance>, StoreError> {
        self.listed(true).await
    }

    async fn listed(&self, deleting: bool) -> Result<Vec<Instance>, StoreError> {
        let work = async {
            let rows = sqlx::query("SELECT * FROM instances WHERE deleting = $1 ORDER BY name")
                .bind(deleting)
                .fetch_all(self.pool())
                .await?;
            let instances: Result<_, sqlx::Error> = rows.iter().map(Instance::of_row).collect();
            Ok(instances?)
        };
        self.told(work).await
    }

    /// Returns an instance, also one that is being deleted.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NotFound`] where there is none.
    pub async fn instance(&self, id: &InstanceId) -> Result<Instance, StoreError> {
        let work = async {
            let row = sqlx::query("SELECT * FROM instances WHERE id = $1")
                .bind(id.as_str())
                .fetch_optional(self.pool())
                .await?;
            let row = row.ok_or(StoreError::NotFound)?;
            Ok(Instance::of_row(&row)?)
        };
        self.told(work).await
    }

    /// Returns the instance that a person means: the one with this id, else with this name, else the only one whose id
    /// begins so.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::Ambiguous`] with the candidates where several ids begin so, and [`StoreError::Deleting`]
    /// where the one that is meant is being deleted.
    pub async fn find(&self, wanted: &str) -> Result<Instance, StoreError> {
        let work = async {
            if wanted.is_empty() {
                return Err(StoreError::NotFound.into());
            }
            let rows = sqlx::query(
                "SELECT * FROM instances
                 WHERE id = $1 OR name = $1 OR substr(id, 1, length($1)) = $1 ORDER BY id",
            )
            .bind(wanted)
            .fetch_all(self.pool())
            .await?;
            let found: Result<Vec<Instance>, sqlx::Error> =
                rows.iter().map(Instance::of_row).collect();
            meant(wanted, found?)
        };
        self.told(work).await
    }
}

/// Chooses among instances that all match somehow.
fn meant(wanted: &str, found: Vec<Instance>) -> Result<Instance, Fault> {
    let exact =
        |instance: &&Instance| instance.id.as_str() == wanted || instance.name.as_str() == wanted;
    // A name is never another's id, so there is one at most.
    if let Some(instance) = found.iter().find(exact) {
        return undeleted(instance.clone());
    }
    let mut live = found.iter().filter(|instance| !instance.deleting);
    match (live.next(), live.next()) {
        (Some(only), None) => Ok(only.clone()),
        (Some(_), Some(_)) => {
            let candidates = found
                .into_iter()
                .filter(|instance| !instance.deleting)
                .map(|instance| instance.id)
                .collect();
            Err(StoreError::Ambiguous { candidates }.into())
        }
        (None, _) => match found.into_iter().next() {
            Some(deleted) => undeleted(deleted),
            None => Err(StoreError::NotFound.into()),
        },
    }
}

fn undeleted(instance: Instance) -> Result<Instance, Fault> {
    match instance.deleting {
        true => Err(StoreError::Deleting { id: instance.id }.into()),
        false => Ok(instance),
    }
}
