//! Why the shared store is not opened, and why an operation did not happen.
//!
//! Messages name the file or the server, and what to do. They hold no password, and do not repeat what was looked for.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{DatabaseError, OpenError};
use crate::shared::backend::CONNECT_WAIT_MAX;
use crate::shared::name::UserName;
use crate::shared::url::ServerName;
use crate::text::Unfit;

/// Why the shared store is not opened. Nothing was changed, and no other database is taken instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SharedOpenError {
    /// The home's database is not opened.
    #[error(transparent)]
    File(#[from] OpenError),
    /// A newer Mira wrote it.
    #[error(
        "{place} was written by a newer Mira: its schema is {found}, and this Mira knows up to {known}; use the newer one"
    )]
    Newer {
        /// Which database.
        place: String,
        /// The version of its schema.
        found: i64,
        /// The newest version that this Mira knows.
        known: i64,
    },
    /// It holds what no Mira that was released has written.
    #[error(
        "{place} holds tables of something else; give Mira a database of its own (createdb mira) and name that in DATABASE_URL"
    )]
    Foreign {
        /// Which database.
        place: String,
    },
    /// The database refused.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// Why an operation did not happen. Nothing of it is in the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// There is no such user.
    #[error("there is no such user; `mira user list` shows who there is")]
    NoSuchUser,
    /// Another user has the name.
    #[error("there is a user {name} already; choose another name")]
    NameTaken {
        /// The name.
        name: UserName,
    },
    /// Nobody could administrate any more.
    #[error(
        "this is the last admin who can sign in; make another one first: mira user role NAME admin"
    )]
    LastAdmin,
    /// The user's credentials changed, or the user was disabled or removed, since they were looked at.
    #[error("what this user signs in with has changed meanwhile; sign in again")]
    Stale,
    /// A token would reach further than its user.
    #[error("an API token cannot do more than its user; choose a smaller scope")]
    ScopeAboveRole,
    /// There is no such event.
    #[error("there is no such event; `mira hooks list` shows which there are")]
    NoSuchEvent,
    /// No delivery of the event has failed, so nothing of it is kept that could be delivered again.
    #[error(
        "no delivery of this event has failed, and its content is gone; have it sent again where it came from"
    )]
    NothingToReplay,
    /// The event is queued, or somebody is at it.
    #[error("this event is in the queue already; `mira hooks show` says for whom it waits")]
    StillQueued,
    /// A text is not fit to be stored.
    #[error("{what} is empty, longer than {bytes_max} bytes, or holds a character that it may not")]
    Unfit {
        /// Which text.
        what: &'static str,
        /// The most bytes that it may have.
        bytes_max: usize,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {detail}")]
    NoRandomness {
        /// The system's answer.
        detail: String,
    },
    /// The database in the home refused.
    #[error(transparent)]
    File(DatabaseError),
    /// The database server refused, or cannot be reached.
    #[error(transparent)]
    Server(#[from] ServerError),
}

/// What a database server reported, or that it reported nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// It cannot be reached, or the connection broke.
    #[error(
        "{server} cannot be reached ({detail}); see that it runs and that DATABASE_URL names it; Mira takes no other database instead"
    )]
    Unreachable {
        /// The server.
        server: String,
        /// What was met.
        detail: String,
    },
    /// It let nobody in under this name, or has no such database.
    #[error(
        "{server} does not let Mira in ({detail}); see to the name, the password and the database in DATABASE_URL"
    )]
    Denied {
        /// The server.
        server: String,
        /// The server's words.
        detail: String,
    },
    /// It is busy, or others hold what is needed for too long.
    #[error("{server} is busy ({detail}); try again")]
    Busy {
        /// The server.
        server: String,
        /// The server's words.
        detail: String,
    },
    /// It has no room left.
    #[error("{server} has no room left ({detail}); make room on it and try again")]
    Full {
        /// The server.
        server: String,
        /// The server's words.
        detail: String,
    },
    /// It does not let Mira write.
    #[error(
        "{server} does not let Mira write ({detail}); it must be the primary, and the user of DATABASE_URL must own the database"
    )]
    Unwritable {
        /// The server.
        server: String,
        /// The server's words.
        detail: String,
    },
    /// Its content contradicts itself, or is not what a Mira writes.
    #[error("{server} holds what no Mira wrote ({detail}); restore it from a backup")]
    Damaged {
        /// The server.
        server: String,
        /// What was met.
        detail: String,
    },
    /// Anything else.
    #[error("{server} refused: {detail}")]
    Refused {
        /// The server.
        server: String,
        /// The server's words.
        detail: String,
    },
}

impl ServerError {
    fn new(server: &ServerName, error: &sqlx::Error) -> Self {
        let (server, detail) = (server.to_string(), error.to_string());
        match error {
            sqlx::Error::Database(refusal) => {
                let code = refusal.code().unwrap_or_default();
                Self::of_state(server, &code, refusal.message().to_owned())
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => {
                Self::Damaged { server, detail }
            }
            sqlx::Error::PoolTimedOut => Self::silent(server, CONNECT_WAIT_MAX),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                Self::Unreachable { server, detail }
            }
            _ => Self::Refused { server, detail },
        }
    }

    /// Sorts an answer by its SQLSTATE, see <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of_state(server: String, code: &str, detail: String) -> Self {
        let class = code.get(..2).unwrap_or_default();
        match (class, code) {
            ("08", _) | (_, "57P01" | "57P02" | "57P03") => Self::Unreachable { server, detail },
            ("28" | "3D", _) => Self::Denied { server, detail },
            (_, "53100") => Self::Full { server, detail },
            ("40" | "53" | "55", _) | (_, "57014" | "25P03") => Self::Busy { server, detail },
            (_, "25006" | "42501") => Self::Unwritable { server, detail },
            ("XX", _) => Self::Damaged { server, detail },
            _ => Self::Refused { server, detail },
        }
    }

    /// Says that it did not answer.
    pub(crate) fn silent(server: String, waited: Duration) -> Self {
        let detail = format!("no answer within {} seconds", waited.as_secs());
        Self::Unreachable { server, detail }
    }
}

/// Which database an error is about.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(Arc<Path>),
    Server(ServerName),
}

impl Place {
    /// Says that nothing came back in time. Whether the work was done is not known.
    pub(crate) fn silent(&self, waited: Duration) -> SharedError {
        match self {
            Self::File(path) => SharedError::File(DatabaseError::Busy {
                path: path.to_path_buf(),
            }),
            Self::Server(server) => ServerError::silent(server.to_string(), waited).into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.fmt(f),
        }
    }
}

/// What goes wrong inside an operation, before it is known in which database.
#[derive(Debug)]
pub(crate) enum Fault {
    Shared(SharedError),
    Sql(sqlx::Error),
}

impl Fault {
    /// Says in which database it went wrong.
    pub(crate) fn at(self, place: &Place) -> SharedError {
        match (self, place) {
            (Self::Shared(error), _) => error,
            (Self::Sql(error), Place::File(path)) => {
                SharedError::File(DatabaseError::new(path, &error))
            }
            (Self::Sql(error), Place::Server(server)) => {
                SharedError::Server(ServerError::new(server, &error))
            }
        }
    }
}

impl From<SharedError> for Fault {
    fn from(error: SharedError) -> Self {
        Self::Shared(error)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Unfit> for SharedError {
    fn from(Unfit { what, bytes_max }: Unfit) -> Self {
        Self::Unfit { what, bytes_max }
    }
}

impl From<Unfit> for Fault {
    fn from(unfit: Unfit) -> Self {
        SharedError::from(unfit).into()
    }
}

impl From<getrandom::Error> for Fault {
    fn from(error: getrandom::Error) -> Self {
        let detail = error.to_string();
        SharedError::NoRandomness { detail }.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_a_server_have_their_own_refusals() {
        let check = |code: &str, expect: &str| {
            let error = ServerError::of_state("Postgres".into(), code, "words".into());
            let error = error.to_string();
            assert!(
                error.contains(expect) && error.contains("words"),
                "{code}: {error}"
            );
        };
        check("08006", "cannot be reached");
        check("57P03", "no other database");
        check("28P01", "the password");
        check("3D000", "the database in DATABASE_URL");
        check("53100", "no room");
        check("53300", "busy");
        check("40P01", "busy");
        check("55P03", "busy");
        check("57014", "busy");
        check("25006", "the primary");
        check("42501", "must own");
        check("XX001", "restore");
        check("22021", "refused");
        check("", "refused");
    }
}
