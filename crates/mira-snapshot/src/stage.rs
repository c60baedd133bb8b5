//! Where a snapshot's files wait until it is certain that they may be in the repository.
//!
//! The library stores a file's first part before it has seen the last one, and the secret may be there. So whatever it
//! writes lands here, encrypted, and moves into the repository when everything was searched and nothing found.
//!
//! INVARIANT: until `commit`, the repository is as it was. After a crash it is as before or has the snapshot; packs that
//! no index names may be left, of a snapshot that was searched and clean, and the next prune takes them away.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};

use crate::backend::Backend;
use crate::error::{SnapshotError, to_library};
use crate::files;

/// A back end that reads a repository and writes beside it.
#[derive(Debug)]
pub(crate) struct Stage {
    repository: Arc<Backend>,
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    written: Vec<(FileType, Id)>,
    /// The first write that failed: the library may go on without what it was to write.
    failed: Option<(PathBuf, io::Error)>,
}

impl Stage {
    /// Begins in an empty folder.
    pub(crate) fn new(repository: Arc<Backend>, folder: PathBuf) -> Result<Self, SnapshotError> {
        files::remove_tree(&folder).map_err(SnapshotError::io("empty", &folder))?;
        files::create_folder(&folder).map_err(SnapshotError::io("create the folder", &folder))?;
        Ok(Self {
            repository,
            folder,
            state: Mutex::default(),
        })
    }

    /// Moves everything into the repository: what is pointed to before what points to it.
    pub(crate) fn commit(&self) -> Result<(), SnapshotError> {
        let State { written, failed } = std::mem::take(&mut *self.state());
        if let Some((path, source)) = failed {
            return Err(SnapshotError::io("write", &path)(source));
        }
        for kind in [FileType::Pack, FileType::Index, FileType::Snapshot] {
            let mut folders = BTreeSet::new();
            for (_, id) in written.iter().filter(|(known, _)| *known == kind) {
                let (from, to) = (self.staged(kind, id), self.repository.path(kind, id));
                let parent = to.parent().unwrap_or(Path::new("/"));
                let moved = files::create_folder(parent)
                    .and_then(|()| fs::rename(&from, &to))
                    .map_err(SnapshotError::io("write", &to));
                moved?;
                folders.insert(parent.to_owned());
            }
            for folder in folders {
                files::sync_folder(&folder).map_err(SnapshotError::io("make durable", &folder))?;
            }
        }
        Ok(())
    }

    fn staged(&self, kind: FileType, id: &Id) -> PathBuf {
        let name = format!("{}-{}", kind.dirname(), id.to_hex().as_str());
        self.folder.join(name)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Each change of the state is one step, so it is whole after a panic too.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What cannot be removed now is removed at the next run's start, which tells if it cannot.
        drop(files::remove_tree(&self.folder));
    }
}

impl ReadBackend for Stage {
    fn location(&self) -> String {
        self.repository.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.repository.list_with_size(kind)
    }

    fn list(&self, kind: FileType) -> RusticResult<Vec<Id>> {
        self.repository.list(kind)
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<bytes::Bytes> {
        self.repository.read_full(kind, id)
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<bytes::Bytes> {
        self.repository
            .read_partial(kind, id, cacheable, offset, length)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.repository.warmup_path(kind, id)
    }
}

impl WriteBackend for Stage {
    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        let path = self.staged(kind, id);
        let written = (|| {
            use std::io::Write as _;
            files::remove_if_there(&path)?;
            let mut file = files::create_new(&path)?;
            for piece in content.slice() {
                file.write_all(piece)?;
            }
            file.sync_all()
        })();
        let mut state = self.state();
        match written {
            Ok(()) => {
                state.written.push((kind, *id));
                Ok(())
            }
            Err(error) => {
                let again = io::Error::from(error.kind());
                state.failed.get_or_insert((path.clone(), error));
                Err(to_library("write", &path, again))
            }
        }
    }

    fn remove(&self, kind: FileType, id: &Id, _: bool) -> RusticResult<()> {
        let path = self.staged(kind, id);
        Err(to_library(
            "remove",
            &path,
            io::ErrorKind::Unsupported.into(),
        ))
    }
}
