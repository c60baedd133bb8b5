//! What of a folder goes into a package: everything but what is ignored, and nothing that looks like a mistake.
//!
//! INVARIANT: no file from outside of the folder is listed, and none that is named like plaintext secrets.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::archive::pack::PackError;
use crate::path::PackagePath;

/// The file at the top of a folder that says what stays out, in the words of gitignore(5).
pub const IGNORE_FILE: &str = ".miraignore";

/// What stays out of every package, unless [`IGNORE_FILE`] says otherwise (`!name`).
const IGNORED: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    ".jj",
    "/.miraignore", // whose history and tools it is
    "*~",
    ".*.sw?",
    ".#*",
    "\\#*#",
    ".DS_Store",
    "Thumbs.db",    // what editors and desktops leave
    "__pycache__/", // what running it leaves
    "*.mira",
    "*.mira.minisig", // packages
];

/// Who says that something stays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IgnoredBy {
    /// The list that holds for all packages.
    Default,
    /// The folder's own [`IGNORE_FILE`].
    IgnoreFile,
}

/// A file that goes into the package.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PackagePath,
    pub(super) file: PathBuf,
    pub(super) executable: bool,
}

/// Lists the files of a folder, in no particular order.
pub(super) fn list(folder: &Path, files_max: usize) -> Result<Vec<Found>, PackError> {
    let root = folder.canonicalize().map_err(PackError::io(folder))?;
    let mut walk = Walk {
        ignored: ignored(&root)?,
        root,
        found: Vec::new(),
        files_max,
    };
    let top = walk.root.clone();
    walk.folder(&top, "")?;
    Ok(walk.found)
}

fn ignored(root: &Path) -> Result<Gitignore, PackError> {
    let wrong = |error: ignore::Error| PackError::Ignore {
        message: error.to_string(),
    };
    let mut builder = GitignoreBuilder::new(root);
    for line in IGNORED {
        builder.add_line(None, line).map_err(wrong)?;
    }
    let file = root.join(IGNORE_FILE);
    if file.symlink_metadata().is_ok() {
        builder
            .add(file)
            .map_or(Ok(()), |error| Err(wrong(error)))?;
    }
    builder.build().map_err(wrong)
}

struct Walk {
    root: PathBuf,
    ignored: Gitignore,
    found: Vec<Found>,
    files_max: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, below: &str) -> Result<(), PackError> {
        for entry in fs::read_dir(folder).map_err(PackError::io(folder))? {
            let entry = entry.map_err(PackError::io(folder))?;
            let file = entry.path();
            let name = entry.file_name();
            let kind = entry.file_type().map_err(PackError::io(&file))?;
            let relative = file.strip_prefix(&self.root).unwrap_or(&file);
            if self.ignored.matched(relative, kind.is_dir()).is_ignore() {
                continue;
            }
            let name = name
                .to_str()
                .ok_or_else(|| PackError::NotText { path: file.clone() })?;
            let path = match below {
                "" => name.to_owned(),
                _ => format!("{below}/{name}"),
            };
            // A folder's name is checked as a file's: also where the folder is empty.
            let checked: PackagePath = path.parse().map_err(|error| PackError::Path {
                path: path.clone(),
                error,
            })?;
            if kind.is_dir() {
                self.folder(&file, &path)?;
            } else {
                self.file(checked, file)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: PackagePath, file: PathBuf) -> Result<(), PackError> {
        let real = file.canonicalize().map_err(PackError::io(&file))?;
        // A link to a file inside is packed as that file; the file's own name counts as well.
        let Ok(inside) = real.strip_prefix(&self.root) else {
            return Err(PackError::LinkOut {
                path: path.to_string(),
            });
        };
        let looks_secret =
            looks_like_secrets(path.as_str()) || inside.to_str().is_none_or(looks_like_secrets);
        if looks_secret {
            return Err(PackError::PlaintextSecrets {
                path: path.to_string(),
            });
        }
        let metadata = fs::metadata(&real).map_err(PackError::io(&file))?;
        if !metadata.is_file() {
            return Err(PackError::Kind {
                path: path.to_string(),
            });
        }
        if self.found.len() == self.files_max {
            return Err(PackError::Files {
                max: self.files_max,
            });
        }
        let executable = is_executable(&metadata);
        self.found.push(Found {
            path,
            file: real,
            executable,
        });
        Ok(())
    }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &Metadata) -> bool {
    false
}

/// Returns whether a file is named as those are that hold secrets in plain.
fn looks_like_secrets(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default().to_lowercase();
    let example = [".example", ".sample", ".template", ".dist"];
    let dotenv = name == ".env" || name.ends_with(".env") || name.starts_with(".env.");
    let keys = [
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        ".netrc",
        ".pgpass",
        ".git-credentials",
    ];
    dotenv && !example.iter().any(|ending| name.ends_with(ending)) || keys.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_plaintext_secrets_are_known() {
        for name in [
            ".env",
            "secrets.env",
            "a/.env",
            ".env.local",
            "Prod.ENV",
            "id_ed25519",
            "a/.netrc",
        ] {
            assert!(looks_like_secrets(name), "{name}");
        }
        for name in [
            ".env.example",
            "env",
            "a.environment",
            ".envrc.txt",
            "id_rsa.pub",
            "secrets.encrypted",
        ] {
            assert!(!looks_like_secrets(name), "{name}");
        }
    }
}
