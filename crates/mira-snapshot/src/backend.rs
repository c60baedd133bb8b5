//! The repository's files, as the format's library reads and writes them.
//!
//! Reading is the library's own. Writing is ours: its writer leaves files readable to others, and does not make their
//! names durable, so that after a power cut a pruned repository could lack what its index names.
//!
//! INVARIANT: when a write returns, the file is whole, private and durable.

use std::path::{Path, PathBuf};

use rustic_backend::LocalBackend;
use rustic_core::{
    ALL_FILE_TYPES, BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend,
};

use crate::error::to_library;
use crate::files;

/// A repository in a folder.
#[derive(Debug)]
pub(crate) struct Backend {
    folder: PathBuf,
    /// Where files are written before they have their names, so that a crash leaves none in the repository.
    scratch: PathBuf,
    reader: LocalBackend,
}

impl Backend {
    /// Names the folder, and one on the same file system; nothing is looked at yet.
    pub(crate) fn new(folder: &Path, scratch: &Path) -> RusticResult<Self> {
        Ok(Self {
            folder: folder.to_owned(),
            scratch: scratch.to_owned(),
            reader: LocalBackend::new(folder.to_string_lossy(), [])?,
        })
    }

    /// Returns where a file of the repository is.
    pub(crate) fn path(&self, kind: FileType, id: &Id) -> PathBuf {
        let hex = id.to_hex();
        let name = hex.as_str();
        match kind {
            FileType::Config => self.folder.join("config"),
            FileType::Pack => {
                let start = name.get(..2).unwrap_or_default();
                self.folder.join("data").join(start).join(name)
            }
            _ => self.folder.join(kind.dirname()).join(name),
        }
    }
}

impl ReadBackend for Backend {
    fn location(&self) -> String {
        self.reader.location()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        self.reader.list_with_size(kind)
    }

    fn list(&self, kind: FileType) -> RusticResult<Vec<Id>> {
        self.reader.list(kind)
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<bytes::Bytes> {
        self.reader.read_full(kind, id)
    }

    fn read_partial(
        &self,
        kind: FileType,
        id: &Id,
        cacheable: bool,
        offset: u32,
        length: u32,
    ) -> RusticResult<bytes::Bytes> {
        self.reader
            .read_partial(kind, id, cacheable, offset, length)
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        self.reader.warmup_path(kind, id)
    }
}

impl WriteBackend for Backend {
    fn create(&self) -> RusticResult<()> {
        let kinds = ALL_FILE_TYPES.iter().map(|kind| kind.dirname().to_owned());
        let packs = (0..=u8::MAX).map(|byte| format!("data/{byte:02x}"));
        // The library writes no locks, but restic expects their folder.
        for name in kinds.chain(packs).chain(["locks".to_owned()]) {
            let path = self.folder.join(name);
            files::create_folder(&path)
                .map_err(|error| to_library("create the folder", &path, error))?;
        }
        Ok(())
    }

    fn write_bytes(
        &self,
        kind: FileType,
        id: &Id,
        _: bool,
        content: BytesList,
    ) -> RusticResult<()> {
        let path = self.path(kind, id);
        let written = (|| {
            // Restic removes folders of packs that became empty.
            if let Some(parent) = path.parent() {
                files::create_folder(parent)?;
            }
            files::create_folder(&self.scratch)?;
            let temporary = self.scratch.join(id.to_hex().as_str());
            files::write_whole(&path, &temporary, content.slice().iter().map(AsRef::as_ref))
        })();
        written.map_err(|error| to_library("write", &path, error))
    }

    fn remove(&self, kind: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        self.reader.remove(kind, id, cacheable)?;
        // A snapshot that came back after a power cut would lack the packs that were removed after it.
        let path = self.path(kind, id);
        match kind {
            FileType::Pack => Ok(()),
            _ => files::sync_parent(&path).map_err(|error| to_library("remove", &path, error)),
        }
    }
}
