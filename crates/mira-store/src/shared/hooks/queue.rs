//! The queue: deliveries are claimed, kept alive, ended, and queued again.
//!
//! A claim is a transaction, and of those there is one at a time, so no two servers claim the same delivery, and none claims the second of
//! a key while another one claims the first.

use jiff::Timestamp;

use super::number;
use super::packed::unpack;
use crate::shared::Shared;
use crate::shared::backend::Row;
use crate::shared::error::{Fault, SharedError};
use crate::shared::id::HookEventId;
use crate::store::unreadable;
use crate::text;

/// Who claims deliveries, and which.
#[derive(Clone, Copy, Debug)]
pub struct HookClaim<'a> {
    /// Who claims them: a word that nobody else uses.
    pub owner: &'a str,
    /// Those for these instances.
    pub targets: &'a [String],
    /// Until when the claim holds without being renewed.
    pub until: Timestamp,
    /// The most that are claimed.
    pub deliveries_max: u32,
}

/// A delivery that was claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimedHook {
    /// The event.
    pub event_id: HookEventId,
    /// The instance.
    pub target: String,
    /// Which attempt this is, from 1 on.
    pub attempt: u64,
    /// The sender's id of the event.
    pub sent_id: String,
    /// What kind of event.
    pub event: String,
    /// The App that it was sent to.
    pub sent_to: Option<String>,
    /// The installation that it is about.
    pub installation: Option<i64>,
    /// The repository that it is about.
    pub repository: Option<String>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookEnd {
    /// The app has taken it.
    Done,
    /// It is tried again, not before this time.
    Again(Timestamp),
    /// It is given up.
    Failed,
}

impl Shared {
    /// Claims deliveries that are due: of each order key the first alone, and only if nobody is at one of that key.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn claim_hooks(
        &self,
        claim: &HookClaim<'_>,
        now: Timestamp,
    ) -> Result<Vec<ClaimedHook>, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let mut claimed = Vec::new();
            for target in claim.targets {
                let room = i64::from(claim.deliveries_max) - claimed.len() as i64;
                let sql = "SELECT e.event_id, d.target, d.attempts, e.sent_id, e.event, e.sent_to, e.installation, e.repository
                    FROM hook_deliveries d JOIN hook_events e ON e.event_id = d.event_id
                    WHERE d.finished_ms IS NULL AND d.target = $1
                        AND ((d.state = 'queued' AND d.due_ms <= $2) OR (d.state = 'running' AND d.lease_until_ms <= $2))
                        AND NOT EXISTS (SELECT 1 FROM hook_deliveries b
                            WHERE b.finished_ms IS NULL AND b.order_key = d.order_key AND b.place < d.place)
                    ORDER BY d.place LIMIT $3";
                let values = [target.as_str().into(), now.into(), room.max(0).into()];
                for row in transaction.rows(sql, &values).await? {
                    claimed.push(ClaimedHook::of_row(&row)?);
                }
            }
            for delivery in &claimed {
                let values = [
                    delivery.event_id.as_str().into(),
                    delivery.target.as_str().into(),
                    claim.owner.into(),
                    claim.until.into(),
                ];
                let sql = "UPDATE hook_deliveries SET state = 'running', attempts = attempts + 1, lease_owner = $3, lease_until_ms = $4
                    WHERE event_id = $1 AND target = $2";
                transaction.execute(sql, &values).await?;
            }
            transaction.commit().await?;
            Ok(claimed)
        };
        self.told(work).await
    }

    /// Prolongs all that somebody has claimed.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn renew_hooks(&self, owner: &str, until: Timestamp) -> Result<u64, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let sql = "UPDATE hook_deliveries SET lease_until_ms = $2 WHERE finished_ms IS NULL AND lease_owner = $1";
            let renewed = transaction
                .execute(sql, &[owner.into(), until.into()])
                .await?;
            transaction.commit().await?;
            Ok(renewed)
        };
        self.told(work).await
    }

    /// Gives back what somebody has claimed, or everybody: it is due at once.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn release_hooks(&self, owner: Option<&str>) -> Result<u64, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let sql = "UPDATE hook_deliveries SET state = 'queued', lease_owner = NULL, lease_until_ms = NULL
                WHERE finished_ms IS NULL AND state = 'running' AND (lease_owner = $1 OR $1 IS NULL)";
            let released = transaction.execute(sql, &[owner.into()]).await?;
            transaction.commit().await?;
            Ok(released)
        };
        self.told(work).await
    }

    /// Returns the content of an event, if it is still kept.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn hook_body(&self, id: &HookEventId) -> Result<Option<String>, SharedError> {
        let work = async {
            let sql = "SELECT body_bytes, body FROM hook_events WHERE event_id = $1";
            let row = self.pools().row(sql, &[id.as_str().into()]).await?;
            let Some(row) = row else { return Ok(None) };
            let bytes = usize::try_from(row.int("body_bytes")?).unwrap_or_default();
            let body = row.text_if_any("body")?;
            let body = body.map(|kept| unpack(kept, bytes)).transpose();
            Ok(body.map_err(|error| unreadable("body", error))?)
        };
        self.told(work).await
    }

    /// Writes down how an attempt ended, if the claim still holds; returns whether it did. With the last delivery of an event its content goes.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn end_hook(
        &self,
        (owner, claimed): (&str, &ClaimedHook),
        end: HookEnd,
        answer: &str,
        now: Timestamp,
    ) -> Result<bool, SharedError> {
        let work = async {
            let answer = text::cleaned(answer);
            let (state, due) = match end {
                HookEnd::Done => ("done", None),
                HookEnd::Again(due) => ("queued", Some(due)),
                HookEnd::Failed => ("failed", None),
            };
            let event_id = claimed.event_id.as_str();
            let mut transaction = self.write().await?;
            let values = [
                event_id.into(),
                claimed.target.as_str().into(),
                owner.into(),
                super::kept(claimed.attempt).into(),
                state.into(),
                due.into(),
                answer.as_str().into(),
                due.is_none().then_some(now).into(),
            ];
            let sql = "UPDATE hook_deliveries SET state = $5, due_ms = coalesce($6, due_ms), answer = $7, finished_ms = $8,
                    lease_owner = NULL, lease_until_ms = NULL
                WHERE event_id = $1 AND target = $2 AND lease_owner = $3 AND attempts = $4";
            let is_ours = transaction.execute(sql, &values).await? > 0;
            if is_ours && end == HookEnd::Done {
                let sql = "UPDATE hook_events SET body = NULL WHERE event_id = $1
                    AND NOT EXISTS (SELECT 1 FROM hook_deliveries d WHERE d.event_id = $1 AND d.state <> 'done')";
                transaction.execute(sql, &[event_id.into()]).await?;
            }
            transaction.commit().await?;
            Ok(is_ours)
        };
        self.told(work).await
    }

    /// Queues the failed deliveries of an event again, behind all others; returns to whom they go.
    ///
    /// # Errors
    ///
    /// [`SharedError::NoSuchEvent`]; where none has failed, [`SharedError::StillQueued`] or [`SharedError::NothingToReplay`].
    pub async fn replay_hook(
        &self,
        id: &HookEventId,
        now: Timestamp,
    ) -> Result<Vec<String>, SharedError> {
        let work = async {
            let event = || id.as_str().into();
            let mut transaction = self.write().await?;
            let known = "SELECT 1 AS one FROM hook_events WHERE event_id = $1";
            if transaction.row(known, &[event()]).await?.is_none() {
                return Err(SharedError::NoSuchEvent.into());
            }
            let failed = "SELECT target FROM hook_deliveries WHERE event_id = $1 AND state = 'failed' ORDER BY target";
            let mut targets = Vec::new();
            for row in transaction.rows(failed, &[event()]).await? {
                targets.push(row.text("target")?);
            }
            if targets.is_empty() {
                let open = "SELECT 1 AS one FROM hook_deliveries WHERE event_id = $1 AND finished_ms IS NULL LIMIT 1";
                let is_open = transaction.row(open, &[event()]).await?.is_some();
                return Err(match is_open {
                    true => SharedError::StillQueued.into(),
                    false => SharedError::NothingToReplay.into(),
                });
            }
            for target in &targets {
                let sql = "UPDATE hook_deliveries SET state = 'queued', attempts = 0, queued_ms = $3, due_ms = $3, finished_ms = NULL,
                        place = (SELECT max(place) + 1 FROM hook_deliveries)
                    WHERE event_id = $1 AND target = $2";
                let values = [event(), target.as_str().into(), now.into()];
                transaction.execute(sql, &values).await?;
            }
            transaction.commit().await?;
            Ok::<_, Fault>(targets)
        };
        self.told(work).await
    }
}

impl ClaimedHook {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            event_id: row.parsed("event_id")?,
            target: row.text("target")?,
            attempt: number(row.int("attempts")?) + 1,
            sent_id: row.text("sent_id")?,
            event: row.text("event")?,
            sent_to: row.text_if_any("sent_to")?,
            installation: row.int_if_any("installation")?,
            repository: row.text_if_any("repository")?,
        })
    }
}
