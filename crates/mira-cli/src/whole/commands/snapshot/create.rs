//! `mira snapshot create`: takes a snapshot of an instance's state.

use mira_snapshot::Options;

use crate::error::CommandError;
use crate::render::{bytes, count};
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::apps::snapshots::{self, OpenArgs};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// What you call it
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    label: String,

    /// Leave files out that hold a secret, instead of taking no snapshot
    #[arg(long)]
    leave_out: bool,

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
    // Its password is a secret of the instance too, and is looked for as the others are.
    let repository = apps.instances.repository(&instance, &mut vault)?;
    let (_, content) = snapshots::content(&apps, ui, &instance, &args.open, &vault)?;
    drop(vault);
    let options = Options {
        leave_out: args.leave_out,
        instance: instance.id.to_string(),
        label: args.label.clone(),
        ..Options::default()
    };
    let report = snapshots::take(ui, &repository, &content, &options)?;
    apps.sweep()?;
    if args.json {
        return ui.json(&snapshots::report_json(&report));
    }
    snapshots::tell_report(ui, &report);
    let snapshot = &report.snapshot;
    let files = usize::try_from(snapshot.files).unwrap_or(usize::MAX);
    ui.say(&format!(
        "saved {} as {}: {}, {}; {} were new",
        instance.name,
        snapshot.id.short(),
        count(files, "file"),
        bytes(snapshot.bytes),
        bytes(report.bytes_added),
    ));
    Ok(())
}
