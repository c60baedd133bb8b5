//! Backups: all that a home holds, in one age file around a tar archive. Format: `docs/formats/backup.md`.
//!
//! INVARIANT: no value of a secret is in the archive, other than in a recovery file inside of it that is sealed once more; and
//! neither is the vault's root key.

mod read;
mod write;

use serde::{Deserialize, Serialize};

pub(crate) use read::{Unpacked, unpack};
pub(crate) use write::Archive;

/// The archive's first file, which says what it is.
pub(crate) const INDEX: &str = "mira-backup.json";

/// The secrets once more, as a recovery file.
pub(crate) const RECOVERY: &str = "recovery.age";

/// The folder of the tables that servers share, where they are not in `mira.db`.
pub(crate) const SHARED: &str = "shared";

/// The single files of a home.
pub(crate) const FILES: [&str; 3] = ["credentials.json", "settings.json", "mcp.json"];

/// The folders of a home.
pub(crate) const PACKAGES: &str = "packages";
pub(crate) const INSTANCES: &str = "instances";

const FORMAT: &str = "mira-backup";
const VERSION: u64 = 1;

/// What a backup is of.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Index {
    format: String,
    version: u64,
    /// The Mira that made it.
    pub(crate) mira: String,
    pub(crate) made: jiff::Timestamp,
    /// Whether what servers share is in `shared/`, or in `mira.db`.
    pub(crate) shared_apart: bool,
    /// The instances' names.
    pub(crate) instances: Vec<String>,
}

impl Index {
    pub(crate) fn new(shared_apart: bool, instances: Vec<String>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            mira: env!("CARGO_PKG_VERSION").to_owned(),
            made: jiff::Timestamp::now(),
            shared_apart,
            instances,
        }
    }
}
