//! Decisions about the hosts that an instance calls: allowed or denied, and since when.
//!
//! INVARIANT: a later decision of an instance has a later time, whatever the clock does, so that their order is the one in which they were
//! made.

use jiff::Timestamp;
use sqlx::Row as _;

use crate::database::Row;
use crate::error::StoreError;
use crate::id::InstanceId;
use crate::instances::live;
use crate::store::{Store, now_ms, time};
use crate::text;

/// What the person decided about hosts that an instance calls.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// Which hosts, spelled as in a manifest.
    pub host: String,
    /// Whether they may be called.
    pub allow: bool,
    /// Since when.
    pub decided: Timestamp,
}

impl Decision {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            host: row.try_get("host")?,
            allow: row.try_get("allow")?,
            decided: time(row, "decided_ms")?,
        })
    }
}

impl Store {
    /// Decides about hosts of an instance. What was decided before about hosts that are spelled the same is forgotten.
    ///
    /// # Errors
    ///
    /// Refuses an instance that is gone or being deleted.
    pub async fn decide(&self, id: &InstanceId, host: &str, allow: bool) -> Result<(), StoreError> {
        let work = async {
            text::line("the host", host)?;
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            let last: Option<i64> = sqlx::query_scalar(
                "SELECT MAX(decided_ms) FROM net_decisions WHERE instance_id = $1",
            )
            .bind(id.as_str())
            .fetch_one(&mut *transaction)
            .await?;
            let after_last = last.map_or(i64::MIN, |last| last.saturating_add(1));
            sqlx::query(
                "INSERT INTO net_decisions (instance_id, host, allow, decided_ms) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (instance_id, host)
                 DO UPDATE SET allow = excluded.allow, decided_ms = excluded.decided_ms",
            )
            .bind(id.as_str())
            .bind(host)
            .bind(allow)
            .bind(now_ms().max(after_last))
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }

    /// Takes a decision back; returns whether there was one.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn forget_decision(&self, id: &InstanceId, host: &str) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let removed =
                sqlx::query("DELETE FROM net_decisions WHERE instance_id = $1 AND host = $2")
                    .bind(id.as_str())
                    .bind(host)
                    .execute(&mut *transaction)
                    .await?;
            transaction.commit().await?;
            Ok(removed.rows_affected() > 0)
        };
        self.told(work).await
    }

    /// Returns an instance's decisions, in the order in which they were made.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn decisions(&self, id: &InstanceId) -> Result<Vec<Decision>, StoreError> {
        let work = async {
            let rows = sqlx::query(
                "SELECT * FROM net_decisions WHERE instance_id = $1 ORDER BY decided_ms",
            )
            .bind(id.as_str())
            .fetch_all(self.pool())
            .await?;
            let decisions: Result<_, sqlx::Error> = rows.iter().map(Decision::of_row).collect();
            Ok(decisions?)
        };
        self.told(work).await
    }
}
