//! `mira start`: brings an instance up that is there.

use crate::apps::{Apps, LaunchArgs, launch};
use crate::commands::open::unpacked;
use crate::error::CommandError;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id, or the beginning of its id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Print what came of it as JSON
    #[arg(long, requires = "detach")]
    json: bool,

    #[command(flatten)]
    launch: LaunchArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let unpacked = unpacked(&apps, ui, &instance, &args.launch)?;
    launch(&apps, ui, &instance, &unpacked, &args.launch, false)?;
    match args.launch.detach {
        true => Ok(()),
        false => apps.sweep(),
    }
}
