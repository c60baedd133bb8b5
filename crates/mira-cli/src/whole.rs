//! All commands, as `mira-apps` has them: for apps, the desk, servers, providers, and those for secrets.

mod apps;
mod args;
mod backup;
mod commands;
mod gate;
mod github;
mod log;
mod packaging;
mod reach;

pub use args::command;

use std::process::ExitCode;

use crate::args::report;
use crate::programs::ROOM;
use crate::ui::Ui;

/// Runs `mira-apps`: parses the command line, runs the command and returns its exit code.
#[must_use]
pub fn apps_main() -> ExitCode {
    match std::env::args_os().nth(1) {
        Some(word) if word == commands::serve::KEEPER => return mira_host::keeper::main(),
        Some(word) if word == ROOM => return mira_sandbox::main(),
        _ => {}
    }
    drop(mira_run::protect_self());
    let ui = Ui::new();
    let command = match args::parse() {
        Ok(command) => command,
        Err(error) => return report(&error),
    };
    match commands::run(command, &ui) {
        Ok(code) => code,
        Err(error) => error.report(&ui),
    }
}
