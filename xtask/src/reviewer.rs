//! `cargo xtask reviewer`: builds the reviewer and puts the program where its manifest looks for it, so that `mira open
//! apps/reviewer` opens it from a checkout.

use std::fs;

use anyhow::Context as _;

use crate::process::run as run_command;
use crate::repository::Repository;
use crate::say;

/// Builds it.
pub(crate) fn run(repository: &Repository) -> anyhow::Result<()> {
    say::note("building the reviewer ...");
    run_command(&mut repository.cargo([
        "build",
        "--release",
        "--locked",
        "--package",
        "mira-reviewer",
    ]))?;
    let built = repository.target()?.join("release/reviewer");
    let folder = repository.root().join("apps/reviewer/bin");
    fs::create_dir_all(&folder)?;
    let place = folder.join("reviewer");
    fs::copy(&built, &place)
        .with_context(|| format!("cannot copy {} to {}", built.display(), place.display()))?;
    say::note("mira open apps/reviewer");
    Ok(())
}
