//! `mira completions`: prints a completion script.

use clap_complete::Shell;

use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::args::command;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell to complete for
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "mira", &mut script);
    ui.data(&String::from_utf8_lossy(&script))
}
