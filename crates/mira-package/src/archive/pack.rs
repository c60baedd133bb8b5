//! Packing a folder: the same files give the same bytes, on every machine and at any time.
//!
//! INVARIANT: what is written would be opened again, and it is in its place whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use mira_age::{AgeError, Recipients};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use crate::archive::folder::{self, Found};
use crate::archive::limits::Limits;
use crate::archive::{LayoutError, MANIFEST_PATH, layout};
use crate::digest::{DIGESTS_PATH, Digest, Digests, DigestsError, FileEntry, Hashing};
use crate::path::{PackagePath, PathError};
use crate::sealed::{SECRETS_PATH, Sealed};

/// How hard is tried to compress: zlib's own default. Another one makes other bytes.
const DEFLATE_LEVEL: i64 = 6;

/// What goes into a package beside the folder's files.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct PackOptions {
    /// Secrets to take along, sealed.
    pub sealed: Option<Sealed>,
    /// Whom the whole package is encrypted for; with `None` it is not.
    pub encrypt: Option<Recipients>,
    /// The bounds that it has to keep.
    pub limits: Limits,
}

/// What was packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The digest manifest of the package.
    pub digests: Digests,
    /// The length of the package file, in bytes.
    pub bytes: u64,
}

/// Why a folder was not packed. Nothing was written then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// There is no manifest at the top of the folder.
    #[error("the folder has no {MANIFEST_PATH} at its top; `mira new` makes one")]
    NoManifest,
    /// A name is none that a package can have.
    #[error("{path:?} cannot be in a package: {error}; rename it, or name it in .miraignore")]
    Path {
        /// The file or folder.
        path: String,
        /// What is wrong with its name.
        error: PathError,
    },
    /// A name is not UTF-8.
    #[error("the name of {} is not UTF-8 text; rename it, or name it in .miraignore", path.display())]
    NotText {
        /// The file or folder.
        path: PathBuf,
    },
    /// A symbolic link leads out of the folder.
    #[error(
        "{path:?} is a link that leads out of the folder; put the file itself there, or name the link in .miraignore"
    )]
    LinkOut {
        /// The link.
        path: String,
    },
    /// A file is a link to a folder, a socket, a pipe or a device.
    #[error(
        "{path:?} is no regular file (a link to a folder, a socket, a pipe or a device); name it in .miraignore"
    )]
    Kind {
        /// The file.
        path: String,
    },
    /// A file is named as those are that hold secrets in plain.
    #[error(
        "{path:?} looks like secrets in plain, and everybody who has the package could read it; name it in .miraignore, and seal what the app needs (`mira pack --seal`)"
    )]
    PlaintextSecrets {
        /// The file.
        path: String,
    },
    /// The ignore file is not understood.
    #[error(".miraignore is not understood: {message}")]
    Ignore {
        /// What the parser says.
        message: String,
    },
    /// There are more files than the limit.
    #[error("the folder has more than {max} files; name what the app does not need in .miraignore")]
    Files {
        /// The limit.
        max: usize,
    },
    /// Sealed secrets are given, and in the folder there are some already.
    #[error(
        "the folder has a {SECRETS_PATH} already, and other sealed secrets are given; remove one of them"
    )]
    SecretsTwice,
    /// The folder's own sealed secrets are none.
    #[error(
        "{SECRETS_PATH} in the folder is no age file, so it may hold secrets in plain; seal them (`mira pack --seal`)"
    )]
    SecretsNotSealed,
    /// A name of the package's own is taken, or two names are one on some system.
    #[error(transparent)]
    Digests(#[from] DigestsError),
    /// A file was changed while it was packed.
    #[error("{path:?} was changed while it was packed; try again")]
    Changed {
        /// The file.
        path: String,
    },
    /// The package would not be opened.
    #[error("the package would be refused: {0}")]
    Refused(#[from] LayoutError),
    /// It cannot be encrypted.
    #[error("the package cannot be encrypted: {0}")]
    Encrypt(#[from] AgeError),
    /// The package would be longer than the limit.
    #[error("the package would have {bytes} bytes, and at most {max} are accepted")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// The system refused.
    #[error("cannot read or write {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl PackError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::Io { path, source }
    }
}

/// What an entry's content is read from.
enum Content {
    File(PathBuf),
    Memory(Vec<u8>),
}

impl Content {
    fn reader(&self) -> Result<Box<dyn Read + '_>, PackError> {
        Ok(match self {
            Self::File(path) => Box::new(File::open(path).map_err(PackError::io(path))?),
            Self::Memory(bytes) => Box::new(&bytes[..]),
        })
    }
}

/// Packs a folder into the file `output`, which is replaced if it is there.
///
/// # Errors
///
/// Returns why the folder cannot be packed; `output` is as it was then.
pub fn pack(folder: &Path, output: &Path, options: &PackOptions) -> Result<Packed, PackError> {
    let mut contents = contents(folder, options)?;
    let files = contents
        .iter()
        .map(|(found, content)| described(found, content));
    let digests = Digests::new(files.collect::<Result<_, _>>()?)?;
    let max = options.limits.file_bytes_max;
    if let Some(file) = digests.files().iter().find(|file| file.size > max) {
        let name = file.path.to_string();
        return Err(LayoutError::FileSize {
            name,
            size: file.size,
            max,
        }
        .into());
    }
    let own = PackagePath::from_str_constant(DIGESTS_PATH);
    contents.push(((own, false), Content::Memory(digests.to_bytes())));
    contents.sort_by(|((a, _), _), ((b, _), _)| a.cmp(b));

    let io = || PackError::io(output);
    let beside = output.parent().filter(|parent| *parent != Path::new(""));
    let beside = beside.unwrap_or(Path::new("."));
    let mut plain = tempfile::tempfile_in(beside).map_err(io())?;
    write_zip(&mut plain, &contents, &digests).map_err(|error| error.of(output))?;
    layout::check(&mut plain, &options.limits)?;
    plain.seek(SeekFrom::Start(0)).map_err(io())?;

    let mut named = tempfile::NamedTempFile::new_in(beside).map_err(io())?;
    match &options.encrypt {
        Some(recipients) => {
            let mut writer = mira_age::seal(named.as_file_mut(), recipients)?;
            io::copy(&mut plain, &mut writer).map_err(io())?;
            writer.finish().map_err(io())?;
        }
        None => {
            io::copy(&mut plain, named.as_file_mut()).map_err(io())?;
        }
    }
    let bytes = named.as_file().metadata().map_err(io())?.len();
    let max = options.limits.package_bytes_max;
    if bytes > max {
        return Err(PackError::TooLong { bytes, max });
    }
    make_public(named.as_file()).map_err(io())?;
    named.as_file().sync_all().map_err(io())?;
    named
        .persist(output)
        .map_err(|error| error.error)
        .map_err(io())?;
    Ok(Packed { digests, bytes })
}

/// Returns what of a folder would be packed, without reading it.
///
/// # Errors
///
/// Returns the first reason why the folder cannot be packed that shows without reading its files.
pub fn list(folder: &Path, options: &PackOptions) -> Result<Vec<PackagePath>, PackError> {
    let files = contents(folder, options)?;
    let unread = files.into_iter().map(|((path, executable), _)| FileEntry {
        path,
        size: 0,
        sha256: Digest::of(b""),
        executable,
    });
    let digests = Digests::new(unread.collect())?;
    let paths = digests.files().iter().map(|file| file.path.clone());
    Ok(paths.collect())
}

type Named = (PackagePath, bool);

fn contents(folder: &Path, options: &PackOptions) -> Result<Vec<(Named, Content)>, PackError> {
    let found = folder::list(folder, options.limits.files_max)?;
    let has = |path: &str| found.iter().any(|one| one.path.as_str() == path);
    if !has(MANIFEST_PATH) {
        return Err(PackError::NoManifest);
    }
    let own_secrets = found.iter().find(|one| one.path.as_str() == SECRETS_PATH);
    if let Some(Found { file, .. }) = own_secrets {
        let bytes = fs::read(file).map_err(PackError::io(file))?;
        Sealed::new(bytes).map_err(|_| PackError::SecretsNotSealed)?;
        if options.sealed.is_some() {
            return Err(PackError::SecretsTwice);
        }
    }
    let given = options.sealed.iter().map(|sealed| {
        let path = PackagePath::from_str_constant(SECRETS_PATH);
        ((path, false), Content::Memory(sealed.as_bytes().to_vec()))
    });
    let given: Vec<_> = given.collect();
    let found = found
        .into_iter()
        .map(|one| ((one.path, one.executable), Content::File(one.file)));
    Ok(found.chain(given).collect())
}

/// Reads a file once, for its digest.
fn described((path, executable): &Named, content: &Content) -> Result<FileEntry, PackError> {
    let name = PathBuf::from(path.as_str());
    let mut hashing = Hashing::new(io::sink());
    io::copy(&mut content.reader()?, &mut hashing).map_err(PackError::io(&name))?;
    let (sha256, size) = hashing.finish();
    Ok(FileEntry {
        path: path.clone(),
        size,
        sha256,
        executable: *executable,
    })
}

/// Why the archive was not written.
enum WriteError {
    Output(io::Error),
    Pack(PackError),
}

impl WriteError {
    fn of(self, output: &Path) -> PackError {
        match self {
            Self::Output(source) => PackError::io(output)(source),
            Self::Pack(error) => error,
        }
    }
}

impl From<ZipError> for WriteError {
    fn from(error: ZipError) -> Self {
        Self::Output(error.into())
    }
}

impl From<PackError> for WriteError {
    fn from(error: PackError) -> Self {
        Self::Pack(error)
    }
}

/// Reads each file once more, and writes it.
fn write_zip(
    output: &mut (impl Write + Seek),
    contents: &[(Named, Content)],
    digests: &Digests,
) -> Result<(), WriteError> {
    let options = SimpleFileOptions::default()
        .system(System::Unix)
        .last_modified_time(DateTime::default())
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(DEFLATE_LEVEL));
    let mut zip = ZipWriter::new(output);
    let mut piece = vec![0; 64 * 1024];
    for ((path, executable), content) in contents {
        let mode = if *executable { 0o755 } else { 0o644 };
        zip.start_file(path.as_str(), options.unix_permissions(mode))?;
        let mut hashing = Hashing::new(&mut zip);
        let mut reader = content.reader()?;
        loop {
            let name = Path::new(path.as_str());
            let read = reader.read(&mut piece).map_err(PackError::io(name))?;
            let read = piece.get(..read).unwrap_or_default();
            if read.is_empty() {
                break;
            }
            hashing.write_all(read).map_err(WriteError::Output)?;
        }
        let (sha256, size) = hashing.finish();
        let described = digests.file(path.as_str());
        if described.is_some_and(|file| (file.size, file.sha256) != (size, sha256)) {
            return Err(PackError::Changed {
                path: path.to_string(),
            }
            .into());
        }
    }
    zip.finish()?;
    Ok(())
}

/// A package is for others: it gets the mode of any new file, and not that of a private one.
#[cfg(unix)]
fn make_public(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn make_public(_file: &File) -> io::Result<()> {
    Ok(())
}
