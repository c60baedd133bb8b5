//! The supervisor's place: a private run-time folder with its socket and its lock, one for each home.
//!
//! INVARIANT: at most one supervisor serves a home, since it holds the lock for as long as it lives; and only processes of
//! the same user are talked to, in both directions.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::process::getuid;
use sha2::{Digest, Sha256};
use tokio::net::{UnixListener, UnixStream};

/// The longest path of a socket, in bytes (`sun_path`, unix(7), less its final NUL byte).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Why the supervisor's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Somebody else has, or may have, a hand in it.
    #[error(
        "{} belongs to user {owner} with mode {mode:04o}; it has to be yours alone: remove it, or chmod 0700 it", path.display()
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// The numeric id of its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// The system takes no socket with so long a path.
    #[error(
        "the path of the socket, {}, is longer than {SOCKET_PATH_BYTES_MAX} bytes; set XDG_RUNTIME_DIR to a folder with a shorter path", path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// Another supervisor serves this home.
    #[error("a supervisor runs already for this home (process {}); `mira serve --stop` ends it, and `mira serve --listen` takes its place with --take-over", pid.trim())]
    Running {
        /// Its process id, as it wrote it.
        pid: String,
    },
    /// The system refused.
    #[error("{}: {source}", path.display())]
    System {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The run-time folder of one home: on a tmpfs where the system has one, gone with the next start of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
}

impl Place {
    /// Names the folder for a home; nothing is made yet.
    ///
    /// `runtime_dir` is `$XDG_RUNTIME_DIR`; without one the folder is in `/dev/shm`, under the user's number.
    #[must_use]
    pub fn of(home: &Path, runtime_dir: Option<&Path>) -> Self {
        let base = match runtime_dir {
            Some(folder) => folder.join("mira"),
            None => PathBuf::from(format!("/dev/shm/mira-{}", getuid().as_raw())),
        };
        // Two spellings of one home are one place.
        let real = home.canonicalize().unwrap_or_else(|_| home.to_owned());
        let digest = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let short: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            folder: base.join(short),
        }
    }

    /// Returns the folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("supervisor.sock")
    }

    /// Returns the socket's path, if the system takes one that long.
    fn socket_in_bounds(&self) -> Result<PathBuf, PlaceError> {
        let path = self.socket();
        match path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            true => Err(PlaceError::PathTooLong { path }),
            false => Ok(path),
        }
    }

    fn lock(&self) -> PathBuf {
        self.folder.join("supervisor.lock")
    }

    /// Makes the folder, and checks that nobody else has a hand in it: to be called before anything is looked for or put there.
    ///
    /// # Errors
    ///
    /// [`PlaceError::NotPrivate`], or the system's refusal.
    pub fn create(&self) -> Result<(), PlaceError> {
        let parent = self.folder.parent().unwrap_or(&self.folder);
        for path in [parent, &self.folder] {
            let system = |source| PlaceError::System {
                path: path.to_owned(),
                source,
            };
            match std::fs::DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(system(error));
                }
                _ => {}
            }
            let metadata = path.symlink_metadata().map_err(system)?;
            let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
            if !metadata.is_dir() || owner != getuid().as_raw() || mode & 0o077 != 0 {
                return Err(PlaceError::NotPrivate {
                    path: path.to_owned(),
                    owner,
                    mode,
                });
            }
        }
        Ok(())
    }

    /// Keeps the place free: while what is returned lives, no supervisor begins.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Running`] if there is one; else what stands in the way.
    pub fn reserve(&self) -> Result<Reserved, PlaceError> {
        self.create()?;
        let path = self.lock();
        let system = |source| PlaceError::System {
            path: path.clone(),
            source,
        };
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(system)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = io::read_to_string(&mut lock).map_err(system)?;
                return Err(PlaceError::Running { pid });
            }
            Err(TryLockError::Error(source)) => return Err(system(source)),
        }
        lock.set_len(0)
            .and_then(|()| {
                io::Write::write_all(&mut lock, std::process::id().to_string().as_bytes())
            })
            .map_err(system)?;
        Ok(Reserved { lock })
    }

    /// Becomes the supervisor of this home.
    ///
    /// # Errors
    ///
    /// [`PlaceError::Running`] if there is one; else what stands in the way.
    pub(crate) fn take(&self) -> Result<Seat, PlaceError> {
        let Reserved { lock } = self.reserve()?;
        let system = |path: &Path| {
            let path = path.to_owned();
            move |source| PlaceError::System { path, source }
        };
        let path = self.socket_in_bounds()?;
        // What is there is a dead supervisor's: a live one would hold the lock.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system(&path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(system(&path))?;
        Ok(Seat {
            listener,
            lock,
            socket: path,
        })
    }

    /// Connects to the supervisor of this home; `None` if there is none.
    pub(crate) async fn connect(&self) -> io::Result<Option<UnixStream>> {
        let path = self.socket_in_bounds().map_err(io::Error::other)?;
        match UnixStream::connect(path).await {
            Ok(stream) if is_ours(&stream) => Ok(Some(stream)),
            Ok(_) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "{} is another user's; remove it and try again",
                    self.socket().display()
                ),
            )),
            Err(error)
                if matches!(
                    error.kind(),
                    // The last: it ended while we waited for it to take us.
                    io::ErrorKind::NotFound
                        | io::ErrorKind::ConnectionRefused
                        | io::ErrorKind::ConnectionReset
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

fn is_ours(stream: &UnixStream) -> bool {
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == getuid().as_raw())
}

/// A place that no supervisor takes.
#[derive(Debug)]
pub struct Reserved {
    lock: File,
}

/// The supervisor's seat: the listening socket, and the lock that says that nobody else has it.
#[derive(Debug)]
pub(crate) struct Seat {
    listener: UnixListener,
    /// Held until the process ends.
    lock: File,
    socket: PathBuf,
}

impl Seat {
    /// Splits into what accepts and what holds the place.
    pub(crate) fn split(self) -> (OwnListener, Held) {
        (
            OwnListener(self.listener),
            Held {
                _lock: self.lock,
                socket: self.socket,
            },
        )
    }
}

/// Holds the place: when it is dropped, the socket is gone and the lock is free.
#[derive(Debug)]
pub(crate) struct Held {
    _lock: File,
    socket: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        // The lock is held still, so it is ours. A socket that stays is taken away by the next supervisor.
        drop(std::fs::remove_file(&self.socket));
    }
}

/// Accepts connections of the same user.
#[derive(Debug)]
pub(crate) struct OwnListener(UnixListener);

impl axum::serve::Listener for OwnListener {
    type Io = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // axum waits where the system has no descriptors left.
            let (stream, address) = axum::serve::Listener::accept(&mut self.0).await;
            if is_ours(&stream) {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_has_one_place_however_it_is_spelled() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let runtime = Some(folder.path());
        let spelled = home.join("../home");
        assert_eq!(Place::of(&home, runtime), Place::of(&spelled, runtime));
        assert_ne!(Place::of(&home, runtime), Place::of(folder.path(), runtime));
        assert_ne!(Place::of(&home, runtime), Place::of(&home, None));
    }

    #[tokio::test]
    async fn there_is_one_supervisor_and_a_dead_ones_socket_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(folder.path(), Some(folder.path()));
        assert!(place.connect().await.unwrap().is_none());
        let (_listener, held) = place.take().unwrap().split();
        assert!(matches!(
            place.take(),
            Err(PlaceError::Running { pid }) if pid == std::process::id().to_string()
        ));
        assert!(place.connect().await.unwrap().is_some());
        drop(held);
        // A socket left behind by one that was killed.
        drop(UnixListener::bind(place.socket()).unwrap());
        assert!(place.connect().await.unwrap().is_none());
        place.take().unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::of(folder.path(), Some(folder.path()));
        std::fs::DirBuilder::new()
            .mode(0o755)
            .create(folder.path().join("mira"))
            .unwrap();
        let refused = place.take().map(drop);
        assert!(matches!(
            refused,
            Err(PlaceError::NotPrivate { mode: 0o755, .. })
        ));
    }
}
