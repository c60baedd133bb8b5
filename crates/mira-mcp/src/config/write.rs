//! A client's file on the disk: read once, replaced in one step.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::Path;

use tempfile::Builder;

use super::ConfigError;

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ConfigError {
    let path = path.to_owned();
    move |source| ConfigError::Io {
        action,
        path,
        source,
    }
}

/// Reads a file that is no link.
pub(super) fn read(path: &Path, bytes_max: u64) -> Result<String, ConfigError> {
    let found = fs::symlink_metadata(path).map_err(refused("read", path))?;
    let unfit = |what| ConfigError::Unfit {
        path: path.to_owned(),
        what,
    };
    if found.is_symlink() {
        let target = fs::canonicalize(path).map_err(refused("follow", path))?;
        return Err(ConfigError::Symlink {
            path: path.to_owned(),
            target,
        });
    }
    if !found.is_file() {
        return Err(unfit("no regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(refused("read", path))?;
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
    if read.map_err(refused("read", path))? as u64 > bytes_max {
        return Err(unfit("too long for a configuration file"));
    }
    String::from_utf8(bytes).map_err(|_| unfit("not UTF-8 text"))
}

/// Replaces a file that still has the text `old`: written beside it with the same mode, synced, renamed.
///
/// # Errors
///
/// It was changed meanwhile, is read-only, or the system refuses; it is as it was then.
pub fn replace(path: &Path, old: &str, new: &str) -> Result<(), ConfigError> {
    let found = fs::symlink_metadata(path).map_err(refused("read", path))?;
    // Renaming would get around it, and whoever made it read-only meant something by that.
    if found.permissions().readonly() {
        return Err(ConfigError::ReadOnly {
            path: path.to_owned(),
        });
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = Builder::new()
        .prefix(".mira-")
        .tempfile_in(folder)
        .map_err(refused("write beside", path))?;
    file.write_all(new.as_bytes())
        .and_then(|()| file.as_file().set_permissions(found.permissions()))
        .and_then(|()| file.as_file().sync_all())
        .map_err(refused("write beside", path))?;
    if read(path, old.len() as u64 + 1).ok().as_deref() != Some(old) {
        return Err(ConfigError::Changed {
            path: path.to_owned(),
        });
    }
    file.persist(path)
        .map_err(|error| refused("replace", path)(error.error))?;
    #[cfg(unix)]
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(refused("save", folder))?;
    Ok(())
}
