//! The versions of the shared tables, embedded in the binary, and how a database gets from one to the next.
//!
//! They are counted apart from those of the home's own tables, since a Postgres has only these.
//!
//! INVARIANT: all missing migrations are applied in one transaction, which no other one runs beside, or none is.

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migrator};

use crate::schema::{Standing, migrator, standing};
use crate::shared::backend::{Pools, Transaction};
use crate::shared::error::{Fault, Place, SharedError, SharedOpenError};

/// Where the database says which migrations it has.
const APPLIED: &str = "_mira_shared_migrations";

/// Returns all migrations, oldest first.
fn known() -> Migrator {
    let mut known = migrator([
        (
            1,
            "people",
            include_str!("../../migrations/shared/0001_people.sql"),
        ),
        (
            2,
            "hooks",
            include_str!("../../migrations/shared/0002_hooks.sql"),
        ),
        (
            3,
            "identities",
            include_str!("../../migrations/shared/0003_identities.sql"),
        ),
    ]);
    known.dangerous_set_table_name(APPLIED);
    // The transaction has a lock already.
    known.set_locking(false);
    known
}

/// Checks of which version a database is, and brings it to this Mira's.
pub(crate) async fn bring_up_to_date(pools: &Pools, place: &Place) -> Result<(), SharedOpenError> {
    let told = |error: sqlx::Error| Fault::from(error).at(place);
    let mut transaction = pools.begin().await.map_err(told)?;
    if is_foreign(&mut transaction).await.map_err(told)? {
        let place = place.to_string();
        return Err(SharedOpenError::Foreign { place });
    }
    let known = known();
    let standing = match &mut transaction {
        Transaction::Sqlite(on) => seen(&known, &mut **on).await,
        Transaction::Postgres(on) => seen(&known, &mut **on).await,
    };
    match standing.map_err(|error| refused(error, place))? {
        Standing::Current => Ok(()),
        Standing::Unknown => Err(SharedOpenError::Foreign {
            place: place.to_string(),
        }),
        Standing::Newer { found, known } => Err(SharedOpenError::Newer {
            place: place.to_string(),
            found,
            known,
        }),
        Standing::Behind => {
            let done = match &mut transaction {
                Transaction::Sqlite(on) => known.run_direct(None, &mut **on, false).await,
                Transaction::Postgres(on) => known.run_direct(None, &mut **on, false).await,
            };
            done.map_err(|error| refused(error, place))?;
            Ok(transaction.commit().await.map_err(told)?)
        }
    }
}

/// Returns whether there are tables in a Postgres, and none of them says that it is ours.
///
/// A file has been looked at before.
async fn is_foreign(transaction: &mut Transaction) -> Result<bool, sqlx::Error> {
    if matches!(transaction, Transaction::Sqlite(_)) {
        return Ok(false);
    }
    let row = transaction
        .row(
            "SELECT count(*) AS tables, coalesce(sum(CASE WHEN tablename = $1 THEN 1 ELSE 0 END), 0)::BIGINT AS ours
             FROM pg_tables WHERE schemaname = current_schema()",
            &[APPLIED.into()],
        )
        .await?;
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    Ok(row.int("tables")? > 0 && row.int("ours")? == 0)
}

async fn seen(known: &Migrator, on: &mut impl Migrate) -> Result<Standing, MigrateError> {
    on.ensure_migrations_table(APPLIED).await?;
    let applied: Vec<AppliedMigration> = on.list_applied_migrations(APPLIED).await?;
    Ok(standing(known, &applied))
}

fn refused(error: MigrateError, place: &Place) -> SharedError {
    let error = match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        other => other.into(),
    };
    Fault::from(error).at(place)
}
