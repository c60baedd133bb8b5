//! Why the database is not opened, and why an operation did not happen.
//!
//! Messages name the file and what to do. They never repeat what was looked for: a word in the wrong place may be a value.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::file::{FileError, Quoted};
use crate::id::{InstanceId, InstanceName};
use crate::text::Unfit;

/// Why `mira.db` is not opened. It is as it was before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file, its folder or its lock cannot be used, or is not to be trusted.
    #[error(transparent)]
    File(#[from] FileError),
    /// A newer Mira wrote it.
    #[error(
        "{} was written by a newer Mira: its schema is {found}, and this Mira knows up to {known}; use the newer one", path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest version that this Mira knows.
        known: i64,
    },
    /// It is a database, but not one of Mira's, or of a build that never was released.
    #[error(
        "{} is a database of something else than Mira; look at it and move it away: {}", path.display(), MoveAway(path)
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is empty or gone, and what was written last is still in the journal beside it.
    #[error(
        "{} is empty or gone, but its journal is there; put the file back that belongs to it, or move the journal away: {}", path.display(), MoveAway(path)
    )]
    OnlyJournal {
        /// The file that should be there.
        path: PathBuf,
    },
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// Why an operation did not happen. Nothing of it is in the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such instance.
    #[error("there is no instance of this name, and none whose id begins so; `mira ps` lists them")]
    NotFound,
    /// More than one instance has an id that begins so.
    #[error(
        "more than one instance has an id that begins so: {}; write more of it",
        List(candidates)
    )]
    Ambiguous {
        /// Those that it may be.
        candidates: Vec<InstanceId>,
    },
    /// Another instance has the name.
    #[error("another instance is called {name} already; choose another name, or leave it to Mira")]
    NameTaken {
        /// The name.
        name: InstanceName,
    },
    /// The instance's deletion has begun.
    #[error("the instance {id} is being deleted; `mira delete {id}` finishes it")]
    Deleting {
        /// The instance.
        id: InstanceId,
    },
    /// The instance's deletion has not begun, so it is not finished.
    #[error("the deletion of {id} has not begun, so what belongs to it may still be there")]
    DeletionNotBegun {
        /// The instance.
        id: InstanceId,
    },
    /// A text is not fit to be stored.
    #[error("{what} is empty, longer than {bytes_max} bytes, or holds a character that it may not")]
    Unfit {
        /// Which text.
        what: &'static str,
        /// The most bytes that it may have.
        bytes_max: usize,
    },
    /// No port is left for a service.
    #[error("no free port was found for {service}/{name}; stop another instance and try again")]
    NoFreePort {
        /// The service.
        service: String,
        /// The port's name.
        name: String,
    },
    /// The system gives no random bytes, so there is no new id.
    #[error("the system gives no random bytes: {detail}")]
    NoRandomness {
        /// The system's answer.
        detail: String,
    },
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What the database itself reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// It is not a database, or its content contradicts itself.
    #[error(
        "{} is damaged ({detail}), and Mira left it as it is; put a copy of it back, or rescue what is in it: sqlite3 {} .recover; or begin anew: {}", path.display(), Quoted(path), MoveAway(path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Others kept it locked for too long.
    #[error("{} is locked by another process; find it with: fuser {}", path.display(), Quoted(path))]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk that holds {} is full; make room on it and try again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file or its folder cannot be written.
    #[error("{} or its folder cannot be written ({detail}); both have to be writable by you", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The database's words.
        detail: String,
    },
    /// The system could not read or write it.
    #[error("reading or writing {} failed ({detail}); see to the disk, and try again", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The database's words.
        detail: String,
    },
    /// Anything else.
    #[error("the database {} refused: {detail}", path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// The database's words.
        detail: String,
    },
}

impl DatabaseError {
    /// Says which file an error of the database is about.
    pub(crate) fn new(path: &Path, error: &sqlx::Error) -> Self {
        let path = path.to_owned();
        match error {
            sqlx::Error::Database(refusal) => {
                let code = refusal.code().and_then(|code| code.parse().ok());
                Self::of_code(path, code, refusal.message().to_owned())
            }
            // Values that no Mira wrote.
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) => Self::Damaged {
                path,
                detail: error.to_string(),
            },
            sqlx::Error::PoolTimedOut => Self::Busy { path },
            sqlx::Error::Io(_) => Self::Io {
                path,
                detail: error.to_string(),
            },
            _ => Self::Refused {
                path,
                detail: error.to_string(),
            },
        }
    }

    /// Sorts an answer by SQLite's result code, see <https://sqlite.org/rescode.html>.
    fn of_code(path: PathBuf, code: Option<i32>, detail: String) -> Self {
        // The lowest byte is the primary code; the rest says more about it.
        match code.map(|code| code & 0xff) {
            Some(11 | 26) => Self::Damaged { path, detail },
            // Another process puts the journal in order for so long that SQLite does not wait for it.
            Some(5 | 6 | 15) => Self::Busy { path },
            Some(13) => Self::Full { path },
            Some(3 | 8 | 14) => Self::Unwritable { path, detail },
            Some(10) => Self::Io { path, detail },
            _ => Self::Refused { path, detail },
        }
    }
}

/// What goes wrong inside an operation, before it is known in which file.
#[derive(Debug)]
pub(crate) enum Fault {
    Store(StoreError),
    Sql(sqlx::Error),
}

impl Fault {
    /// Says in which file it went wrong.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Store(error) => error,
            Self::Sql(error) => StoreError::Database(DatabaseError::new(path, &error)),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Unfit> for StoreError {
    fn from(Unfit { what, bytes_max }: Unfit) -> Self {
        Self::Unfit { what, bytes_max }
    }
}

impl From<Unfit> for Fault {
    fn from(unfit: Unfit) -> Self {
        StoreError::from(unfit).into()
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// The command that moves a database and its journals away, so that the next open begins anew.
struct MoveAway<'a>(&'a Path);

impl fmt::Display for MoveAway<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut aside = self.0.as_os_str().to_owned();
        aside.push(".aside");
        let aside = Path::new(&aside);
        // The journals go with it: without its file, a journal is worth nothing, and the file without it is not whole.
        write!(
            f,
            "mkdir {0} && mv {1}* {0}/",
            Quoted(aside),
            Quoted(self.0)
        )
    }
}

struct List<'a>(&'a [InstanceId]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{id}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_the_database_have_their_own_refusals() {
        let check = |code: i32, expect: &str| {
            let error = DatabaseError::of_code("mira.db".into(), Some(code), "words".into());
            assert!(error.to_string().contains(expect), "{code}: {error}");
            assert!(error.to_string().contains("mira.db"), "{code}: {error}");
        };
        check(11, "is damaged (words)");
        check(26, ".recover");
        check(5, "locked by another process");
        check(517, "locked by another process");
        check(15, "locked by another process");
        check(13, "is full");
        check(8, "cannot be written");
        check(1032, "cannot be written");
        check(778, "see to the disk");
        check(1, "refused: words");
    }
}
