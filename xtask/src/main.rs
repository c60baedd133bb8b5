//! The project's own tasks, run as `cargo xtask <task>`: one file per task.
//!
//! What a person, a hook and the CI run is the same code: no task is written twice, in a workflow or a shell script.
//! It is not part of the product: nothing that ships depends on it.

mod bench;
mod demo;
mod fuzz;
mod process;
mod reference;
mod repository;
mod reviewer;
mod say;
mod soak;
mod steps;
mod test;
mod tidy;
mod tools;
mod workflows;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::repository::Repository;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need and run every check; the CI runs this command too
    #[command(visible_alias = "ci")]
    Test(test::Args),
    /// Check the house rules that no lint knows
    Tidy,
    /// Write the generated pages
    Gen(reference::Args),
    /// Run the fuzz targets
    Fuzz(fuzz::Args),
    /// Measure speed and memory
    Bench(bench::Args),
    /// Have many clients at once at a server, on SQLite and on Postgres
    Soak(soak::Args),
    /// Build the reviewer, for `mira open apps/reviewer`
    Reviewer,
    /// Show Mira's main job on this machine, in a throw-away home
    Demo,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            say::note(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    let repository = Repository::find()?;
    match task {
        Task::Test(args) => return test::run(&repository, &args),
        Task::Tidy => tidy::run(&repository)?,
        Task::Gen(args) => reference::run(&repository, &args)?,
        Task::Fuzz(args) => fuzz::run(&repository, &args)?,
        Task::Bench(args) => bench::run(&repository, &args)?,
        Task::Soak(args) => soak::run(&repository, &args)?,
        Task::Reviewer => reviewer::run(&repository)?,
        Task::Demo => demo::run(&repository)?,
    }
    Ok(ExitCode::SUCCESS)
}
