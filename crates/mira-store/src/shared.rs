//! What the servers of a team share: users, sessions, one-time links, API tokens, wrong passwords, webhooks and their queue, the audit.
//!
//! It lives in the home's `mira.db`, or in a Postgres that several servers use at once. Both get the same tables and the same
//! statements. What belongs to one machine, as instances and their ports do, stays in [`Store`](crate::Store).
//!
//! No operation looks at a clock: the time comes from the caller.
//!
//! INVARIANT: every operation is done whole or not at all, whoever else works on the same database; the database that was asked for is
//! used, or none is.

mod api_tokens;
mod audit;
mod backend;
mod dump;
mod error;
mod hooks;
mod id;
mod identities;
mod links;
mod name;
mod schema;
mod sessions;
mod throttle;
mod token;
mod url;
mod users;
mod words;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use sqlx::{ConnectOptions as _, Connection as _};

use crate::store::Store;
use backend::{CONNECT_WAIT_MAX, Pools, Transaction, settled};
use error::{Fault, Place};

pub use api_tokens::{ApiTokenEntry, Bearer, NewApiToken, TokenScope};
pub use audit::{
    Actor, AuditAction, AuditCursor, AuditEntry, AuditFilter, AuditPage, AuditRow, CursorError,
    Outcome,
};
pub use dump::{DumpError, Loaded, TABLES as SHARED_TABLES};
pub use error::{ServerError, SharedError, SharedOpenError};
pub use hooks::{
    ClaimedHook, HookAcceptance, HookBacklog, HookClaim, HookCount, HookDelivery, HookEnd,
    HookEvent, HookFilter, HookMark, HookPurge, HookState, HookStats, NewHookDelivery,
    NewHookEvent,
};
pub use id::{ApiTokenId, HookEventId, RowIdError, SessionId, UserId};
pub use identities::Identity;
pub use links::LinkPurpose;
pub use name::{USER_NAME_CHARS_MAX, UserName, UserNameError};
pub use sessions::{NewSession, Session, SessionKind, SessionOf, SignedIn, Who};
pub use throttle::LoginAttempt;
pub use token::{ApiToken, LinkToken, SessionToken, TokenError};
pub use url::{DatabaseUrl, UrlError};
pub use users::{Login, NewUser, PasswordHash, Role, User};
pub use words::WordError;

/// How long an operation takes at most.
// LIMIT: longer than the databases' own bounds, so that it ends only what waits for a network that went silent.
const OPERATION_WAIT_MAX: Duration = Duration::from_secs(45);

/// Where the shared store is.
#[derive(Debug)]
pub enum Location<'a> {
    /// In the database of a home.
    File(&'a Path),
    /// In a Postgres.
    Postgres(DatabaseUrl),
}

/// What the servers of a team share.
///
/// Clones share their connections. Needs a tokio runtime with timers, and for a Postgres with I/O.
#[derive(Clone, Debug)]
pub struct Shared {
    pools: Pools,
    place: Place,
}

impl Shared {
    /// Opens the shared store, and makes its tables where there are none.
    ///
    /// # Errors
    ///
    /// Refuses a database that cannot be reached, is not Mira's, or is of a newer Mira. Nothing is changed then.
    pub async fn open(location: Location<'_>) -> Result<Self, SharedOpenError> {
        let shared = match location {
            Location::File(home) => {
                let store = Store::open(home).await?;
                Self {
                    pools: Pools::Sqlite(store.pool().clone()),
                    place: Place::File(store.path().into()),
                }
            }
            Location::Postgres(url) => {
                let (options, place) = (settled(url.options()), Place::Server(url.server()));
                // By hand first: a pool would try until its time is over, and then not say why.
                let first = tokio::time::timeout(CONNECT_WAIT_MAX, options.connect());
                let first = first.await.map_err(|_| place.silent(CONNECT_WAIT_MAX))?;
                let told = |error: sqlx::Error| Fault::from(error).at(&place);
                first.map_err(told)?.close().await.map_err(told)?;
                Self {
                    pools: Pools::postgres(options),
                    place,
                }
            }
        };
        match schema::bring_up_to_date(&shared.pools, &shared.place).await {
            Ok(()) => Ok(shared),
            Err(error) => {
                shared.close().await;
                Err(error)
            }
        }
    }

    /// Returns where it is, to be shown: a path, or a host and a database's name.
    #[must_use]
    pub fn place(&self) -> String {
        self.place.to_string()
    }

    /// Returns whether only this machine's server works on it: it is a home's own file.
    #[must_use]
    pub fn is_of_one_server(&self) -> bool {
        matches!(self.pools, Pools::Sqlite(_))
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    ///
    /// Returns what is in the way.
    pub async fn ping(&self) -> Result<(), SharedError> {
        let work = async { Ok(self.pools.rows("SELECT 1 AS one", &[]).await.map(drop)?) };
        self.told(work).await
    }

    /// Waits for what is running and closes all connections.
    ///
    /// Not needed for durability: what was acknowledged is kept.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    fn pools(&self) -> &Pools {
        &self.pools
    }

    /// Begins a transaction while there is no other; dropped, it is undone.
    async fn write(&self) -> Result<Transaction, Fault> {
        Ok(self.pools.begin().await?)
    }

    /// Does an operation, and says of its errors in which database they are.
    async fn told<T>(
        &self,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, SharedError> {
        match tokio::time::timeout(OPERATION_WAIT_MAX, work).await {
            Ok(done) => done.map_err(|fault| fault.at(&self.place)),
            Err(_) => Err(self.place.silent(OPERATION_WAIT_MAX)),
        }
    }
}
