//! The versions of the tables, embedded in the program, and how a database gets from one to the next.
//!
//! INVARIANT: all missing migrations are applied in one transaction, or none is; what a newer reviewer wrote is not touched.

use std::borrow::Cow;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};

use crate::db::Db;

/// Where the database says which migrations it has. A Postgres may have other programs' tables too.
const APPLIED: &str = "_rv_migrations";

/// What servers lock while they look which migrations there are.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7239102)";

/// All migrations, oldest first: number, description, text.
pub(crate) const MIGRATIONS: &[(i64, &str, &str)] =
    &[(1, "reviews", include_str!("../migrations/0001_reviews.sql"))];

/// Why a database is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpenError {
    #[error("{0}")]
    Database(#[from] sqlx::Error),
    #[error(
        "a newer reviewer wrote it: its tables are of version {found}, and this one knows up to {known}; use the newer one, or another database"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "its tables are of a version {0} that no reviewer was released with; use another database"
    )]
    Unknown(i64),
}

impl From<MigrateError> for OpenError {
    fn from(error: MigrateError) -> Self {
        Self::Database(match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
            other => other.into(),
        })
    }
}

fn known(all: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = all.iter().map(|(version, description, sql)| {
        let sql = (*sql).into_sql_str();
        let description = Cow::Borrowed(*description);
        Migration::new(*version, description, MigrationType::Simple, sql, false)
    });
    let mut known = Migrator::with_migrations(migrations.collect());
    known.dangerous_set_table_name(APPLIED);
    // The transaction has a lock already.
    known.set_locking(false);
    known
}

/// Checks of which version a database is, and brings it to this reviewer's.
pub(crate) async fn bring_up_to_date(db: &Db) -> Result<(), OpenError> {
    bring_to(&known(MIGRATIONS), db).await
}

async fn bring_to(known: &Migrator, db: &Db) -> Result<(), OpenError> {
    match db {
        Db::Sqlite(pool) => {
            let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
            check(known, &mut *transaction).await?;
            known.run_direct(None, &mut *transaction, false).await?;
            transaction.commit().await?;
        }
        Db::Postgres(pool) => {
            let mut transaction = pool.begin().await?;
            sqlx::query(LOCK).execute(&mut *transaction).await?;
            check(known, &mut *transaction).await?;
            known.run_direct(None, &mut *transaction, false).await?;
            transaction.commit().await?;
        }
    }
    Ok(())
}

/// Refuses what has other migrations than the known ones.
async fn check(known: &Migrator, on: &mut impl Migrate) -> Result<(), OpenError> {
    on.ensure_migrations_table(APPLIED).await?;
    let applied: Vec<AppliedMigration> = on.list_applied_migrations(APPLIED).await?;
    let newest = known.iter().map(|one| one.version).max();
    let newest = newest.unwrap_or_default();
    for one in applied {
        let is_known =
            |other: &Migration| (other.version, &other.checksum) == (one.version, &one.checksum);
        if one.version > newest {
            let (found, known) = (one.version, newest);
            return Err(OpenError::Newer { found, known });
        }
        if !known.iter().any(is_known) {
            return Err(OpenError::Unknown(one.version));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn opened(path: &std::path::Path) -> Result<Db, OpenError> {
        Db::open(path.to_str().unwrap()).await
    }

    async fn tables(db: &Db) -> i64 {
        let sql = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'rv_%'";
        db.rows(sql, &[]).await.unwrap()[0].int(0)
    }

    const NEXT: (i64, &str, &str) = (2, "more", "CREATE TABLE rv_more (repo BIGINT NOT NULL);");

    fn with(more: &[(i64, &'static str, &'static str)]) -> Migrator {
        known(&[MIGRATIONS, more].concat())
    }

    #[tokio::test]
    async fn an_older_file_is_brought_up_and_keeps_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let db = opened(&path).await.unwrap();
        let sql = "INSERT INTO rv_alert (repo, pull, month, share) VALUES (1, 2, 'm', 50)";
        db.execute(sql, &[]).await.unwrap();
        // As a file from before versions were counted.
        db.execute("DROP TABLE _rv_migrations", &[]).await.unwrap();
        let db = opened(&path).await.unwrap();
        let before = tables(&db).await;
        bring_to(&with(&[NEXT]), &db).await.unwrap();
        bring_to(&with(&[NEXT]), &db).await.unwrap();
        assert_eq!(tables(&db).await, before + 1);
        let rows = db.rows("SELECT share FROM rv_alert", &[]).await.unwrap();
        assert_eq!(rows[0].int(0), 50);
    }

    #[tokio::test]
    async fn a_newer_file_is_refused_and_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let db = opened(&path).await.unwrap();
        bring_to(&with(&[NEXT]), &db).await.unwrap();
        let refused = opened(&path).await.unwrap_err().to_string();
        assert!(
            refused.contains("version 2, and this one knows up to 1"),
            "{refused}"
        );
        db.execute("SELECT repo FROM rv_more", &[]).await.unwrap();
    }

    #[tokio::test]
    async fn a_migration_that_fails_leaves_nothing_of_itself_or_of_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let db = opened(&folder.path().join("r.db")).await.unwrap();
        let before = tables(&db).await;
        let wrong = (
            3,
            "wrong",
            "CREATE TABLE rv_other (repo BIGINT); SELECT nonsense;",
        );
        assert!(bring_to(&with(&[NEXT, wrong]), &db).await.is_err());
        assert_eq!(tables(&db).await, before);
        bring_to(&with(&[NEXT]), &db).await.unwrap();
    }

    #[tokio::test]
    async fn tables_that_no_release_had_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.db");
        let db = opened(&path).await.unwrap();
        db.execute("UPDATE _rv_migrations SET checksum = x'00'", &[])
            .await
            .unwrap();
        let refused = opened(&path).await.unwrap_err();
        assert!(matches!(refused, OpenError::Unknown(1)), "{refused}");
    }
}
