//! The bytes of a package file, held still: a private copy, so that what was verified is what is read later.
//!
//! INVARIANT: nobody who can write the file that was opened can change what is read here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use crate::archive::OpenError;
use crate::digest::{Digest, Hashing};

/// The longest package that is held in memory, in bytes.
// LIMIT: most packages are shorter; a longer one is copied to a file without a name.
const MEMORY_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A private copy of a package file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    content: Content,
    len: u64,
    sha256: Digest,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Arc<[u8]>),
    File(Arc<File>),
}

impl Source {
    /// Copies a file of at most `bytes_max` bytes; a long one to a file without a name in `scratch`.
    pub(crate) fn copy(path: &Path, scratch: &Path, bytes_max: u64) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io {
            path: path.to_owned(),
            source,
        };
        let too_long = OpenError::TooLong { bytes_max };
        // Asked before it is opened: opening a FIFO waits for its other end.
        let found = std::fs::metadata(path).map_err(io)?;
        if !found.is_file() {
            return Err(OpenError::NoFile {
                path: path.to_owned(),
            });
        }
        if found.len() > bytes_max {
            return Err(too_long);
        }
        let mut input = File::open(path).map_err(io)?.take(bytes_max + 1);
        let source = if found.len() <= MEMORY_BYTES_MAX {
            let mut bytes = Vec::new();
            (&mut input)
                .take(MEMORY_BYTES_MAX + 1)
                .read_to_end(&mut bytes)
                .map_err(io)?;
            Self::from_bytes(bytes)
        } else {
            Self::copy_to_file(&mut input, scratch)?
        };
        // The file can have grown since it was measured.
        match source.len > bytes_max || source.len > found.len() {
            true => Err(too_long),
            false => Ok(source),
        }
    }

    /// Takes bytes that are in memory already.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self {
            len: bytes.len() as u64,
            sha256: Digest::of(&bytes),
            content: Content::Memory(bytes.into()),
        }
    }

    fn copy_to_file(input: &mut impl Read, scratch: &Path) -> Result<Self, OpenError> {
        let io = |source| OpenError::Io {
            path: scratch.to_owned(),
            source,
        };
        let file = tempfile::tempfile_in(scratch).map_err(io)?;
        let mut hashing = Hashing::new(&file);
        io::copy(input, &mut hashing).map_err(io)?;
        let (sha256, len) = hashing.finish();
        Ok(Self {
            content: Content::File(Arc::new(file)),
            len,
            sha256,
        })
    }

    /// Returns the digest of the whole file.
    pub(crate) fn sha256(&self) -> Digest {
        self.sha256
    }

    /// Returns a reader from the first byte on; there may be any number of them at once.
    pub(crate) fn reader(&self) -> SourceReader {
        SourceReader {
            source: self.clone(),
            at: 0,
        }
    }
}

/// A position in a [`Source`].
#[derive(Clone, Debug)]
pub(crate) struct SourceReader {
    source: Source,
    at: u64,
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &self.source.content {
            Content::Memory(bytes) => {
                let at = usize::try_from(self.at).unwrap_or(usize::MAX);
                let mut rest = bytes.get(at..).unwrap_or_default();
                rest.read(buffer)?
            }
            Content::File(file) => read_at(file, buffer, self.at)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for SourceReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.source.len.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(windows)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, at)
}
