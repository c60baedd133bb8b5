//! What goes from the queue: what is old, and what belonged to somebody who left.

use jiff::Timestamp;

use crate::shared::Shared;
use crate::shared::error::SharedError;
use crate::shared::id::HookEventId;

/// What is kept no longer.
#[derive(Clone, Copy, Debug)]
pub struct HookPurge {
    /// Deliveries that wait since before this time have failed.
    pub given_up: Timestamp,
    /// Events from before this time go, unless a delivery of theirs has failed or is not finished.
    pub forgotten: Timestamp,
    /// Those with a failed delivery go too.
    pub failed_forgotten: Timestamp,
    /// Counts from before this time go.
    pub counts_forgotten: Timestamp,
}

impl Shared {
    /// Gives up what waited too long, and removes what is old; returns how many events went.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn purge_hooks(&self, purge: &HookPurge, now: Timestamp) -> Result<u64, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let sql = "UPDATE hook_deliveries SET state = 'failed', finished_ms = $2, answer = coalesce(answer, 'no server has run the instance'),
                    lease_owner = NULL, lease_until_ms = NULL
                WHERE finished_ms IS NULL AND queued_ms < $1 AND (state = 'queued' OR lease_until_ms < $2)";
            transaction
                .execute(sql, &[purge.given_up.into(), now.into()])
                .await?;
            let sql = "DELETE FROM hook_events WHERE accepted_ms < $1 AND NOT EXISTS
                (SELECT 1 FROM hook_deliveries d WHERE d.event_id = hook_events.event_id AND d.state <> 'done')";
            let mut gone = transaction.execute(sql, &[purge.forgotten.into()]).await?;
            let sql = "DELETE FROM hook_events WHERE accepted_ms < $1 AND NOT EXISTS
                (SELECT 1 FROM hook_deliveries d WHERE d.event_id = hook_events.event_id
                    AND (d.finished_ms IS NULL OR d.finished_ms >= $1))";
            gone += transaction
                .execute(sql, &[purge.failed_forgotten.into()])
                .await?;
            let sql = "DELETE FROM hook_counts WHERE hour_ms < $1";
            transaction
                .execute(sql, &[purge.counts_forgotten.into()])
                .await?;
            transaction.commit().await?;
            Ok(gone)
        };
        self.told(work).await
    }

    /// Removes all events of an installation but one, with their deliveries and contents; returns how many. The one says that the
    /// installation is gone.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn forget_hooks_of_installation(
        &self,
        installation: i64,
        but: Option<&HookEventId>,
    ) -> Result<u64, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let sql = "DELETE FROM hook_events WHERE installation = $1 AND (event_id <> $2 OR $2 IS NULL)";
            let values = [installation.into(), but.map(HookEventId::as_str).into()];
            let gone = transaction.execute(sql, &values).await?;
            transaction.commit().await?;
            Ok(gone)
        };
        self.told(work).await
    }

    /// Removes the deliveries to an instance, and the contents that no other one needs; returns how many. Used when the instance is deleted.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn forget_hooks_of_target(&self, target: &str) -> Result<u64, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let sql = "DELETE FROM hook_deliveries WHERE target = $1";
            let gone = transaction.execute(sql, &[target.into()]).await?;
            let sql = "UPDATE hook_events SET body = NULL WHERE body IS NOT NULL AND NOT EXISTS
                (SELECT 1 FROM hook_deliveries d WHERE d.event_id = hook_events.event_id AND d.state <> 'done')";
            transaction.execute(sql, &[]).await?;
            transaction.commit().await?;
            Ok(gone)
        };
        self.told(work).await
    }
}
