//! The store itself: how it is opened, checked and closed. Its operations are in the modules beside this one.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use sqlx::Row as _;

use crate::database::{self, Pool, Row, Transaction};
use crate::error::{DatabaseError, Fault, OpenError, StoreError};
use crate::file::{self, Found, OpenLock};
use crate::schema;

/// The name of the database's file in a home.
pub const FILE_NAME: &str = "mira.db";

/// What Mira knows about instances.
///
/// Clones share their connections. Needs a tokio runtime with timers (`enable_time`).
#[derive(Clone, Debug)]
pub struct Store {
    pool: Pool,
    path: Arc<Path>,
}

impl Store {
    /// Opens the database of a home, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// Refuses what is not a private file of ours, not a database of Mira's, damaged, or of a newer Mira. Nothing is
    /// changed then.
    pub async fn open(home: &Path) -> Result<Self, OpenError> {
        let path = file::home(home)?.join(FILE_NAME);
        let lock = OpenLock::take(&path).await?;
        if file::prepare(&lock, &path)? == Found::OnlyJournal {
            return Err(OpenError::OnlyJournal { path });
        }
        let store = Self {
            pool: database::pool(&path),
            path: path.into(),
        };
        match schema::bring_up_to_date(&store.pool, &store.path).await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Returns where the database is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the whole database and compares it with itself.
    ///
    /// # Errors
    ///
    /// Returns [`DatabaseError::Damaged`] with what was found.
    pub async fn check(&self) -> Result<(), StoreError> {
        let work = async {
            let mut connection = self.pool.acquire().await?;
            let problems = database::problems(&mut connection).await?;
            if problems.is_empty() {
                return Ok(());
            }
            let (path, detail) = (PathBuf::from(&*self.path), problems.join("; "));
            Err(StoreError::from(DatabaseError::Damaged { path, detail }).into())
        };
        self.told(work).await
    }

    /// Writes a copy of the whole database, as of one moment, to a path where nothing is yet; writers go on meanwhile.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn copy_into(&self, path: &Path) -> Result<(), StoreError> {
        let work = async {
            let path = path.to_string_lossy().into_owned();
            sqlx::query("VACUUM INTO $1")
                .bind(path)
                .execute(&self.pool)
                .await?;
            Ok(())
        };
        self.told(work).await
    }

    /// Waits for what is running and closes all connections.
    ///
    /// Not needed for durability: what was acknowledged is on the disk.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Begins a transaction that excludes all other writers; dropped, it is undone.
    pub(crate) async fn write(&self) -> Result<Transaction, Fault> {
        Ok(database::begin_write(&self.pool).await?)
    }

    /// Does an operation, and says of its errors in which file they are.
    pub(crate) async fn told<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        work.await.map_err(|fault| fault.at(&self.path))
    }
}

/// Returns a time as it is stored, in milliseconds.
pub(crate) fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Reads a column that holds a time.
pub(crate) fn time(row: &Row, column: &str) -> Result<Timestamp, sqlx::Error> {
    let ms: i64 = row.try_get(column)?;
    Timestamp::from_millisecond(ms).map_err(|error| unreadable(column, error))
}

/// Reads a column of a type that is written as text.
pub(crate) fn parsed<T>(row: &Row, column: &str) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.try_get(column)?;
    text.parse().map_err(|error| unreadable(column, error))
}

/// Says that a column holds what no Mira wrote.
pub(crate) fn unreadable(
    column: &str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(source),
    }
}
