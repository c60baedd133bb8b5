//! Instances: made, found, changed.
//!
//! INVARIANT: no name is the id of another instance, so that a word means one instance at most, whichever it is.

mod copy;
mod deletion;
mod find;

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use sqlx::Row as _;

use crate::database::{Connection, Row};
use crate::error::{Fault, StoreError};
use crate::id::{InstanceId, InstanceName};
use crate::store::{Store, now_ms, parsed, time};
use crate::text::{self, PATH_BYTES_MAX};

/// An instance to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInstance {
    /// Its name; without one it gets the app's, with a number where that is taken.
    pub name: Option<InstanceName>,
    /// The app's id, in reverse domain notation.
    pub app_id: String,
    /// The package that it is opened from.
    pub package: PackageFacts,
}

/// What is remembered of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFacts {
    /// The app's name for people.
    pub app_name: String,
    /// The app's version.
    pub app_version: String,
    /// The package's digest.
    pub digest: String,
    /// The path that it was opened from, for people.
    pub source: String,
    /// The publisher's key, where the package is signed. One that was seen is not forgotten by an unsigned package.
    pub publisher_key: Option<String>,
    /// Whether the user agreed to this package, though it is not signed, or by another key than before.
    pub unsigned_agreed: bool,
}

/// What an instance should be doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Desired {
    /// Its services run.
    Running,
    /// Nothing of it runs.
    Stopped,
}

impl Desired {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Desired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Says that a column holds neither of the two words.
#[derive(Debug, thiserror::Error)]
#[error("it is neither `running` nor `stopped`")]
pub struct DesiredError;

impl FromStr for Desired {
    type Err = DesiredError;

    fn from_str(text: &str) -> Result<Self, DesiredError> {
        [Self::Running, Self::Stopped]
            .into_iter()
            .find(|desired| desired.as_str() == text)
            .ok_or(DesiredError)
    }
}

/// One opened app.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// Its own id.
    pub id: InstanceId,
    /// Its name.
    pub name: InstanceName,
    /// The app's id.
    pub app_id: String,
    /// The package that it runs.
    pub package: PackageFacts,
    /// When it was made.
    pub created: Timestamp,
    /// When it was opened last.
    pub opened: Timestamp,
    /// What it should be doing.
    pub desired: Desired,
    /// Whether its deletion has begun.
    pub deleting: bool,
}

impl Instance {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: parsed(row, "id")?,
            name: parsed(row, "name")?,
            app_id: row.try_get("app_id")?,
            package: PackageFacts {
                app_name: row.try_get("app_name")?,
                app_version: row.try_get("app_version")?,
                digest: row.try_get("package_digest")?,
                source: row.try_get("source")?,
                publisher_key: row.try_get("publisher_key")?,
                unsigned_agreed: row.try_get("unsigned_agreed")?,
            },
            created: time(row, "created_ms")?,
            opened: time(row, "opened_ms")?,
            desired: parsed(row, "desired")?,
            deleting: row.try_get("deleting")?,
        })
    }
}

impl PackageFacts {
    fn check(&self) -> Result<(), StoreError> {
        text::line("the app's name", &self.app_name)?;
        text::line("the app's version", &self.app_version)?;
        text::line("the package's digest", &self.digest)?;
        text::bounded("the package's path", &self.source, PATH_BYTES_MAX)?;
        if let Some(key) = &self.publisher_key {
            text::line("the publisher's key", key)?;
        }
        Ok(())
    }
}

impl Store {
    /// Makes an instance, stopped, opened now.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NameTaken`] where another instance has the given name, one that is being deleted too.
    pub async fn insert_instance(&self, new: &NewInstance) -> Result<Instance, StoreError> {
        let work = async {
            text::line("the app's id", &new.app_id)?;
            new.package.check()?;
            let mut transaction = self.write().await?;
            let instance = Self::insert(&mut transaction, new, false).await?;
            transaction.commit().await?;
            Ok(instance)
        };
        self.told(work).await
    }

    /// Makes the row of an instance, under a free name and id.
    async fn insert(
        connection: &mut Connection,
        new: &NewInstance,
        deleting: bool,
    ) -> Result<Instance, Fault> {
        let taken = words(connection).await?;
        let name = free_name(new, &taken)?;
        let id = free_id(&new.app_id, &taken)?;
        let package = &new.package;
        let row = sqlx::query(
            "INSERT INTO instances (id, name, app_id, app_name, app_version, package_digest, source,
                publisher_key, unsigned_agreed, created_ms, opened_ms, desired, deleting)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, $11, $12) RETURNING *",
        )
        .bind(id.as_str())
        .bind(name.as_str())
        .bind(&new.app_id)
        .bind(&package.app_name)
        .bind(&package.app_version)
        .bind(&package.digest)
        .bind(&package.source)
        .bind(&package.publisher_key)
        .bind(package.unsigned_agreed)
        .bind(now_ms())
        .bind(Desired::Stopped.as_str())
        .bind(deleting)
        .fetch_one(connection)
        .await?;
        Ok(Instance::of_row(&row)?)
    }

    /// Gives an instance another name.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NameTaken`] where another instance has it.
    pub async fn rename(&self, id: &InstanceId, name: &InstanceName) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            let other: Option<i64> = sqlx::query_scalar(
                "SELECT 1 FROM instances WHERE (name = $1 OR id = $1) AND id <> $2",
            )
            .bind(name.as_str())
            .bind(id.as_str())
            .fetch_optional(&mut *transaction)
            .await?;
            if other.is_some() {
                return Err(StoreError::NameTaken { name: name.clone() }.into());
            }
            sqlx::query("UPDATE instances SET name = $1 WHERE id = $2")
                .bind(name.as_str())
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }

    /// Sets which package an instance runs. The publisher's key that was seen stays where the new one has none.
    ///
    /// # Errors
    ///
    /// Refuses an instance that is gone or being deleted.
    pub async fn update_package(
        &self,
        id: &InstanceId,
        package: &PackageFacts,
    ) -> Result<(), StoreError> {
        let work = async {
            package.check()?;
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            sqlx::query(
                "UPDATE instances SET app_name = $1, app_version = $2, package_digest = $3, source = $4,
                    publisher_key = COALESCE($5, publisher_key), unsigned_agreed = $6 WHERE id = $7",
            )
            .bind(&package.app_name)
            .bind(&package.app_version)
            .bind(&package.digest)
            .bind(&package.source)
            .bind(&package.publisher_key)
            .bind(package.unsigned_agreed)
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }

    /// Notes that the user agreed to a package that is not signed, or by another key; returns whether the instance still runs
    /// that package. If not, nothing was noted: the user agreed to another one.
    ///
    /// # Errors
    ///
    /// Refuses an instance that is gone or being deleted.
    pub async fn agree_unsigned(&self, id: &InstanceId, digest: &str) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            let noted = sqlx::query(
                "UPDATE instances SET unsigned_agreed = TRUE WHERE id = $1 AND package_digest = $2",
            )
            .bind(id.as_str())
            .bind(digest)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(noted.rows_affected() > 0)
        };
        self.told(work).await
    }

    /// Notes that an instance was opened now.
    ///
    /// # Errors
    ///
    /// Refuses an instance that is gone or being deleted.
    pub async fn record_open(&self, id: &InstanceId) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            sqlx::query("UPDATE instances SET opened_ms = $1 WHERE id = $2")
                .bind(now_ms())
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }

    /// Sets what an instance should be doing.
    ///
    /// # Errors
    ///
    /// Refuses an instance that is gone or being deleted.
    pub async fn set_desired(&self, id: &InstanceId, desired: Desired) -> Result<(), StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            live(&mut transaction, id).await?;
            sqlx::query("UPDATE instances SET desired = $1 WHERE id = $2")
                .bind(desired.as_str())
                .bind(id.as_str())
                .execute(&mut *transaction)
                .await?;
            Ok(transaction.commit().await?)
        };
        self.told(work).await
    }
}

/// Checks that an instance is there and not being deleted.
pub(crate) async fn live(connection: &mut Connection, id: &InstanceId) -> Result<(), Fault> {
    let deleting: Option<bool> = sqlx::query_scalar("SELECT deleting FROM instances WHERE id = $1")
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    match deleting {
        None => Err(StoreError::NotFound.into()),
        Some(true) => Err(StoreError::Deleting { id: id.clone() }.into()),
        Some(false) => Ok(()),
    }
}

/// Returns all words that mean an instance: every name and every id.
async fn words(connection: &mut Connection) -> Result<HashSet<String>, sqlx::Error> {
    let rows = sqlx::query("SELECT id, name FROM instances")
        .fetch_all(connection)
        .await?;
    let mut words = HashSet::new();
    for row in rows {
        words.insert(row.try_get("id")?);
        words.insert(row.try_get("name")?);
    }
    Ok(words)
}

fn free_name(new: &NewInstance, taken: &HashSet<String>) -> Result<InstanceName, StoreError> {
    match &new.name {
        Some(name) if taken.contains(name.as_str()) => {
            Err(StoreError::NameTaken { name: name.clone() })
        }
        Some(name) => Ok(name.clone()),
        None => Ok((1..)
            .map(|number| InstanceName::numbered(&new.app_id, number))
            .find(|name| !taken.contains(name.as_str()))
            .expect("there are more numbers than instances")),
    }
}

fn free_id(app_id: &str, taken: &HashSet<String>) -> Result<InstanceId, StoreError> {
    loop {
        let id = InstanceId::make_random(app_id).map_err(|error| StoreError::NoRandomness {
            detail: error.to_string(),
        })?;
        if !taken.contains(id.as_str()) {
            return Ok(id);
        }
    }
}
