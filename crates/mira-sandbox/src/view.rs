//! What the processes of a room see of the file system.
//!
//! The porter changes mounts of its own namespace only: all of them are private before the first is changed, so nothing of it appears outside. Nobody
//! inside can undo any of it, for want of the capability.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, chmodat, fstat, mkdirat, openat, readlinkat, stat,
    symlinkat,
};
use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::path::Arg;

use crate::refusal::Step;
use crate::sockets::Sockets;
use crate::sys::set_mount_attributes;
use crate::wire::{At as _, Failure};

/// LIMIT: what processes may write into one hidden folder, in bytes: it is memory. A folder for more than that is shown, not hidden.
const HIDDEN_BYTES_MAX: u64 = 256 << 20;
/// LIMIT: links that are followed to where a file belongs, as many as the kernel follows.
const LINKS_MAX: u32 = 40;

/// Devices that every program may have.
const DEVICES: [&str; 6] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
];
/// Links that programs expect beside them.
const DEVICE_LINKS: [(&str, &CStr); 5] = [
    ("/dev/fd", c"/proc/self/fd"),
    ("/dev/stdin", c"/proc/self/fd/0"),
    ("/dev/stdout", c"/proc/self/fd/1"),
    ("/dev/stderr", c"/proc/self/fd/2"),
    ("/dev/ptmx", c"pts/ptmx"),
];

/// What is hidden from the processes of a room, what is shown nevertheless, and what files have another content. All paths are absolute.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Whether `/dev` has the devices that every program needs and no others, terminals and shared memory that are the room's own, and what
    /// is shown of it. Otherwise it is the host's: root may open the disks then, and everybody their other terminals.
    pub own_devices: bool,
    /// Folders that are empty inside, and files that are; those that are not there are passed over. What processes write into such a
    /// folder is kept in memory, and gone with the room.
    pub hide: Vec<PathBuf>,
    /// Paths inside of hidden folders that are there nevertheless, with all below them; and paths elsewhere that shall be read-only.
    pub show: Vec<Shown>,
    /// Files and their content inside. Where there is no such file, it is made in a hidden folder, and passed over elsewhere. Not for
    /// secrets: the content is in memory that may be swapped out.
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// A path that is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The path: of a folder, a file, or a link, which is made again as it is.
    pub path: PathBuf,
    /// Whether it may be written to, as far as outside.
    pub writable: bool,
}

impl View {
    /// Returns the paths, in the order in which the porter counts them.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        (self.hide.iter())
            .chain(self.show.iter().map(|shown| &shown.path))
            .chain(self.files.iter().map(|(path, _)| path))
            .map(PathBuf::as_path)
    }
}

/// Mounts a new `/proc`, for the first process of a new PID namespace: inside of the room, after its `unshare(CLONE_NEWNS)`, and before
/// [`Confinement::apply`](crate::Confinement::apply).
///
/// System calls only.
///
/// # Errors
///
/// The system's: some containers cover parts of `/proc`, and then allow no new one.
pub fn mount_proc() -> Result<()> {
    // So that the new mounts stay in this namespace also where it shares a group with the room's.
    mount_change(
        c"/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount(c"proc", c"/proc", c"proc", flags, None::<&CStr>)?;
    seal(&PROC_SETTINGS)
}

/// What changes the kernel for all, and is open to the user root without any capability.
const PROC_SETTINGS: [&CStr; 2] = [c"/proc/sys", c"/proc/sysrq-trigger"];

/// Makes paths read-only.
fn seal(paths: &[&CStr]) -> Result<()> {
    for path in paths {
        match clone_tree(CWD, *path) {
            Err(Errno::NOENT) => {}
            tree => {
                let tree = tree?;
                set_mount_attributes(tree.as_fd(), libc::MOUNT_ATTR_RDONLY)?;
                attach(tree.as_fd(), find(*path)?.as_fd())?;
            }
        }
    }
    Ok(())
}

/// A view as the porter has collected it.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    own_devices: bool,
    hide: Vec<(u32, PathBuf)>,
    show: Vec<(u32, PathBuf, bool)>,
    files: Vec<(u32, PathBuf, OwnedFd)>,
    count: u32,
}

impl Wanted {
    pub(crate) fn own_devices(&mut self) {
        self.own_devices = true;
    }

    pub(crate) fn hide(&mut self, path: &Path) {
        let item = self.next();
        self.hide.push((item, path.to_owned()));
    }

    pub(crate) fn show(&mut self, path: &Path, writable: bool) {
        let item = self.next();
        self.show.push((item, path.to_owned(), writable));
    }

    pub(crate) fn file(&mut self, path: &Path, content: OwnedFd) {
        let item = self.next();
        self.files.push((item, path.to_owned(), content));
    }

    fn next(&mut self) -> u32 {
        self.count += 1;
        self.count - 1
    }

    /// Makes the view, in the mount namespace that this process is in and that is its own.
    pub(crate) fn apply(self, sockets: &Sockets) -> std::result::Result<(), Failure> {
        mount_change(
            c"/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )
        .at(Step::Private)?;
        seal(&[PROC_SETTINGS.as_slice(), &[c"/sys"]].concat()).at(Step::Settings)?;

        // All that is needed of the old view is taken before any of it is hidden.
        let null = find(c"/dev/null").at(Step::Mask)?;
        let devices = match self.own_devices {
            true => Some(Devices::take().at(Step::Devices)?),
            false => None,
        };
        let mut hide = Vec::new();
        for (item, path) in &self.hide {
            match find(path) {
                Err(Errno::NOENT) => {}
                found => hide.push((*item, found.at_item(Step::Hide, *item)?)),
            }
        }
        let mut show = Vec::new();
        for (item, path, writable) in &self.show {
            let sight = Sight::take(path, *writable).at_item(Step::Show, *item)?;
            show.push((*item, path, sight));
        }
        let files = store(self.files)?;

        let mut hidden = Hidden::default();
        if let Some(devices) = devices {
            devices.put(&mut hidden, null.as_fd()).at(Step::Devices)?;
        }
        for (item, place) in hide {
            hidden
                .cover(place.as_fd(), null.as_fd())
                .at_item(Step::Hide, item)?;
        }
        for (item, path, sight) in show {
            hidden.put(path, &sight).at_item(Step::Show, item)?;
        }
        for (item, path, file) in files {
            hidden
                .put(&path, &Sight::File(file))
                .at_item(Step::File, item)?;
        }
        sockets.cover(null.as_fd()).at(Step::Mask)
    }
}

/// Something of the old view that is to be in the new one.
enum Sight {
    Folder(OwnedFd),
    File(OwnedFd),
    Link(std::ffi::CString),
}

impl Sight {
    fn take(path: &Path, writable: bool) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let kind = fstat(openat(CWD, path, flags, Mode::empty())?)?.st_mode;
        let kind = FileType::from_raw_mode(kind);
        if kind == FileType::Symlink {
            return Ok(Self::Link(readlinkat(CWD, path, Vec::new())?));
        }
        let tree = clone_tree(CWD, path)?;
        if !writable {
            set_mount_attributes(tree.as_fd(), libc::MOUNT_ATTR_RDONLY)?;
        }
        Ok(if kind == FileType::Directory {
            Self::Folder(tree)
        } else {
            Self::File(tree)
        })
    }
}

/// The devices of a room that has its own.
struct Devices {
    folder: OwnedFd,
    nodes: Vec<(&'static str, Sight)>,
}

impl Devices {
    fn take() -> Result<Self> {
        let mut nodes = Vec::new();
        for path in DEVICES {
            nodes.push((path, Sight::take(Path::new(path), true)?));
        }
        for (path, target) in DEVICE_LINKS {
            nodes.push((path, Sight::Link(target.to_owned())));
        }
        Ok(Self {
            folder: find(c"/dev")?,
            nodes,
        })
    }

    fn put(self, hidden: &mut Hidden, null: BorrowedFd<'_>) -> Result<()> {
        hidden.cover(self.folder.as_fd(), null)?;
        for (path, node) in &self.nodes {
            hidden.put(Path::new(path), node)?;
        }
        mkdirat(CWD, c"/dev/shm", Mode::from_raw_mode(0o755))?;
        chmodat(
            CWD,
            c"/dev/shm",
            Mode::from_raw_mode(0o1777),
            AtFlags::empty(),
        )?;
        mkdirat(CWD, c"/dev/pts", Mode::from_raw_mode(0o755))?;
        let terminals = system(c"devpts", &[("mode", "620"), ("ptmxmode", "666")])?;
        attach(terminals.as_fd(), find(c"/dev/pts")?.as_fd())
    }
}

/// Writes files into memory and returns a mount of each alone, read-only.
fn store(
    files: Vec<(u32, PathBuf, OwnedFd)>,
) -> std::result::Result<Vec<(u32, PathBuf, OwnedFd)>, Failure> {
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let folder = memory(Mode::from_raw_mode(0o755)).at(Step::File)?;
    // A part of a mount can be mounted elsewhere only while the whole is somewhere. On top of the root nobody gets to it.
    attach(folder.as_fd(), find(c"/").at(Step::File)?.as_fd()).at(Step::File)?;
    let mut mounts = Vec::new();
    for (item, path, content) in files {
        let mount = store_one(folder.as_fd(), item, content).at_item(Step::File, item)?;
        mounts.push((item, path, mount));
    }
    rustix::process::fchdir(&folder).at(Step::File)?;
    unmount(c".", UnmountFlags::DETACH).at(Step::File)?;
    rustix::process::chdir(c"/").at(Step::File)?;
    Ok(mounts)
}

fn store_one(folder: BorrowedFd<'_>, item: u32, content: OwnedFd) -> io::Result<OwnedFd> {
    let name = item.to_string();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(folder, &name, flags, Mode::from_raw_mode(0o444))?;
    let mut content = File::from(content);
    content.rewind()?;
    io::copy(&mut content, &mut File::from(file))?;
    let mount = clone_tree(folder, &name)?;
    let attributes = libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
    set_mount_attributes(mount.as_fd(), attributes)?;
    Ok(mount)
}

/// The hidden folders, by the devices of the file systems that cover them: in these alone anything is made, the rest is the host's.
#[derive(Default)]
struct Hidden {
    devices: Vec<u64>,
}

impl Hidden {
    fn cover(&mut self, place: BorrowedFd<'_>, null: BorrowedFd<'_>) -> Result<()> {
        let mode = fstat(place)?.st_mode;
        if FileType::from_raw_mode(mode) != FileType::Directory {
            return attach(clone_tree(null, c"")?.as_fd(), place);
        }
        let folder = memory(Mode::from_raw_mode(mode & 0o7777))?;
        self.devices.push(fstat(&folder)?.st_dev);
        attach(folder.as_fd(), place)
    }

    /// Puts something at a path, if the path is there or can be made.
    fn put(&self, path: &Path, sight: &Sight) -> Result<()> {
        match sight {
            Sight::Link(target) => {
                let parent = path.parent().ok_or(Errno::INVAL)?;
                if self.provide(parent, true, LINKS_MAX)? && self.holds(parent)? {
                    symlinkat(target, CWD, path)?;
                }
                Ok(())
            }
            Sight::Folder(tree) | Sight::File(tree) => {
                let folder = matches!(sight, Sight::Folder(_));
                if self.provide(path, folder, LINKS_MAX)? {
                    attach(tree.as_fd(), find(path)?.as_fd())?;
                }
                Ok(())
            }
        }
    }

    /// Makes a folder or an empty file, with the folders above it, unless it is there. Returns whether it is there now.
    fn provide(&self, path: &Path, folder: bool, links: u32) -> Result<bool> {
        match stat(path) {
            Err(Errno::NOENT) => {}
            found => return found.map(|_| true),
        }
        let parent = path.parent().ok_or(Errno::NOENT)?;
        if let Ok(target) = readlinkat(CWD, path, Vec::new()) {
            let target = parent.join(OsStr::from_bytes(target.to_bytes()));
            let links = links.checked_sub(1).ok_or(Errno::LOOP)?;
            return self.provide(&target, folder, links);
        }
        if !self.provide(parent, true, links)? || !self.holds(parent)? {
            return Ok(false);
        }
        if folder {
            mkdirat(CWD, path, Mode::from_raw_mode(0o755))?;
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            openat(CWD, path, flags, Mode::from_raw_mode(0o644))?;
        }
        Ok(true)
    }

    fn holds(&self, folder: &Path) -> Result<bool> {
        Ok(self.devices.contains(&stat(folder)?.st_dev))
    }
}

/// Makes an empty file system in memory, which is mounted nowhere yet.
fn memory(mode: Mode) -> Result<OwnedFd> {
    let size = HIDDEN_BYTES_MAX.to_string();
    let mode = format!("{:o}", mode.as_raw_mode());
    let tmpfs = system(c"tmpfs", &[("size", &size), ("mode", &mode)])?;
    set_mount_attributes(tmpfs.as_fd(), libc::MOUNT_ATTR_NODEV)?;
    Ok(tmpfs)
}

/// Makes a file system, which is mounted nowhere yet.
fn system(kind: &CStr, options: &[(&str, &str)]) -> Result<OwnedFd> {
    let system = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(&system, *name, *value)?;
    }
    fsconfig_create(&system)?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    fsmount(&system, flags, MountAttrFlags::MOUNT_ATTR_NOSUID)
}

/// Opens a path as a place, with all rights to it left out. Links are followed.
pub(crate) fn find(path: impl Arg) -> Result<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Copies the mounts at and below a path. The copy is mounted nowhere yet.
pub(crate) fn clone_tree(at: impl AsFd, path: impl Arg) -> Result<OwnedFd> {
    open_tree(
        at,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH,
    )
}

pub(crate) fn attach(mount: impl AsFd, place: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", place, c"", flags)
}
