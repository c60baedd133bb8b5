//! Which database this is: the one place that opens a pool, begins a writing transaction, and knows SQLite.
//!
//! All other modules hold SQL that SQLite and Postgres understand alike: `$1` for parameters, TEXT, BIGINT and BOOLEAN.
//!
//! INVARIANT: what a commit acknowledged is on the disk (`synchronous = FULL`), and references are enforced.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::error::Fault;

pub(crate) type Pool = sqlx::SqlitePool;
pub(crate) type Connection = sqlx::SqliteConnection;
pub(crate) type Row = sqlx::sqlite::SqliteRow;
pub(crate) type Transaction = sqlx::Transaction<'static, sqlx::Sqlite>;

/// How long a statement waits for other processes.
// LIMIT: transactions take milliseconds, so this is many of them, and a person still waits for it.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(30);

/// How many connections a store has.
// LIMIT: operations take about a millisecond, and wait for each other in order, while SQLite would let them try again at
// intervals. Each further connection would be a thread and a cache.
const CONNECTIONS_MAX: u32 = 1;

const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// What SQLite's header says of a database of Mira's: "Mira" in ASCII.
const APPLICATION_ID: i64 = 0x4d69_7261;

/// Prepares a pool; nothing is opened yet.
pub(crate) fn pool(path: &Path) -> Pool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_WAIT_MAX)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Nothing that stands in the file is run, and damage shows where it is met.
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        // What a statement may have to undo is nobody else's, and is in no file.
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    SqlitePoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(BUSY_WAIT_MAX)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .connect_lazy_with(options)
}

/// Begins a transaction that excludes all other writers from its start, so that what it read stays true until it commits.
pub(crate) async fn begin_write(pool: &Pool) -> Result<Transaction, sqlx::Error> {
    pool.begin_with(BEGIN_WRITE).await
}

/// Begins such a transaction on a connection that is there already.
pub(crate) async fn begin_write_on(
    connection: &mut Connection,
) -> Result<sqlx::Transaction<'_, sqlx::Sqlite>, sqlx::Error> {
    connection.begin_with(BEGIN_WRITE).await
}

/// What an opened file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing yet.
    Nothing,
    /// What a Mira wrote.
    Ours,
    /// What something else wrote.
    Foreign,
}

/// Reads whose database it is; changes nothing.
pub(crate) async fn content(connection: &mut Connection) -> Result<Content, sqlx::Error> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id")
        .fetch_one(&mut *connection)
        .await?;
    let objects: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master")
        .fetch_one(&mut *connection)
        .await?;
    Ok(match (application, objects) {
        (APPLICATION_ID, _) => Content::Ours,
        (0, 0) => Content::Nothing,
        _ => Content::Foreign,
    })
}

/// Makes readers and the writer independent of each other. The file keeps that setting.
///
/// It cannot wait for others, so it is done while nobody else opens.
pub(crate) async fn use_wal(connection: &mut Connection) -> Result<(), sqlx::Error> {
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await?;
    if mode != "wal" {
        sqlx::query("PRAGMA journal_mode = WAL")
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Marks a database as Mira's, within the caller's transaction.
pub(crate) async fn mark(connection: &mut Connection) -> Result<(), sqlx::Error> {
    // A pragma takes no parameters.
    sqlx::query("PRAGMA application_id = 1298756193")
        .execute(connection)
        .await
        .map(drop)
}

/// Reads the whole database and returns what is wrong with it.
pub(crate) async fn problems(connection: &mut Connection) -> Result<Vec<String>, Fault> {
    let mut found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_all(&mut *connection)
        .await?;
    found.retain(|line| line != "ok");
    let dangling = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(&mut *connection)
        .await?;
    for row in dangling {
        let table: String = row.try_get("table")?;
        found.push(format!("{table} has a row of an instance that is gone"));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_the_word() {
        assert_eq!(APPLICATION_ID.to_be_bytes()[4..], *b"Mira");
        assert_eq!(APPLICATION_ID, 1_298_756_193);
    }
}
