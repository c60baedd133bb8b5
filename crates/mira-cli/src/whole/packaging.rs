//! What the packaging commands share: manifests of folders, passwords and keys, and the search for values in what is packed.

mod keys;
mod leaks;
mod password;
mod sealing;
mod shown;
mod staged;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use mira_host::instances::InstanceError;
use mira_package::archive::MANIFEST_PATH;
use mira_package::manifest::{FILE_BYTES_MAX, Manifest};

use crate::error::CommandError;

pub(crate) use keys::{public_key, signing_key};
pub(crate) use leaks::Leaks;
pub(crate) use password::{ask_twice, new_password, read_secret_file};
pub(crate) use sealing::{SealFor, secrets_to_seal};
pub(crate) use shown::{calls, joined, shown, texts, word, written};
pub(crate) use staged::Staged;

/// Returns the folder's manifest as it is written.
pub(crate) fn manifest_bytes(folder: &Path) -> Result<Vec<u8>, CommandError> {
    let path = manifest_path(folder);
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| {
        // One more than is accepted, so that the parser says that it is too long.
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)
    });
    match read {
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(CommandError::failed(
            format!("there is no {}", path.display()),
        )
        .hint("`mira new NAME` makes a folder that has one.")),
        Err(error) => Err(cannot("read", &path, &error)),
    }
}

/// Parses a folder's manifest; an error names all of its faults.
pub(crate) fn parse_manifest(bytes: &[u8]) -> Result<Manifest, CommandError> {
    Manifest::parse_bytes(bytes).map_err(|error| InstanceError::from(error).into())
}

/// Returns where a folder's manifest is, spelled as the folder is.
pub(crate) fn manifest_path(folder: &Path) -> PathBuf {
    match folder == Path::new(".") {
        true => PathBuf::from(MANIFEST_PATH),
        false => folder.join(MANIFEST_PATH),
    }
}

/// Returns the folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Says what was tried with which file or folder.
pub(crate) fn cannot(action: &str, path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot {action} {}: {error}", path.display()))
}
