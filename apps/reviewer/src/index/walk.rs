//! The files of a folder, as the index takes them. INVARIANT: no symbolic link is followed.

use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::{Language, Source};

/// The largest file that is indexed, in bytes.
// LIMIT: larger ones are generated or data.
pub(crate) const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Returns an id of a file's content.
pub(crate) fn blob_id(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

/// Reads the files of known languages below a folder, without those that git ignores. Unreadable and oversized ones are left out.
pub(crate) fn files(folder: &Path) -> Vec<Source> {
    let walk = ignore::WalkBuilder::new(folder)
        .hidden(false)
        .follow_links(false)
        .require_git(false)
        .build();
    let mut out = Vec::new();
    for entry in walk.filter_map(Result::ok) {
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        let Some(path) = entry
            .path()
            .strip_prefix(folder)
            .ok()
            .and_then(Path::to_str)
        else {
            continue;
        };
        if !is_file || path.starts_with(".git/") || Language::of(path).is_none() {
            continue;
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(entry.path());
        let read =
            file.and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
        if read.is_ok() && bytes.len() <= FILE_BYTES_MAX {
            out.push(Source {
                path: path.to_owned(),
                blob: blob_id(&bytes),
                bytes,
            });
        }
    }
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}
