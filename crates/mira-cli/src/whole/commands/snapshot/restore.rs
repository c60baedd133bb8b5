//! `mira snapshot restore`: puts the state of a stopped instance back, and keeps the one that it replaces.

use mira_host::instances::Content;
use mira_snapshot::{Options, Report, Repository, Snapshot, TAG_SAFETY, Volume};
use mira_store::Instance;
use serde_json::json;

use crate::error::CommandError;
use crate::render::{bytes, count, minute};
use crate::ui::Ui;
use crate::whole::apps::snapshots::{self, OpenArgs, refuse_running};
use crate::whole::apps::{Apps, LaunchArgs};
use crate::whole::commands::open::unpacked;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The state as it is now is saved first, so that you can go back; what holds a secret keeps that from happening, until you \
                  say --leave-out (these files are gone then) or --no-safety (all of it is)."
)]
pub(super) struct Args {
    /// The instance: its name or id; it has to be stopped
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// The snapshot: its id, the beginning of it, or `latest`
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,

    /// Restore without asking
    #[arg(long)]
    yes: bool,

    /// Leave files out of the safety snapshot that hold a secret
    #[arg(long, conflicts_with = "no_safety")]
    leave_out: bool,

    /// Do not save the state as it is now
    #[arg(long)]
    no_safety: bool,

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
    refuse_running(&apps, &instance)?;
    let mut vault = snapshots::vault(&apps, ui, &args.open.unlock)?;
    let repository = snapshots::existing(&apps, &instance, &mut vault)?;
    let snapshot = find(&repository, &args.snapshot)?;
    let question = format!(
        "Replace the state of {} by that of {} ({})?",
        instance.name,
        minute(snapshot.time),
        snapshot.id.short()
    );
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed("nothing was restored"));
    }
    // Nobody starts it from here on, and nobody has since it was looked at.
    let (instance, claim) = apps.claim(&instance)?;
    refuse_running(&apps, &instance)?;
    let (volumes, safety) = match args.no_safety {
        true => {
            let launch = LaunchArgs {
                key: args.open.key.clone(),
                ..LaunchArgs::default()
            };
            let manifest = unpacked(&apps, ui, &instance, &launch)?.manifest;
            (
                apps.instances.restorable(&instance, &manifest, &snapshot)?,
                None,
            )
        }
        false => {
            let (manifest, content) = snapshots::content(&apps, ui, &instance, &args.open, &vault)?;
            let volumes = apps.instances.restorable(&instance, &manifest, &snapshot)?;
            let safety = save(ui, args, &instance, &repository, &content, &snapshot)?;
            (volumes, Some(safety))
        }
    };
    drop(vault);
    let mut progress = ui.progress("restoring");
    let restored = repository.restore(&snapshot.id, &volumes, &mut |how_far| {
        progress.show(how_far.files, how_far.bytes);
    });
    drop(progress);
    let restored = restored?;
    drop(claim);
    apps.sweep()?;
    if args.json {
        return ui.json(&json!({
            "restored": snapshot.id.as_str(),
            "volumes": volumes.iter().map(|volume| &volume.name).collect::<Vec<_>>(),
            "files": restored.files,
            "bytes": restored.bytes,
            "plain": restored.plain,
            "safety": safety.as_ref().map(snapshots::report_json),
        }));
    }
    tell_volumes(ui, &instance, &snapshot, &volumes);
    let files = usize::try_from(restored.files).unwrap_or(usize::MAX);
    ui.say(&format!(
        "{} is as it was on {}: {}, {}",
        instance.name,
        minute(snapshot.time),
        count(files, "file"),
        bytes(restored.bytes)
    ));
    if !restored.plain.is_empty() {
        ui.say(&format!(
            "{} have another owner or fewer attributes than before, for want of the right to set them",
            count(restored.plain.len(), "file")
        ));
    }
    if let Some(safety) = &safety {
        ui.detail(&format!(
            "`mira snapshot restore {} {}` goes back to how it was before",
            instance.name,
            safety.snapshot.id.short()
        ));
    }
    Ok(())
}

fn find(repository: &Repository, text: &str) -> Result<Snapshot, CommandError> {
    let id = repository.find(text)?;
    let mut listed = repository.list()?.into_iter();
    listed
        .find(|snapshot| snapshot.id == id)
        .ok_or_else(|| CommandError::failed("the snapshot was removed a moment ago"))
}

/// Saves the state that is about to be replaced.
fn save(
    ui: &Ui,
    args: &Args,
    instance: &Instance,
    repository: &Repository,
    content: &Content,
    snapshot: &Snapshot,
) -> Result<Report, CommandError> {
    let options = Options {
        leave_out: args.leave_out,
        tags: vec![TAG_SAFETY.to_owned()],
        instance: instance.id.to_string(),
        label: format!("before the restore of {}", snapshot.id.short()),
        ..Options::default()
    };
    let report = snapshots::take(ui, repository, content, &options).map_err(|error| {
        error.hint("Nothing was restored. --no-safety restores without saving the state as it is now, which is lost then.")
    })?;
    if !args.json {
        snapshots::tell_report(ui, &report);
    }
    if report.left_out.total > 0 {
        ui.say("what was left out is not saved, and is gone with the state that is replaced");
    }
    Ok(report)
}

/// Says which volumes are not in both, the snapshot and the app.
fn tell_volumes(ui: &Ui, instance: &Instance, snapshot: &Snapshot, volumes: &[Volume]) {
    for name in &snapshot.volumes {
        if !volumes.iter().any(|volume| volume.name == *name) {
            ui.say(&format!(
                "the app of {} has no volume {name} any more; it was not restored",
                instance.name
            ));
        }
    }
}
