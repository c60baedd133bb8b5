//! Settings of an instance: values that are no secret, where they differ from the manifest's defaults.

use sqlx::Row as _;

use crate::error::StoreError;
use crate::id::InstanceId;
use crate::instances::live;
use crate::store::Store;
use crate::text;

/// The longest value of a setting, in bytes.
// LIMIT: a setting becomes an environment variable, and Linux takes 128 KiB for one.
pub const SETTING_BYTES_MAX: usize = 64 * 1024;

/// A setting that an instance has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its value, which may be empty.
    pub value: String,
}

impl Store {
    /// Sets a setting of an instance.
    ///
    /// # Errors
    ///
    /// Refuses a value longer than [`SETTING_BYTES_MAX`], and an instance that is gone or being deleted.
    pub async fn set_setting(
        &self,
        id: &InstanceId,
        name: &str,
        value: &str,
    ) -> Result<(), StoreError> {
        let work = async {
            text::line("the setting's name", name)?;
            text::bounded("the setting's value", value, SETTING_BYTES_MAX)?;
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            sqlx::query(
                "INSERT INTO settings (instance_id, name, value) VALUES ($1, $2, $3)
                 ON CONFLICT (instance_id, name) DO UPDATE SET value = excluded.value",
            )
            .bind(id.as_str())
            .bind(name)
            .bind(value)
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }

    /// Takes a setting back to its default; returns whether it was set.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn unset_setting(&self, id: &InstanceId, name: &str) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let removed = sqlx::query("DELETE FROM settings WHERE instance_id = $1 AND name = $2")
                .bind(id.as_str())
                .bind(name)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(removed.rows_affected() > 0)
        };
        self.told(work).await
    }

    /// Returns an instance's settings, by name.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn settings(&self, id: &InstanceId) -> Result<Vec<Setting>, StoreError> {
        let work = async {
            let rows = sqlx::query(
                "SELECT name, value FROM settings WHERE instance_id = $1 ORDER BY name",
            )
            .bind(id.as_str())
            .fetch_all(self.pool())
            .await?;
            let setting = |row: &crate::database::Row| {
                Ok(Setting {
                    name: row.try_get("name")?,
                    value: row.try_get("value")?,
                })
            };
            let settings: Result<_, sqlx::Error> = rows.iter().map(setting).collect();
            Ok(settings?)
        };
        self.told(work).await
    }
}
