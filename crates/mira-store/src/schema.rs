//! The versions of the schema, embedded in the binary, and how a database gets from one to the next.
//!
//! INVARIANT: all missing migrations are applied in one transaction, or none is; a newer database is not touched.

use std::borrow::Cow;
use std::path::Path;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{
    AppliedMigration, Migrate as _, MigrateError, Migration, MigrationType, Migrator,
};

use crate::database::{self, Connection, Content, Pool};
use crate::error::{DatabaseError, OpenError};

/// Where the database says which migrations it has.
const APPLIED: &str = "_sqlx_migrations";

/// Returns all migrations, oldest first.
fn known() -> Migrator {
    migrator([
        (
            1,
            "instances",
            include_str!("../migrations/0001_instances.sql"),
        ),
        (
            2,
            "net decisions",
            include_str!("../migrations/0002_net_decisions.sql"),
        ),
    ])
}

/// Returns migrations of these numbers, descriptions and texts.
pub(crate) fn migrator<const N: usize>(texts: [(i64, &'static str, &'static str); N]) -> Migrator {
    let migrations = texts.map(|(version, description, sql)| {
        Migration::new(
            version,
            Cow::Borrowed(description),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.into())
}

/// What a database's schema is to this Mira.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Current,
    Behind,
    Newer { found: i64, known: i64 },
    Unknown,
}

/// Compares what a database has with what is known.
pub(crate) fn standing(known: &Migrator, applied: &[AppliedMigration]) -> Standing {
    let newest = known.iter().map(|migration| migration.version).max();
    let newest = newest.unwrap_or_default();
    let found = applied.iter().map(|migration| migration.version).max();
    if let Some(found) = found.filter(|found| *found > newest) {
        return Standing::Newer {
            found,
            known: newest,
        };
    }
    let is_known = |applied: &AppliedMigration| {
        known.iter().any(|migration| {
            (migration.version, &migration.checksum) == (applied.version, &applied.checksum)
        })
    };
    if !applied.iter().all(is_known) {
        return Standing::Unknown;
    }
    match applied.len() < known.iter().count() {
        true => Standing::Behind,
        false => Standing::Current,
    }
}

/// Checks whose database it is and of which version, and brings it to this Mira's. Called while nobody else opens it.
pub(crate) async fn bring_up_to_date(pool: &Pool, path: &Path) -> Result<(), OpenError> {
    let told = |error: sqlx::Error| DatabaseError::new(path, &error);
    let mut connection = pool.acquire().await.map_err(told)?;
    let known = known();
    let content = database::content(&mut connection).await.map_err(told)?;
    let standing = match content {
        Content::Nothing => Standing::Behind,
        Content::Foreign => Standing::Unknown,
        Content::Ours => standing(&known, &applied(&mut connection, path).await?),
    };
    match standing {
        Standing::Unknown => Err(OpenError::Foreign { path: path.into() }),
        Standing::Newer { found, known } => Err(OpenError::Newer {
            path: path.into(),
            found,
            known,
        }),
        Standing::Current => Ok(database::use_wal(&mut connection).await.map_err(told)?),
        Standing::Behind => {
            database::use_wal(&mut connection).await.map_err(told)?;
            migrate(&known, &mut connection, path).await
        }
    }
}

async fn migrate(
    known: &Migrator,
    connection: &mut Connection,
    path: &Path,
) -> Result<(), OpenError> {
    let told = |error: sqlx::Error| DatabaseError::new(path, &error);
    let mut transaction = database::begin_write_on(connection).await.map_err(told)?;
    database::mark(&mut transaction).await.map_err(told)?;
    known
        .run_direct(None, &mut *transaction, false)
        .await
        .map_err(|error| refused(error, path))?;
    transaction.commit().await.map_err(told)?;
    Ok(())
}

async fn applied(
    connection: &mut Connection,
    path: &Path,
) -> Result<Vec<AppliedMigration>, OpenError> {
    connection
        .list_applied_migrations(APPLIED)
        .await
        .map_err(|error| refused(error, path).into())
}

fn refused(error: MigrateError, path: &Path) -> DatabaseError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            DatabaseError::new(path, &error)
        }
        other => DatabaseError::Refused {
            path: path.to_owned(),
            detail: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(migration: &Migration) -> AppliedMigration {
        AppliedMigration {
            version: migration.version,
            checksum: migration.checksum.clone(),
        }
    }

    #[test]
    fn a_schema_is_current_behind_newer_or_unknown() {
        let known = known();
        let all: Vec<AppliedMigration> = known.iter().map(applied).collect();
        let newest = all.last().unwrap().version;
        assert_eq!(standing(&known, &all), Standing::Current);
        assert_eq!(standing(&known, &all[1..]), Standing::Behind);

        let mut newer = known.iter().map(applied).collect::<Vec<_>>();
        newer.push(AppliedMigration {
            version: newest + 1,
            checksum: Cow::Borrowed(b"x"),
        });
        let (found, last) = (newest + 1, newest);
        assert_eq!(
            standing(&known, &newer),
            Standing::Newer { found, known: last }
        );

        let mut other = known.iter().map(applied).collect::<Vec<_>>();
        other[0].checksum = Cow::Borrowed(b"x");
        assert_eq!(standing(&known, &other), Standing::Unknown);
    }

    /// A released migration never changes, since databases remember its hash.
    #[test]
    fn migrations_are_numbered_without_gaps() {
        let versions: Vec<i64> = known().iter().map(|migration| migration.version).collect();
        let expected: Vec<i64> = (1..).take(versions.len()).collect();
        assert_eq!(versions, expected);
    }
}
