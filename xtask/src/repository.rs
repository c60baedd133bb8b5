//! The repository as the tasks see it: where it lies, which files git knows, which crates the workspace has.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde::Deserialize;

use crate::process;

/// The checked-out repository.
#[derive(Debug)]
pub(crate) struct Repository {
    root: PathBuf,
}

/// One crate of the workspace, as `cargo metadata` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// The crate's name.
    pub(crate) name: String,
    /// Its direct dependencies, third-party ones included.
    pub(crate) dependencies: Vec<Dependency>,
    /// Its `Cargo.toml`.
    pub(crate) manifest_path: PathBuf,
}

/// One direct dependency of a crate.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The name of the crate depended on.
    pub(crate) name: String,
    /// `dev`, `build`, or nothing for an ordinary one.
    pub(crate) kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

impl Repository {
    /// Finds the repository that this program was built from.
    pub(crate) fn find() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask lies in a folder of the repository")?
            .to_owned();
        Ok(Self { root })
    }

    /// Returns the repository's top folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns a command that will run in the top folder.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// Returns a cargo command: the same cargo that runs this task.
    pub(crate) fn cargo<const N: usize>(&self, args: [&str; N]) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(&self.root).args(args);
        command
    }

    /// Returns the files of the repository, relative to its top: known to git or new, but not ignored, not deleted.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<String>> {
        let mut list = self.command("git");
        list.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        let mut files: Vec<String> = process::output_of(&mut list)?
            .lines()
            .filter(|file| self.root.join(file).is_file())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Returns the text of a file, or nothing where it is not UTF-8.
    pub(crate) fn text(&self, file: &str) -> anyhow::Result<Option<String>> {
        let bytes =
            std::fs::read(self.root.join(file)).with_context(|| format!("cannot read {file}"))?;
        Ok(String::from_utf8(bytes).ok())
    }

    /// Returns the crates of the workspace.
    pub(crate) fn packages(&self) -> anyhow::Result<Vec<Package>> {
        Ok(self.metadata()?.packages)
    }

    /// Returns the folder that cargo builds into.
    pub(crate) fn target(&self) -> anyhow::Result<PathBuf> {
        Ok(self.metadata()?.target_directory)
    }

    fn metadata(&self) -> anyhow::Result<Metadata> {
        let json = process::output_of(&mut self.cargo([
            "metadata",
            "--format-version=1",
            "--no-deps",
            "--locked",
        ]))?;
        serde_json::from_str(&json).context("cannot read what `cargo metadata` printed")
    }
}
