//! `mira duplicate`: another instance of the same package, with a copy of the state and nothing that is secret.
//!
//! The copy counts as one that is being deleted until it is whole, so a crash leaves nothing that could be used by mistake.

use mira_host::instances::Content;
use mira_package::manifest::Manifest;
use mira_snapshot::{Options, Repository, SnapshotError, SnapshotId};
use mira_store::{Instance, InstanceName};
use serde_json::json;

use crate::error::CommandError;
use crate::render::{bytes, count};
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::apps::snapshots::{self, OpenArgs};
use crate::whole::commands::open::parse_name;

/// The tag of the snapshot that a copy is made from.
const TAG: &str = "duplicate";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The state is copied as it is at this moment, also while the instance runs. Secrets, bindings and agreements are not \
                  copied: the copy asks for its own."
)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// What the copy is called
    #[arg(long, value_name = "NAME", value_parser = parse_name)]
    name: Option<InstanceName>,

    /// Leave files out that hold a secret, instead of making no copy
    #[arg(long)]
    leave_out: bool,

    /// Agree to its package for the copy too, where you had to agree to it for the instance
    #[arg(long)]
    agree: bool,

    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    open: OpenArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let source = apps.find(&args.instance)?;
    let agreed = agree(ui, args, &source)?;
    let mut vault = snapshots::vault(&apps, ui, &args.open.unlock)?;
    let repository = apps.instances.repository(&source, &mut vault)?;
    let gathered = snapshots::content(&apps, ui, &source, &args.open, &vault)?;
    let store = apps.instances.store();
    let copy = apps.wait(store.begin_copy(&source, args.name.clone(), agreed))?;
    let (copy, claim) = apps.wait(apps.instances.claim_to_delete(&copy))?;
    let copied = copy_state(&apps, ui, args, &source, &copy, &repository, &gathered)
        .and_then(|()| Ok(apps.wait(store.finish_copy(&copy.id))?));
    let copy = match copied {
        Ok(copy) => copy,
        Err(error) => {
            apps.wait(apps.instances.delete(&copy, Some(&mut vault)))?;
            return Err(error);
        }
    };
    drop(claim);
    apps.sweep()?;
    if args.json {
        return ui.json(&json!({"id": copy.id.as_str(), "name": copy.name.as_str()}));
    }
    ui.say(&format!("{} is a copy of {}", copy.name, source.name));
    if !gathered.0.secrets.is_empty() {
        ui.detail("its secrets are not copied; it asks for its own");
    }
    ui.detail(&format!("`mira start {}` brings it up", copy.name));
    Ok(())
}

/// Returns whether the user agrees to the package for the copy, where that was needed for the instance.
fn agree(ui: &Ui, args: &Args, source: &Instance) -> Result<bool, CommandError> {
    if !source.package.unsigned_agreed || args.agree {
        return Ok(source.package.unsigned_agreed);
    }
    let question = format!(
        "The package of {} is not signed by the publisher that is remembered; you agreed to it. Give it the secrets of the copy too?",
        source.name
    );
    match ui.confirm(&question, "--agree")? {
        true => Ok(true),
        false => Err(CommandError::failed("nothing was copied")),
    }
}

/// Copies the state as it is now, by a snapshot that is removed again.
fn copy_state(
    apps: &Apps,
    ui: &Ui,
    args: &Args,
    source: &Instance,
    copy: &Instance,
    repository: &Repository,
    (manifest, content): &(Manifest, Content),
) -> Result<(), CommandError> {
    let options = Options {
        leave_out: args.leave_out,
        tags: vec![TAG.to_owned()],
        instance: source.id.to_string(),
        label: format!("copied to {}", copy.name),
        ..Options::default()
    };
    let report = snapshots::take(ui, repository, content, &options)?;
    if !args.json {
        snapshots::tell_report(ui, &report);
    }
    let restored = restore(apps, ui, repository, &report.snapshot.id, copy, manifest);
    // It served its purpose, or none.
    if let Err(error) = repository.forget(std::slice::from_ref(&report.snapshot.id)) {
        ui.say(&format!(
            "the snapshot {} of {}, which the copy was made from, was not removed: {error}",
            report.snapshot.id, source.name
        ));
    }
    let (files, size) = restored?;
    ui.say(&format!("copied {}, {}", count(files, "file"), bytes(size)));
    Ok(())
}

fn restore(
    apps: &Apps,
    ui: &Ui,
    repository: &Repository,
    id: &SnapshotId,
    copy: &Instance,
    manifest: &Manifest,
) -> Result<(usize, u64), CommandError> {
    let volumes = apps.instances.provide_volumes(&copy.id, manifest)?;
    let mut progress = ui.progress("copying");
    let restored: Result<_, SnapshotError> = repository.restore(id, &volumes, &mut |how_far| {
        progress.show(how_far.files, how_far.bytes);
    });
    drop(progress);
    let restored = restored?;
    Ok((
        usize::try_from(restored.files).unwrap_or(usize::MAX),
        restored.bytes,
    ))
}
