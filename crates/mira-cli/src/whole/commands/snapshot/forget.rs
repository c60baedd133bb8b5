//! `mira snapshot forget`: removes snapshots, chosen or by the app's retention.

use mira_host::instances::retention;
use mira_snapshot::{Repository, SnapshotId};
use mira_store::Instance;
use serde_json::json;

use crate::error::CommandError;
use crate::render::count;
use crate::ui::Ui;
use crate::whole::apps::snapshots::{self, OpenArgs};
use crate::whole::apps::{Apps, LaunchArgs};
use crate::whole::commands::open::unpacked;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// The snapshots: their ids, or the beginnings of them
    #[arg(value_name = "SNAPSHOT", required_unless_present = "retention")]
    snapshots: Vec<String>,

    /// All that the retention of the app's manifest does not keep, those that you took included
    #[arg(long, conflicts_with = "snapshots")]
    retention: bool,

    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    open: OpenArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let mut vault = snapshots::vault(&apps, ui, &args.open.unlock)?;
    let repository = snapshots::existing(&apps, &instance, &mut vault)?;
    drop(vault);
    let forgotten = match args.retention {
        true => by_retention(&apps, ui, args, &instance, &repository)?,
        false => {
            let wanted = args.snapshots.iter().map(|text| repository.find(text));
            let mut ids = wanted.collect::<Result<Vec<_>, _>>()?;
            ids.sort();
            ids.dedup();
            repository.forget(&ids)?;
            ids
        }
    };
    if args.json {
        let ids: Vec<&str> = forgotten.iter().map(SnapshotId::as_str).collect();
        return ui.json(&json!({"forgotten": ids}));
    }
    ui.say(&format!(
        "{} of {} removed",
        count(forgotten.len(), "snapshot"),
        instance.name
    ));
    Ok(())
}

fn by_retention(
    apps: &Apps,
    ui: &Ui,
    args: &Args,
    instance: &Instance,
    repository: &Repository,
) -> Result<Vec<SnapshotId>, CommandError> {
    let launch = LaunchArgs {
        key: args.open.key.clone(),
        ..LaunchArgs::default()
    };
    let manifest = unpacked(apps, ui, instance, &launch)?.manifest;
    apps.sweep()?;
    let Some(kept) = &manifest.state.retention else {
        return Err(CommandError::usage(format!(
            "the manifest of {} declares no retention: it keeps all",
            instance.name
        ))
        .hint("Name the snapshots to remove."));
    };
    Ok(repository.apply_retention(&retention(kept))?)
}
