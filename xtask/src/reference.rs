//! `cargo xtask gen`: the pages that are written by programs.
//!
//! The program that writes is an example of this crate, `reference`, so that only this task has to build all of Mira.

use std::process::Command;

use crate::process::run as run_command;
use crate::repository::Repository;

const FOLDER: &str = "docs/reference";

/// What to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing: fail if a page is not current
    #[arg(long)]
    check: bool,
}

/// Writes the pages, or checks them.
pub(crate) fn run(repository: &Repository, args: &Args) -> anyhow::Result<()> {
    let mut command = repository.cargo(["run", "--quiet", "--locked", "--package=xtask"]);
    command.args(["--example=reference", "--", FOLDER]);
    if args.check {
        command.arg("--check");
    }
    run_command(&mut command)
}

/// Checks the pages with the program that the tests' build left: building it apart would build dependencies anew, with
/// the features that this crate alone asks for.
pub(crate) fn check_after_tests(repository: &Repository) -> anyhow::Result<()> {
    let built = format!("debug/examples/reference{}", std::env::consts::EXE_SUFFIX);
    run_command(
        Command::new(repository.target()?.join(built))
            .current_dir(repository.root())
            .args([FOLDER, "--check"]),
    )
}
