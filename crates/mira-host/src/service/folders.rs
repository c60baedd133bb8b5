//! The folders of an instance: made where they are missing, and the one for secret files only where it is memory.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{Folders, InstanceSpec};

/// The kinds of file system that are memory only, by their magic numbers: statfs(2).
const IN_MEMORY: [rustix::fs::FsWord; 2] = [0x0102_1994, 0x8584_58f6];

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The package is not where it is said to be.
    #[error("{0:?}, the folder of the unpacked package, is not there; open the package again")]
    NoPackage(PathBuf),
    /// The folder could not be made or looked at.
    #[error("{path:?} cannot be used: {source}")]
    System {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder for secret files is on a disk.
    #[error(
        "{0:?} is on a disk, where a secret must not be written; set XDG_RUNTIME_DIR to a folder on tmpfs"
    )]
    NotInMemory(PathBuf),
}

/// Checks that a folder is on a file system that is memory only: tmpfs or ramfs.
///
/// What tmpfs holds may still be swapped out: that is the system's to encrypt, as for all memory.
///
/// # Errors
///
/// Says where it is not, or cannot be told.
pub fn check_in_memory(folder: &Path) -> Result<(), FolderError> {
    let stat = rustix::fs::statfs(folder).map_err(|errno| system(folder, errno.into()))?;
    if IN_MEMORY.contains(&stat.f_type) {
        Ok(())
    } else {
        Err(FolderError::NotInMemory(folder.to_owned()))
    }
}

/// Makes what is missing, for nobody else to look into.
pub(crate) fn provide(spec: &InstanceSpec) -> Result<(), FolderError> {
    let Folders {
        package,
        home,
        tmp,
        logs,
        runtime_secrets,
    } = &spec.folders;
    if !package.is_dir() {
        return Err(FolderError::NoPackage(package.clone()));
    }
    for folder in [home, tmp, logs] {
        make(folder)?;
    }
    if spec
        .services
        .iter()
        .any(|service| !service.files(spec).is_empty())
    {
        make(runtime_secrets)?;
        check_in_memory(runtime_secrets)?;
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), FolderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| system(folder, error))
}

fn system(path: &Path, source: io::Error) -> FolderError {
    FolderError::System {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_a_disk() {
        check_in_memory(Path::new("/dev/shm")).unwrap();
        // Neither is on a disk, and neither is a place for files.
        for other in ["/proc", "/sys"] {
            let refused = check_in_memory(Path::new(other));
            assert!(
                matches!(refused, Err(FolderError::NotInMemory(_))),
                "{other}"
            );
        }
        let missing = check_in_memory(Path::new("/no/such/folder"));
        assert!(matches!(missing, Err(FolderError::System { .. })));
    }
}
