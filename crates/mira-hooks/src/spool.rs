//! A body while it comes in: in memory while it is small, else in a file that has no name any more.
//!
//! INVARIANT: a body that may be nobody's takes at most [`MEMORY_BYTES_MAX`] bytes of memory; what is on the disk of it is gone with
//! its file handle, however this process ends.

use std::fs::{File, OpenOptions, remove_file};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;

/// How much of a body is in memory.
// LIMIT: nine of ten events are smaller; what is larger is written in pieces of this size.
const MEMORY_BYTES_MAX: usize = 256 * 1024;

/// A body that comes in.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    file: Option<File>,
    /// What is not in the file yet.
    held: Vec<u8>,
    len: usize,
}

impl Spool {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            file: None,
            held: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) async fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.len += bytes.len();
        self.held.extend_from_slice(bytes);
        if self.held.len() < MEMORY_BYTES_MAX {
            return Ok(());
        }
        let (file, held, folder) = (
            self.file.take(),
            std::mem::take(&mut self.held),
            self.folder.clone(),
        );
        let write = move || {
            let mut file = match file {
                Some(file) => file,
                None => nameless(&folder)?,
            };
            file.write_all(&held)?;
            Ok::<_, io::Error>((file, held))
        };
        let (file, mut held) = spawn_blocking(write).await??;
        held.clear();
        (self.file, self.held) = (Some(file), held);
        Ok(())
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
        for (piece, pieces) in [(0, 0), (1, 3), (1000, 100), (70_000, 40), (600_000, 3)] {
            let mut spool = Spool::new(folder.path());
            let mut expected = Vec::new();
            for number in 0..pieces {
                let bytes: Vec<u8> = (0..piece).map(|at| ((at + number) % 251) as u8).collect();
                spool.push(&bytes).await.unwrap();
                assert!(spool.held.len() < MEMORY_BYTES_MAX);
                expected.extend(bytes);
            }
            assert_eq!(spool.len(), expected.len());
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            assert!(spool.into_bytes().await.unwrap() == expected, "{piece}");
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_gone_is_an_error() {
        let mut spool = Spool::new(Path::new("/nothing/here"));
        let large = vec![0; MEMORY_BYTES_MAX];
        assert!(spool.push(&large).await.is_err());
    }
}
