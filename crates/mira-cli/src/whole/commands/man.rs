//! `mira man`: prints the manual page, or writes one page per command.

use std::path::PathBuf;

use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::args::command;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write all pages into this folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    if let Some(folder) = &args.out {
        clap_mangen::generate_to(command(), folder).map_err(|error| {
            CommandError::failed(format!("cannot write into {}: {error}", folder.display()))
        })?;
        return Ok(());
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page)?;
    ui.data(&String::from_utf8_lossy(&page))
}
