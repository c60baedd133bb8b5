//! A hermetic home for one test.
//!
//! A program started here sees the search path of the test and nothing else of its environment or folders. Not a sandbox: it keeps
//! tests apart from the machine and from each other, not programs in.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

mod run;

pub use run::{Invocation, Run};

/// A temporary home with an empty `MIRA_HOME`, removed on drop.
#[derive(Debug)]
pub struct TestHome {
    folder: TempDir,
    variables: Vec<(OsString, OsString)>,
}

impl Default for TestHome {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHome {
    /// Makes the home and its folders, all for the owner only.
    ///
    /// # Panics
    ///
    /// Panics where there is no temporary folder.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mira-home-")
            .tempdir()
            .expect("a temporary folder");
        let mut variables = vec![
            ("LANG".into(), "C.UTF-8".into()),
            ("TERM".into(), "dumb".into()),
        ];
        if let Some(path) = std::env::var_os("PATH") {
            variables.push(("PATH".into(), path));
        }
        for (name, below) in [
            ("HOME", "home"),
            ("MIRA_HOME", "mira"),
            ("XDG_CONFIG_HOME", "home/.config"),
            ("XDG_DATA_HOME", "home/.local/share"),
            ("XDG_STATE_HOME", "home/.local/state"),
            ("XDG_CACHE_HOME", "home/.cache"),
            ("XDG_RUNTIME_DIR", "run"),
            ("TMPDIR", "tmp"),
        ] {
            let path = folder.path().join(below);
            make_private(&path);
            variables.push((name.into(), path.into()));
        }
        Self { folder, variables }
    }

    /// Returns the folder that everything is below: what a canary sweep looks through.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns `MIRA_HOME`.
    #[must_use]
    pub fn mira_home(&self) -> PathBuf {
        self.folder.path().join("mira")
    }

    /// Sets a variable for all programs started from now on, such as those that lead to a keyring.
    pub fn set(&mut self, name: impl Into<OsString>, value: impl Into<OsString>) {
        let name = name.into();
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
    }

    /// Returns the whole environment of the programs, for those who start one another way.
    #[must_use]
    pub fn env(&self) -> &[(OsString, OsString)] {
        &self.variables
    }

    /// Prepares `mira`, whose path the caller's test crate knows (`env!("CARGO_BIN_EXE_mira")`), or another program.
    pub fn mira(&self, program: impl AsRef<OsStr>) -> Invocation {
        Invocation::new(
            program.as_ref(),
            &self.variables,
            &self.folder.path().join("home"),
        )
    }
}

fn make_private(path: &Path) {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).expect("a folder in the temporary one");
}

#[cfg(test)]
mod tests;
