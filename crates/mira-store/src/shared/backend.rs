//! Two databases behind one face: the one place of the shared store that knows which of them it is.
//!
//! All other modules hold SQL that both understand alike, give values as [`Value`] and read columns of a [`Row`]. A change is
//! either one statement about one row ([`Pools::execute`], [`Pools::rows`]), which both databases do whole or not at all, or
//! a [`Transaction`], and of those there is one at a time.
//!
//! INVARIANT: what a transaction reads stays true until it commits, for all other transactions wait: in SQLite for the
//! file's one writer, in Postgres for one advisory lock that all servers take. So nothing has to be tried again.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::sqlite::SqliteRow;
use sqlx::{ConnectOptions as _, PgPool, Row as _, SqlSafeStr};

use crate::database;
use crate::store::unreadable;

/// How long a statement runs, waits for a lock, or leaves a transaction idle, in Postgres.
// LIMIT: statements take milliseconds; the bound frees what a server that hangs has locked. As `BUSY_WAIT_MAX` for SQLite.
const STATEMENT_WAIT_MAX: &str = "30s";

/// How long a connection to Postgres takes to be made, or to become free.
// LIMIT: a network's slowest answer is some seconds; who waits for a page waits no longer.
pub(crate) const CONNECT_WAIT_MAX: Duration = Duration::from_secs(10);

/// How many connections a server has to Postgres.
// LIMIT: operations are short, and a Postgres takes 100 connections of all its clients by default.
const CONNECTIONS_MAX: u32 = 8;

/// What all servers of a Postgres lock for a transaction: "Mira" in ASCII.
const LOCK: i64 = 0x4d69_7261;

/// A value of a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Text(Option<&'a str>),
    Int(Option<i64>),
    Bool(bool),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Some(text))
    }
}

impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(text: Option<&'a str>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Int(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        time.as_millisecond().into()
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Int(time.map(Timestamp::as_millisecond))
    }
}

/// Makes a query of a statement and its values, for whichever database runs it.
macro_rules! query {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query($sql);
        for value in $values {
            query = match *value {
                Value::Text(text) => query.bind(text),
                Value::Int(number) => query.bind(number),
                Value::Bool(flag) => query.bind(flag),
            };
        }
        query
    }};
}

/// The connections to one database. Clones share them.
#[derive(Clone, Debug)]
pub(crate) enum Pools {
    Sqlite(database::Pool),
    Postgres(PgPool),
}

/// Returns how to connect, with all that Mira wants of a connection.
pub(crate) fn settled(options: PgConnectOptions) -> PgConnectOptions {
    options
        .application_name("mira")
        .options([
            // What a transaction reads after it got the lock has to be of that moment.
            ("default_transaction_isolation", "read committed"),
            ("statement_timeout", STATEMENT_WAIT_MAX),
            ("idle_in_transaction_session_timeout", STATEMENT_WAIT_MAX),
        ])
        .disable_statement_logging()
}

impl Pools {
    /// Prepares connections to a Postgres; none is made yet.
    pub(crate) fn postgres(options: PgConnectOptions) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(CONNECT_WAIT_MAX)
            .connect_lazy_with(options);
        Self::Postgres(pool)
    }

    /// Begins a transaction while there is no other; dropped, it is undone.
    pub(crate) async fn begin(&self) -> Result<Transaction, sqlx::Error> {
        match self {
            Self::Sqlite(pool) => database::begin_write(pool).await.map(Transaction::Sqlite),
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                query!("SELECT pg_advisory_xact_lock($1)", &[LOCK.into()])
                    .execute(&mut *transaction)
                    .await?;
                Ok(Transaction::Postgres(transaction))
            }
        }
    }

    /// Does a statement about one row; returns how many rows it changed.
    pub(crate) async fn execute(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => query!(sql, values).execute(pool).await?.rows_affected(),
            Self::Postgres(pool) => query!(sql, values).execute(pool).await?.rows_affected(),
        })
    }

    /// Returns the rows that a statement gives.
    pub(crate) async fn rows(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(pool) => sqlite_rows(query!(sql, values).fetch_all(pool).await?),
            Self::Postgres(pool) => postgres_rows(query!(sql, values).fetch_all(pool).await?),
        })
    }

    /// Returns the one row that a statement gives, if it gives any.
    pub(crate) async fn row(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// A transaction that no other one runs beside. Dropped, it is undone.
pub(crate) enum Transaction {
    Sqlite(database::Transaction),
    Postgres(sqlx::Transaction<'static, sqlx::Postgres>),
}

impl Transaction {
    /// Does a statement; returns how many rows it changed.
    pub(crate) async fn execute(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<u64, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(on) => query!(sql, values)
                .execute(&mut **on)
                .await?
                .rows_affected(),
            Self::Postgres(on) => query!(sql, values)
                .execute(&mut **on)
                .await?
                .rows_affected(),
        })
    }

    /// Returns the rows that a statement gives.
    pub(crate) async fn rows(
        &mut self,
        sql: impl SqlSafeStr,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match self {
            Self::Sqlite(on) => sqlite_rows(query!(sql, values).fetch_all(&mut **on).await?),
            Self::Postgres(on) => postgres_rows(query!(sql, values).fetch_all(&mut **on).await?),
        })
    }

    /// Returns the one row that a statement gives, if it gives any.
    pub(crate) async fn row(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(on) => on.commit().await,
            Self::Postgres(on) => on.commit().await,
        }
    }
}

fn sqlite_rows(rows: Vec<SqliteRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Sqlite).collect()
}

fn postgres_rows(rows: Vec<PgRow>) -> Vec<Row> {
    rows.into_iter().map(Row::Postgres).collect()
}

/// A row that was read.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// Reads a column as the type that is wanted.
macro_rules! column {
    ($row:expr, $column:expr) => {
        match $row {
            Row::Sqlite(row) => row.try_get($column),
            Row::Postgres(row) => row.try_get($column),
        }
    };
}

impl Row {
    pub(crate) fn text(&self, column: &str) -> Result<String, sqlx::Error> {
        column!(self, column)
    }

    pub(crate) fn text_if_any(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        column!(self, column)
    }

    pub(crate) fn int(&self, column: &str) -> Result<i64, sqlx::Error> {
        column!(self, column)
    }

    pub(crate) fn int_if_any(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        column!(self, column)
    }

    pub(crate) fn flag(&self, column: &str) -> Result<bool, sqlx::Error> {
        column!(self, column)
    }

    /// Reads a column that holds a time.
    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, sqlx::Error> {
        time_of(column, self.int(column)?)
    }

    /// Reads a column that may hold a time.
    pub(crate) fn time_if_any(&self, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
        let ms: Option<i64> = column!(self, column)?;
        ms.map(|ms| time_of(column, ms)).transpose()
    }

    /// Reads a column of a type that is written as text.
    pub(crate) fn parsed<T>(&self, column: &str) -> Result<T, sqlx::Error>
    where
        T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
    {
        let text = self.text(column)?;
        text.parse().map_err(|error| unreadable(column, error))
    }
}

fn time_of(column: &str, ms: i64) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_millisecond(ms).map_err(|error| unreadable(column, error))
}
