//! Which file a service's command means, and why it could not be started.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Why a program cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// No folder of `PATH` has it.
    #[error(
        "{name:?} is not installed: no folder of PATH has a program of that name (one in the package is named ./{})",
        name.display()
    )]
    NotInstalled {
        /// The name.
        name: OsString,
    },
    /// There is no such file.
    #[error("{path:?} does not exist")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file may not be executed, or is none.
    #[error("{path:?} is not an executable file; check its mode")]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The interpreter or loader that it names is missing.
    #[error("{path:?} needs an interpreter that does not exist; look at its first line")]
    BadInterpreter {
        /// The file.
        path: PathBuf,
    },
    /// The system does not know what kind of program it is.
    #[error("{path:?} is no program that the system knows; a script's first line begins with #!")]
    BadFormat {
        /// The file.
        path: PathBuf,
    },
    /// Arguments and environment together exceed what the system takes.
    #[error(
        "the arguments and environment of {path:?} are too big for the system; pass big values as files"
    )]
    TooBig {
        /// The file.
        path: PathBuf,
    },
    /// The system refused for another reason.
    #[error("{path:?} could not be started: {}", std::io::Error::from_raw_os_error(*errno))]
    Refused {
        /// The file.
        path: PathBuf,
        /// The system's error number.
        errno: i32,
    },
}

/// Finds the file that a command's first word means.
pub(crate) fn find(
    name: &OsStr,
    env: &[(OsString, OsString)],
    package: &Path,
) -> Result<PathBuf, ProgramError> {
    if name.as_bytes().contains(&b'/') {
        let path = package.join(name);
        return match executable(&path) {
            Some(true) => Ok(path),
            Some(false) => Err(ProgramError::NotExecutable { path }),
            None => Err(ProgramError::Missing { path }),
        };
    }
    let path = env.iter().find(|(name, _)| name == "PATH");
    let folders = path.map(|(_, path)| path.as_bytes()).unwrap_or_default();
    let mut found = None;
    for folder in folders.split(|&byte| byte == b':') {
        // An empty folder would mean the working folder: the package, which is asked for by a slash only.
        let file = Path::new(OsStr::from_bytes(folder)).join(name);
        match executable(&file).filter(|_| file.is_absolute()) {
            Some(true) => return Ok(file),
            Some(false) => found = found.or(Some(file)),
            None => {}
        }
    }
    Err(match found {
        Some(path) => ProgramError::NotExecutable { path },
        None => ProgramError::NotInstalled {
            name: name.to_owned(),
        },
    })
}

/// Returns whether a file may be executed; nothing if there is none.
fn executable(path: &Path) -> Option<bool> {
    let file = path.metadata().ok()?.is_file();
    Some(file && access(path, Access::EXEC_OK).is_ok())
}

/// Says why a file that was found could not be executed.
pub(crate) fn not_started(path: PathBuf, errno: i32) -> ProgramError {
    match errno {
        libc::ENOENT if path.exists() => ProgramError::BadInterpreter { path },
        libc::ENOENT => ProgramError::Missing { path },
        libc::EACCES => ProgramError::NotExecutable { path },
        libc::ENOEXEC => ProgramError::BadFormat { path },
        libc::E2BIG => ProgramError::TooBig { path },
        _ => ProgramError::Refused { path, errno },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_slash_means_the_package_and_none_means_path() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path();
        let file = |name: &str, mode: u32| {
            let path = package.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        };
        let own = file("own", 0o755);
        let tool = file("bin/tool", 0o755);
        let plain = file("plain", 0o644);
        let check = |name: &str, path: &str, expect: Result<&Path, ProgramError>| {
            let env = [("PATH".into(), path.into())];
            let found = find(OsStr::new(name), &env, package);
            assert_eq!(found.as_deref().map_err(Clone::clone), expect, "{name}");
        };
        let not_installed = |name: &str| Err(ProgramError::NotInstalled { name: name.into() });
        let bin = package.join("bin").display().to_string();
        check("./own", "", Ok(&package.join("./own")));
        check("bin/tool", "", Ok(&tool));
        check(own.to_str().unwrap(), "", Ok(&own));
        check("tool", &format!("/no/such:{bin}"), Ok(&tool));
        check("own", "::.", not_installed("own"));
        check("own", &bin, not_installed("own"));
        let not_executable = |path: &Path| Err(ProgramError::NotExecutable { path: path.into() });
        check("./plain", "", not_executable(&package.join("./plain")));
        check("plain", package.to_str().unwrap(), not_executable(&plain));
        check("./bin", "", not_executable(&package.join("./bin")));
        let path = package.join("./none");
        check("./none", "", Err(ProgramError::Missing { path }));
    }
}
