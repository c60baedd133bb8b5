//! What a server does by itself: it forgets sessions that have ended, rows of the audit that are older than they are kept, and packages
//! that a crash left behind.

use std::convert::Infallible;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use mira_store::{Actor, AuditAction, AuditEntry, Outcome, Shared, SharedError};

use crate::Handle;

/// How often.
// LIMIT: what has ended is worth nothing in the meantime, and an hour's rows are few.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// How much of the audit is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// For how many days.
    pub days: u32,
    /// How many rows at most, the newest.
    pub rows: u32,
}

impl Keeping {
    /// A year and a month, and what a database of some hundred megabytes takes.
    pub const DEFAULT: Self = Self {
        days: 400,
        rows: 1_000_000,
    };
}

/// Cleans up now and every hour, for as long as it is polled.
pub(crate) async fn upkeep(desk: &Handle, keeping: Keeping) -> Infallible {
    let mut hours = tokio::time::interval(EVERY);
    loop {
        hours.tick().await;
        if let Err(error) = clean_up(&desk.shared, keeping, Timestamp::now()).await {
            tracing::warn!(target: "mira::server", error = %error, "old rows were not removed");
        }
        match desk.house.instances.sweep_incoming() {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(target: "mira::server", removed, "packages that a crash left half-way were removed");
            }
            Err(error) => {
                tracing::warn!(target: "mira::server", error = %error, "packages that a crash left half-way were not removed");
            }
        }
    }
}

async fn clean_up(shared: &Shared, keeping: Keeping, now: Timestamp) -> Result<(), SharedError> {
    shared.purge_sessions(now).await?;
    let age = SignedDuration::from_hours(i64::from(keeping.days) * 24);
    let before = now.saturating_sub(age).unwrap_or(Timestamp::MIN);
    let removed = shared.purge_audit(before, keeping.rows).await?;
    if removed == 0 {
        return Ok(());
    }
    let entry = AuditEntry {
        actor: Actor::LocalOwner,
        address: None,
        action: AuditAction::AuditPurge,
        subject: &format!("{removed} rows"),
        outcome: Outcome::Ok,
    };
    shared.record(&entry, now).await
}

#[cfg(test)]
mod tests {
    use mira_store::{AuditFilter, Location};

    use super::*;

    #[tokio::test]
    async fn what_is_older_than_it_is_kept_goes_and_that_is_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let home = mira_vault::home::Home::new(folder.path().join("home"));
        home.create().unwrap();
        let shared = Shared::open(Location::File(home.path())).await.unwrap();
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let entry = |subject| AuditEntry {
            actor: Actor::LocalOwner,
            address: None,
            action: AuditAction::SecretSet,
            subject,
            outcome: Outcome::Ok,
        };
        let day = |days: i64| now - SignedDuration::from_hours(days * 24);
        for (subject, days) in [("ancient", 12), ("old", 9), ("new", 1)] {
            shared.record(&entry(subject), day(days)).await.unwrap();
        }
        let subjects = async || {
            let page = shared.audit(&AuditFilter::default(), None, 10).await;
            let rows = page.unwrap().rows.into_iter();
            rows.map(|row| row.subject).collect::<Vec<_>>()
        };
        let keeping = Keeping { days: 10, rows: 5 };
        clean_up(&shared, keeping, now).await.unwrap();
        assert_eq!(subjects().await, ["1 rows", "new", "old"]);
        let fewer = Keeping { days: 10, rows: 1 };
        clean_up(&shared, fewer, now + SignedDuration::from_secs(1))
            .await
            .unwrap();
        assert_eq!(subjects().await, ["2 rows", "1 rows"]);
        clean_up(&shared, Keeping::DEFAULT, now).await.unwrap();
        assert_eq!(subjects().await.len(), 2);
    }
}
