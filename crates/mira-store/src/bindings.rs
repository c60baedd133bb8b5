//! Bindings: a declared name of an instance, and the user's secret that it refers to. Names only, never a value.

use jiff::Timestamp;
use sqlx::Row as _;

use crate::database::Row;
use crate::error::StoreError;
use crate::id::InstanceId;
use crate::instances::live;
use crate::store::{Store, now_ms, parsed, time};
use crate::text;

/// An instance's reference to a secret of scope `user`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Binding {
    /// The instance that may have the secret.
    pub instance: InstanceId,
    /// The name that its manifest declares.
    pub name: String,
    /// The secret's name in scope `user`.
    pub secret: String,
    /// Since when.
    pub bound: Timestamp,
}

impl Binding {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            instance: parsed(row, "instance_id")?,
            name: row.try_get("name")?,
            secret: row.try_get("secret")?,
            bound: time(row, "bound_ms")?,
        })
    }
}

impl Store {
    /// Binds a declared name of an instance to a secret of scope `user`; what it was bound to before is forgotten.
    ///
    /// # Errors
    ///
    /// Refuses an instance that is gone or being deleted.
    pub async fn set_binding(
        &self,
        id: &InstanceId,
        name: &str,
        secret: &str,
    ) -> Result<(), StoreError> {
        let work = async {
            text::line("the declared name", name)?;
            text::line("the secret's name", secret)?;
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            sqlx::query(
                "INSERT INTO bindings (instance_id, name, secret, bound_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (instance_id, name)
                 DO UPDATE SET secret = excluded.secret, bound_ms = excluded.bound_ms",
            )
            .bind(id.as_str())
            .bind(name)
            .bind(secret)
            .bind(now_ms())
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }

    /// Removes a binding; returns whether there was one.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn remove_binding(&self, id: &InstanceId, name: &str) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let removed = sqlx::query("DELETE FROM bindings WHERE instance_id = $1 AND name = $2")
                .bind(id.as_str())
                .bind(name)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(removed.rows_affected() > 0)
        };
        self.told(work).await
    }

    /// Returns an instance's bindings, by declared name.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn bindings(&self, id: &InstanceId) -> Result<Vec<Binding>, StoreError> {
        let work = async {
            let rows = sqlx::query("SELECT * FROM bindings WHERE instance_id = $1 ORDER BY name")
                .bind(id.as_str())
                .fetch_all(self.pool())
                .await?;
            let bindings: Result<_, sqlx::Error> = rows.iter().map(Binding::of_row).collect();
            Ok(bindings?)
        };
        self.told(work).await
    }

    /// Returns who is bound to a secret of scope `user`, instances that are being deleted too.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn bound_to(&self, secret: &str) -> Result<Vec<Binding>, StoreError> {
        let work = async {
            let rows =
                sqlx::query("SELECT * FROM bindings WHERE secret = $1 ORDER BY instance_id, name")
                    .bind(secret)
                    .fetch_all(self.pool())
                    .await?;
            let bindings: Result<_, sqlx::Error> = rows.iter().map(Binding::of_row).collect();
            Ok(bindings?)
        };
        self.told(work).await
    }
}
