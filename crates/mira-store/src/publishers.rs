//! Publishers: which keys packages of an app were signed with, as far as they were accepted here.

use jiff::Timestamp;
use sqlx::Row as _;

use crate::database::Row;
use crate::error::StoreError;
use crate::store::{Store, now_ms, time};
use crate::text;

/// A key that packages of an app were signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publisher {
    /// The app's id.
    pub app_id: String,
    /// The public key.
    pub key: String,
    /// How the publisher is called in the package that the key was seen with first.
    pub name: String,
    /// When it was seen first.
    pub first_seen: Timestamp,
}

impl Publisher {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            app_id: row.try_get("app_id")?,
            key: row.try_get("key")?,
            name: row.try_get("name")?,
            first_seen: time(row, "first_seen_ms")?,
        })
    }
}

impl Store {
    /// Remembers a publisher of an app; returns whether it is a new one. A known one keeps its name and time.
    ///
    /// # Errors
    ///
    /// Refuses texts that are empty, too long, or of more than one line.
    pub async fn remember_publisher(
        &self,
        app_id: &str,
        key: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let work = async {
            text::line("the app's id", app_id)?;
            text::line("the publisher's key", key)?;
            text::line("the publisher's name", name)?;
            let mut transaction = self.write().await?;
            let added = sqlx::query(
                "INSERT INTO publishers (app_id, key, name, first_seen_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (app_id, key) DO NOTHING",
            )
            .bind(app_id)
            .bind(key)
            .bind(name)
            .bind(now_ms())
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(added.rows_affected() > 0)
        };
        self.told(work).await
    }

    /// Returns the publishers of an app that are known, the first one first.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn publishers(&self, app_id: &str) -> Result<Vec<Publisher>, StoreError> {
        let work = async {
            let rows = sqlx::query(
                "SELECT * FROM publishers WHERE app_id = $1 ORDER BY first_seen_ms, key",
            )
            .bind(app_id)
            .fetch_all(self.pool())
            .await?;
            let publishers: Result<_, sqlx::Error> = rows.iter().map(Publisher::of_row).collect();
            Ok(publishers?)
        };
        self.told(work).await
    }
}
