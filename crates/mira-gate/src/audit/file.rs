//! The files of the record: one that is appended to, and older ones with a number each, which grows.
//!
//! It is not synced: what a power failure loses is the last lines. What was written is there after any death of the process.
//! Several processes may write one record: a line is one `write(2)` to a file opened for appending, and putting a file aside is done under a lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{AtFlags, FlockOperation, OFlags, StatxFlags, flock, statx};

use super::{AuditError, Keep, wire};

/// The name of the file that is appended to.
const CURRENT: &str = "net.jsonl";

/// Into how many files what is kept is divided.
// LIMIT: what goes at once is an eighth of the whole, and a reader has few files to open.
const FILES: u32 = 8;

/// The smallest size at which a file is put aside, in bytes.
// LIMIT: room for some lines; without it, a tiny bound would make a file of each.
const FILE_BYTES_MIN: u64 = 4096;

/// The files of one record, for writing.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    keep: Keep,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// When its first line was written, or it was made.
    since: Timestamp,
    /// Its last line has no end.
    torn: bool,
}

impl Files {
    /// Opens the record in a folder, which is made if it is not there.
    pub(super) fn open(folder: &Path, keep: Keep) -> Result<Self, AuditError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
        let metadata = fs::symlink_metadata(folder)?;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !own || metadata.mode() & 0o077 != 0 {
            return Err(AuditError::NotPrivate(folder.to_owned()));
        }
        let mut files = Self {
            folder: folder.to_owned(),
            keep,
            open: None,
        };
        files.open = Some(files.current()?);
        files.prune(Timestamp::now())?;
        Ok(files)
    }

    /// Appends a whole line that begins an attempt, or fails; then the next call begins a new one.
    pub(super) fn begin(&mut self, line: &[u8], now: Timestamp) -> io::Result<()> {
        let mut open = self.opened()?;
        if self.is_full(&open, line.len() as u64, now)? {
            open = self.rotate(&open, now)?;
        }
        let written = open.write(line);
        self.open = Some(open);
        written
    }

    /// Appends a whole line that ends one. It goes where the last one went that began one, so a file may end up a little longer than it has to.
    pub(super) fn end(&mut self, line: &[u8]) -> io::Result<()> {
        let mut open = self.opened()?;
        let written = open.write(line);
        self.open = Some(open);
        written
    }

    fn opened(&mut self) -> io::Result<Open> {
        match self.open.take() {
            Some(open) => Ok(open),
            None => self.current(),
        }
    }

    fn is_full(&self, open: &Open, added: u64, now: Timestamp) -> io::Result<bool> {
        // Its times are not asked for: after somebody did, Linux keeps the next write's exactly, which takes longer than to write.
        let asked = StatxFlags::SIZE | StatxFlags::NLINK;
        let is = statx(&open.file, c"", AtFlags::EMPTY_PATH, asked)?;
        let age = Duration::try_from(now.duration_since(open.since)).unwrap_or_default();
        let is_done = is.stx_size + added > self.file_bytes_max() || age > self.keep.age() / FILES;
        // Where somebody removed it, what is appended would be in no file.
        Ok(is.stx_size > 0 && is_done || is.stx_nlink == 0)
    }

    fn file_bytes_max(&self) -> u64 {
        (self.keep.bytes / u64::from(FILES)).max(FILE_BYTES_MIN)
    }

    fn current(&self) -> io::Result<Open> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed())
            .open(self.folder.join(CURRENT))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("the record is no file"));
        }
        let since = first_time(&file)?.unwrap_or_else(Timestamp::now);
        let torn = !ends_with_newline(&file)?;
        Ok(Open { file, since, torn })
    }

    /// Puts the current file aside, unless another process did, and opens the next.
    fn rotate(&self, open: &Open, now: Timestamp) -> io::Result<Open> {
        let folder = File::open(&self.folder)?;
        flock(&folder, FlockOperation::LockExclusive)?;
        let current = self.folder.join(CURRENT);
        let is_ours = match fs::symlink_metadata(&current) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            found => id(&found?) == id(&open.file.metadata()?),
        };
        if is_ours {
            let newest = numbers(&self.folder)?.last().copied().unwrap_or(0);
            fs::rename(current, self.folder.join(old_name(newest + 1)))?;
            self.prune(now)?;
        }
        self.current()
    }

    /// Removes what is too old, and the oldest of what is too much.
    fn prune(&self, now: Timestamp) -> io::Result<()> {
        let oldest = now
            .as_second()
            .saturating_sub(self.keep.age().as_secs().cast_signed());
        let mut bytes = self.file_bytes_max();
        for number in numbers(&self.folder)?.into_iter().rev() {
            let path = self.folder.join(old_name(number));
            let metadata = match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                found => found?,
            };
            bytes = bytes.saturating_add(metadata.len());
            if bytes > self.keep.bytes || metadata.mtime() < oldest {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Open {
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let whole;
        let line = match self.torn {
            true => {
                whole = [b"\n", line].concat();
                &whole
            }
            false => line,
        };
        let written = loop {
            match self.file.write(line) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.torn = written > 0 && written < line.len() || written == 0 && self.torn;
        match written == line.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

/// Opens all files of a record, the oldest first; none where there is no folder.
///
/// One that is put aside meanwhile is neither missed nor returned twice.
pub(super) fn open_all(folder: &Path) -> io::Result<Vec<File>> {
    // The current one before the folder is listed: whatever it is called by then, it is open.
    let current = open_for_reading(&folder.join(CURRENT))?;
    let mut files = Vec::new();
    let mut is_listed = false;
    for number in numbers(folder)? {
        let Some(file) = open_for_reading(&folder.join(old_name(number)))? else {
            continue;
        };
        if let Some(current) = &current {
            is_listed |= id(&file.metadata()?) == id(&current.metadata()?);
        }
        files.push(file);
    }
    files.extend(current.filter(|_| !is_listed));
    Ok(files)
}

fn open_for_reading(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Returns what tells a file from all others.
pub(super) fn id(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn old_name(number: u64) -> String {
    format!("net.{number}.jsonl")
}

/// Returns the numbers of the files that were put aside, the oldest first.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| {
            let number = name.strip_prefix("net.")?.strip_suffix(".jsonl")?;
            number
                .parse()
                .ok()
                .filter(|number| old_name(*number) == name)
        });
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns when the first line of a file was written.
fn first_time(file: &File) -> io::Result<Option<Timestamp>> {
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    for line in BufReader::new(file.take(FILE_BYTES_MIN)).split(b'\n') {
        if let Ok(wire::Line::Begin(begin)) = serde_json::from_slice(&line?) {
            return Ok(Some(begin.time));
        }
    }
    Ok(None)
}

fn ends_with_newline(file: &File) -> io::Result<bool> {
    let mut file = file;
    let len = file.seek(SeekFrom::End(0))?;
    if len == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::Start(len - 1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
