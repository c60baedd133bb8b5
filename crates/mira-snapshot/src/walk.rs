//! The way through the volumes: every file in the order of the format, with what is known of it.
//!
//! Folders are opened relative to the folder above, and links never followed, so that an app that moves folders about
//! meanwhile cannot lead the way out of its volumes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::jiff::{SignedDuration, Timestamp};
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{
    IndexedIdsStatus, ReadSource, ReadSourceEntry, ReadSourceOpen, Repository, RusticResult, TreeId,
};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use crate::database::{self, Copied, Copy};
use crate::error::to_library;
use crate::model::{Place, SkippedKind, Volume};
use crate::reader::{Reader, Subject, nothing};
use crate::watch::Watch;

/// What the library reads from: the volumes, in a round.
#[derive(Debug)]
pub(crate) struct Volumes {
    pub(crate) watch: Arc<Watch>,
    /// Sorted by name.
    pub(crate) volumes: Vec<Volume>,
    /// Where copies of databases are made.
    pub(crate) staging: PathBuf,
    pub(crate) previous: Option<Previous>,
}

/// The snapshot that this one is based on.
#[derive(Clone, Debug)]
pub(crate) struct Previous {
    pub(crate) repository: Arc<Repository<IndexedIdsStatus>>,
    pub(crate) tree: TreeId,
}

impl ReadSource for Volumes {
    type Open = Source;
    type Iter = Walk;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Walk {
        Walk {
            watch: Arc::clone(&self.watch),
            staging: self.staging.clone(),
            previous: self.previous.clone(),
            volumes: self.volumes.clone().into_iter(),
            levels: Vec::new(),
        }
    }
}

/// A walk that is under way.
#[derive(Debug)]
pub(crate) struct Walk {
    watch: Arc<Watch>,
    staging: PathBuf,
    previous: Option<Previous>,
    volumes: std::vec::IntoIter<Volume>,
    levels: Vec<Level>,
}

/// A folder that is being gone through.
#[derive(Debug)]
struct Level {
    folder: Arc<OwnedFd>,
    /// Its path in the snapshot.
    path: PathBuf,
    /// Where it is.
    place: PathBuf,
    names: std::vec::IntoIter<OsString>,
    /// The databases in it.
    databases: BTreeSet<OsString>,
}

/// What a file's bytes come from.
#[derive(Debug)]
pub(crate) struct Source {
    watch: Arc<Watch>,
    path: PathBuf,
    size: u64,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    File(Arc<OwnedFd>, OsString),
    Copy(Copy),
    /// One that seemed unchanged and has to be read after all.
    Database(PathBuf, PathBuf),
    None,
}

type Entry = ReadSourceEntry<Source>;

impl Iterator for Walk {
    type Item = RusticResult<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.levels.last_mut() {
                Some(level) => match level.names.next() {
                    Some(name) => self.entry(&name),
                    None => {
                        self.levels.pop();
                        None
                    }
                },
                None => {
                    let volume = self.volumes.next()?;
                    self.volume(&volume)
                }
            };
            if let Some(entry) = entry {
                return Some(Ok(entry));
            }
        }
    }
}

impl Walk {
    fn volume(&mut self, volume: &Volume) -> Option<Entry> {
        let path = Path::new("/").join(&volume.name);
        let opened = std::fs::canonicalize(&volume.path).and_then(|place| {
            let folder = rustix::fs::open(&place, folder_flags(), Mode::empty())?;
            let stat = rustix::fs::fstat(&folder)?;
            Ok((place, folder, stat))
        });
        match opened {
            Ok((place, folder, stat)) => {
                self.watch.search_name(&path, OsStr::new(&volume.name));
                let node = self.node(
                    OsStr::new(&volume.name),
                    NodeType::Dir,
                    &stat,
                    &path,
                    &place,
                );
                self.descend(folder, path.clone(), place);
                Some(self.bare(path, node))
            }
            Err(error) => {
                self.watch.failed(&path, error);
                None
            }
        }
    }

    fn entry(&mut self, name: &OsStr) -> Option<Entry> {
        let level = self.levels.last()?;
        let (path, place) = (level.path.join(name), level.place.join(name));
        let folder = Arc::clone(&level.folder);
        if self.watch.left_out.contains(&path) || level.belongs_to_database(name) {
            return None;
        }
        let stat = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(error) => return self.refused(&path, error.into()),
        };
        self.watch.search_name(&path, name);
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.folder(&folder, name, path, place),
            FileType::RegularFile => {
                let file = self.file(folder, name, &path, &place, &stat);
                return file.map(|(node, source)| ReadSourceEntry {
                    path,
                    node,
                    open: Some(source),
                });
            }
            FileType::Symlink => return self.link(&folder, name, path, &stat),
            FileType::Socket => SkippedKind::Socket,
            FileType::Fifo => SkippedKind::Fifo,
            _ => SkippedKind::Device,
        };
        self.watch.notes().skipped.insert(path, kind);
        None
    }

    fn folder(
        &mut self,
        above: &OwnedFd,
        name: &OsStr,
        path: PathBuf,
        place: PathBuf,
    ) -> Option<Entry> {
        let opened = rustix::fs::openat(above, name, folder_flags(), Mode::empty())
            .and_then(|folder| rustix::fs::fstat(&folder).map(|stat| (folder, stat)));
        match opened {
            Ok((folder, stat)) => {
                let node = self.node(name, NodeType::Dir, &stat, &path, &place);
                self.descend(folder, path.clone(), place);
                Some(self.bare(path, node))
            }
            Err(error) => self.refused(&path, error.into()),
        }
    }

    fn descend(&mut self, folder: OwnedFd, path: PathBuf, place: PathBuf) {
        let names = Dir::read_from(&folder).and_then(|entries| {
            let mut names = Vec::new();
            for entry in entries {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push(std::os::unix::ffi::OsStringExt::from_vec(name));
                }
            }
            Ok(names)
        });
        let mut names: Vec<OsString> = names.unwrap_or_else(|error| {
            self.watch.failed(&path, error.into());
            Vec::new()
        });
        names.sort();
        self.levels.push(Level {
            folder: Arc::new(folder),
            path,
            place,
            names: names.into_iter(),
            databases: BTreeSet::new(),
        });
    }

    fn link(&self, folder: &OwnedFd, name: &OsStr, path: PathBuf, stat: &Stat) -> Option<Entry> {
        let target = match rustix::fs::readlinkat(folder, name, Vec::new()) {
            Ok(target) => target,
            Err(error) => return self.refused(&path, error.into()),
        };
        self.watch
            .search(&path, &Place::LinkTarget, target.as_bytes());
        let kind = NodeType::from_link(Path::new(OsStr::from_bytes(target.as_bytes())));
        self.watch.list();
        let node = Node::new_node(name, kind, metadata(stat));
        Some(self.bare(path, node))
    }

    fn file(
        &mut self,
        folder: Arc<OwnedFd>,
        name: &OsStr,
        path: &Path,
        place: &Path,
        stat: &Stat,
    ) -> Option<(Node, Source)> {
        let mut node = self.node(name, NodeType::File, stat, path, place);
        let size = node.meta.size;
        let journal = || database::BESIDE.map(|suffix| self.has(&folder, &beside(name, suffix)));
        let maybe = database::fits(size) || (size > 0 && journal().contains(&true));
        let bytes = if maybe && database::begins_as_one(place) {
            self.database(&folder, name, path, place, &mut node)?
        } else {
            None
        };
        node.meta.ctime = node.meta.ctime.map(|time| settled(time, Timestamp::now()));
        self.watch.list();
        let source = Source {
            watch: Arc::clone(&self.watch),
            path: path.to_owned(),
            size: node.meta.size,
            bytes: bytes.unwrap_or_else(|| Bytes::File(folder, name.to_owned())),
        };
        Some((node, source))
    }

    /// Returns where a database's bytes come from, or `Some(None)` where it is an ordinary file after all.
    #[expect(
        clippy::option_option,
        reason = "nothing to store, nothing special, something special"
    )]
    fn database(
        &mut self,
        folder: &OwnedFd,
        name: &OsStr,
        path: &Path,
        place: &Path,
        node: &mut Node,
    ) -> Option<Option<Bytes>> {
        // Commits go to the log first, so its times count as the database's.
        let log = rustix::fs::statat(folder, beside(name, "-wal"), AtFlags::SYMLINK_NOFOLLOW);
        let own = (node.meta.mtime, node.meta.ctime);
        // An empty one is what a reader leaves, us included.
        if let Ok(log) = log
            && log.st_size > 0
        {
            // Not the log's ctime: SQLite sets its owner when root reads it.
            let written = metadata(&log).mtime;
            node.meta.mtime = node.meta.mtime.max(written);
            node.meta.ctime = node.meta.ctime.max(written);
        }
        let known = self.previous.as_ref().and_then(|previous| {
            let known = previous
                .repository
                .node_from_path(previous.tree, path)
                .ok()?;
            let meta = (known.meta.mtime, known.meta.ctime, known.meta.inode);
            (known.is_file() && meta == (node.meta.mtime, node.meta.ctime, node.meta.inode))
                .then_some(known.meta.size)
        });
        let bytes = if let Some(size) = known {
            node.meta.size = size;
            Some(Bytes::Database(place.to_owned(), self.staging.clone()))
        } else {
            match copied(place, &self.staging, &self.watch, path, || {
                self.is_at(folder, name, place)
            })? {
                Some(copy) => {
                    node.meta.size = copy.size();
                    Some(Bytes::Copy(copy))
                }
                None => {
                    (node.meta.mtime, node.meta.ctime) = own;
                    None
                }
            }
        };
        if bytes.is_some()
            && let Some(level) = self.levels.last_mut()
        {
            level.databases.insert(name.to_owned());
        }
        Some(bytes)
    }

    /// Returns whether the path leads to what is in the folder: SQLite takes paths only.
    fn is_at(&self, folder: &OwnedFd, name: &OsStr, place: &Path) -> bool {
        let there = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        let here = rustix::fs::lstat(place);
        matches!((there, here), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
    }

    fn has(&self, folder: &OwnedFd, name: &OsStr) -> bool {
        rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn node(&self, name: &OsStr, kind: NodeType, stat: &Stat, path: &Path, place: &Path) -> Node {
        let mut meta = metadata(stat);
        match attributes(place) {
            Ok(pairs) => {
                let mut list = Vec::new();
                for (name, value) in pairs {
                    let clean = self.watch.search(path, &Place::Attribute, name.as_bytes())
                        & self.watch.search(path, &Place::Attribute, &value);
                    if clean {
                        let value = data_encoding::BASE64.encode(&value);
                        list.push(serde_json::json!({ "name": name, "value": value }));
                    }
                }
                if !list.is_empty() {
                    // The library does not name the type of an attribute, so it is made from its stored form.
                    let stored = serde_json::json!({ "extended_attributes": list });
                    match serde_json::from_value::<Metadata>(stored) {
                        Ok(parsed) => meta.extended_attributes = parsed.extended_attributes,
                        Err(error) => self.watch.failed(path, error.into()),
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.watch.failed(path, error),
        }
        Node::new_node(name, kind, meta)
    }

    /// Writes down why something cannot be stored; what is gone meanwhile is no failure.
    fn refused<T>(&self, path: &Path, error: io::Error) -> Option<T> {
        if error.kind() != io::ErrorKind::NotFound {
            self.watch.failed(path, error);
        }
        None
    }

    fn bare(&self, path: PathBuf, node: Node) -> Entry {
        let source = Source {
            watch: Arc::clone(&self.watch),
            path: path.clone(),
            size: 0,
            bytes: Bytes::None,
        };
        ReadSourceEntry {
            path,
            node,
            open: Some(source),
        }
    }
}

impl Level {
    /// Returns whether this is what SQLite keeps beside a database; the copy has what is in it.
    fn belongs_to_database(&self, name: &OsStr) -> bool {
        database::BESIDE.iter().any(|suffix| {
            name.as_bytes()
                .strip_suffix(suffix.as_bytes())
                .is_some_and(|of| self.databases.contains(OsStr::from_bytes(of)))
        })
    }
}

impl ReadSourceOpen for Source {
    type Reader = Reader;

    fn open(self) -> RusticResult<Reader> {
        let path = self.path.clone();
        self.reader()
            .map_err(|error| to_library("read", &path, error))
    }
}

impl Source {
    fn reader(self) -> io::Result<Reader> {
        let Self {
            watch,
            path,
            size,
            bytes,
        } = self;
        let live = matches!(bytes, Bytes::File(..));
        let opened = match bytes {
            Bytes::File(folder, name) => open_file(&folder, &name, &path, &watch)?,
            Bytes::Copy(copy) => open_copy(copy, &path, &watch)?,
            Bytes::Database(place, staging) => {
                match copied(&place, &staging, &watch, &path, || true) {
                    Some(Some(copy)) if copy.size() == size => open_copy(copy, &path, &watch)?,
                    Some(_) => {
                        watch.notes().unstable.insert(path);
                        return Err(nothing());
                    }
                    None => return Err(nothing()),
                }
            }
            Bytes::None => return Err(nothing()),
        };
        let subject = Subject {
            file: opened,
            path: path.clone(),
            size,
            live,
        };
        subject.read(&watch).inspect_err(|error| {
            // What is in the notes already has no kind of the system's.
            if error.kind() != io::ErrorKind::Other {
                watch.failed(&path, io::Error::from(error.kind()));
            }
        })
    }
}

fn open_file(folder: &OwnedFd, name: &OsStr, path: &Path, watch: &Watch) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(opened) => {
            let kind = FileType::from_raw_mode(rustix::fs::fstat(opened.as_fd())?.st_mode);
            if kind == FileType::RegularFile {
                return Ok(opened.into());
            }
            watch.notes().unstable.insert(path.to_owned());
        }
        Err(rustix::io::Errno::NOENT) => watch.gone(),
        Err(rustix::io::Errno::LOOP) => {
            watch.notes().unstable.insert(path.to_owned());
        }
        Err(error) => watch.failed(path, error.into()),
    }
    Err(nothing())
}

fn open_copy(copy: Copy, path: &Path, watch: &Watch) -> io::Result<File> {
    if !copy.is_sound() {
        watch.notes().damaged.insert(path.to_owned());
    }
    copy.open()
}

/// Copies a database; what stands in the way is noted. `Some(None)` says that it is none.
#[expect(
    clippy::option_option,
    reason = "nothing to store, nothing special, something special"
)]
fn copied(
    place: &Path,
    staging: &Path,
    watch: &Watch,
    path: &Path,
    is_at: impl Fn() -> bool,
) -> Option<Option<Copy>> {
    let copied = if is_at() {
        database::copy(place, staging)
    } else {
        Err(io::ErrorKind::NotFound.into())
    };
    match copied {
        Ok(Copied::Done(copy)) if is_at() => return Some(Some(copy)),
        Ok(Copied::NotOne) => return Some(None),
        Ok(Copied::Busy) => {
            watch.notes().busy.insert(path.to_owned());
        }
        Ok(Copied::Done(_)) => {
            watch.notes().unstable.insert(path.to_owned());
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => watch.failed(path, error),
    }
    None
}

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn beside(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

/// Returns what the format keeps of a file, but for its extended attributes.
fn metadata(stat: &Stat) -> Metadata {
    let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let time = |seconds, nanoseconds| Timestamp::new(seconds, nanoseconds).ok();
    let mtime = time(stat.st_mtime, stat.st_mtime_nsec as i32);
    Metadata {
        mode: Some(go_mode(stat.st_mode)),
        mtime,
        // Reading changes it, so two snapshots of one state would differ.
        atime: mtime,
        ctime: time(stat.st_ctime, stat.st_ctime_nsec as i32),
        uid: Some(stat.st_uid),
        gid: Some(stat.st_gid),
        inode: stat.st_ino,
        // It tells hard links apart, and is of no use otherwise.
        device_id: if stat.st_nlink > 1 && !is_folder {
            stat.st_dev
        } else {
            0
        },
        size: if is_folder {
            0
        } else {
            u64::try_from(stat.st_size).unwrap_or(0)
        },
        links: if is_folder { 0 } else { stat.st_nlink },
        ..Metadata::default()
    }
}

/// Returns the time of a file's last change as the snapshot keeps it.
///
/// A change in the same tick of the system's clock leaves the time as it is. So the time of a file that changed just now is
/// kept as one that it never had, and the next snapshot reads the file again.
fn settled(changed: Timestamp, now: Timestamp) -> Timestamp {
    if now.duration_since(changed) < SignedDuration::from_millis(UNSETTLED_MS) {
        let never = changed.checked_sub(SignedDuration::from_nanos(1));
        never.unwrap_or(changed)
    } else {
        changed
    }
}

/// For how long a file that changed may change again without a trace in its times.
// LIMIT: two ticks of a kernel with 100 a second, the slowest that there is.
pub(crate) const UNSETTLED_MS: i64 = 20;

/// Returns a mode as the format has it: that of Go, <https://pkg.go.dev/io/fs#FileMode>.
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        _ => 0,
    };
    let bits = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    bits.iter()
        .filter(|(unix, _)| mode & unix != 0)
        .fold(mode & 0o777 | kind, |mode, (_, go)| mode | go)
}

/// Returns a file's extended attributes; a file system without them has none.
fn attributes(place: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    use rustix::io::Errno;
    let none = |error| matches!(error, Errno::NOTSUP | Errno::PERM | Errno::ACCESS);
    let names = loop {
        // The usual case is none, for one call.
        let bytes = match rustix::fs::llistxattr_query(place) {
            Ok(0) => return Ok(Vec::new()),
            Ok(bytes) => bytes,
            Err(error) if none(error) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names: Vec<u8> = Vec::with_capacity(bytes);
        match rustix::fs::llistxattr(place, rustix::buffer::spare_capacity(&mut names)) {
            Ok(_) => break names,
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    };
    let mut pairs = Vec::new();
    for name in names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
    {
        let mut value: Vec<u8> = Vec::with_capacity(64 * 1024);
        let read = rustix::fs::lgetxattr(place, name, rustix::buffer::spare_capacity(&mut value));
        match read {
            Ok(_) => pairs.push((String::from_utf8_lossy(name).into_owned(), value)),
            Err(error) if none(error) || error == Errno::NODATA => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_just_now_is_read_again_next_time() {
        let changed = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let check = |later_ms: i64, settles: bool| {
            let now = changed + SignedDuration::from_millis(later_ms);
            assert_eq!(settled(changed, now) == changed, settles, "{later_ms}");
        };
        check(0, false);
        check(UNSETTLED_MS - 1, false);
        check(UNSETTLED_MS, true);
        check(86_400_000, true);
        // A clock that was set back: nobody knows.
        check(-1, false);
    }

    #[test]
    fn modes_are_those_of_go() {
        for (unix, go) in [
            (0o100_644, 0o644),
            (0o040_755, 1 << 31 | 0o755),
            (0o120_777, 1 << 27 | 0o777),
            (0o104_755, 1 << 23 | 0o755),
            (0o041_777, 1 << 31 | 1 << 20 | 0o777),
        ] {
            assert_eq!(go_mode(unix), go, "{unix:o}");
        }
    }
}
