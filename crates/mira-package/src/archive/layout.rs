//! The layout of a package's ZIP, which is stricter than ZIP: checked before any reader of ZIPs sees it.
//!
//! A ZIP describes each file twice, and readers differ in which description they believe, in where they look for the
//! end, and in what they do with the rest. Here both descriptions agree, entries stand one after another without gaps from the
//! first byte to the last, sorted, and nothing optional is used; so there is one way to read it. Format: APPNOTE 6.3.10, in the
//! profile of `docs/formats/package.md`.
//!
//! INVARIANT: nothing is read beyond what the limits allow, whatever the headers say.

use std::io::{self, Read, Seek, SeekFrom};

use crate::archive::limits::Limits;
use crate::digest::DIGESTS_PATH;
use crate::path::{PATH_BYTES_MAX, PackagePath, PathError};

const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const LOCAL_MAGIC: u32 = 0x0403_4b50;
const CENTRAL_MAGIC: u32 = 0x0201_4b50;
const END_MAGIC: u32 = 0x0605_4b50;

/// The one flag that is used: the name is UTF-8.
const FLAG_UTF8: u16 = 1 << 11;
/// 1980-01-01 and midnight, the first moment that ZIP can say.
const DATE: u16 = 1 << 5 | 1;
/// Says that the attributes' upper half is a Unix mode.
const SYSTEM_UNIX: u8 = 3;
const MODE_FILE: u32 = 0o100_644;
const MODE_PROGRAM: u32 = 0o100_755;
/// What a reader must know: deflate, at most what ZIP64 asks for; that is not used.
const VERSION_NEEDED_MAX: u16 = 45;

/// Why bytes are not laid out as a package. Names are as they stand in the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    /// It is no ZIP.
    #[error("it is no package: not a ZIP archive")]
    NotZip,
    /// The archive does not end where the file ends, or a part of it is missing.
    #[error("its ZIP archive is cut off, or something follows it")]
    End,
    /// Bytes belong to no file, or to two.
    #[error("bytes before {name:?} belong to no file, or to two")]
    Gap {
        /// The file behind the gap, or the directory.
        name: String,
    },
    /// A name is none that a package can have.
    #[error("the name {name:?} is refused: {error}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        error: PathError,
    },
    /// A name is not UTF-8.
    #[error("a name is not UTF-8 text")]
    NotText,
    /// The files are not sorted, or one is there twice.
    #[error("{name:?} is there twice, or not in order")]
    Order {
        /// The second of the two.
        name: String,
    },
    /// Something other than a regular file with mode 0644 or 0755.
    #[error(
        "{name:?} is a folder, a link or something else that is no plain file of mode 0644 or 0755"
    )]
    Kind {
        /// Its name.
        name: String,
    },
    /// A feature of ZIP that packages do not use.
    #[error("{name:?} uses {feature}, which a package does not")]
    Feature {
        /// The file's name.
        name: String,
        /// What it uses.
        feature: &'static str,
    },
    /// The two descriptions of a file differ.
    #[error("the two descriptions of {name:?} differ")]
    Differ {
        /// Its name.
        name: String,
    },
    /// There are more files than the limit.
    #[error("it has {found} files, and at most {max} are accepted")]
    Files {
        /// How many there are.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A file is longer than the limit.
    #[error("{name:?} has {size} bytes, and at most {max} are accepted")]
    FileSize {
        /// Its name.
        name: String,
        /// Its length.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// All files together are longer than the limit, or than a package of this length can rightly hold.
    #[error(
        "its files have {size} bytes, and of a package of this length at most {max} are accepted"
    )]
    Unpacked {
        /// Their length.
        size: u64,
        /// The limit.
        max: u64,
    },
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Io(String),
}

/// An entry of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: PackagePath,
    pub(crate) size: u64,
    pub(crate) executable: bool,
}

/// Checks a whole archive; returns its entries in their order.
pub(crate) fn check(
    archive: &mut (impl Read + Seek),
    limits: &Limits,
) -> Result<Vec<Entry>, LayoutError> {
    let len = archive.seek(SeekFrom::End(0)).map_err(io_error)?;
    let end = End::read(archive, len, limits)?;
    let mut directory = vec![0; usize::try_from(end.directory_bytes).unwrap_or_default()];
    read_at(archive, end.directory_at, &mut directory)?;

    let mut rest: &[u8] = &directory;
    let mut entries: Vec<Entry> = Vec::with_capacity(end.entries);
    let (mut at, mut unpacked) = (0, 0_u64);
    for _ in 0..end.entries {
        let (header, after) = Header::central(rest)?;
        rest = after;
        let entry = header.entry(limits)?;
        let name = || entry.path.to_string();
        if entries.last().is_some_and(|last| last.path >= entry.path) {
            return Err(LayoutError::Order { name: name() });
        }
        if header.local_at != at {
            return Err(LayoutError::Gap { name: name() });
        }
        let mut local = vec![0; LOCAL_BYTES + header.name.len()];
        if at + local.len() as u64 + header.packed_bytes > end.directory_at {
            return Err(LayoutError::End);
        }
        read_at(archive, at, &mut local)?;
        header.check_local(&local)?;
        at += local.len() as u64 + header.packed_bytes;
        unpacked = unpacked.saturating_add(entry.size);
        entries.push(entry);
    }
    if at != end.directory_at || !rest.is_empty() {
        return Err(LayoutError::Gap {
            name: "(the directory)".to_owned(),
        });
    }
    let max = limits.unpacked_bytes_max(len);
    match unpacked > max {
        true => Err(LayoutError::Unpacked {
            size: unpacked,
            max,
        }),
        false => Ok(entries),
    }
}

/// The end of central directory record, which is the last thing in the file.
struct End {
    entries: usize,
    directory_at: u64,
    directory_bytes: u64,
}

impl End {
    fn read(
        archive: &mut (impl Read + Seek),
        len: u64,
        limits: &Limits,
    ) -> Result<Self, LayoutError> {
        let mut head = [0; 4];
        let at = len
            .checked_sub(END_BYTES as u64)
            .ok_or(LayoutError::NotZip)?;
        read_at(archive, 0, &mut head)?;
        if u32::from_le_bytes(head) != LOCAL_MAGIC {
            return Err(LayoutError::NotZip);
        }
        let mut end = [0; END_BYTES];
        read_at(archive, at, &mut end)?;
        let mut fields = Fields(&end);
        if fields.u32() != END_MAGIC {
            return Err(LayoutError::End);
        }
        let (disk, first_disk) = (fields.u16(), fields.u16());
        let (here, entries) = (fields.u16(), fields.u16());
        let (directory_bytes, directory_at) = (u64::from(fields.u32()), u64::from(fields.u32()));
        let comment = fields.u16();
        if (disk, first_disk, comment) != (0, 0, 0)
            || here != entries
            || directory_at + directory_bytes != at
        {
            return Err(LayoutError::End);
        }
        let entries = usize::from(entries);
        // The manifest of digests is one more.
        if entries > limits.files_max + 1 {
            return Err(LayoutError::Files {
                found: entries - 1,
                max: limits.files_max,
            });
        }
        if directory_bytes > (entries * (CENTRAL_BYTES + PATH_BYTES_MAX)) as u64 {
            return Err(LayoutError::End);
        }
        Ok(Self {
            entries,
            directory_at,
            directory_bytes,
        })
    }
}

/// What both descriptions of a file say, and what the central one adds.
struct Header<'a> {
    name: &'a str,
    version_needed: u16,
    flags: u16,
    method: u16,
    time: u16,
    date: u16,
    crc: u32,
    packed_bytes: u64,
    size: u64,
    extra_bytes: u16,
    system: u8,
    comment_bytes: u16,
    disk: u16,
    internal: u16,
    attributes: u32,
    local_at: u64,
}

impl<'a> Header<'a> {
    fn central(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), LayoutError> {
        let (fixed, rest) = bytes
            .split_at_checked(CENTRAL_BYTES)
            .ok_or(LayoutError::End)?;
        let mut fields = Fields(fixed);
        if fields.u32() != CENTRAL_MAGIC {
            return Err(LayoutError::End);
        }
        let [_version, system] = fields.u16().to_le_bytes();
        let version_needed = fields.u16();
        let (flags, method, time, date) = (fields.u16(), fields.u16(), fields.u16(), fields.u16());
        let (crc, packed, size) = (fields.u32(), fields.u32(), fields.u32());
        let (name_bytes, extra_bytes, comment_bytes) = (fields.u16(), fields.u16(), fields.u16());
        let (disk, internal) = (fields.u16(), fields.u16());
        let (attributes, local_at) = (fields.u32(), fields.u32());
        let (name, rest) = rest
            .split_at_checked(usize::from(name_bytes))
            .ok_or(LayoutError::End)?;
        let name = std::str::from_utf8(name).map_err(|_| LayoutError::NotText)?;
        let header = Self {
            name,
            version_needed,
            flags,
            method,
            time,
            date,
            crc,
            packed_bytes: u64::from(packed),
            size: u64::from(size),
            extra_bytes,
            system,
            comment_bytes,
            disk,
            internal,
            attributes,
            local_at: u64::from(local_at),
        };
        Ok((header, rest))
    }

    /// Checks everything that is said about a file alone.
    fn entry(&self, limits: &Limits) -> Result<Entry, LayoutError> {
        let name = || self.name.to_owned();
        let uses = |feature| LayoutError::Feature {
            name: name(),
            feature,
        };
        if self.name.ends_with('/') {
            return Err(LayoutError::Kind { name: name() });
        }
        let path: PackagePath = self.name.parse().map_err(|error| LayoutError::Name {
            name: name(),
            error,
        })?;
        let features = [
            (self.flags & 1 != 0, "encryption of ZIP"),
            (self.flags & 1 << 3 != 0, "a data descriptor"),
            (self.flags & !FLAG_UTF8 != 0, "other flags"),
            (
                (self.flags != 0) == self.name.is_ascii(),
                "another character set",
            ),
            (
                self.method != 0 && self.method != 8,
                "another compression than deflate",
            ),
            (self.version_needed > VERSION_NEEDED_MAX, "a newer ZIP"),
            (self.extra_bytes != 0, "extra fields"),
            (self.comment_bytes != 0, "a comment"),
            (self.disk != 0, "several disks"),
            (self.internal != 0, "internal attributes"),
            (
                self.time != 0 || self.date != DATE,
                "another time than 1980-01-01 00:00",
            ),
            (
                self.method == 0 && self.packed_bytes != self.size,
                "a length that cannot be",
            ),
        ];
        if let Some((_, feature)) = features.iter().find(|(used, _)| *used) {
            return Err(uses(feature));
        }
        let executable = match (self.system, self.attributes >> 16, self.attributes & 0xffff) {
            (SYSTEM_UNIX, MODE_FILE, 0) => false,
            (SYSTEM_UNIX, MODE_PROGRAM, 0) => true,
            _ => return Err(LayoutError::Kind { name: name() }),
        };
        let max = match self.name == DIGESTS_PATH {
            true => crate::digest::DIGESTS_BYTES_MAX,
            false => limits.file_bytes_max,
        };
        if self.size > max {
            return Err(LayoutError::FileSize {
                name: name(),
                size: self.size,
                max,
            });
        }
        Ok(Entry {
            path,
            size: self.size,
            executable,
        })
    }

    /// Checks that the description in front of the content says the same.
    fn check_local(&self, bytes: &[u8]) -> Result<(), LayoutError> {
        let mut fields = Fields(bytes);
        let same = fields.u32() == LOCAL_MAGIC
            && fields.u16() == self.version_needed
            && fields.u16() == self.flags
            && fields.u16() == self.method
            && fields.u16() == self.time
            && fields.u16() == self.date
            && fields.u32() == self.crc
            && u64::from(fields.u32()) == self.packed_bytes
            && u64::from(fields.u32()) == self.size
            && usize::from(fields.u16()) == self.name.len()
            && fields.u16() == 0
            && fields.0 == self.name.as_bytes();
        match same {
            true => Ok(()),
            false => Err(LayoutError::Differ {
                name: self.name.to_owned(),
            }),
        }
    }
}

/// Little-endian fields one after another. What is missing reads as zero: the callers have counted the bytes.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().unwrap_or((&[0; N], &[]));
        self.0 = rest;
        *field
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

fn read_at(
    archive: &mut (impl Read + Seek),
    at: u64,
    buffer: &mut [u8],
) -> Result<(), LayoutError> {
    archive.seek(SeekFrom::Start(at)).map_err(io_error)?;
    archive.read_exact(buffer).map_err(io_error)
}

fn io_error(error: io::Error) -> LayoutError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => LayoutError::End,
        _ => LayoutError::Io(error.to_string()),
    }
}
