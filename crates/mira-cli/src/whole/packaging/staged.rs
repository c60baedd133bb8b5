//! A package on its way to its place: made beside it, and put there whole, with its signature.
//!
//! INVARIANT: a package never stands beside the signature of another one.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mira_package::signature::signature_path;
use tempfile::{TempDir, TempPath};

use super::{cannot, folder_of};
use crate::error::CommandError;

/// What a folder begins with that no package takes along.
const PREFIX: &str = ".#mira-";

/// A place for a package that is not done.
pub(crate) struct Staged {
    folder: TempDir,
    output: PathBuf,
}

impl Staged {
    /// Makes a place beside where the package will be.
    pub(crate) fn beside(output: &Path) -> Result<Self, CommandError> {
        let beside = folder_of(output);
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(beside)
            .map_err(|error| cannot("write into", beside, &error))?;
        Ok(Self {
            folder,
            output: output.to_owned(),
        })
    }

    /// Returns where the package is to be made.
    pub(crate) fn package(&self) -> PathBuf {
        self.folder.path().join("package.mira")
    }

    /// Puts the package and its signature into their places; others are replaced only if that is wanted.
    pub(crate) fn put(self, signature: Option<&str>, replace: bool) -> Result<(), CommandError> {
        self.put_in_place(signature, replace)
            .map_err(|error| cannot("write", &self.output, &error))
    }

    fn put_in_place(&self, signature: Option<&str>, replace: bool) -> io::Result<()> {
        let at = signature_path(&self.output);
        let signature = signature.map(|text| self.signature(text)).transpose()?;
        if replace {
            match fs::remove_file(&at) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let package = TempPath::try_from_path(self.package())?;
        persist(package, &self.output, replace)?;
        if let Some(signature) = signature {
            persist(signature, &at, replace)?;
        }
        File::open(folder_of(&self.output))?.sync_all()
    }

    fn signature(&self, text: &str) -> io::Result<TempPath> {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(self.folder.path())?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok(file.into_temp_path())
    }
}

fn persist(file: TempPath, to: &Path, replace: bool) -> io::Result<()> {
    let persisted = match replace {
        true => file.persist(to),
        false => file.persist_noclobber(to),
    };
    persisted.map_err(|error| error.error)
}
