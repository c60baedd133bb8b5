//! `cargo xtask soak`: many clients at once against a server, on SQLite and on Postgres, for as long as it is told to.
//!
//! It is the test of the same name, which is given a time instead of a number of requests.

use crate::process::run as run_command;
use crate::repository::Repository;

/// How long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For how many seconds, on each database
    // LIMIT: a test ends after five minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=200))]
    seconds: u64,
}

/// Runs it, one database after the other.
pub(crate) fn run(repository: &Repository, args: &Args) -> anyhow::Result<()> {
    let mut nextest = repository.cargo(["nextest", "run", "--workspace", "--locked"]);
    nextest
        .args(["--test-threads", "1", "--retries", "0", "--no-capture"])
        .args(["-E", "package(mira-cli) & test(desk::soak)"])
        .env("MIRA_SOAK_SECONDS", args.seconds.to_string());
    run_command(&mut nextest)
}
