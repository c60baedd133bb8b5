//! The rows, in SQLite or Postgres: the one place that knows which. Statements are of words that both take alike.
//!
//! INVARIANT: each row belongs to one repository by its `repo`, and erasing that takes all of them; SQLite overwrites what it deletes.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, PgPool, Row as _, SqlitePool};

use crate::schema::{self, OpenError};

/// How long a statement waits for others.
// LIMIT: the longest transaction writes one repository's index, in some seconds.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Connections to Postgres.
// LIMIT: reviews in parallel are few, and their statements short.
const CONNECTIONS_MAX: u32 = 4;

/// What [`Db::erase`] does. What was spent stays in the month's total, which is of no repository.
const ERASED: &[&str] = &[
    "DELETE FROM rv_file WHERE repo = $1",
    "DELETE FROM rv_symbol WHERE repo = $1",
    "DELETE FROM rv_reference WHERE repo = $1",
    "DELETE FROM rv_import WHERE repo = $1",
    "DELETE FROM rv_pull WHERE repo = $1",
    "DELETE FROM rv_pass WHERE repo = $1",
    "INSERT INTO rv_spend (repo, pull, what, month, tokens, cost, held_tokens, held_cost) \
     SELECT 0, 0, '', month, CAST(SUM(tokens) AS BIGINT), CAST(SUM(cost) AS BIGINT), 0, 0 FROM rv_spend WHERE repo = $1 GROUP BY month \
     ON CONFLICT (repo, pull, what, month) DO UPDATE SET tokens = rv_spend.tokens + excluded.tokens, cost = rv_spend.cost + excluded.cost",
    "DELETE FROM rv_spend WHERE repo = $1",
    "DELETE FROM rv_alert WHERE repo = $1",
    "DELETE FROM rv_asked WHERE repo = $1",
    "DELETE FROM rv_rejected WHERE repo = $1",
    "DELETE FROM rv_repository WHERE repo = $1",
];

/// A statement in the words of both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sql {
    pub(crate) sqlite: &'static str,
    pub(crate) postgres: &'static str,
}

impl From<&'static str> for Sql {
    fn from(text: &'static str) -> Self {
        Self {
            sqlite: text,
            postgres: text,
        }
    }
}

/// Makes a statement that reads rows from a JSON list in `$2`: the row is `v.value`.
macro_rules! from_json {
    ($head:literal, $tail:literal) => {
        $crate::db::Sql {
            sqlite: concat!($head, " json_each($2) AS v ", $tail),
            postgres: concat!(
                $head,
                " jsonb_array_elements(CAST($2 AS jsonb)) AS v(value) ",
                $tail
            ),
        }
    };
}
pub(crate) use from_json;

/// A value of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Text(String),
    Int(i64),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// A row that a statement gave: its columns in order.
#[derive(Clone, Debug)]
pub(crate) struct Row(Vec<Value>);

impl Row {
    pub(crate) fn text(&self, column: usize) -> &str {
        match self.0.get(column) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    pub(crate) fn int(&self, column: usize) -> i64 {
        match self.0.get(column) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }
}

macro_rules! row {
    ($row:expr) => {{
        let row = $row;
        // All columns are TEXT or BIGINT.
        let value = |at| match row.try_get::<String, _>(at) {
            Ok(text) => Value::Text(text),
            Err(_) => Value::Int(row.try_get::<i64, _>(at).unwrap_or_default()),
        };
        Row((0..row.len()).map(value).collect())
    }};
}

macro_rules! query {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query($sql);
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text.clone()),
                Value::Int(number) => query.bind(*number),
            };
        }
        query
    }};
}

/// The database.
#[derive(Clone, Debug)]
pub(crate) enum Db {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Db {
    /// Opens `postgres://…`, or the SQLite file of this path, and brings its tables to this version.
    ///
    /// # Errors
    ///
    /// Refuses what a newer reviewer wrote; returns what the database reports. Nothing is changed then.
    pub(crate) async fn open(url: &str) -> Result<Self, OpenError> {
        let db = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url)?
                .application_name("mira-reviewer")
                .disable_statement_logging();
            let pool = PgPoolOptions::new()
                .max_connections(CONNECTIONS_MAX)
                .acquire_timeout(WAIT_MAX);
            Self::Postgres(pool.connect_with(options).await?)
        } else {
            let options = SqliteConnectOptions::new()
                .filename(url)
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .busy_timeout(WAIT_MAX)
                .pragma("secure_delete", "ON")
                .disable_statement_logging();
            let pool = SqlitePoolOptions::new()
                .max_connections(1)
                .idle_timeout(None)
                .max_lifetime(None);
            Self::Sqlite(pool.connect_with(options).await?)
        };
        schema::bring_up_to_date(&db).await?;
        Ok(db)
    }

    /// Does all statements, or none; returns how many rows the last one changed.
    pub(crate) async fn all(&self, statements: &[(Sql, Vec<Value>)]) -> Result<u64, sqlx::Error> {
        let mut last = 0;
        match self {
            Self::Sqlite(pool) => {
                let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
                for (sql, values) in statements {
                    last = query!(sql.sqlite, values)
                        .execute(&mut *transaction)
                        .await?
                        .rows_affected();
                }
                transaction.commit().await?;
            }
            Self::Postgres(pool) => {
                let mut transaction = pool.begin().await?;
                for (sql, values) in statements {
                    last = query!(sql.postgres, values)
                        .execute(&mut *transaction)
                        .await?
                        .rows_affected();
                }
                transaction.commit().await?;
            }
        }
        Ok(last)
    }

    /// Does one statement; returns how many rows it changed.
    pub(crate) async fn execute(
        &self,
        sql: impl Into<Sql>,
        values: &[Value],
    ) -> Result<u64, sqlx::Error> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite(pool) => query!(sql.sqlite, values)
                .execute(pool)
                .await?
                .rows_affected(),
            Self::Postgres(pool) => query!(sql.postgres, values)
                .execute(pool)
                .await?
                .rows_affected(),
        })
    }

    /// Returns the rows that a statement gives.
    pub(crate) async fn rows(
        &self,
        sql: impl Into<Sql>,
        values: &[Value],
    ) -> Result<Vec<Row>, sqlx::Error> {
        let sql = sql.into();
        Ok(match self {
            Self::Sqlite(pool) => query!(sql.sqlite, values)
                .fetch_all(pool)
                .await?
                .iter()
                .map(|row| row!(row))
                .collect(),
            Self::Postgres(pool) => query!(sql.postgres, values)
                .fetch_all(pool)
                .await?
                .iter()
                .map(|row| row!(row))
                .collect(),
        })
    }

    /// Removes all that is known of a repository, from the file too.
    pub(crate) async fn erase(&self, repo: i64) -> Result<(), sqlx::Error> {
        let all: Vec<(Sql, Vec<Value>)> = ERASED
            .iter()
            .map(|sql| ((*sql).into(), vec![repo.into()]))
            .collect();
        self.all(&all).await?;
        if matches!(self, Self::Sqlite(_)) {
            // What was deleted is overwritten in the file's pages; its log is emptied as well.
            self.rows("PRAGMA wal_checkpoint(TRUNCATE)", &[]).await?;
        }
        Ok(())
    }
}
