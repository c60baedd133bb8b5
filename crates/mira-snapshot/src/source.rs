//! Where a file's bytes come from, once the library asks for them.
//!
//! What stands in the way is noted; the error that the library gets says only that there is nothing to store.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustic_core::{ReadSourceOpen, RusticResult};
use rustix::fs::{FileType, Mode, OFlags};

use crate::database::{self, Copied, Copy};
use crate::error::to_library;
use crate::reader::{Reader, Subject, nothing};
use crate::watch::Watch;

/// What a file's bytes come from.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) watch: Arc<Watch>,
    /// Its path in the snapshot.
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) bytes: Bytes,
}

/// The kinds of it.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// A file, by its folder and name.
    File(Arc<OwnedFd>, OsString),
    /// A copy of a database.
    Copy(Copy),
    /// One that seemed unchanged and has to be read after all.
    Database(PathBuf, PathBuf),
    /// There are none: it is no file.
    None,
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
pub(crate) fn copied(
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
