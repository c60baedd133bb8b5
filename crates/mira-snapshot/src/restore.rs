//! Restoring: volumes are written beside their places, made durable, then exchanged.
//!
//! The library has a restore of its own; it panics on damage and passes over what it cannot set. This one writes into
//! new private folders only, follows no link, and takes nothing for granted that a repository says.

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Seek as _, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Component, Path, PathBuf};

use rustic_core::repofile::{Node, NodeType, SnapshotFile};
use rustic_core::{IndexedFullStatus, LsOptions};

use crate::error::SnapshotError;
use crate::files;
use crate::lock::{Lock, Mode};
use crate::model::{Progress, Restored, SnapshotId, Volume};
use crate::progress::{Bytes, Meter, watched};
use crate::repository::{LOCK_WAIT, Repository, id_of, plan_of};
use crate::swap::{self, Plan};
use crate::take::check_names;

type Library = rustic_core::Repository<IndexedFullStatus>;

impl Repository {
    /// Puts volumes back as they were in a snapshot.
    ///
    /// All of them are written beside their places first; then each is exchanged for the old one, which is removed.
    /// A crash leaves every volume old or new; the next operation on the repository ends what it cut off: it
    /// removes half-written ones, or brings in the rest of the new ones. Nobody may use the volumes meanwhile: stop the
    /// app first, and take a snapshot with the tag [`TAG_SAFETY`](crate::TAG_SAFETY) if the old state may be wanted again.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::NoSuchSnapshot`], [`SnapshotError::NoSuchVolume`] or [`SnapshotError::Damaged`], with
    /// the old volumes in their places.
    pub fn restore(
        &self,
        id: &SnapshotId,
        targets: &[Volume],
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Restored, SnapshotError> {
        let mut targets = targets.to_vec();
        targets.sort_by(|a, b| a.name.cmp(&b.name));
        check_names(&targets)?;
        let _lock = self.alone()?;
        let stored = self.stored_one(id)?;
        watched(progress, |meter| {
            self.restore_stored(&stored, &targets, &meter)
        })
    }

    /// Ends what a crash left unfinished: a restore that was cut off is undone, or done to its end.
    ///
    /// Every operation that changes the repository does so first; this one is for the start of an app, and needs no password.
    ///
    /// # Errors
    ///
    /// Returns [`SnapshotError::Busy`] where another process is at work.
    pub fn recover(folder: &Path) -> Result<(), SnapshotError> {
        let plan = plan_of(folder);
        if !plan.exists() && !files::beside(&plan, ".new").exists() {
            return Ok(());
        }
        let _lock = Lock::take(folder, Mode::Alone, LOCK_WAIT)?;
        swap::finish(&plan)
    }

    fn restore_stored(
        &self,
        stored: &SnapshotFile,
        targets: &[Volume],
        meter: &Meter,
    ) -> Result<Restored, SnapshotError> {
        let library = self
            .reopen(self.backend.clone() as _, Bytes(meter.clone()))?
            .to_indexed()
            .map_err(|error| self.failed(error))?;
        let mut nodes = Vec::new();
        for target in targets {
            let path = Path::new("/").join(&target.name);
            let held = stored.paths.iter().any(|held| Path::new(held) == path);
            if !held {
                return Err(SnapshotError::NoSuchVolume {
                    id: id_of(stored),
                    volume: target.name.clone(),
                });
            }
            let node = library
                .node_from_path(stored.tree, &path)
                .map_err(|error| self.failed(error))?;
            nodes.push(node);
        }
        let places: Vec<PathBuf> = targets.iter().map(|target| target.path.clone()).collect();
        let plan = Plan::begin(&self.plan(), &places)?;
        let new_places = plan.new_places();
        let mut restored = Restored::default();
        for ((node, target), new) in nodes.iter().zip(targets).zip(&new_places) {
            let mut writer = Writer {
                repository: self,
                library: &library,
                root: new,
                shown: Path::new("/").join(&target.name),
                links: HashMap::new(),
                meter,
                restored: &mut restored,
            };
            if let Err(error) = writer.volume(node) {
                plan.give_up()?;
                return Err(error);
            }
        }
        plan.exchange()?;
        Ok(restored)
    }
}

/// Writes one volume.
struct Writer<'a> {
    repository: &'a Repository,
    library: &'a Library,
    root: &'a Path,
    /// The volume's path in the snapshot.
    shown: PathBuf,
    /// The first file of each set of hard links, by device and inode.
    links: HashMap<(u64, u64), PathBuf>,
    meter: &'a Meter,
    restored: &'a mut Restored,
}

impl Writer<'_> {
    fn volume(&mut self, volume: &Node) -> Result<(), SnapshotError> {
        files::create_folder(self.root)
            .map_err(SnapshotError::io("create the folder", self.root))?;
        let listed = self
            .library
            .ls(volume, &LsOptions::default())
            .map_err(|error| self.repository.failed(error))?;
        // A folder's mode and times come last: writing into it needs the one and changes the other.
        let mut folders = vec![(self.root.to_owned(), self.shown.clone(), volume.clone())];
        for item in listed {
            let (path, node) = item.map_err(|error| self.repository.failed(error))?;
            let (path, shown) = (self.inside(&path)?, self.shown.join(&path));
            let at = path.clone();
            let failed = move |error| SnapshotError::io("restore", &at)(error);
            match &node.node_type {
                NodeType::Dir => {
                    fs::create_dir(&path).map_err(failed)?;
                    let private = Permissions::from_mode(0o700);
                    fs::set_permissions(&path, private)
                        .map_err(SnapshotError::io("restore", &path))?;
                    folders.push((path, shown, node));
                    continue;
                }
                NodeType::File => {
                    if !self.file(&path, &node)? {
                        // A hard link has its metadata already.
                        self.meter.file();
                        continue;
                    }
                }
                NodeType::Symlink { .. } => {
                    symlink(node.node_type.to_link(), &path).map_err(failed)?;
                }
                // What restic stored of pipes, sockets and devices is not the app's state.
                _ => continue,
            }
            self.dress(&path, &shown, &node)?;
            self.restored.files += 1;
            self.meter.file();
        }
        for (path, shown, node) in folders.iter().rev() {
            self.dress(path, shown, node)?;
        }
        make_durable(self.root).map_err(SnapshotError::io("make durable", self.root))
    }

    /// Returns where a path of the snapshot is written; one that leads out of the volume is damage.
    fn inside(&self, path: &Path) -> Result<PathBuf, SnapshotError> {
        let mut place = self.root.to_owned();
        for part in path.components() {
            match part {
                Component::Normal(name) if !name.as_bytes().contains(&0) => place.push(name),
                _ => return Err(self.damaged("a name in it leads out of its folder".into())),
            }
        }
        if place == self.root {
            return Err(self.damaged("it holds a file without a name".into()));
        }
        Ok(place)
    }

    /// Writes a file's content; returns whether it is a new file, and not a link to one.
    fn file(&mut self, path: &Path, node: &Node) -> Result<bool, SnapshotError> {
        let key = (node.meta.device_id, node.meta.inode);
        if node.meta.links > 1 && key.0 != 0 {
            if let Some(first) = self.links.get(&key) {
                fs::hard_link(first, path).map_err(SnapshotError::io("restore", path))?;
                return Ok(false);
            }
            self.links.insert(key, path.to_owned());
        }
        let file = files::create_new(path).map_err(SnapshotError::io("restore", path))?;
        let mut sparse = Sparse {
            file,
            len: 0,
            meter: self.meter,
            failed: None,
        };
        let dumped = self.library.dump(node, &mut sparse);
        if let Some(error) = sparse.failed {
            return Err(SnapshotError::io("restore", path)(error));
        }
        dumped.map_err(|error| self.repository.failed(error))?;
        if sparse.len != node.meta.size {
            return Err(self.damaged("a file in it has not the size that it should have".into()));
        }
        sparse
            .file
            .set_len(sparse.len)
            .map_err(SnapshotError::io("restore", path))?;
        self.restored.bytes += sparse.len;
        Ok(true)
    }

    /// Gives a file its owner, attributes, mode and times.
    fn dress(&mut self, path: &Path, shown: &Path, node: &Node) -> Result<(), SnapshotError> {
        let meta = &node.meta;
        let mut plain = lchown(path, meta.uid, meta.gid).is_err();
        for attribute in &meta.extended_attributes {
            let value = attribute.value.as_deref().unwrap_or_default();
            let flags = rustix::fs::XattrFlags::empty();
            plain |= rustix::fs::lsetxattr(path, &attribute.name, value, flags).is_err();
        }
        if plain {
            self.restored.plain.push(shown.display().to_string());
        }
        if !node.is_symlink() {
            let mode = Permissions::from_mode(unix_mode(meta.mode.unwrap_or(0o600)));
            fs::set_permissions(path, mode).map_err(SnapshotError::io("restore", path))?;
        }
        let Some(mtime) = meta.mtime else {
            return Ok(());
        };
        let time = rustix::fs::Timespec {
            tv_sec: mtime.as_second(),
            tv_nsec: i64::from(mtime.subsec_nanosecond()),
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        let (cwd, flags) = (rustix::fs::CWD, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
        rustix::fs::utimensat(cwd, path, &times, flags)
            .map_err(|error| SnapshotError::io("restore", path)(error.into()))
    }

    fn damaged(&self, what: String) -> SnapshotError {
        SnapshotError::Damaged {
            folder: self.repository.folder.clone(),
            what,
        }
    }
}

/// A file that is written with holes where there are only zeros.
struct Sparse<'a> {
    file: File,
    len: u64,
    meter: &'a Meter,
    failed: Option<io::Error>,
}

/// The shortest run of zeros that becomes a hole.
const HOLE_BYTES: usize = 4096;

impl Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for block in bytes.chunks(HOLE_BYTES) {
            let hole = block.len() == HOLE_BYTES && block.iter().all(|byte| *byte == 0);
            let written = if hole {
                self.file
                    .seek(io::SeekFrom::Current(HOLE_BYTES as i64))
                    .map(drop)
            } else {
                self.file.write_all(block)
            };
            if let Err(error) = written {
                let again = io::Error::from(error.kind());
                self.failed = Some(error);
                return Err(again);
            }
            self.len += block.len() as u64;
        }
        self.meter.bytes(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns a mode of the format (that of Go) as the system has it.
fn unix_mode(go: u32) -> u32 {
    [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)]
        .iter()
        .filter(|(_, bit)| go & bit != 0)
        .fold(go & 0o777, |mode, (unix, _)| mode | unix)
}

/// Makes all that was written below a folder durable, and the folder itself.
fn make_durable(folder: &Path) -> io::Result<()> {
    let root = File::open(folder)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&root)?;
    #[cfg(not(target_os = "linux"))]
    rustix::fs::sync();
    drop(root);
    files::sync_parent(folder)
}
