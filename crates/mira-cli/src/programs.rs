//! The two programs of the command line, which lie beside each other: `mira`, which is small and starts at once, and
//! `mira-apps`, which has all commands and which `mira` becomes for those that are not its own.
//!
//! INVARIANT: nothing is looked up in `PATH`: what `mira` becomes lies in the folder of the file that `mira` itself is.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::args;
use crate::error::{CommandError, Kind};
use crate::ui::Ui;

/// The program with all commands.
const APPS: &str = "mira-apps";

/// The word that makes either program the maker of a room.
pub(crate) const ROOM: &str = "room";

/// Becomes `mira-apps`, with the same arguments; returns only if that is not possible.
pub(crate) fn become_apps() -> CommandError {
    let (program, error) = match beside(APPS) {
        Err(error) => (PathBuf::from(APPS), error),
        Ok(program) => {
            let error = mira_run::become_program(&program, std::env::args_os());
            (program, error)
        }
    };
    match error.kind() {
        io::ErrorKind::NotFound => CommandError::new(
            Kind::Missing,
            format!(
                "`mira` has the commands for secrets by itself; all others are in {}, which is not there",
                program.display()
            ),
        )
        .hint("Install all of Mira: `cargo install --locked --path crates/mira-cli`."),
        _ => CommandError::failed(format!("cannot start {}: {error}", program.display())),
    }
}

/// Returns the path of `mira`, for what starts it later.
#[cfg(feature = "apps")]
pub(crate) fn mira() -> io::Result<PathBuf> {
    beside("mira")
}

fn beside(name: &str) -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.with_file_name(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
}

/// Does what is not one of `mira`'s own commands: becomes `mira-apps`; where that is not there, general help is its own.
pub(crate) fn others(ui: &Ui) -> ExitCode {
    let error = become_apps();
    match (error.kind(), args::general()) {
        (Kind::Missing, Some(help)) => args::report(&help),
        _ => error.report(ui),
    }
}
