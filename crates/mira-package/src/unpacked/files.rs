//! The files of an unpacked copy: written read-only, compared with the digest manifest, removed.
//!
//! INVARIANT: no symbolic link is followed inside of a copy.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::UnpackError;
use crate::archive::Package;
use crate::digest::{DIGESTS_BYTES_MAX, DIGESTS_PATH, Digest, Digests, FileEntry, Hashing};

const MODE_FILE: u32 = 0o444;
const MODE_PROGRAM: u32 = 0o555;
const MODE_FOLDER: u32 = 0o555;
const MODE_OPEN_FOLDER: u32 = 0o700;

/// Writes all files of a package into a new folder, durably, and makes them read-only.
pub(super) fn write(copy: &Path, package: &mut Package) -> Result<Digests, UnpackError> {
    let digests = package.digests().clone();
    let folders = folders(&digests);
    for folder in &folders {
        let folder = copy.join(folder);
        fs::create_dir(&folder).map_err(UnpackError::io("make", &folder))?;
    }
    for file in digests.files() {
        let path = file.path.below(copy);
        let mode = if file.executable {
            MODE_PROGRAM
        } else {
            MODE_FILE
        };
        let mut output = create(&path)?;
        package.write_to(file, &mut output)?;
        set_mode(&path, mode)?;
    }
    let path = copy.join(DIGESTS_PATH);
    let mut output = create(&path)?;
    output
        .write_all(&digests.to_bytes())
        .map_err(UnpackError::io("write", &path))?;
    set_mode(&path, MODE_FILE)?;
    // Deepest first: a folder that is read-only takes no more files.
    for folder in folders.iter().rev() {
        set_mode(&copy.join(folder), MODE_FOLDER)?;
    }
    save(copy, &digests, &folders)?;
    Ok(digests)
}

/// Compares a copy with the digest that it is named by; returns its digest manifest.
pub(super) fn verify(copy: &Path, digest: &Digest) -> Result<Digests, UnpackError> {
    let changed = |path: &str| UnpackError::Changed {
        folder: copy.to_owned(),
        path: path.to_owned(),
    };
    let manifest = |source| UnpackError::Manifest {
        folder: copy.to_owned(),
        source,
    };
    let digests = File::open(copy.join(DIGESTS_PATH)).ok().and_then(|file| {
        let mut bytes = Vec::new();
        file.take(DIGESTS_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    });
    let bytes = digests
        .filter(|bytes| Digest::of(bytes) == *digest)
        .ok_or_else(|| manifest(None))?;
    let digests = Digests::parse(&bytes).map_err(|error| manifest(Some(error)))?;

    for folder in &folders(&digests) {
        let metadata = fs::symlink_metadata(copy.join(folder)).map_err(|_| changed(folder))?;
        if !metadata.is_dir() || !has_mode(&metadata, MODE_FOLDER) {
            return Err(changed(folder));
        }
    }
    let mut expected: BTreeSet<&str> = digests
        .files()
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    expected.insert(DIGESTS_PATH);
    for found in list(copy)? {
        if !expected.contains(found.as_str()) {
            return Err(changed(&found));
        }
    }
    for file in digests.files() {
        let same =
            is_unchanged(copy, file).map_err(UnpackError::io("read", &file.path.below(copy)))?;
        if !same {
            return Err(changed(file.path.as_str()));
        }
    }
    Ok(digests)
}

fn is_unchanged(copy: &Path, file: &FileEntry) -> io::Result<bool> {
    let path = file.path.below(copy);
    let mode = if file.executable {
        MODE_PROGRAM
    } else {
        MODE_FILE
    };
    let metadata = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        found => found?,
    };
    if !metadata.is_file() || metadata.len() != file.size || !has_mode(&metadata, mode) {
        return Ok(false);
    }
    let mut hashing = Hashing::new(io::sink());
    io::copy(&mut File::open(&path)?.take(file.size + 1), &mut hashing)?;
    Ok(hashing.finish().0 == file.sha256)
}

/// Lists everything in a copy that is no folder, by its path in the package.
fn list(copy: &Path) -> Result<Vec<String>, UnpackError> {
    let mut found = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(below) = folders.pop() {
        let folder = copy.join(&below);
        let io = || UnpackError::io("list", &folder);
        for entry in fs::read_dir(&folder).map_err(io())? {
            let entry = entry.map_err(io())?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if below.is_empty() {
                name
            } else {
                format!("{below}/{name}")
            };
            match entry.file_type().map_err(io())?.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    Ok(found)
}

/// Returns the folders of a package, the outermost first: its top, which is the empty path, and those that files are in.
fn folders(digests: &Digests) -> BTreeSet<&str> {
    let paths = digests.files().iter().map(|file| file.path.as_str());
    let mut folders: BTreeSet<&str> = paths
        .flat_map(|path| path.match_indices('/').filter_map(|(at, _)| path.get(..at)))
        .collect();
    folders.insert("");
    folders
}

/// Removes a folder with all that is in it, read-only or not, or what is there instead; one that is gone is removed.
pub(super) fn remove(folder: &Path) -> Result<(), UnpackError> {
    let removed = fs::symlink_metadata(folder).and_then(|metadata| match metadata.is_dir() {
        true => open_up(folder).and_then(|()| fs::remove_dir_all(folder)),
        false => fs::remove_file(folder),
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(UnpackError::io("remove", folder)),
    }
}

/// Makes folders writable, so that what is in them can be removed.
fn open_up(folder: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    if metadata.is_dir() {
        change_mode(folder, MODE_OPEN_FOLDER)?;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open_up(&entry.path())?;
            }
        }
    }
    Ok(())
}

fn create(path: &Path) -> Result<File, UnpackError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    options.open(path).map_err(UnpackError::io("make", path))
}

/// Makes a copy durable before it appears: all of the file system at once, as a wait for each file takes milliseconds.
#[cfg(target_os = "linux")]
fn save(copy: &Path, _digests: &Digests, _folders: &BTreeSet<&str>) -> Result<(), UnpackError> {
    let synced = File::open(copy).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
    synced.map_err(UnpackError::io("save", copy))
}

/// Makes a copy durable before it appears.
#[cfg(not(target_os = "linux"))]
fn save(copy: &Path, digests: &Digests, folders: &BTreeSet<&str>) -> Result<(), UnpackError> {
    let own = copy.join(DIGESTS_PATH);
    let files = digests.files().iter().map(|file| file.path.below(copy));
    for path in files.chain([own]) {
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(UnpackError::io("save", &path))?;
    }
    let mut folders = folders.iter().rev();
    folders.try_for_each(|folder| super::sync(&copy.join(folder)))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), UnpackError> {
    change_mode(path, mode).map_err(UnpackError::io("change the mode of", path))
}

#[cfg(unix)]
fn change_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn change_mode(path: &Path, mode: u32) -> io::Result<()> {
    let metadata = fs::metadata(path)?;
    let mut permissions = metadata.permissions();
    permissions.set_readonly(metadata.is_file() && mode != MODE_OPEN_FOLDER);
    fs::set_permissions(path, permissions)
}

#[cfg(unix)]
fn has_mode(metadata: &Metadata, mode: u32) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o7777 == mode
}

#[cfg(not(unix))]
fn has_mode(_metadata: &Metadata, _mode: u32) -> bool {
    true
}

/// Returns whether an open folder is the one at a path.
#[cfg(unix)]
pub(super) fn is_same(open: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let pair = (open.metadata(), fs::symlink_metadata(path));
    matches!(pair, (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

#[cfg(not(unix))]
pub(super) fn is_same(_open: &File, path: &Path) -> bool {
    path.is_dir()
}
