//! A repository: opened or created, listed, checked.
//!
//! INVARIANT: what changes a repository holds the lock, and first ends what a crash left unfinished.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mira_secret::SecretBytes;
use rustic_core::repofile::{IndexFile, MasterKey, SnapshotFile};
use rustic_core::{
    CheckOptions, ConfigOptions, Credentials, FileType, KeyOptions, OpenStatus, ReadBackend as _,
    RepositoryBackends, RepositoryOptions, RusticError, WriteBackend,
};
use sha2::{Digest as _, Sha256};

use crate::backend::Backend;
use crate::error::SnapshotError;
use crate::files::{self, beside};
use crate::keys::{self, Unlocked};
use crate::lock::{self, Lock, Mode};
use crate::marks::{self, MarkKey};
use crate::model::{Snapshot, SnapshotId};
use crate::progress::Bytes;
use crate::swap;

/// How long an operation waits for another process, when it is told no other time.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A repository of snapshots, unlocked.
pub struct Repository {
    pub(crate) folder: PathBuf,
    pub(crate) backend: Arc<Backend>,
    pub(crate) library: rustic_core::Repository<OpenStatus>,
    pub(crate) marks: MarkKey,
    lock_wait: Duration,
}

impl Repository {
    /// Makes a password for a new repository: 256 random bits, as 64 hexadecimal digits.
    ///
    /// For a password of this form, a new repository gets a cheap key derivation, since nobody can guess it; for any other
    /// one, restic's usual cost.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::Random`] where the system gives no random bytes.
    pub fn make_password() -> Result<SecretBytes, SnapshotError> {
        keys::make_password()
    }

    /// Opens a repository, and creates it first where there is none.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), but for [`SnapshotError::Missing`].
    pub fn open_or_create(folder: &Path, password: &SecretBytes) -> Result<Self, SnapshotError> {
        match Self::open(folder, password) {
            Err(SnapshotError::Missing { .. }) => {
                let _lock = Lock::take(folder, Mode::Alone, LOCK_WAIT)?;
                // Another process may have been faster.
                if !folder.join("config").exists() {
                    create(folder, password)?;
                }
                Self::open(folder, password)
            }
            done => done,
        }
    }

    /// Opens a repository.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::Missing`], [`SnapshotError::WrongPassword`], [`SnapshotError::NotPrivate`] or
    /// [`SnapshotError::Damaged`].
    pub fn open(folder: &Path, password: &SecretBytes) -> Result<Self, SnapshotError> {
        match fs::symlink_metadata(folder) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(SnapshotError::Missing {
                    folder: folder.to_owned(),
                });
            }
            Err(error) => return Err(SnapshotError::io("look at the folder", folder)(error)),
        }
        files::check_private(folder)?;
        if !folder.join("config").exists() {
            let empty = fs::read_dir(folder)
                .map_err(SnapshotError::io("list", folder))?
                .next()
                .is_none();
            return Err(if empty {
                SnapshotError::Missing {
                    folder: folder.to_owned(),
                }
            } else {
                SnapshotError::Damaged {
                    folder: folder.to_owned(),
                    what: "its file `config` is missing".into(),
                }
            });
        }
        let failed = |error: Box<RusticError>| SnapshotError::library(folder, &error);
        let backend = Arc::new(Backend::new(folder, &beside(folder, ".staging")).map_err(failed)?);
        keys::check(folder, &backend)?;
        let unlocked = Unlocked::new(password)?;
        let library = bare(&backend)
            .and_then(|library| library.open(unlocked.credentials()))
            .map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            backend,
            library,
            marks: MarkKey::derive(password),
            lock_wait: LOCK_WAIT,
        })
    }

    /// Sets how long operations wait for another process; [`LOCK_WAIT`] otherwise.
    pub fn set_lock_wait(&mut self, wait: Duration) {
        self.lock_wait = wait;
    }

    /// Returns the snapshots, the oldest first.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::Damaged`] where one cannot be read.
    pub fn list(&self) -> Result<Vec<Snapshot>, SnapshotError> {
        Ok(self.stored()?.iter().map(describe).collect())
    }

    /// Returns the id that a text names: in full, its beginning, or `latest`.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::NoSuchSnapshot`] or [`SnapshotError::AmbiguousSnapshot`].
    pub fn find(&self, text: &str) -> Result<SnapshotId, SnapshotError> {
        let snapshots = self.list()?;
        let none = || SnapshotError::NoSuchSnapshot {
            id: text.chars().take(64).collect(),
        };
        if text == "latest" {
            return snapshots
                .last()
                .map(|last| last.id.clone())
                .ok_or_else(none);
        }
        let wanted = text.to_ascii_lowercase();
        let mut fitting = snapshots
            .iter()
            .filter(|snapshot| !wanted.is_empty() && snapshot.id.as_str().starts_with(&wanted));
        let first = fitting.next().ok_or_else(none)?;
        match fitting.next() {
            None => Ok(first.id.clone()),
            Some(_) => Err(SnapshotError::AmbiguousSnapshot {
                id: text.to_owned(),
            }),
        }
    }

    /// Checks that everything that snapshots name is there; with `read_data`, also that all of it can be read.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::Damaged`] with what is wrong.
    pub fn check(&self, read_data: bool) -> Result<(), SnapshotError> {
        let _lock = Lock::take(&self.folder, Mode::Shared, self.lock_wait)?;
        let options = CheckOptions::default();
        let results = self
            .library
            .check(options)
            .map_err(|error| self.failed(error))?;
        let mut wrong: Vec<String> = results
            .0
            .iter()
            .filter(|(level, _)| format!("{level:?}") == "Error")
            .map(|(_, error)| error.to_string())
            .collect();
        if read_data {
            self.read_packs(&mut wrong)?;
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(SnapshotError::Damaged {
            folder: self.folder.clone(),
            what: wrong.join("; "),
        })
    }

    /// Reads every pack that an index names. Indexes are authenticated, and a pack's name is the digest of its bytes.
    ///
    /// The library's own reading panics where its threads end late, or where a pack does not decompress.
    fn read_packs(&self, wrong: &mut Vec<String>) -> Result<(), SnapshotError> {
        let indexes = self
            .library
            .stream_files::<IndexFile>()
            .map_err(|error| self.failed(error))?;
        let mut ids = BTreeSet::new();
        for index in indexes {
            let (_, index) = index.map_err(|error| self.failed(error))?;
            ids.extend(index.packs.iter().map(|pack| pack.id));
        }
        for id in ids {
            let hex = id.to_hex();
            let same = self
                .backend
                .read_full(FileType::Pack, &id)
                .is_ok_and(|bytes| marks::hex(&Sha256::digest(&bytes)) == hex.as_str());
            if !same {
                wrong.push(format!("pack {} cannot be read", hex.as_str()));
            }
        }
        Ok(())
    }

    /// Takes the lock for a change, and ends what a crash left unfinished.
    pub(crate) fn alone(&self) -> Result<Lock, SnapshotError> {
        let lock = Lock::take(&self.folder, Mode::Alone, self.lock_wait)?;
        lock::check_restic(&self.folder)?;
        let staging = self.staging();
        files::remove_tree(&staging).map_err(SnapshotError::io("empty", &staging))?;
        swap::finish(&self.plan())?;
        Ok(lock)
    }

    /// Returns the folder for what is under way.
    pub(crate) fn staging(&self) -> PathBuf {
        beside(&self.folder, ".staging")
    }

    /// Returns the file with the plan of a restore.
    pub(crate) fn plan(&self) -> PathBuf {
        plan_of(&self.folder)
    }

    /// Returns the snapshots as they are stored, the oldest first.
    pub(crate) fn stored(&self) -> Result<Vec<SnapshotFile>, SnapshotError> {
        let mut snapshots = self
            .library
            .get_all_snapshots()
            .map_err(|error| self.failed(error))?;
        snapshots.sort_by(|a, b| (&a.time, a.id).cmp(&(&b.time, b.id)));
        Ok(snapshots)
    }

    /// Returns a snapshot as it is stored.
    pub(crate) fn stored_one(&self, id: &SnapshotId) -> Result<SnapshotFile, SnapshotError> {
        self.stored()?
            .into_iter()
            .find(|stored| stored.id.to_hex().as_str() == id.as_str())
            .ok_or_else(|| SnapshotError::NoSuchSnapshot {
                id: id.as_str().to_owned(),
            })
    }

    /// Opens the repository again, through another back end or with a progress; no password is needed.
    pub(crate) fn reopen(
        &self,
        backend: Arc<dyn WriteBackend>,
        progress: Bytes,
    ) -> Result<rustic_core::Repository<OpenStatus>, SnapshotError> {
        let backends = RepositoryBackends::new(backend, None);
        rustic_core::Repository::new_with_progress(&library_options(), &backends, progress)
            .and_then(|library| library.open(&Credentials::Masterkey(self.library.key())))
            .map_err(|error| self.failed(error))
    }

    pub(crate) fn failed(&self, error: Box<RusticError>) -> SnapshotError {
        SnapshotError::library(&self.folder, &error)
    }
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Repository")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// Creates a repository beside its place, and moves it there when it is whole.
fn create(folder: &Path, password: &SecretBytes) -> Result<(), SnapshotError> {
    let new = beside(folder, ".staging");
    let failed = |error: Box<RusticError>| SnapshotError::library(folder, &error);
    files::remove_tree(&new).map_err(SnapshotError::io("empty", &new))?;
    let scratch = new.join("scratch");
    let backend = Arc::new(Backend::new(&new, &scratch).map_err(failed)?);
    // A password that cannot open it again creates nothing.
    drop(Unlocked::new(password)?);
    let key = MasterKey::new();
    let (name, content) = keys::key_file(password, &key)?;
    let credentials = Credentials::Masterkey(key);
    bare(&backend)
        .and_then(|library| {
            library.init(
                &credentials,
                &KeyOptions::default(),
                &ConfigOptions::default(),
            )
        })
        .and_then(|_| backend.write_bytes(FileType::Key, &name, false, content.into()))
        .map_err(failed)?;
    let moved = files::remove_tree(&scratch)
        .and_then(|()| files::sync_folder(&new))
        // An empty folder may be in its place.
        .and_then(|()| fs::rename(&new, folder))
        .and_then(|()| files::sync_parent(folder));
    moved.map_err(SnapshotError::io("create", folder))
}

fn bare(backend: &Arc<Backend>) -> Result<rustic_core::Repository<()>, Box<RusticError>> {
    let backend: Arc<dyn WriteBackend> = Arc::clone(backend) as _;
    rustic_core::Repository::new(&library_options(), &RepositoryBackends::new(backend, None))
}

/// Returns the file with the plan of a restore from this repository.
pub(crate) fn plan_of(folder: &Path) -> PathBuf {
    beside(folder, ".restore")
}

/// The library's cache would be a second place with (encrypted) content, in the user's home.
fn library_options() -> RepositoryOptions {
    RepositoryOptions::default().no_cache(true)
}

/// Returns what a stored snapshot is.
pub(crate) fn describe(stored: &SnapshotFile) -> Snapshot {
    let summary = stored.summary.as_ref();
    let nanoseconds = stored.time.timestamp().as_nanosecond();
    Snapshot {
        id: id_of(stored),
        time: jiff::Timestamp::from_nanosecond(nanoseconds).unwrap_or_default(),
        instance: stored.hostname.clone(),
        label: stored.label.clone(),
        tags: stored.tags.iter().cloned().collect(),
        volumes: stored
            .paths
            .iter()
            .map(|path| path.trim_start_matches('/').to_owned())
            .collect(),
        files: summary.map_or(0, |summary| summary.total_files_processed),
        bytes: summary.map_or(0, |summary| summary.total_bytes_processed),
    }
}

pub(crate) fn id_of(stored: &SnapshotFile) -> SnapshotId {
    stored
        .id
        .to_hex()
        .as_str()
        .parse()
        .expect("an id has 64 digits")
}
