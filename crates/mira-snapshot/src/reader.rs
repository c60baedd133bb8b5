//! A file's bytes, on their way to the library: searched, and checked for changes under the reader's hands.
//!
//! INVARIANT: the bytes that are stored are the bytes that were searched. A small file is read whole, searched, then
//! handed over; of a large one each block goes to the library and to the search, and the end is reached for the library only
//! when the search has ended too.

use std::fs::{File, Metadata};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::SystemTime;

use crate::metadata::UNSETTLED_MS;
use crate::model::Place;
use crate::watch::Watch;

/// The largest file that is read whole.
// LIMIT: a worker holds one at a time, and there are as many workers as processors. 8 MiB are the library's largest chunk.
const WHOLE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How much of a large file is read at once.
const BLOCK_BYTES: usize = 1024 * 1024;

/// How many blocks the search may lie behind.
// LIMIT: a few, so that neither side waits for each block of the other.
const BLOCKS_BEHIND_MAX: usize = 4;

/// How often a small file is read, if it changes each time.
const TRIES_MAX: usize = 3;

/// What is read: an open file, and what is known of it.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) file: File,
    /// Its path in the snapshot.
    pub(crate) path: PathBuf,
    /// How many bytes the snapshot will say that it has.
    pub(crate) size: u64,
    /// Whether it may change meanwhile: a copy of ours does not.
    pub(crate) live: bool,
}

/// A searched reader.
#[derive(Debug)]
pub(crate) enum Reader {
    /// Read and searched already.
    Whole(Cursor<Vec<u8>>),
    /// Searched while it is read.
    Stream(Box<Stream>),
}

impl Subject {
    /// Begins to read. A file with a secret gives an error, since nothing of it is to be stored.
    pub(crate) fn read(self, watch: &Arc<Watch>) -> io::Result<Reader> {
        if self.size <= WHOLE_BYTES_MAX {
            return self.whole(watch).map(Cursor::new).map(Reader::Whole);
        }
        if watch.is_tainted() {
            // Nothing of this round will be kept: the list has to be complete, and that is all.
            let (path, file) = (&self.path, &self.file);
            watch.needles.scan_each(file.take(self.size), |finding| {
                watch.found(path, Place::Content, &finding);
            })?;
            return Err(nothing());
        }
        Ok(Reader::Stream(Box::new(Stream::new(
            self,
            Arc::clone(watch),
        ))))
    }

    fn whole(&self, watch: &Arc<Watch>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(usize::MAX)];
        for last in (0..TRIES_MAX).rev() {
            let before = self.file.metadata()?;
            if let Err(error) = self.file.read_exact_at(&mut bytes, 0) {
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    watch.notes().unstable.insert(self.path.clone());
                    return Err(nothing());
                }
                return Err(error);
            }
            if !self.live {
                break;
            }
            let stayed = same(&before, &self.file.metadata()?)
                && (has_settled(&before) || self.reads_as(&bytes)?);
            if stayed {
                break;
            }
            if last == 0 {
                watch.notes().changed.insert(self.path.clone());
            }
        }
        let findings = watch.needles.find(&bytes);
        for finding in &findings {
            watch.found(&self.path, Place::Content, finding);
        }
        if findings.is_empty() {
            Ok(bytes)
        } else {
            Err(nothing())
        }
    }
}

impl Subject {
    /// Returns whether a second reading gives the same: times alone do not tell of a change in this very instant.
    fn reads_as(&self, bytes: &[u8]) -> io::Result<bool> {
        let mut again = vec![0; bytes.len()];
        match self.file.read_exact_at(&mut again, 0) {
            Ok(()) => Ok(again == bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Whole(bytes) => bytes.read(buffer),
            Self::Stream(stream) => stream.read(buffer),
        }
    }
}

/// A large file: a thread searches behind the reader.
#[derive(Debug)]
pub(crate) struct Stream {
    subject: Subject,
    watch: Arc<Watch>,
    before: Option<Metadata>,
    left: u64,
    block: Arc<Vec<u8>>,
    at: usize,
    search: Option<Search>,
}

/// The thread that searches, and the way to it.
type Search = (SyncSender<Arc<Vec<u8>>>, JoinHandle<()>);

impl Stream {
    fn new(subject: Subject, watch: Arc<Watch>) -> Self {
        let (sender, blocks) = sync_channel(BLOCKS_BEHIND_MAX);
        let (path, searcher) = (subject.path.clone(), Arc::clone(&watch));
        let thread = std::thread::spawn(move || {
            let blocks = Blocks {
                blocks,
                block: Arc::default(),
                at: 0,
            };
            let searched = searcher.needles.scan_each(blocks, |finding| {
                searcher.found(&path, Place::Content, &finding);
            });
            if let Err(error) = searched {
                searcher.failed(&path, error);
            }
        });
        Self {
            before: subject.file.metadata().ok(),
            left: subject.size,
            subject,
            watch,
            block: Arc::default(),
            at: 0,
            search: Some((sender, thread)),
        }
    }

    /// Reads the next block and sends it to the search; at the end, waits for the search.
    fn advance(&mut self) -> io::Result<()> {
        let want = usize::try_from(self.left)
            .unwrap_or(BLOCK_BYTES)
            .min(BLOCK_BYTES);
        let mut block = vec![0; want];
        let mut filled = 0;
        while filled < want {
            let rest = block.get_mut(filled..).unwrap_or_default();
            match self.subject.file.read(rest) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let again = io::Error::from(error.kind());
                    self.watch.failed(&self.subject.path, error);
                    return Err(again);
                }
            }
        }
        block.truncate(filled);
        self.left -= filled as u64;
        if filled < want {
            self.watch
                .notes()
                .unstable
                .insert(self.subject.path.clone());
            self.left = 0;
        }
        self.block = Arc::new(block);
        self.at = 0;
        match &self.search {
            Some((sender, _)) if filled > 0 => sender
                .send(Arc::clone(&self.block))
                .map_err(|_| io::Error::other("the search has ended early")),
            _ => self.end(),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        if let Some((sender, thread)) = self.search.take() {
            drop(sender);
            let searched = thread.join();
            searched.map_err(|_| io::Error::other("the search has failed"))?;
            let now = self.subject.file.metadata()?;
            if self.subject.live && !self.before.as_ref().is_some_and(|then| same(then, &now)) {
                self.watch.notes().changed.insert(self.subject.path.clone());
            }
        }
        Ok(())
    }
}

impl Read for Stream {
    // The library's chunker keeps its buffer as small as the smallest answer, so it gets full ones.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            if self.at == self.block.len() {
                if self.search.is_none() {
                    break;
                }
                self.advance()?;
                continue;
            }
            let rest = self.block.get(self.at..).unwrap_or_default();
            let room = buffer.get_mut(filled..).unwrap_or_default();
            let len = rest.len().min(room.len());
            room.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            filled += len;
            self.at += len;
        }
        Ok(filled)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A reader that is given up before its end: what was read of it was searched all the same.
        drop(self.end());
    }
}

/// Blocks from the reader, as the search reads them.
struct Blocks {
    blocks: Receiver<Arc<Vec<u8>>>,
    block: Arc<Vec<u8>>,
    at: usize,
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() {
            match self.blocks.recv() {
                Ok(block) => {
                    self.block = block;
                    self.at = 0;
                }
                Err(_) => return Ok(0),
            }
        }
        let len = self.block.get(self.at..).unwrap_or_default().read(buffer)?;
        self.at += len;
        Ok(len)
    }
}

fn same(a: &Metadata, b: &Metadata) -> bool {
    let key = |of: &Metadata| {
        (
            of.len(),
            of.mtime(),
            of.mtime_nsec(),
            of.ctime(),
            of.ctime_nsec(),
        )
    };
    key(a) == key(b)
}

fn has_settled(of: &Metadata) -> bool {
    let age = of.modified().and_then(|time| {
        SystemTime::now()
            .duration_since(time)
            .map_err(io::Error::other)
    });
    age.is_ok_and(|age| age.as_millis() >= u128::from(UNSETTLED_MS.unsigned_abs()))
}

/// Says that nothing of a file is stored; the reason is in the notes.
pub(crate) fn nothing() -> io::Error {
    io::Error::other("nothing of this file is stored")
}
