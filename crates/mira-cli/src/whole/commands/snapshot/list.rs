//! `mira snapshot list`: the snapshots of an instance, the oldest first.

use serde_json::Value;

use crate::error::CommandError;
use crate::render::{bytes, minute, table};
use crate::session::UnlockArgs;
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::apps::snapshots::{self, snapshot_json};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Print a JSON array
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
    let repository = apps.instances.existing_repository(&instance, &mut vault)?;
    let snapshots = match repository {
        Some(repository) => repository.list()?,
        None => Vec::new(),
    };
    if args.json {
        return ui.json(&snapshots.iter().map(snapshot_json).collect::<Value>());
    }
    if snapshots.is_empty() {
        ui.say(&format!(
            "{} has no snapshot yet; `mira snapshot create {0}` takes one",
            instance.name
        ));
        return Ok(());
    }
    let rows: Vec<_> = snapshots
        .iter()
        .map(|snapshot| {
            [
                minute(snapshot.time),
                snapshot.id.short().to_owned(),
                snapshot.files.to_string(),
                bytes(snapshot.bytes),
                snapshot.tags.join(", "),
                snapshot.label.clone(),
            ]
        })
        .collect();
    ui.data(&table(
        ["TIME", "ID", "FILES", "SIZE", "TAGS", "LABEL"],
        &rows,
    ))
}
