//! The command line: arguments, commands, rendering.
//!
//! This is a surface: only here does Mira read the environment, ask, print and choose exit codes. A command is one
//! file under `commands/`: its arguments, and a `run` that builds values, calls the libraries and renders the result.
//! Data goes to stdout and everything else to stderr.
//!
//! There are two programs. `mira` has the commands for secrets, here, and is small, so that `mira run` adds little to
//! a program's start and is built in little time. `mira-apps` has these and all others, below `whole/`: what it is made of is
//! large, and `mira` becomes it only where it is wanted.

#![cfg_attr(
    not(feature = "apps"),
    allow(
        dead_code,
        unused_imports,
        reason = "what the commands of `mira-apps` use"
    )
)]

mod args;
mod commands;
mod dotenv;
mod error;
mod programs;
mod render;
mod session;
mod ui;
#[cfg(all(feature = "apps", target_os = "linux"))]
mod whole;

#[cfg(all(feature = "apps", target_os = "linux"))]
pub use whole::{apps_main, command};

use std::process::ExitCode;

use crate::ui::Ui;

/// Runs `mira`: does a command for secrets, or becomes `mira-apps`; returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == programs::ROOM)
    {
        return mira_sandbox::main();
    }
    // Where the system refuses, `mira doctor` says so.
    drop(mira_run::protect_self());
    let ui = Ui::new();
    let command = match args::parse_own() {
        Ok(Some(command)) => command,
        Ok(None) => return programs::others(&ui),
        Err(error) => return args::report(&error),
    };
    match commands::run(command, &ui, None) {
        Ok(code) => code,
        Err(error) => error.report(&ui),
    }
}
