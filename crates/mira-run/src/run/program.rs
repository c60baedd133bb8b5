//! Which files a program's name may mean, and what it means that none of them could be started.
//!
//! The rules are those of `execvp` and of the shell's exit codes (POSIX.1-2017, XCU 2.8.2): 127 for what was not found,
//! 126 for what was found and could not be started.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::RunError;
use super::environment::Environment;

/// Where programs are looked for when `PATH` is not set: the default of `execvp` in glibc.
const PATH_DEFAULT: &[u8] = b"/bin:/usr/bin";

/// A program's name, its candidates and its arguments, ready to be executed.
#[derive(Debug)]
pub(super) struct Program {
    name: OsString,
    /// Whether the name was looked up in `PATH`.
    pub(super) searched: bool,
    pub(super) candidates: Vec<CString>,
    /// The name as it was given, then the arguments.
    pub(super) argv: Vec<CString>,
}

impl Program {
    /// Finds out which files the name may mean in this environment, the program's own.
    pub(super) fn new(
        name: OsString,
        args: Vec<OsString>,
        environment: &Environment,
    ) -> Result<Self, RunError> {
        let searched = !name.as_bytes().contains(&b'/');
        let candidates = if name.is_empty() {
            Vec::new()
        } else if searched {
            let path = environment.value(OsStr::new("PATH"));
            search(&name, path.unwrap_or(PATH_DEFAULT))
        } else {
            vec![name.as_bytes().to_vec()]
        };
        let argv = std::iter::once(name.clone()).chain(args);
        Ok(Self {
            searched,
            candidates: candidates
                .into_iter()
                .map(c_string)
                .collect::<Result<_, _>>()?,
            argv: argv
                .map(|arg| c_string(arg.as_bytes().to_vec()))
                .collect::<Result<_, _>>()?,
            name,
        })
    }

    /// Says in the caller's words why no candidate could be started.
    pub(super) fn refused(&self, error: io::Error) -> RunError {
        let name = self.name.clone();
        let present = self
            .candidates
            .iter()
            .map(|candidate| PathBuf::from(OsStr::from_bytes(candidate.as_bytes())));
        let present = |test: fn(&Path) -> bool| present.clone().find(|path| test(path));
        match error.raw_os_error() {
            Some(libc::ENOENT) => match present(|path| path.is_file()) {
                Some(path) => RunError::BadInterpreter { path },
                None => RunError::NotFound { name },
            },
            Some(libc::ENOTDIR) if self.searched => RunError::NotFound { name },
            Some(libc::EACCES) => match present(|path| path.is_file()) {
                Some(path) => RunError::NotExecutable { path },
                None if self.searched => RunError::NotFound { name },
                None if Path::new(&name).is_dir() => RunError::IsDirectory { path: name.into() },
                None => RunError::NotExecutable { path: name.into() },
            },
            Some(libc::E2BIG) => RunError::TooBig { name },
            _ => RunError::Start {
                name,
                source: error,
            },
        }
    }
}

/// Lists `name` in each folder of `path`; an empty folder means the current one.
fn search(name: &OsStr, path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&byte| byte == b':')
        .map(|folder| {
            let mut file = folder.to_vec();
            if !file.is_empty() {
                file.push(b'/');
            }
            file.extend_from_slice(name.as_bytes());
            file
        })
        .collect()
}

fn c_string(bytes: Vec<u8>) -> Result<CString, RunError> {
    CString::new(bytes).map_err(|_| RunError::Nul)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_a_slash_are_looked_up_in_the_programs_own_path() {
        let check = |name: &str, path: Option<&str>, expect: &[&str]| {
            let mut environment = Environment::default();
            if let Some(path) = path {
                environment
                    .set(OsStr::new("PATH"), path.as_bytes())
                    .unwrap();
            }
            let program = Program::new(name.into(), Vec::new(), &environment).unwrap();
            let candidates: Vec<_> = program
                .candidates
                .iter()
                .map(|candidate| candidate.to_str().unwrap())
                .collect();
            assert_eq!(candidates, expect, "{name} in {path:?}");
        };
        check("ls", Some("/a:/b/"), &["/a/ls", "/b//ls"]);
        check("ls", None, &["/bin/ls", "/usr/bin/ls"]);
        check("ls", Some(":/a"), &["ls", "/a/ls"]);
        check("./ls", Some("/a"), &["./ls"]);
        check("/x/ls", Some("/a"), &["/x/ls"]);
        check("", Some("/a"), &[]);
    }

    #[test]
    fn a_nul_in_an_argument_is_refused() {
        let made = Program::new("ls".into(), vec!["a\0b".into()], &Environment::default());
        assert!(matches!(made, Err(RunError::Nul)));
    }
}
