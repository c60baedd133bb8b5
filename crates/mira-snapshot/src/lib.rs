//! Snapshots of an instance's state: incremental, deduplicated, encrypted, and free of the instance's secrets.
//!
//! A [`Repository`] is a folder in the restic format (version 2): `restic` reads, checks and restores it with the same
//! password. [`Repository::snapshot`] stores volumes, and looks for the instance's [`Secrets`] in every byte that goes
//! in; where one is found there is no snapshot, and a complete list instead. [`Repository::restore`] puts volumes back.
//!
//! ```no_run
//! use mira_snapshot::{Options, Repository, Secrets, Volume};
//!
//! # fn main() -> Result<(), mira_snapshot::SnapshotError> {
//! # let (api_key, instance) = (b"sk-proj-4fXq81LmZ0pTw7Rk", std::path::Path::new("/home/me/instance"));
//! let password = Repository::make_password()?;
//! let repository = Repository::open_or_create(&instance.join("snapshots"), &password)?;
//! let mut secrets = Secrets::builder();
//! secrets.add("OPENAI_API_KEY", api_key);
//! let volumes = [Volume::new("data", instance.join("state/data"))];
//! let options = Options { instance: "readlater-3kq7mzpa".into(), ..Options::default() };
//! let report = repository.snapshot(&volumes, &secrets.build(), &options, &mut |_| {})?;
//! repository.restore(&report.snapshot.id, &volumes, &mut |_| {})?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! `take` runs the rounds of one snapshot. `walk` goes through the volumes, `source` opens a file and `reader` hands its
//! bytes to the format's library and to the scanner at once, `database` copies SQLite databases. All that is written goes
//! to `stage` first and moves into the repository when the scan is done and clean. `restore` builds volumes beside their
//! places, and `swap` exchanges them, by a plan that survives a crash. `backend` makes what is written durable and
//! private, `lock` keeps processes apart, `marks` remembers which secrets a snapshot was searched for.
//!
//! The crate prints nothing, reads no environment and starts no process.

#[cfg(unix)]
mod backend;
#[cfg(unix)]
mod database;
#[cfg(unix)]
mod error;
#[cfg(unix)]
mod files;
#[cfg(unix)]
mod keys;
#[cfg(unix)]
mod lock;
#[cfg(unix)]
mod marks;
#[cfg(unix)]
mod metadata;
#[cfg(unix)]
mod model;
#[cfg(unix)]
mod progress;
#[cfg(unix)]
mod reader;
#[cfg(unix)]
mod repository;
#[cfg(unix)]
mod restore;
#[cfg(unix)]
mod retention;
#[cfg(unix)]
mod secrets;
#[cfg(unix)]
mod source;
#[cfg(unix)]
mod stage;
#[cfg(unix)]
mod swap;
#[cfg(unix)]
mod take;
#[cfg(unix)]
mod walk;
#[cfg(unix)]
mod watch;

#[cfg(unix)]
pub use {
    error::{Findings, SnapshotError},
    lock::{Held, hold},
    model::{
        Finding, Form, Options, Place, Progress, Report, Restored, Skipped, SkippedKind, Snapshot,
        SnapshotId, TAG_AUTOSAVE, TAG_SAFETY, Volume,
    },
    repository::{LOCK_WAIT, Repository},
    retention::Retention,
    secrets::{Secrets, SecretsBuilder},
};
