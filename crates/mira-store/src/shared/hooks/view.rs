//! What is shown of events and their deliveries, and what came of requests, counted by the hour.

use jiff::Timestamp;

use super::{HookBacklog, HookDelivery, HookEvent, HookState, kept, number};
use crate::shared::Shared;
use crate::shared::backend::Row;
use crate::shared::error::SharedError;
use crate::shared::id::HookEventId;

/// The most rows that are returned at once.
// LIMIT: what a page or a person takes.
const ROWS_MAX: u32 = 1_000;

/// The length of an hour, in milliseconds.
const HOUR_MS: i64 = 60 * 60 * 1_000;

/// Which events are wanted; the default is all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookFilter {
    /// Those with a delivery in this state.
    pub state: Option<HookState>,
    /// Those of this id.
    pub id: Option<HookEventId>,
}

/// How many requests came to the same.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookCount {
    /// What they came to, in one word.
    pub verdict: String,
    /// How many.
    pub number: u64,
}

/// How webhooks fare.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookStats {
    /// What requests came to since the time that was asked for, by word.
    pub requests: Vec<HookCount>,
    /// How many deliveries there are in each state, of those that are remembered.
    pub deliveries: Vec<(HookState, u64)>,
    /// What waits.
    pub backlog: HookBacklog,
    /// Since when the oldest waits.
    pub oldest: Option<Timestamp>,
}

/// How many events may have taken something from an installation, and when the latest did. It is another one after each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookMark(i64, Option<Timestamp>);

impl Shared {
    /// Returns how far the events are that change what an installation may do: by whichever server they were accepted.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn hook_mark(&self, installation: i64) -> Result<HookMark, SharedError> {
        let work = async {
            let sql = "SELECT count(*) AS number, max(accepted_ms) AS latest FROM hook_events
                WHERE installation = $1 AND event IN ('installation', 'installation_repositories', 'repository')";
            let row = self.pools().row(sql, &[installation.into()]).await?;
            let row = row.ok_or(sqlx::Error::RowNotFound)?;
            Ok(HookMark(row.int("number")?, row.time_if_any("latest")?))
        };
        self.told(work).await
    }

    /// Returns events, the newest first, with a row for each delivery.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn hooks(
        &self,
        filter: &HookFilter,
        rows_max: u32,
    ) -> Result<Vec<HookEvent>, SharedError> {
        let work = async {
            let values = [
                filter.state.map(HookState::as_str).into(),
                filter.id.as_ref().map(HookEventId::as_str).into(),
                i64::from(rows_max.clamp(1, ROWS_MAX)).into(),
            ];
            let sql = "SELECT e.event_id, e.sent_id, e.event, e.action, e.sent_to, e.installation, e.repository, e.number, e.accepted_ms,
                    e.body_bytes, d.target, d.state, d.attempts, d.due_ms, d.answer, d.finished_ms
                FROM hook_events e LEFT JOIN hook_deliveries d ON d.event_id = e.event_id
                WHERE (coalesce(d.state, 'ignored') = $1 OR $1 IS NULL) AND (e.event_id = $2 OR $2 IS NULL)
                ORDER BY e.accepted_ms DESC, e.event_id DESC, d.target LIMIT $3";
            let rows = self.pools().rows(sql, &values).await?;
            let events: Result<_, sqlx::Error> = rows.iter().map(HookEvent::of_row).collect();
            Ok(events?)
        };
        self.told(work).await
    }

    /// Adds to what requests came to in the hour of a time.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn count_hooks(
        &self,
        counts: &[(&str, u64)],
        now: Timestamp,
    ) -> Result<(), SharedError> {
        let work = async {
            let hour = now.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
            let mut transaction = self.write().await?;
            for (verdict, counted) in counts {
                let sql = "INSERT INTO hook_counts (hour_ms, verdict, number) VALUES ($1, $2, $3)
                    ON CONFLICT (hour_ms, verdict) DO UPDATE SET number = hook_counts.number + excluded.number";
                let values = [hour.into(), (*verdict).into(), kept(*counted).into()];
                transaction.execute(sql, &values).await?;
            }
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }

    /// Returns how webhooks fare, with counts of requests since a time, to the hour.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn hook_stats(&self, since: Timestamp) -> Result<HookStats, SharedError> {
        let backlog = self.hook_backlog().await?;
        let work = async {
            let sql = "SELECT verdict, CAST(sum(number) AS BIGINT) AS number FROM hook_counts WHERE hour_ms > $1 GROUP BY verdict ORDER BY verdict";
            let since = since.as_millisecond() - HOUR_MS;
            let mut stats = HookStats {
                backlog,
                ..HookStats::default()
            };
            for row in self.pools().rows(sql, &[since.into()]).await? {
                stats.requests.push(HookCount {
                    verdict: row.text("verdict")?,
                    number: number(row.int("number")?),
                });
            }
            let sql = "SELECT coalesce(d.state, 'ignored') AS state, count(*) AS number
                FROM hook_events e LEFT JOIN hook_deliveries d ON d.event_id = e.event_id GROUP BY 1 ORDER BY 1";
            for row in self.pools().rows(sql, &[]).await? {
                let state = row.parsed("state")?;
                stats.deliveries.push((state, number(row.int("number")?)));
            }
            let sql =
                "SELECT min(queued_ms) AS oldest FROM hook_deliveries WHERE finished_ms IS NULL";
            if let Some(row) = self.pools().row(sql, &[]).await? {
                stats.oldest = row.time_if_any("oldest")?;
            }
            Ok(stats)
        };
        self.told(work).await
    }
}

impl HookEvent {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        let delivery = match row.text_if_any("target")? {
            None => None,
            Some(target) => Some(HookDelivery {
                target,
                state: row.parsed("state")?,
                attempts: number(row.int("attempts")?),
                due: row.time("due_ms")?,
                answer: row.text_if_any("answer")?,
                finished: row.time_if_any("finished_ms")?,
            }),
        };
        Ok(Self {
            id: row.parsed("event_id")?,
            sent_id: row.text("sent_id")?,
            event: row.text("event")?,
            action: row.text_if_any("action")?,
            sent_to: row.text_if_any("sent_to")?,
            installation: row.int_if_any("installation")?,
            repository: row.text_if_any("repository")?,
            number: row.int_if_any("number")?,
            accepted: row.time("accepted_ms")?,
            body_bytes: number(row.int("body_bytes")?),
            delivery,
        })
    }
}
