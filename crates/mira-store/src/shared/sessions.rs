//! Who is signed in: what a browser's token stands for, since when and until when.
//!
//! INVARIANT: a session is worth something only with the credentials that it began with: it carries their version, and one that
//! was being made while they changed is worth nothing either.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

use crate::shared::Shared;
use crate::shared::backend::{Row, Value};
use crate::shared::error::{Fault, SharedError};
use crate::shared::id::{SessionId, UserId};
use crate::shared::token::SessionToken;
use crate::shared::users::{User, user_columns};
use crate::shared::words::words;
use crate::text;

/// How often it is written down that a session or a token was used, in milliseconds.
// LIMIT: a page makes many requests, and each write is a wait for the disk; a minute is exact enough for people.
pub(crate) const SEEN_EVERY_MS: i64 = 60_000;

words! {
    /// How somebody signed in.
    SessionKind {
        /// With name and password.
        Password = "password",
        /// With a link that the command line made.
        OneTimeLink = "one_time_link",
        /// At the team's own identity provider.
        Oidc = "oidc",
    }
}

/// For whom a session is made.
#[derive(Clone, Copy, Debug)]
pub enum SessionOf<'a> {
    /// For who owns the home.
    LocalOwner,
    /// For a user, as it was when the credentials were looked at.
    User(&'a User),
}

/// A session to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// For whom.
    pub of: SessionOf<'a>,
    /// How that one signed in.
    pub kind: SessionKind,
    /// How long it lasts without being used: more than a minute, since its use is written down once a minute.
    pub idle: Duration,
    /// When it ends in any case.
    pub expires: Timestamp,
    /// From where.
    pub address: Option<IpAddr>,
    /// What the browser calls itself; cut and cleaned, whatever it is.
    pub user_agent: &'a str,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Session {
    /// Its id, which is not its token.
    pub id: SessionId,
    /// How it began.
    pub kind: SessionKind,
    /// When it began.
    pub created: Timestamp,
    /// When it was used last, to the minute.
    pub last_seen: Timestamp,
    /// When it ends in any case.
    pub expires: Timestamp,
    /// From where it began.
    pub address: Option<String>,
    /// What the browser called itself.
    pub user_agent: String,
}

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Who owns the home.
    LocalOwner,
    /// A user, as of now.
    User(User),
}

/// What a session's token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedIn {
    /// The session.
    pub session: Session,
    /// Who it is.
    pub who: Who,
}

/// What holds of a session that is worth something at the time `$1`.
macro_rules! is_live {
    () => {
        "expires_ms > $1 AND $1 - seen_ms < idle_ms
         AND (sessions.user_id IS NULL OR (NOT disabled AND of_version = credentials_version))"
    };
}

impl Session {
    fn of_row(row: &Row) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.parsed("session_id")?,
            kind: row.parsed("kind")?,
            created: row.time("created_ms")?,
            last_seen: row.time("seen_ms")?,
            expires: row.time("expires_ms")?,
            address: row.text_if_any("address")?,
            user_agent: row.text("user_agent")?,
        })
    }
}

impl Shared {
    /// Makes a session; its token is never returned again.
    ///
    /// # Errors
    ///
    /// Returns [`SharedError::Stale`] where the user's credentials are no longer those of [`SessionOf::User`].
    pub async fn create_session(
        &self,
        new: &NewSession<'_>,
        now: Timestamp,
    ) -> Result<(SessionToken, Session), SharedError> {
        let work = async {
            let (token, id) = (SessionToken::make_random()?, SessionId::make_random()?);
            let hash = token.hash();
            let session = Session {
                id,
                kind: new.kind,
                created: now,
                last_seen: now,
                expires: new.expires,
                address: new
                    .address
                    .map(|address| address.to_canonical().to_string()),
                user_agent: text::cleaned(new.user_agent),
            };
            let idle_ms = i64::try_from(new.idle.as_millis()).unwrap_or(i64::MAX);
            let values = [
                session.id.as_str().into(),
                hash.as_str().into(),
                session.kind.as_str().into(),
                idle_ms.into(),
                now.into(),
                session.expires.into(),
                session.address.as_deref().into(),
                session.user_agent.as_str().into(),
            ];
            self.insert_session(new.of, values).await?;
            Ok((token, session))
        };
        self.told(work).await
    }

    async fn insert_session(&self, of: SessionOf<'_>, values: [Value<'_>; 8]) -> Result<(), Fault> {
        let made = match of {
            SessionOf::LocalOwner => {
                let sql = "INSERT INTO sessions
                        (session_id, session_hash, kind, idle_ms, created_ms, seen_ms, expires_ms, address, user_agent, of_version)
                    VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, 0)";
                self.pools().execute(sql, &values).await?
            }
            SessionOf::User(user) => {
                let sql = "INSERT INTO sessions
                        (session_id, session_hash, kind, idle_ms, created_ms, seen_ms, expires_ms, address, user_agent, user_id,
                         of_version)
                    SELECT $1, $2, $3, $4, $5, $5, $6, $7, $8, user_id, credentials_version
                    FROM users WHERE user_id = $9 AND credentials_version = $10 AND NOT disabled";
                let of = [user.id.as_str().into(), user.credentials_version.into()];
                let values = [values.as_slice(), of.as_slice()].concat();
                let made = self.pools().execute(sql, &values).await;
                match made {
                    // The user was removed while this waited.
                    Err(error) if is_foreign_key(&error) => 0,
                    made => made?,
                }
            }
        };
        match made {
            0 => Err(SharedError::Stale.into()),
            _ => Ok(()),
        }
    }

    /// Returns what a session's token stands for; nothing if it is unknown, revoked, too old or too long unused, or if its user was
    /// disabled.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn find_session(
        &self,
        token: &SessionToken,
        now: Timestamp,
    ) -> Result<Option<SignedIn>, SharedError> {
        let sql = concat!(
            "SELECT session_id, kind, created_ms, seen_ms, expires_ms, address, user_agent, sessions.user_id AS of_user, ",
            user_columns!(),
            " FROM sessions LEFT JOIN users ON users.user_id = sessions.user_id WHERE session_hash = $2 AND ",
            is_live!()
        );
        let work = async {
            let hash = token.hash();
            let (hash, at) = (Value::from(hash.as_str()), Value::from(now));
            let Some(row) = self.pools().row(sql, &[at, hash]).await? else {
                return Ok(None);
            };
            let who = match row.text_if_any("of_user")? {
                Some(_) => Who::User(User::of_row(&row)?),
                None => Who::LocalOwner,
            };
            let mut session = Session::of_row(&row)?;
            if is_news(session.last_seen, now) {
                let seen =
                    "UPDATE sessions SET seen_ms = $1 WHERE session_hash = $2 AND seen_ms < $1";
                self.pools().execute(seen, &[at, hash]).await?;
                session.last_seen = now;
            }
            Ok(Some(SignedIn { session, who }))
        };
        self.told(work).await
    }

    /// Ends a session; returns whether there was one.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn revoke_session(&self, id: &SessionId) -> Result<bool, SharedError> {
        let work = async {
            let sql = "DELETE FROM sessions WHERE session_id = $1";
            Ok(self.pools().execute(sql, &[id.as_str().into()]).await? > 0)
        };
        self.told(work).await
    }

    /// Ends all sessions of a user, or of the local owner; returns how many.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn revoke_sessions_of(&self, user: Option<&UserId>) -> Result<u64, SharedError> {
        let work = async {
            let mut transaction = self.write().await?;
            let sql = "DELETE FROM sessions WHERE user_id = $1 OR ($1 IS NULL AND user_id IS NULL)";
            let user = user.map(UserId::as_str).into();
            let ended = transaction.execute(sql, &[user]).await?;
            transaction.commit().await?;
            Ok(ended)
        };
        self.told(work).await
    }

    /// Returns the sessions of a user, or of the local owner, that are worth something; the one used last comes first.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn sessions_of(
        &self,
        user: Option<&UserId>,
        now: Timestamp,
    ) -> Result<Vec<Session>, SharedError> {
        let sql = concat!(
            "SELECT session_id, kind, created_ms, seen_ms, expires_ms, address, user_agent
             FROM sessions LEFT JOIN users ON users.user_id = sessions.user_id
             WHERE (sessions.user_id = $2 OR ($2 IS NULL AND sessions.user_id IS NULL)) AND ",
            is_live!(),
            " ORDER BY seen_ms DESC, session_id"
        );
        let work = async {
            let user = user.map(UserId::as_str).into();
            let rows = self.pools().rows(sql, &[now.into(), user]).await?;
            let sessions: Result<_, sqlx::Error> = rows.iter().map(Session::of_row).collect();
            Ok(sessions?)
        };
        self.told(work).await
    }

    /// Returns how many sessions are alive.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn count_sessions(&self, now: Timestamp) -> Result<u64, SharedError> {
        let sql = concat!(
            "SELECT count(*) AS alive FROM sessions LEFT JOIN users ON users.user_id = sessions.user_id WHERE ",
            is_live!()
        );
        let work = async {
            let row = self.pools().row(sql, &[now.into()]).await?;
            let alive = row.ok_or(sqlx::Error::RowNotFound)?.int("alive")?;
            Ok(u64::try_from(alive).unwrap_or_default())
        };
        self.told(work).await
    }

    /// Forgets sessions and one-time links that are worth nothing any more; returns how many.
    ///
    /// # Errors
    ///
    /// Returns what the database reports.
    pub async fn purge_sessions(&self, now: Timestamp) -> Result<u64, SharedError> {
        let sql = concat!(
            "DELETE FROM sessions WHERE session_id NOT IN (
                SELECT session_id FROM sessions LEFT JOIN users ON users.user_id = sessions.user_id WHERE ",
            is_live!(),
            ")"
        );
        let work = async {
            let mut transaction = self.write().await?;
            let sessions = transaction.execute(sql, &[now.into()]).await?;
            let links = "DELETE FROM links WHERE expires_ms <= $1";
            let links = transaction.execute(links, &[now.into()]).await?;
            transaction.commit().await?;
            Ok(sessions + links)
        };
        self.told(work).await
    }
}

/// Returns whether a use is to be written down.
pub(crate) fn is_news(seen: Timestamp, now: Timestamp) -> bool {
    now.as_millisecond() - seen.as_millisecond() >= SEEN_EVERY_MS
}

fn is_foreign_key(error: &sqlx::Error) -> bool {
    let error = error.as_database_error();
    error.is_some_and(sqlx::error::DatabaseError::is_foreign_key_violation)
}
