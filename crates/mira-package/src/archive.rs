//! Packages as files: a folder packed into a deterministic ZIP, and one opened that comes from anywhere.
//!
//! Format: `docs/formats/package.md`. Whether a package is to be trusted is said elsewhere (`signature`, `trust`).
//!
//! INVARIANT: a [`Package`] in hand means that its layout and its digest manifest are sound; no byte of a file is handed out
//! unless the whole file has the digest that the manifest names.

mod folder;
mod layout;
mod limits;
mod pack;
mod source;

use std::fmt;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use mira_age::{AgeError, Key};
use zip::ZipArchive;

use crate::digest::{DIGESTS_PATH, Digest, Digests, DigestsError, FileEntry, Hashing};
use crate::sealed::{SECRETS_PATH, Sealed, SealedError};

pub use folder::{IGNORE_FILE, IgnoredBy};
pub use layout::LayoutError;
pub use limits::{FREE_BYTES, Limits};
pub use pack::{PackError, PackOptions, Packed, list, pack};
use source::{Source, SourceReader};

/// Where the manifest is in a package.
pub const MANIFEST_PATH: &str = "mira.yaml";
/// The longest manifest, in bytes.
// LIMIT: as its parser says; a longer one is not even read.
pub const MANIFEST_BYTES_MAX: u64 = 256 * 1024;

/// Why a package is not opened, or a file of it not handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path is a folder or something else that is no file.
    #[error("{} is not a file", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The package file is longer than the limit, or grew while it was read.
    #[error(
        "the package is longer than the {bytes_max} bytes that are accepted, or it was written to while it was read"
    )]
    TooLong {
        /// The limit.
        bytes_max: u64,
    },
    /// It is encrypted in text form.
    #[error(
        "the package is encrypted as text (armored); decrypt it with age, and encrypt it again without -a"
    )]
    Armored,
    /// The encrypted package does not open.
    #[error("the encrypted package does not open: {0}")]
    Age(#[from] AgeError),
    /// The ZIP is not laid out as a package.
    #[error("the package is refused: {0}")]
    Layout(#[from] LayoutError),
    /// The digest manifest is none.
    #[error("the package is refused: {0}")]
    Digests(#[from] DigestsError),
    /// A file that must be there is not.
    #[error("the package is refused: it has no {path}")]
    Missing {
        /// The file.
        path: &'static str,
    },
    /// A file is in the archive and not in the digest manifest, or the other way round, or is described otherwise there.
    #[error("the package is refused: {path:?} is not as {DIGESTS_PATH} says")]
    Undescribed {
        /// The file.
        path: String,
    },
    /// A file's content is not what the digest manifest says.
    #[error(
        "the package is refused: the content of {path:?} does not have its digest; get the package again"
    )]
    Content {
        /// The file.
        path: String,
    },
    /// A file is longer than the caller wants to hold in memory.
    #[error("{path:?} has {size} bytes, and at most {max} are accepted")]
    FileTooLong {
        /// The file.
        path: String,
        /// Its length.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// The sealed secrets cannot be such.
    #[error("{SECRETS_PATH} is refused: {0}")]
    Sealed(#[from] SealedError),
    /// The place for a file's content cannot be written.
    #[error("cannot write the content of {path:?}: {source}")]
    Write {
        /// The file.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// An opened package: its layout and its digest manifest are verified, its files are as they are read.
pub struct Package {
    source: Source,
    archive: ZipArchive<Box<dyn ReadSeek + Send>>,
    digests: Digests,
    encrypted: bool,
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Package")
            .field(&self.digests.digest())
            .finish()
    }
}

/// An encrypted package that has not been decrypted.
#[derive(Debug)]
pub struct Encrypted {
    source: Source,
    limits: Limits,
}

/// What was found in a package file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Opened {
    /// A package.
    Package(Box<Package>),
    /// A package that a password or a key opens.
    Encrypted(Encrypted),
}

impl Package {
    /// Opens a package file of the usual limits.
    ///
    /// What is long is copied to a file without a name in `scratch`, so that nobody changes it while it is in use.
    ///
    /// # Errors
    ///
    /// Returns why the file is refused.
    pub fn open(path: &Path, scratch: &Path) -> Result<Opened, OpenError> {
        Self::open_within(path, scratch, Limits::default())
    }

    /// Opens a package file of other limits.
    ///
    /// # Errors
    ///
    /// Returns why the file is refused.
    pub fn open_within(path: &Path, scratch: &Path, limits: Limits) -> Result<Opened, OpenError> {
        Self::from_source(
            Source::copy(path, scratch, limits.package_bytes_max)?,
            limits,
        )
    }

    /// Opens a package that is in memory.
    ///
    /// # Errors
    ///
    /// Returns why it is refused.
    pub fn from_bytes(bytes: Vec<u8>, limits: Limits) -> Result<Opened, OpenError> {
        if bytes.len() as u64 > limits.package_bytes_max {
            return Err(OpenError::TooLong {
                bytes_max: limits.package_bytes_max,
            });
        }
        Self::from_source(Source::from_bytes(bytes), limits)
    }

    fn from_source(source: Source, limits: Limits) -> Result<Opened, OpenError> {
        let mut head = Vec::new();
        let looked_at = source.reader().take(1024).read_to_end(&mut head);
        looked_at.map_err(|error| LayoutError::Io(error.to_string()))?;
        if head.starts_with(mira_age::MAGIC) {
            return Ok(Opened::Encrypted(Encrypted { source, limits }));
        }
        if mira_age::is_age(&head) {
            return Err(OpenError::Armored);
        }
        let reader: Box<dyn ReadSeek + Send> = Box::new(source.reader());
        Self::verified(source, reader, false, &limits)
            .map(|package| Opened::Package(Box::new(package)))
    }

    fn verified(
        source: Source,
        mut reader: Box<dyn ReadSeek + Send>,
        encrypted: bool,
        limits: &Limits,
    ) -> Result<Self, OpenError> {
        let entries = layout::check(&mut reader, limits)?;
        let mut archive = ZipArchive::new(reader).map_err(|_| LayoutError::End)?;
        let mut bytes = Vec::new();
        let size = entries
            .iter()
            .find(|entry| entry.path.as_str() == DIGESTS_PATH)
            .ok_or(OpenError::Missing { path: DIGESTS_PATH })?
            .size;
        inflate(&mut archive, DIGESTS_PATH, size, &mut bytes)?;
        let digests = Digests::parse(&bytes)?;
        compare(&entries, digests.files())?;
        if digests.file(MANIFEST_PATH).is_none() {
            return Err(OpenError::Missing {
                path: MANIFEST_PATH,
            });
        }
        Ok(Self {
            source,
            archive,
            digests,
            encrypted,
        })
    }

    /// Returns the package's digest, which names all its files and nothing else: not how they are compressed.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digests.digest()
    }

    /// Returns the digest manifest.
    #[must_use]
    pub fn digests(&self) -> &Digests {
        &self.digests
    }

    /// Returns whether the package file is encrypted as a whole.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Returns the package file as it was found: what a signature is over.
    #[must_use]
    pub fn file(&self) -> impl Read + Seek + use<> {
        self.source.reader()
    }

    /// Returns the manifest's bytes.
    ///
    /// # Errors
    ///
    /// The file does not have its digest, or is too long.
    pub fn manifest(&mut self) -> Result<Vec<u8>, OpenError> {
        let found = self.read(MANIFEST_PATH, MANIFEST_BYTES_MAX)?;
        found.ok_or(OpenError::Missing {
            path: MANIFEST_PATH,
        })
    }

    /// Returns the sealed secrets, if there are any.
    ///
    /// # Errors
    ///
    /// The file does not have its digest, or cannot be sealed secrets.
    pub fn sealed(&mut self) -> Result<Option<Sealed>, OpenError> {
        let bytes = self.read(SECRETS_PATH, Sealed::BYTES_MAX)?;
        Ok(bytes.map(Sealed::new).transpose()?)
    }

    /// Returns the content of a file of at most `bytes_max` bytes; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// The file does not have its digest, or is longer.
    pub fn read(&mut self, path: &str, bytes_max: u64) -> Result<Option<Vec<u8>>, OpenError> {
        let Some(file) = self.digests.file(path).cloned() else {
            return Ok(None);
        };
        if file.size > bytes_max {
            return Err(OpenError::FileTooLong {
                path: path.to_owned(),
                size: file.size,
                max: bytes_max,
            });
        }
        let mut bytes = Vec::new();
        self.write_to(&file, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Reads every file, so that a damaged one is found.
    ///
    /// # Errors
    ///
    /// Returns the first that does not have its digest.
    pub fn verify(&mut self) -> Result<(), OpenError> {
        for file in self.digests.files().to_vec() {
            self.write_to(&file, &mut io::sink())?;
        }
        Ok(())
    }

    /// Writes the content of a file; what was written counts only if this returns without an error.
    pub(crate) fn write_to(
        &mut self,
        file: &FileEntry,
        output: &mut impl Write,
    ) -> Result<(), OpenError> {
        let mut hashing = Hashing::new(output);
        let path = file.path.as_str();
        inflate(&mut self.archive, path, file.size, &mut hashing)?;
        match hashing.finish().0 == file.sha256 {
            true => Ok(()),
            false => Err(OpenError::Content {
                path: file.path.to_string(),
            }),
        }
    }
}

impl Encrypted {
    /// Returns the digest of the encrypted file: whose password is guessed at.
    #[must_use]
    pub fn blob(&self) -> Digest {
        self.source.sha256()
    }

    /// Returns whether a password opens it, rather than somebody's key.
    ///
    /// # Errors
    ///
    /// The file is damaged.
    pub fn asks_for_passphrase(&self) -> Result<bool, OpenError> {
        Ok(mira_age::asks_for_passphrase(self.source.reader())?)
    }

    /// Returns the encrypted file: what a signature is over.
    #[must_use]
    pub fn file(&self) -> impl Read + Seek + use<> {
        self.source.reader()
    }

    /// Decrypts and verifies the package. It stays encrypted where it is: what is read is decrypted as it is read.
    ///
    /// Guesses at a password are to be limited by `guess`, before this is called.
    ///
    /// # Errors
    ///
    /// The key is the wrong one, the file asks for absurd work, or the package is refused.
    pub fn open(&self, key: &Key) -> Result<Package, OpenError> {
        let file: BufReader<SourceReader> = BufReader::new(self.source.reader());
        let reader = Box::new(mira_age::open_binary(file, key)?);
        Package::verified(self.source.clone(), reader, true, &self.limits)
    }
}

/// Compares what the archive and what the digest manifest say of the files; both are sorted.
fn compare(entries: &[layout::Entry], files: &[FileEntry]) -> Result<(), OpenError> {
    let mut entries = entries
        .iter()
        .filter(|entry| entry.path.as_str() != DIGESTS_PATH);
    let mut files = files.iter();
    loop {
        let (path, same) = match (entries.next(), files.next()) {
            (None, None) => return Ok(()),
            (Some(entry), None) => (&entry.path, false),
            (None, Some(file)) => (&file.path, false),
            (Some(entry), Some(file)) => {
                let same = entry.path == file.path
                    && entry.size == file.size
                    && entry.executable == file.executable;
                ((&entry.path).min(&file.path), same)
            }
        };
        if !same {
            return Err(OpenError::Undescribed {
                path: path.to_string(),
            });
        }
    }
}

/// Writes the content of an entry of the archive, which has `size` bytes or is refused.
fn inflate(
    archive: &mut ZipArchive<Box<dyn ReadSeek + Send>>,
    path: &str,
    size: u64,
    output: &mut impl Write,
) -> Result<(), OpenError> {
    let content = || OpenError::Content {
        path: path.to_owned(),
    };
    let mut entry = archive.by_name(path).map_err(|_| content())?;
    let mut piece = vec![0; 64 * 1024];
    let mut left = size;
    loop {
        let read = entry.read(&mut piece).map_err(|_| content())?;
        let read = piece.get(..read).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        left = left.checked_sub(read.len() as u64).ok_or_else(content)?;
        let written = output.write_all(read);
        written.map_err(|source| OpenError::Write {
            path: path.to_owned(),
            source,
        })?;
    }
    match left {
        0 => Ok(()),
        _ => Err(content()),
    }
}
