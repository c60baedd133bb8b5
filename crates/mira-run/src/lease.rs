//! Leases: which running process holds which version of which secret.
//!
//! A lease is one small file in the home's `leases` folder, locked for as long as the `mira` beside the process runs.
//! The kernel lets go of the lock when that `mira` ends, however it ends, so a lease is live exactly while it is locked: no
//! process id is trusted, and nothing has to be cleaned up after a crash. It holds names and versions, never a value.
//!
//! The first line is what is delivered, written before the process starts, so that no process has a secret that nothing says it
//! has; later lines are notes: the process's id, and that one of its secrets was rotated.
//!
//! What outlives a lease is when each secret was last handed out ([`Leases::last_used`]): ids and times.

mod used;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use mira_secret::{Scope, SecretName};
use serde::{Deserialize, Serialize};

/// The longest lease that is read, in bytes.
// LIMIT: 10,000 deliveries fit; a longer file is none of ours.
const LEASE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The folder of a home's leases.
#[derive(Debug)]
pub struct Leases {
    folder: PathBuf,
}

/// A process that is about to be started with secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewLease {
    /// The program's name, without its arguments: those may hold values.
    pub program: String,
    /// When it is started.
    pub started: Timestamp,
    /// What it gets.
    pub deliveries: Vec<Delivery>,
}

/// One secret as one process got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The secret's id in the vault.
    pub secret_id: String,
    /// The secret's scope.
    pub scope: Scope,
    /// The secret's name.
    pub name: SecretName,
    /// The version that was delivered.
    pub version: u64,
}

/// A live process and one secret that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The process id; until the process runs, that of the `mira` that starts it.
    pub pid: u32,
    /// The program's name.
    pub program: String,
    /// When it was started, and so since when it has the secret.
    pub started: Timestamp,
    /// What it got.
    pub delivery: Delivery,
    /// When a newer version was saved, if that was noted.
    pub stale_since: Option<Timestamp>,
}

/// A held lease: dropping it ends it.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    locked: File,
}

impl Lease {
    /// Notes the id of the process, now that it runs.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the note cannot be written.
    pub fn started(&mut self, pid: u32) -> io::Result<()> {
        append(&mut self.locked, &wire::Note::Started { pid })
    }
}

/// Appends a line. One short write to a file opened for appending is never mixed with another.
fn append(file: &mut File, line: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Tells the leases of one process apart.
static TAKEN: AtomicU64 = AtomicU64::new(0);

impl Drop for Lease {
    fn drop(&mut self) {
        // A lease that cannot be removed is dead all the same: its lock goes with the file handle.
        drop(fs::remove_file(&self.path));
    }
}

impl Leases {
    /// Names the folder that holds the leases; it is made when the first lease is taken.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Records a process and what it got, until the lease is dropped or this process ends.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the file cannot be made or written.
    pub fn take(&self, lease: &NewLease) -> io::Result<Lease> {
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        let path = self
            .folder
            .join(format!("{}-{number}.lease", std::process::id()));
        let locked = self.create(&path)?;
        locked.lock()?;
        let mut held = Lease { path, locked };
        append(&mut held.locked, &wire::Process::from(lease))?;
        let ids = lease.deliveries.iter().map(|delivery| &*delivery.secret_id);
        // That it is held is what counts; when it was used last is a convenience.
        used::note(&self.folder, ids, lease.started).ok();
        Ok(held)
    }

    /// Returns what live processes hold, oldest first, and removes the leases of dead ones.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the folder or a lease cannot be read.
    pub fn holders(&self) -> io::Result<Vec<Holder>> {
        let mut holders = Vec::new();
        for path in self.live()? {
            let Some((process, notes)) = read(&path)? else {
                continue;
            };
            holders.extend(process.holders(&notes));
        }
        holders.sort_by(|a, b| {
            (a.started, a.pid, &a.delivery.name).cmp(&(b.started, b.pid, &b.delivery.name))
        });
        Ok(holders)
    }

    /// Notes that secrets were handed out, to something that holds none of them itself: a gate.
    ///
    /// # Errors
    ///
    /// Returns the system's error if it cannot be written.
    pub fn note_used<'a>(
        &self,
        secret_ids: impl Iterator<Item = &'a str>,
        at: Timestamp,
    ) -> io::Result<()> {
        self.create_folder()?;
        used::note(&self.folder, secret_ids, at)
    }

    /// Returns when each secret was handed out last, by its id.
    ///
    /// # Errors
    ///
    /// Returns the system's error if it cannot be read.
    pub fn last_used(&self) -> io::Result<BTreeMap<String, Timestamp>> {
        used::read(&self.folder)
    }

    /// Notes in every live lease that holds a version before `version` that it is stale since `since`.
    ///
    /// # Errors
    ///
    /// Returns the system's error if a lease cannot be read or written.
    pub fn mark_stale(&self, secret_id: &str, version: u64, since: Timestamp) -> io::Result<()> {
        for path in self.live()? {
            let Some((process, notes)) = read(&path)? else {
                continue;
            };
            let noted = notes
                .iter()
                .any(|note| note.stale_since(secret_id).is_some());
            if process.holds_before(secret_id, version) && !noted {
                let note = wire::Note::Stale {
                    secret_id: secret_id.to_owned(),
                    stale_since: since,
                };
                append(&mut OpenOptions::new().append(true).open(&path)?, &note)?;
            }
        }
        Ok(())
    }

    /// Makes the file of a lease, and the folder where there is none yet.
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.append(true).read(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create_folder()?,
            // What a dead process of the same ids left behind is nobody's any more; whoever lists leases may remove it first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            made => return made,
        }
        options.open(path)
    }

    fn create_folder(&self) -> io::Result<()> {
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        match builder.create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn live(&self) -> io::Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut live = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "lease")
                && is_live(&path)?
            {
                live.push(path);
            }
        }
        Ok(live)
    }
}

/// Returns whether somebody still locks the lease; removes it if not.
fn is_live(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) => {
            // Between its creation and its lock a lease is empty: leave it to its owner.
            if file.metadata()?.len() > 0 {
                drop(fs::remove_file(path));
            }
            Ok(false)
        }
    }
}

/// Reads a lease; `None` if it ended meanwhile or its first line is not complete yet.
fn read(path: &Path) -> io::Result<Option<(wire::Process, Vec<wire::Note>)>> {
    let mut text = String::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?.take(LEASE_BYTES_MAX).read_to_string(&mut text)?,
    };
    let mut lines = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let Some(process) = lines
        .next()
        .and_then(|line| serde_json::from_str(line).ok())
    else {
        return Ok(None);
    };
    Ok(Some((
        process,
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
    )))
}

/// The lines of a lease file.
mod wire {
    use super::*;

    #[derive(Serialize, Deserialize)]
    pub(super) struct Process {
        pid: u32,
        program: String,
        started: Timestamp,
        secrets: Vec<Secret>,
    }

    #[derive(Serialize, Deserialize)]
    struct Secret {
        id: String,
        scope: String,
        name: String,
        version: u64,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    pub(super) enum Note {
        Started {
            pid: u32,
        },
        Stale {
            secret_id: String,
            stale_since: Timestamp,
        },
    }

    impl Note {
        /// Returns since when the secret is stale, if that is what is noted.
        pub(super) fn stale_since(&self, secret: &str) -> Option<Timestamp> {
            match self {
                Self::Stale {
                    secret_id,
                    stale_since,
                } if secret_id == secret => Some(*stale_since),
                _ => None,
            }
        }

        fn pid(&self) -> Option<u32> {
            match self {
                Self::Started { pid } => Some(*pid),
                Self::Stale { .. } => None,
            }
        }
    }

    impl From<&NewLease> for Process {
        fn from(lease: &NewLease) -> Self {
            let secrets = lease.deliveries.iter().map(|delivery| Secret {
                id: delivery.secret_id.clone(),
                scope: delivery.scope.to_string(),
                name: delivery.name.to_string(),
                version: delivery.version,
            });
            Self {
                pid: std::process::id(),
                program: lease.program.clone(),
                started: lease.started,
                secrets: secrets.collect(),
            }
        }
    }

    impl Process {
        pub(super) fn holds_before(&self, secret_id: &str, version: u64) -> bool {
            self.secrets
                .iter()
                .any(|secret| secret.id == secret_id && secret.version < version)
        }

        pub(super) fn holders(self, notes: &[Note]) -> impl Iterator<Item = Holder> {
            let pid = notes.iter().find_map(Note::pid).unwrap_or(self.pid);
            self.secrets.into_iter().filter_map(move |secret| {
                Some(Holder {
                    pid,
                    program: self.program.clone(),
                    started: self.started,
                    stale_since: notes.iter().find_map(|note| note.stale_since(&secret.id)),
                    delivery: Delivery {
                        scope: secret.scope.parse().ok()?,
                        name: secret.name.parse().ok()?,
                        secret_id: secret.id,
                        version: secret.version,
                    },
                })
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn lease(second: i64, version: u64) -> NewLease {
        let delivery = Delivery {
            secret_id: "s1".to_owned(),
            scope: Scope::User,
            name: "OPENAI_API_KEY".parse().unwrap(),
            version,
        };
        NewLease {
            program: "agent".to_owned(),
            started: at(second),
            deliveries: vec![delivery],
        }
    }

    #[test]
    fn a_lease_is_live_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::at(folder.path().join("leases"));
        assert_eq!(leases.holders().unwrap(), []);
        let mut one = leases.take(&lease(5, 1)).unwrap();
        let mut two = leases.take(&lease(0, 2)).unwrap();
        assert_eq!(leases.holders().unwrap()[0].pid, std::process::id());
        one.started(10).unwrap();
        two.started(11).unwrap();
        let pids = || {
            leases
                .holders()
                .unwrap()
                .iter()
                .map(|h| h.pid)
                .collect::<Vec<_>>()
        };
        assert_eq!(pids(), [11, 10]);
        drop(one);
        assert_eq!(pids(), [11]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::at(folder.path().to_owned());
        let held = leases.take(&lease(0, 1)).unwrap();
        let left = folder.path().join("1-2.lease");
        fs::copy(&held.path, &left).unwrap();
        assert_eq!(leases.holders().unwrap().len(), 1);
        assert!(!left.exists());
        // The same name again, as after a restart of the machine.
        let next = TAKEN.load(Ordering::Relaxed);
        for number in next..next + 100 {
            let path = format!("{}-{number}.lease", std::process::id());
            fs::write(folder.path().join(path), "leftover\n").unwrap();
        }
        let _again = leases.take(&lease(1, 2)).unwrap();
        assert_eq!(leases.holders().unwrap()[1].delivery.version, 2);
    }

    #[test]
    fn a_copy_is_stale_since_the_first_rotation_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::at(folder.path().to_owned());
        let mut one = leases.take(&lease(0, 1)).unwrap();
        one.started(10).unwrap();
        leases.mark_stale("s1", 2, at(3)).unwrap();
        let mut two = leases.take(&lease(4, 2)).unwrap();
        two.started(11).unwrap();
        leases.mark_stale("s2", 9, at(5)).unwrap();
        leases.mark_stale("s1", 3, at(6)).unwrap();
        let stale: Vec<_> = leases
            .holders()
            .unwrap()
            .iter()
            .map(|h| (h.pid, h.stale_since))
            .collect();
        assert_eq!(stale, [(10, Some(at(3))), (11, Some(at(6)))]);
    }

    #[test]
    fn half_a_line_is_no_lease_and_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let leases = Leases::at(folder.path().to_owned());
        let held = leases.take(&lease(0, 1)).unwrap();
        OpenOptions::new()
            .append(true)
            .open(&held.path)
            .unwrap()
            .write_all(b"{\"sec")
            .unwrap();
        assert_eq!(leases.holders().unwrap().len(), 1);
        OpenOptions::new()
            .write(true)
            .open(&held.path)
            .unwrap()
            .set_len(4)
            .unwrap();
        assert_eq!(leases.holders().unwrap(), []);
    }
}
