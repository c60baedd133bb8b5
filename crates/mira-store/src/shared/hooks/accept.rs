//! Events on their way in: accepted together, each once.

use std::collections::BTreeSet;
use std::io;

use jiff::Timestamp;
use sqlx::AssertSqlSafe;

use super::packed::Packer;
use super::{kept, number};
use crate::shared::Shared;
use crate::shared::backend::{Transaction, Value};
use crate::shared::error::{Fault, SharedError};
use crate::shared::id::HookEventId;
use crate::text;

/// The longest id of a sender, in bytes.
// LIMIT: GitHub's has 36.
const SENT_ID_BYTES_MAX: usize = 128;

/// The longest content, in bytes.
// LIMIT: what GitHub sends at most is 25 MiB; what acceptance lets through is not refused here.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many rows one statement inserts.
// LIMIT: each number of rows is a statement of its own, and a connection keeps some dozens of them prepared.
const ROWS_MAX: usize = 16;

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
            let mut packer = Packer::new().map_err(unpackable)?;
            let rows = events.iter().map(|event| Row::of(event, &mut packer));
            let rows = rows.collect::<Result<Vec<_>, Fault>>()?;
            let mut transaction = self.write().await?;
            let mut seen = BTreeSet::new();
            for rows in rows.chunks(ROWS_MAX) {
                seen.extend(already_there(&mut transaction, rows).await?);
            }
            let is_new = |row: &Row<'_>| seen.insert(row.event.sent_id.to_owned());
            let are_new: Vec<bool> = rows.iter().map(is_new).collect();
            let new = rows.iter().zip(&are_new).filter(|(_, is_new)| **is_new);
            let new: Vec<&Row<'_>> = new.map(|(row, _)| row).collect();
            for rows in new.chunks(ROWS_MAX) {
                insert_events(&mut transaction, rows).await?;
            }
            insert_deliveries(&mut transaction, &new).await?;
            transaction.commit().await?;
            let accepted = rows.into_iter().zip(are_new);
            let accepted = accepted.map(|(row, is_new)| match is_new {
                true => HookAcceptance::Accepted(row.id),
                false => HookAcceptance::Repeated,
            });
            Ok(accepted.collect())
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

/// An event as it is kept.
struct Row<'a> {
    event: &'a NewHookEvent<'a>,
    id: HookEventId,
    kind: String,
    action: Option<String>,
    sent_to: Option<String>,
    repository: Option<String>,
    body: Option<String>,
}

impl<'a> Row<'a> {
    fn of(event: &'a NewHookEvent<'a>, packer: &mut Packer) -> Result<Self, Fault> {
        text::line("the sender's id of an event", event.sent_id)?;
        text::bounded(
            "the sender's id of an event",
            event.sent_id,
            SENT_ID_BYTES_MAX,
        )?;
        text::bounded("the content of an event", event.body, BODY_BYTES_MAX)?;
        for delivery in &event.deliveries {
            text::line("an instance's name", &delivery.target)?;
        }
        let is_wanted = !event.deliveries.is_empty();
        let body = is_wanted.then(|| packer.pack(event.body));
        Ok(Self {
            event,
            id: HookEventId::make_by_time(event.accepted)?,
            kind: text::cleaned(event.event),
            action: event.action.map(text::cleaned),
            sent_to: event.sent_to.map(text::cleaned),
            repository: event.repository.map(text::cleaned),
            body: body.transpose().map_err(unpackable)?,
        })
    }
}

fn unpackable(error: io::Error) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(error))
}

/// Returns the senders' ids of those events that were accepted before.
async fn already_there(
    transaction: &mut Transaction,
    rows: &[Row<'_>],
) -> Result<Vec<String>, Fault> {
    let ids: Vec<Value<'_>> = rows.iter().map(|row| row.event.sent_id.into()).collect();
    let sql = format!(
        "SELECT sent_id FROM hook_events WHERE sent_id IN {}",
        places(1, rows.len(), "")
    );
    let there = transaction.rows(AssertSqlSafe(sql), &ids).await?;
    let ids: Result<_, sqlx::Error> = there.iter().map(|row| row.text("sent_id")).collect();
    Ok(ids?)
}

/// Inserts events, none of which is there.
async fn insert_events(transaction: &mut Transaction, rows: &[&Row<'_>]) -> Result<(), Fault> {
    let mut values: Vec<Value<'_>> = Vec::new();
    for row in rows {
        values.extend::<[Value<'_>; 11]>([
            row.id.as_str().into(),
            row.event.sent_id.into(),
            row.kind.as_str().into(),
            row.action.as_deref().into(),
            row.sent_to.as_deref().into(),
            row.event.installation.into(),
            row.repository.as_deref().into(),
            row.event.number.into(),
            row.event.accepted.into(),
            kept(row.event.body.len() as u64).into(),
            row.body.as_deref().into(),
        ]);
    }
    let sql = format!(
        "INSERT INTO hook_events (event_id, sent_id, event, action, sent_to, installation, repository, number, accepted_ms, body_bytes, body)
        VALUES {}",
        places(rows.len(), 11, "")
    );
    transaction.execute(AssertSqlSafe(sql), &values).await?;
    Ok(())
}

/// Queues the deliveries of events behind all that are there.
async fn insert_deliveries(transaction: &mut Transaction, rows: &[&Row<'_>]) -> Result<(), Fault> {
    let deliveries: Vec<_> = rows
        .iter()
        .flat_map(|row| row.event.deliveries.iter().map(move |one| (row, one)))
        .collect();
    if deliveries.is_empty() {
        return Ok(());
    }
    let sql = "SELECT coalesce(max(place), 0) AS place FROM hook_deliveries";
    let row = transaction.row(sql, &[]).await?;
    let mut place = row.ok_or(sqlx::Error::RowNotFound)?.int("place")?;
    for deliveries in deliveries.chunks(ROWS_MAX) {
        let mut values: Vec<Value<'_>> = Vec::new();
        for (row, delivery) in deliveries {
            place += 1;
            values.extend::<[Value<'_>; 6]>([
                row.id.as_str().into(),
                delivery.target.as_str().into(),
                delivery.order_key.as_str().into(),
                place.into(),
                row.event.accepted.into(),
                row.event.accepted.into(),
            ]);
        }
        let sql = format!(
            "INSERT INTO hook_deliveries (event_id, target, order_key, place, queued_ms, due_ms, state, attempts)
            VALUES {}",
            places(deliveries.len(), 6, ", 'queued', 0")
        );
        transaction.execute(AssertSqlSafe(sql), &values).await?;
    }
    Ok(())
}

/// Returns the places of the values of some rows in a statement, each row with the same words at its end.
fn places(rows: usize, columns: usize, rest: &str) -> String {
    let row = |row: usize| {
        let places = (1..=columns).map(|column| format!("${}", row * columns + column));
        format!("({}{rest})", places.collect::<Vec<_>>().join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
