//! All that servers share, as lines of JSON out of either database and into either: for backups.
//!
//! INVARIANT: what is dumped was true at one moment, and what is loaded is loaded whole or not at all.

use std::fmt;
use std::io;

use futures_util::TryStreamExt as _;
use serde_json::Value as Json;
use sqlx::{AssertSqlSafe, Row as _};

use crate::shared::Shared;
use crate::shared::backend::{Pools, Transaction};
use crate::shared::error::{Fault, Place, SharedError};

/// The shared tables; one stands behind those that it refers to.
pub const TABLES: [&str; 10] = [
    "users",
    "identities",
    "sessions",
    "links",
    "api_tokens",
    "login_throttles",
    "audit",
    "hook_events",
    "hook_deliveries",
    "hook_counts",
];

/// Why the shared store is not dumped or loaded. What was there is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DumpError {
    /// The database refused.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// There is something in the database already.
    #[error(
        "{place} holds users or an audit already, and is not written over; make an empty one (createdb) and name that in DATABASE_URL"
    )]
    NotEmpty {
        /// Which database.
        place: String,
    },
    /// A line is no row of such a table.
    #[error("a line of the table {table} is no row of it: {why}")]
    Line {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The lines cannot be read or written.
    #[error("the shared tables cannot be copied: {0}")]
    Io(#[from] io::Error),
}

/// What was loaded, and is not yet to be seen by anybody. Dropped, it is undone.
pub struct Loaded {
    transaction: Transaction,
    place: Place,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Loaded")
    }
}

impl Loaded {
    /// Takes a row of a table: an object with a member for each column.
    ///
    /// # Errors
    ///
    /// It is none, or the database refuses it.
    pub async fn add(&mut self, table: &'static str, line: &str) -> Result<(), DumpError> {
        let wrong = |why: String| DumpError::Line { table, why };
        let row: Json = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let row = row
            .as_object()
            .ok_or_else(|| wrong("it is no object".to_owned()))?;
        let is_column = |name: &String| {
            let fits =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            !name.is_empty() && name.bytes().all(fits)
        };
        // The names become a part of the statement.
        if row.is_empty() || !row.keys().all(is_column) {
            return Err(wrong("it has a column that no table has".to_owned()));
        }
        let columns = row.keys().cloned().collect::<Vec<_>>();
        let (into, refused) = (columns.join(", "), |error| Fault::Sql(error));
        let done = match &mut self.transaction {
            Transaction::Sqlite(on) => {
                let values = columns
                    .iter()
                    .map(|column| format!("json_extract($1, '$.{column}')"))
                    .collect::<Vec<_>>()
                    .join(", ");
                let sql = format!("INSERT INTO {table} ({into}) SELECT {values}");
                let query = sqlx::query(AssertSqlSafe(sql)).bind(line);
                query.execute(&mut **on).await.map(drop)
            }
            Transaction::Postgres(on) => {
                let sql = format!(
                    "INSERT INTO {table} ({into}) SELECT {into} FROM json_populate_record(NULL::{table}, $1::json)"
                );
                let query = sqlx::query(AssertSqlSafe(sql)).bind(line);
                query.execute(&mut **on).await.map(drop)
            }
        };
        Ok(done
            .map_err(refused)
            .map_err(|fault| fault.at(&self.place))?)
    }

    /// Lets everybody see it, for good.
    ///
    /// # Errors
    ///
    /// Returns what the database reports; nothing is loaded then.
    pub async fn commit(self) -> Result<(), SharedError> {
        let done = self.transaction.commit().await;
        done.map_err(|error| Fault::from(error).at(&self.place))
    }
}

impl Shared {
    /// Returns whether it is in the home's own database.
    #[must_use]
    pub fn is_in_home(&self) -> bool {
        matches!(self.pools(), Pools::Sqlite(_))
    }

    /// Hands all rows to `each`, with the names of their tables, in the order in which they can be loaded.
    ///
    /// # Errors
    ///
    /// Returns what the database reports, or the error of `each`.
    pub async fn dump(
        &self,
        mut each: impl FnMut(&'static str, &str) -> io::Result<()>,
    ) -> Result<(), DumpError> {
        let told = |error: sqlx::Error| Fault::from(error).at(&self.place);
        match self.pools() {
            Pools::Sqlite(pool) => {
                let mut transaction = pool.begin().await.map_err(told)?;
                for table in TABLES {
                    let columns = sqlx::query("SELECT name FROM pragma_table_info($1)")
                        .bind(table)
                        .fetch_all(&mut *transaction)
                        .await
                        .map_err(told)?;
                    let members = columns
                        .iter()
                        .map(|row| row.try_get("name"))
                        .map(|name| name.map(|name: String| format!("'{name}', {name}")))
                        .collect::<Result<Vec<_>, _>>()
                        .map_err(told)?
                        .join(", ");
                    let sql = format!("SELECT json_object({members}) AS line FROM {table}");
                    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *transaction);
                    while let Some(row) = rows.try_next().await.map_err(told)? {
                        each(table, row.try_get("line").map_err(told)?)?;
                    }
                }
            }
            Pools::Postgres(pool) => {
                let mut transaction = pool.begin().await.map_err(told)?;
                // All tables as of one moment; and who writes the lines away may be slower than a statement may be.
                let moment = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY";
                for sql in [moment, "SET LOCAL statement_timeout = 0"] {
                    let set = sqlx::query(sql).execute(&mut *transaction).await;
                    set.map_err(told)?;
                }
                for table in TABLES {
                    let sql = format!("SELECT row_to_json(t)::text AS line FROM {table} t");
                    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *transaction);
                    while let Some(row) = rows.try_next().await.map_err(told)? {
                        each(table, row.try_get("line").map_err(told)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins to load what was dumped. A home's own database is emptied for it; a server's has to be empty.
    ///
    /// # Errors
    ///
    /// [`DumpError::NotEmpty`], or what the database reports.
    pub async fn load(&self) -> Result<Loaded, DumpError> {
        let told = |error: sqlx::Error| Fault::from(error).at(&self.place);
        let mut transaction = self.pools().begin().await.map_err(told)?;
        match &mut transaction {
            Transaction::Sqlite(on) => {
                for table in TABLES.iter().rev() {
                    let sql = AssertSqlSafe(format!("DELETE FROM {table}"));
                    let done = sqlx::query(sql).execute(&mut **on).await;
                    done.map_err(told)?;
                }
            }
            Transaction::Postgres(on) => {
                for table in TABLES {
                    let sql = AssertSqlSafe(format!("SELECT 1 AS one FROM {table} LIMIT 1"));
                    let found = sqlx::query(sql).fetch_optional(&mut **on).await;
                    if found.map_err(told)?.is_some() {
                        let place = self.place();
                        return Err(DumpError::NotEmpty { place });
                    }
                }
            }
        }
        Ok(Loaded {
            transaction,
            place: self.place.clone(),
        })
    }
}
