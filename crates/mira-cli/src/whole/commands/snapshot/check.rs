//! `mira snapshot check`: whether the snapshots of an instance are whole.

use serde_json::json;

use crate::error::CommandError;
use crate::render::count;
use crate::session::UnlockArgs;
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::apps::snapshots;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Read all data too, not only what says which data there is
    #[arg(long)]
    read_data: bool,

    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let mut vault = snapshots::vault(&apps, ui, &args.unlock)?;
    let repository = snapshots::existing(&apps, &instance, &mut vault)?;
    repository.check(args.read_data)?;
    let number = repository.list()?.len();
    let folder = apps.instances.layout().snapshots(&instance.id);
    if args.json {
        return ui.json(&json!({
            "snapshots": number,
            "path": folder,
            "readData": args.read_data,
        }));
    }
    ui.say(&format!(
        "{} of {} checked, and whole; they are in {}",
        count(number, "snapshot"),
        instance.name,
        folder.display()
    ));
    Ok(())
}
