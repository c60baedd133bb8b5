//! Events on their way in: accepted together, each once.

use jiff::Timestamp;

use super::{kept, number};
use crate::shared::Shared;
use crate::shared::backend::Transaction;
use crate::shared::error::{Fault, SharedError};
use crate::shared::id::HookEventId;
use crate::text;

/// The longest id of a sender, in bytes.
// LIMIT: GitHub's has 36.
const SENT_ID_BYTES_MAX: usize = 128;

/// The longest content, in bytes.
// LIMIT: what GitHub sends at most is 25 MiB; what acceptance lets through is not refused here.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// An event to be accepted.
#[derive(Clone, Debug)]
pub struct NewHookEvent<'a> {
    /// The sender's id of it: a second event of that id is a repeat.
    pub sent_id: &'a str,
    /// What kind of event.
    pub event: &'a str,
    /// What happened.
    pub action: Option<&'a str>,
    /// The App that it was sent to.
    pub sent_to: Option<&'a str>,
    /// The installation that it is about.
    pub installation: Option<i64>,
    /// The repository that it is about.
    pub repository: Option<&'a str>,
    /// The pull request or issue that it is about.
    pub number: Option<i64>,
    /// The content, as it was signed. It is not kept where nobody wants it.
    pub body: &'a str,
    /// When it came.
    pub accepted: Timestamp,
    /// To whom it goes.
    pub deliveries: Vec<NewHookDelivery>,
}

/// A delivery to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHookDelivery {
    /// Which instance takes it.
    pub target: String,
    /// Deliveries of one key are made one at a time, in the order in which they were accepted.
    pub order_key: String,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookAcceptance {
    /// It is in the database.
    Accepted(HookEventId),
    /// It was there already; nothing was changed.
    Repeated,
}

/// What waits in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HookBacklog {
    /// The number of deliveries that are not finished.
    pub deliveries: u64,
    /// The size of their contents.
    pub bytes: u64,
}

impl Shared {
    /// Accepts events in their order, all of them or none: when it returns, they are on the disk.
    ///
    /// # Errors
    ///
    /// Refuses a sender's id or a content that is too long or cannot be stored; returns what the database reports.
    pub async fn accept_hooks(
        &self,
        events: &[NewHookEvent<'_>],
    ) -> Result<Vec<HookAcceptance>, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let mut accepted = Vec::with_capacity(events.len());
            for event in events {
                accepted.push(accept(&mut transaction, event).await?);
            }
            transaction.commit().await?;
            Ok(accepted)
        };
        self.told(work).await
    }

    /// Returns what waits in the queue.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn hook_backlog(&self) -> Result<HookBacklog, SharedError> {
        let work = async {
            let sql = "SELECT count(*) AS deliveries, CAST(coalesce(sum(e.body_bytes), 0) AS BIGINT) AS bytes
                FROM hook_deliveries d JOIN hook_events e ON e.event_id = d.event_id WHERE d.finished_ms IS NULL";
            let row = self.pools().row(sql, &[]).await?;
            let row = row.ok_or(sqlx::Error::RowNotFound)?;
            Ok(HookBacklog {
                deliveries: number(row.int("deliveries")?),
                bytes: number(row.int("bytes")?),
            })
        };
        self.told(work).await
    }
}

async fn accept(
    transaction: &mut Transaction,
    event: &NewHookEvent<'_>,
) -> Result<HookAcceptance, Fault> {
    text::line("the sender's id of an event", event.sent_id)?;
    text::bounded(
        "the sender's id of an event",
        event.sent_id,
        SENT_ID_BYTES_MAX,
    )?;
    text::bounded("the content of an event", event.body, BODY_BYTES_MAX)?;
    let id = HookEventId::make_random()?;
    let kind = text::cleaned(event.event);
    let (action, sent_to) = (
        event.action.map(text::cleaned),
        event.sent_to.map(text::cleaned),
    );
    let repository = event.repository.map(text::cleaned);
    let is_wanted = !event.deliveries.is_empty();
    let values = [
        id.as_str().into(),
        event.sent_id.into(),
        kind.as_str().into(),
        action.as_deref().into(),
        sent_to.as_deref().into(),
        event.installation.into(),
        repository.as_deref().into(),
        event.number.into(),
        event.accepted.into(),
        kept(event.body.len() as u64).into(),
        is_wanted.then_some(event.body).into(),
    ];
    let sql = "INSERT INTO hook_events (event_id, sent_id, event, action, sent_to, installation, repository, number, accepted_ms, body_bytes, body)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (sent_id) DO NOTHING";
    if transaction.execute(sql, &values).await? == 0 {
        return Ok(HookAcceptance::Repeated);
    }
    for delivery in &event.deliveries {
        let values = [
            id.as_str().into(),
            text::line("an instance's name", &delivery.target)?.into(),
            delivery.order_key.as_str().into(),
            event.accepted.into(),
        ];
        let sql = "INSERT INTO hook_deliveries (event_id, target, order_key, place, state, attempts, queued_ms, due_ms)
            VALUES ($1, $2, $3, (SELECT coalesce(max(place), 0) + 1 FROM hook_deliveries), 'queued', 0, $4, $4)";
        transaction.execute(sql, &values).await?;
    }
    Ok(HookAcceptance::Accepted(id))
}
