//! A body while it comes in: in memory while it is small and there is room for it, else in a file that has no name any more.
//!
//! INVARIANT: bodies that may be nobody's take at most [`MEMORY_BYTES_MAX`] bytes of memory together, and [`PIECE_BYTES`] each; what is on
//! the disk of one is gone with its file handle, however this process ends.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

/// How much of a body is in memory.
// LIMIT: nine of ten events are smaller.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// How much of all bodies is in memory.
// LIMIT: forty usual events at once; what finds no room comes in by way of the disk.
const MEMORY_BYTES_MAX: usize = 1024 * 1024;

/// How much is written at once at least.
// LIMIT: it is in memory for each body that is in a file.
const PIECE_BYTES: usize = 16 * 1024;

/// Where bodies come in.
#[derive(Debug)]
pub(crate) struct Spooler {
    folder: PathBuf,
    room: Arc<Semaphore>,
}

impl Spooler {
    /// Makes one that has its files in a folder.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            room: Arc::new(Semaphore::new(MEMORY_BYTES_MAX)),
        }
    }

    /// Begins a body.
    pub(crate) fn begin(&self) -> Spool<'_> {
        Spool {
            spooler: self,
            file: None,
            held: Vec::new(),
            room: None,
            len: 0,
        }
    }
}

/// A body that comes in.
#[derive(Debug)]
pub(crate) struct Spool<'a> {
    spooler: &'a Spooler,
    file: Option<File>,
    /// What is not in the file yet.
    held: Vec<u8>,
    /// The memory that it may take, while it is in no file.
    room: Option<OwnedSemaphorePermit>,
    len: usize,
}

impl Spool<'_> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) async fn push(&mut self, bytes: Bytes) -> io::Result<()> {
        self.len += bytes.len();
        let is_held = match self.file {
            None => self.has_room(bytes.len()),
            Some(_) => self.held.len() + bytes.len() < PIECE_BYTES,
        };
        if is_held {
            self.held.extend_from_slice(&bytes);
            return Ok(());
        }
        let (file, held) = (self.file.take(), std::mem::take(&mut self.held));
        let folder = self.spooler.folder.clone();
        let write = move || {
            let mut file = match file {
                Some(file) => file,
                None => nameless(&folder)?,
            };
            file.write_all(&held)?;
            file.write_all(&bytes)?;
            Ok::<_, io::Error>(file)
        };
        self.file = Some(spawn_blocking(write).await??);
        self.room = None;
        Ok(())
    }

    /// Takes room for more of it in memory, if there is any.
    fn has_room(&mut self, more: usize) -> bool {
        if self.held.len() + more > BODY_BYTES_MAX {
            return false;
        }
        let Ok(bytes) = u32::try_from(more) else {
            return false;
        };
        let Ok(taken) = Arc::clone(&self.spooler.room).try_acquire_many_owned(bytes) else {
            return false;
        };
        match &mut self.room {
            Some(room) => room.merge(taken),
            None => self.room = Some(taken),
        }
        true
    }

    /// Returns the whole body.
    pub(crate) async fn into_bytes(self) -> io::Result<Vec<u8>> {
        let Self {
            file, held, len, ..
        } = self;
        let Some(mut file) = file else {
            return Ok(held);
        };
        let read = move || {
            let mut bytes = Vec::with_capacity(len);
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            bytes.extend_from_slice(&held);
            Ok(bytes)
        };
        spawn_blocking(read).await?
    }
}

/// Makes a private file and takes its name away before anything is in it.
fn nameless(folder: &Path) -> io::Result<File> {
    let path = folder.join(format!(".hook-{:016x}", fastrand::u64(..)));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path)?;
    remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_went_in_comes_out_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let spooler = Spooler::new(folder.path().to_owned());
        for (piece, pieces) in [
            (0, 0),
            (1, 3),
            (1000, 100),
            (1000, 400),
            (70_000, 40),
            (600_000, 3),
        ] {
            let mut spool = spooler.begin();
            let mut expected = Vec::new();
            for number in 0..pieces {
                let bytes: Vec<u8> = (0..piece).map(|at| ((at + number) % 251) as u8).collect();
                expected.extend_from_slice(&bytes);
                spool.push(bytes.into()).await.unwrap();
                let most = match spool.file {
                    None => BODY_BYTES_MAX,
                    Some(_) => PIECE_BYTES,
                };
                assert!(spool.held.len() <= most);
            }
            assert_eq!(spool.len(), expected.len());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            assert!(spool.into_bytes().await.unwrap() == expected, "{piece}");
        }
        assert_eq!(spooler.room.available_permits(), MEMORY_BYTES_MAX);
    }

    #[tokio::test]
    async fn many_at_once_take_no_more_memory_than_there_is_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let spooler = Spooler::new(folder.path().to_owned());
        let piece = vec![7; BODY_BYTES_MAX];
        let mut spools = Vec::new();
        for _ in 0..2 * MEMORY_BYTES_MAX / BODY_BYTES_MAX {
            let mut spool = spooler.begin();
            spool.push(piece.clone().into()).await.unwrap();
            spools.push(spool);
        }
        let held: usize = spools.iter().map(|spool| spool.held.len()).sum();
        assert_eq!(held, MEMORY_BYTES_MAX);
        for spool in spools {
            assert!(spool.into_bytes().await.unwrap() == piece);
        }
        let mut later = spooler.begin();
        later.push(piece.into()).await.unwrap();
        assert!(later.file.is_none());
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_an_error() {
        let spooler = Spooler::new("/nothing/here".into());
        let mut spool = spooler.begin();
        let large = vec![0; BODY_BYTES_MAX + 1];
        assert!(spool.push(large.into()).await.is_err());
    }
}
