//! The way through the volumes: every file in the order of the format, with what is known of it.
//!
//! Folders are opened relative to the folder above, and links never followed, so that an app that moves folders about
//! meanwhile cannot lead the way out of its volumes.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{
    IndexedIdsStatus, ReadSource, ReadSourceEntry, Repository, RusticResult, TreeId,
};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};

use crate::database;
use crate::metadata::{attributes, metadata, settled};
use crate::model::{Place, SkippedKind, Volume};
use crate::source::{Bytes, Source, copied};
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

fn folder_flags() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC
}

fn beside(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}
