//! Ports of instances: chosen once, kept over restarts, given back with the instance.
//!
//! INVARIANT: no two instances of a home have the same port, whoever asks at the same time.

use std::collections::HashSet;
use std::hash::{Hash as _, Hasher as _};
use std::ops::RangeInclusive;

use sqlx::Row as _;

use crate::database::{Connection, Row};
use crate::error::{Fault, StoreError};
use crate::id::InstanceId;
use crate::instances::live;
use crate::store::{Store, unreadable};
use crate::text;

/// How many ports above the preferred one are tried before others.
// LIMIT: a person recognises 8081 where 8080 was asked for.
const NEAR: u16 = 99;

/// Where ports are taken from otherwise.
// LIMIT: below where Linux (32768) and others (49152) take ports for outgoing connections, so that none of those is in the way.
const ANY: RangeInclusive<u16> = 20_000..=29_999;

/// Which port is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// The service.
    pub service: String,
    /// The port's name in the service.
    pub name: String,
    /// The number that the manifest prefers.
    pub prefer: Option<u16>,
}

/// A port that a service has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Port {
    /// The service.
    pub service: String,
    /// The port's name in the service.
    pub name: String,
    /// Its number.
    pub number: u16,
}

impl Store {
    /// Returns the port of a service: the one that it has, or a new one that `is_free` accepts.
    ///
    /// `is_free` is asked while all other writers wait, so it should only try to bind the port. It is not asked about a
    /// port that the service has already: when that turns out to be in use, call [`Store::reallocate_port`].
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NoFreePort`] where `is_free` accepts none.
    pub async fn allocate_port(
        &self,
        id: &InstanceId,
        request: &PortRequest,
        is_free: &(dyn Fn(u16) -> bool + Sync),
    ) -> Result<u16, StoreError> {
        self.told(self.ensure_port(id, request, None, is_free))
            .await
    }

    /// Gives a service another port than `taken`, which something else uses.
    ///
    /// Where another process has done so meanwhile, that one's choice is returned.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NoFreePort`] where `is_free` accepts none; the service keeps the port that it had then.
    pub async fn reallocate_port(
        &self,
        id: &InstanceId,
        request: &PortRequest,
        taken: u16,
        is_free: &(dyn Fn(u16) -> bool + Sync),
    ) -> Result<u16, StoreError> {
        self.told(self.ensure_port(id, request, Some(taken), is_free))
            .await
    }

    async fn ensure_port(
        &self,
        id: &InstanceId,
        request: &PortRequest,
        unwanted: Option<u16>,
        is_free: &(dyn Fn(u16) -> bool + Sync),
    ) -> Result<u16, Fault> {
        text::line("the service's name", &request.service)?;
        text::line("the port's name", &request.name)?;
        let mut transaction = self.write().await?;
        live(&mut transaction, id).await?;
        let has = number_of(&mut transaction, id, request).await?;
        if let Some(number) = has.filter(|number| Some(*number) != unwanted) {
            return Ok(number);
        }
        let mut taken = taken(&mut transaction).await?;
        taken.extend(unwanted);
        let number = choose(request.prefer, beginning(id), &taken, is_free).ok_or_else(|| {
            StoreError::NoFreePort {
                service: request.service.clone(),
                name: request.name.clone(),
            }
        })?;
        sqlx::query(
            "INSERT INTO ports (instance_id, service, name, number) VALUES ($1, $2, $3, $4)
             ON CONFLICT (instance_id, service, name) DO UPDATE SET number = excluded.number",
        )
        .bind(id.as_str())
        .bind(&request.service)
        .bind(&request.name)
        .bind(i64::from(number))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Gives a port back, as when an update of the package does not declare it any more; returns whether there was one.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn release_port(
        &self,
        id: &InstanceId,
        service: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let work = async {
            let mut transaction = self.write().await?;
            let released = sqlx::query(
                "DELETE FROM ports WHERE instance_id = $1 AND service = $2 AND name = $3",
            )
            .bind(id.as_str())
            .bind(service)
            .bind(name)
            .execute(&mut *transaction)
            .await?;
            transaction.commit().await?;
            Ok(released.rows_affected() > 0)
        };
        self.told(work).await
    }

    /// Returns an instance's ports, by service and name.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn ports(&self, id: &InstanceId) -> Result<Vec<Port>, StoreError> {
        let work = async {
            let rows = sqlx::query(
                "SELECT service, name, number FROM ports WHERE instance_id = $1 ORDER BY service, name",
            )
            .bind(id.as_str())
            .fetch_all(self.pool())
            .await?;
            let port = |row: &Row| {
                Ok(Port {
                    service: row.try_get("service")?,
                    name: row.try_get("name")?,
                    number: number(row)?,
                })
            };
            let ports: Result<_, sqlx::Error> = rows.iter().map(port).collect();
            Ok(ports?)
        };
        self.told(work).await
    }
}

async fn number_of(
    connection: &mut Connection,
    id: &InstanceId,
    request: &PortRequest,
) -> Result<Option<u16>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT number FROM ports WHERE instance_id = $1 AND service = $2 AND name = $3",
    )
    .bind(id.as_str())
    .bind(&request.service)
    .bind(&request.name)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(number).transpose()
}

async fn taken(connection: &mut Connection) -> Result<HashSet<u16>, sqlx::Error> {
    let rows = sqlx::query("SELECT number FROM ports")
        .fetch_all(connection)
        .await?;
    rows.iter().map(number).collect()
}

fn number(row: &Row) -> Result<u16, sqlx::Error> {
    let number: i64 = row.try_get("number")?;
    u16::try_from(number).map_err(|error| unreadable("number", error))
}

/// Returns where the search among all ports begins: elsewhere for each instance, so that homes that know nothing of each other
/// do not all take the same one between looking and listening.
fn beginning(id: &InstanceId) -> u16 {
    let mut hasher = std::hash::DefaultHasher::new();
    id.as_str().hash(&mut hasher);
    let places = u64::from(ANY.end() - ANY.start()) + 1;
    u16::try_from(hasher.finish() % places).unwrap_or_default()
}

fn choose(
    prefer: Option<u16>,
    beginning: u16,
    taken: &HashSet<u16>,
    is_free: &(dyn Fn(u16) -> bool + Sync),
) -> Option<u16> {
    let near = prefer.map(|first| first..=first.saturating_add(NEAR));
    near.into_iter()
        .flatten()
        .chain(ANY.skip(beginning.into()))
        .chain(ANY.take(beginning.into()))
        .find(|number| *number != 0 && !taken.contains(number) && is_free(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_port_is_tried_first_then_those_near_it() {
        let check = |prefer: Option<u16>, taken: &[u16], busy: RangeInclusive<u16>, expect| {
            let taken: HashSet<u16> = taken.iter().copied().collect();
            let chosen = choose(prefer, 0, &taken, &|number| !busy.contains(&number));
            assert_eq!(chosen, expect, "{prefer:?}");
        };
        check(Some(8080), &[], 1..=1, Some(8080));
        check(Some(8080), &[8080, 8081], 8082..=8083, Some(8084));
        check(Some(80), &[], 1..=1023, Some(20_000));
        check(Some(65_535), &[65_535], 1..=1, Some(20_000));
        check(Some(0), &[], 1..=99, Some(20_000));
        check(None, &[20_000], 20_001..=20_001, Some(20_002));
        check(None, &[], 1..=65_535, None);
    }

    #[test]
    fn the_search_begins_elsewhere_for_each_instance_and_leaves_no_port_out() {
        let taken = HashSet::new();
        assert_eq!(choose(None, 9_998, &taken, &|_| true), Some(29_998));
        let only = |free: u16| choose(None, 9_998, &taken, &|number| number == free);
        for free in [20_000, 29_997, 29_998, 29_999] {
            assert_eq!(only(free), Some(free));
        }
        let ids = (0..20).map(|_| InstanceId::make_random("org.example.app").unwrap());
        let beginnings: HashSet<u16> = ids.map(|id| beginning(&id)).collect();
        assert!(beginnings.len() > 10, "{beginnings:?}");
    }
}
