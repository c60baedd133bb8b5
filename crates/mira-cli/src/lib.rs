//! The command line: arguments, commands, rendering.
//!
//! This is a surface: only here does Mira read the environment, ask, print and choose exit codes. A command is one
//! file under `commands/`: its arguments, and a `run` that builds values, calls the libraries and renders the result.
//! Data goes to stdout and everything else to stderr.

#[cfg(target_os = "linux")]
mod apps;
mod args;
#[cfg(target_os = "linux")]
mod backup;
mod commands;
mod dotenv;
mod error;
#[cfg(target_os = "linux")]
mod github;
mod log;
#[cfg(target_os = "linux")]
mod packaging;
mod reach;
mod render;
mod session;
mod ui;

pub use args::command;

use std::process::ExitCode;

use crate::ui::Ui;

/// Parses the command line, runs the command and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    #[cfg(target_os = "linux")]
    match std::env::args_os().nth(1) {
        Some(word) if word == commands::serve::KEEPER => return mira_host::keeper::main(),
        Some(word) if word == commands::serve::ROOM => return mira_sandbox::main(),
        _ => {}
    }
    // Where the system refuses, `mira doctor` says so.
    drop(mira_host::run::protect_self());
    let ui = Ui::new();
    let command = match args::parse() {
        Ok(command) => command,
        Err(error) => return args::report(&error),
    };
    match commands::run(command, &ui) {
        Ok(code) => code,
        Err(error) => error.report(&ui),
    }
}
