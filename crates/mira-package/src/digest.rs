//! The digest manifest: which files a package has, and the SHA-256 of each. Format: `docs/formats/package.md`.
//!
//! INVARIANT: there is one spelling of it for one set of files, so the digest of its bytes is the package's name.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::path::{Collision, PackagePath, PathError, collision};

/// Where the digest manifest is in a package.
pub const DIGESTS_PATH: &str = "mira.digests.json";
/// The longest digest manifest, in bytes.
// LIMIT: 10,000 entries of 600 bytes and more.
pub(crate) const DIGESTS_BYTES_MAX: u64 = 8 * 1024 * 1024;

const FORMAT: &str = "mira-package";
const VERSION: u64 = 1;

/// A SHA-256 digest, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// Says that a text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 64 digits of 0-9 a-f")]
pub struct DigestError;

impl Digest {
    /// Returns the digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// Passes bytes on, and makes a digest of them.
#[derive(Debug)]
pub struct Hashing<W> {
    output: W,
    hasher: Sha256,
    len: u64,
}

impl<W: Write> Hashing<W> {
    /// Begins a digest of what is written from now on.
    #[must_use]
    pub fn new(output: W) -> Self {
        Self {
            output,
            hasher: Sha256::new(),
            len: 0,
        }
    }

    /// Returns the digest of all bytes so far, and how many there were.
    #[must_use]
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.hasher.finalize().into()), self.len)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| DigestError)?;
        bytes.try_into().map(Self).map_err(|_| DigestError)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it is.
    pub path: PackagePath,
    /// Its length, in bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
    /// Whether it may be run as a program.
    pub executable: bool,
}

/// Which files a package has, sorted by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digests {
    files: Vec<FileEntry>,
    digest: Digest,
}

/// Why bytes are no digest manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestsError {
    /// It does not fit the schema.
    #[error("{DIGESTS_PATH} does not fit the format")]
    Schema,
    /// It was made by a newer Mira.
    #[error(
        "{DIGESTS_PATH} has version {found}, and this Mira reads version {VERSION}; use a newer one"
    )]
    Newer {
        /// The version that it names.
        found: u64,
    },
    /// A path is none.
    #[error("{DIGESTS_PATH} names {path:?}: {error}")]
    Path {
        /// The path, as it stands there.
        path: String,
        /// What is wrong with it.
        error: PathError,
    },
    /// Two paths are one on some system.
    #[error("{DIGESTS_PATH} names {first:?} and {second:?}, which are one file on some systems")]
    Collision {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// It says the right things in another spelling than the only one.
    #[error("{DIGESTS_PATH} is not in its one spelling (order, white space)")]
    Spelling,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireDigests {
    format: String,
    version: u64,
    files: Vec<WireFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireFile {
    path: String,
    size: u64,
    sha256: String,
    executable: bool,
}

/// What a newer document has in common with this one.
#[derive(Deserialize)]
struct WireVersion {
    format: String,
    version: u64,
}

impl Digests {
    /// Makes the manifest of files.
    ///
    /// # Errors
    ///
    /// Two paths are one on some system, or one is the manifest's own.
    pub fn new(mut files: Vec<FileEntry>) -> Result<Self, DigestsError> {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let own = PackagePath::from_str_constant(DIGESTS_PATH);
        let paths = files.iter().map(|file| &file.path);
        if let Some(Collision(first, second)) = collision(paths.chain([&own])) {
            return Err(DigestsError::Collision {
                first: first.to_string(),
                second: second.to_string(),
            });
        }
        let digest = Digest::of(&spelled(&files));
        Ok(Self { files, digest })
    }

    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// Returns what does not fit the format.
    pub fn parse(bytes: &[u8]) -> Result<Self, DigestsError> {
        let named: WireVersion = serde_json::from_slice(bytes).map_err(|_| DigestsError::Schema)?;
        if named.format != FORMAT {
            return Err(DigestsError::Schema);
        }
        if named.version > VERSION {
            return Err(DigestsError::Newer {
                found: named.version,
            });
        }
        let wire: WireDigests = serde_json::from_slice(bytes).map_err(|_| DigestsError::Schema)?;
        let files: Vec<FileEntry> = wire
            .files
            .into_iter()
            .map(from_wire)
            .collect::<Result<_, _>>()?;
        let digests = Self::new(files)?;
        // Whatever is out of order or written another way shows here.
        match digests.to_bytes() == bytes {
            true => Ok(digests),
            false => Err(DigestsError::Spelling),
        }
    }

    /// Returns the manifest's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        spelled(&self.files)
    }

    /// Returns the files, sorted by the bytes of their paths.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// Returns a file.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        let found = self
            .files
            .binary_search_by(|file| file.path.as_str().cmp(path));
        found.ok().and_then(|at| self.files.get(at))
    }

    /// Returns the package's digest: of the manifest's bytes, and so of all its files.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

fn spelled(files: &[FileEntry]) -> Vec<u8> {
    let wire = WireDigests {
        format: FORMAT.to_owned(),
        version: VERSION,
        files: files.iter().map(to_wire).collect(),
    };
    let mut bytes = serde_json::to_vec_pretty(&wire).expect("text and numbers are JSON");
    bytes.push(b'\n');
    bytes
}

fn to_wire(file: &FileEntry) -> WireFile {
    WireFile {
        path: file.path.to_string(),
        size: file.size,
        sha256: file.sha256.to_string(),
        executable: file.executable,
    }
}

fn from_wire(wire: WireFile) -> Result<FileEntry, DigestsError> {
    let path = wire.path.parse().map_err(|error| DigestsError::Path {
        path: wire.path.clone(),
        error,
    })?;
    Ok(FileEntry {
        path,
        size: wire.size,
        sha256: wire
            .sha256
            .parse()
            .map_err(|DigestError| DigestsError::Schema)?,
        executable: wire.executable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> FileEntry {
        FileEntry {
            path: path.parse().unwrap(),
            size: 3,
            sha256: Digest::of(b"abc"),
            executable: path == "run",
        }
    }

    #[test]
    fn a_manifest_has_one_spelling() {
        let made = Digests::new(vec![entry("run"), entry("a/b"), entry("a.b")]).unwrap();
        let text = String::from_utf8(made.to_bytes()).unwrap();
        assert_eq!(Digests::parse(text.as_bytes()), Ok(made.clone()));
        assert_eq!(Digest::of(text.as_bytes()), made.digest());
        assert_eq!(made.file("a/b").unwrap().size, 3);
        assert_eq!(made.file("a"), None);
        let check = |from: &str, to: &str, expect: DigestsError| {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text);
            assert_eq!(Digests::parse(changed.as_bytes()), Err(expect), "{to:?}");
        };
        check("\n", "", DigestsError::Spelling);
        check("\"a.b\"", "\"z\"", DigestsError::Spelling);
        check(
            "a.b",
            "A/B",
            DigestsError::Collision {
                first: "A/B".into(),
                second: "a/b".into(),
            },
        );
        check(
            "a.b",
            DIGESTS_PATH,
            DigestsError::Collision {
                first: DIGESTS_PATH.into(),
                second: DIGESTS_PATH.into(),
            },
        );
        check(
            "a.b",
            "../b",
            DigestsError::Path {
                path: "../b".into(),
                error: PathError::NotRelative,
            },
        );
        check(
            "\"version\": 1",
            "\"version\": 2, \"more\": 1",
            DigestsError::Newer { found: 2 },
        );
        check("mira-package", "mira", DigestsError::Schema);
        check(
            "\"size\": 3",
            "\"size\": 3, \"more\": 1",
            DigestsError::Schema,
        );
        check(
            "\"size\": 3",
            "\"size\": 3, \"size\": 3",
            DigestsError::Schema,
        );
        check("\"size\": 3", "\"size\": -3", DigestsError::Schema);
        check("ba78", "BA78", DigestsError::Schema);
    }
}
