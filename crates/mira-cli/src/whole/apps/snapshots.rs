//! Snapshots as commands use them: which repository, what goes in, what is looked for; and what came of it, for people and programs.

use mira_host::instances::{Content, KeyWanted};
use mira_package::manifest::Manifest;
use mira_snapshot::{Findings, Options, Report, Repository, Snapshot};
use mira_store::Instance;
use mira_vault::Vault;
use serde_json::{Value, json};

use super::{Apps, KeyArgs, LaunchArgs};
use crate::error::{CommandError, Kind};
use crate::render::count;
use crate::session::UnlockArgs;
use crate::ui::Ui;
use crate::whole::commands::open::unpacked;

/// What opens an instance's package and the vault.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct OpenArgs {
    #[command(flatten)]
    pub(crate) key: KeyArgs,

    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
}

/// Opens the vault, without which there is no snapshot: their password rests there.
pub(crate) fn vault(apps: &Apps, ui: &Ui, unlock: &UnlockArgs) -> Result<Vault, CommandError> {
    apps.vault(ui, unlock)?.ok_or_else(|| {
        CommandError::new(
            Kind::Missing,
            "there is no vault, in which the password of the snapshots would rest",
        )
        .hint("`mira init` makes a vault.")
    })
}

/// Returns the snapshots of an instance that has some.
pub(crate) fn existing(
    apps: &Apps,
    instance: &Instance,
    vault: &mut Vault,
) -> Result<Repository, CommandError> {
    let repository = apps.instances.existing_repository(instance, vault)?;
    repository.ok_or_else(|| {
        CommandError::new(
            Kind::Missing,
            format!("{} has no snapshot yet", instance.name),
        )
        .hint(format!(
            "`mira snapshot create {}` takes one.",
            instance.name
        ))
    })
}

/// Returns what an instance declares, what it keeps, and all secrets of it.
pub(crate) fn content(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    open: &OpenArgs,
    vault: &Vault,
) -> Result<(Manifest, Content), CommandError> {
    let launch = LaunchArgs {
        key: open.key.clone(),
        ..LaunchArgs::default()
    };
    let unpacked = unpacked(apps, ui, instance, &launch)?;
    let sealed = match &unpacked.sealed {
        Some(sealed) => {
            let mut ask = |wanted: KeyWanted| open.key.ask(ui, wanted);
            apps.wait(apps.instances.unseal(sealed, &mut ask))?
        }
        None => Vec::new(),
    };
    let manifest = unpacked.manifest;
    let content = apps.instances.content(instance, &manifest, vault, &sealed);
    let content = apps.wait(content)?;
    Ok((manifest, content))
}

/// Takes a snapshot, and shows how far it is where somebody watches.
pub(crate) fn take(
    ui: &Ui,
    repository: &Repository,
    content: &Content,
    options: &Options,
) -> Result<Report, CommandError> {
    let mut progress = ui.progress("saving");
    let taken = repository.snapshot(
        &content.volumes,
        &content.secrets,
        options,
        &mut |how_far| {
            progress.show(how_far.files, how_far.bytes);
        },
    );
    drop(progress);
    Ok(taken?)
}

/// The most places that are shown one by one.
// LIMIT: a screen or two; `--json` has them all.
const SHOWN_MAX: usize = 50;

/// Returns the places where values were found, one a line.
pub(crate) fn places(findings: &Findings) -> Vec<String> {
    let mut lines: Vec<String> = findings
        .listed
        .iter()
        .take(SHOWN_MAX)
        .map(ToString::to_string)
        .collect();
    let shown = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    match findings.total.saturating_sub(shown) {
        0 => {}
        more => lines.push(format!("and {more} more")),
    }
    lines
}

/// Returns the places where values were found, for programs.
pub(crate) fn found_json(findings: &Findings) -> Value {
    findings
        .listed
        .iter()
        .map(|finding| {
            json!({
                "path": finding.path,
                "place": finding.place.to_string(),
                "name": &*finding.name,
                "offset": finding.offset,
                "form": finding.form.to_string(),
            })
        })
        .collect()
}

/// Returns a snapshot, for programs.
pub(crate) fn snapshot_json(snapshot: &Snapshot) -> Value {
    json!({
        "id": snapshot.id.as_str(),
        "time": snapshot.time.to_string(),
        "label": snapshot.label,
        "tags": snapshot.tags,
        "volumes": snapshot.volumes,
        "files": snapshot.files,
        "bytes": snapshot.bytes,
    })
}

/// Returns what a snapshot is and is not, for programs.
pub(crate) fn report_json(report: &Report) -> Value {
    let skipped = report.skipped.iter();
    json!({
        "snapshot": snapshot_json(&report.snapshot),
        "filesRead": report.files_read,
        "bytesAdded": report.bytes_added,
        "leftOut": found_json(&report.left_out),
        "skipped": skipped.map(|one| json!({"path": one.path, "kind": one.kind.to_string()})).collect::<Value>(),
        "changed": report.changed,
        "damaged": report.damaged,
        "notLookedFor": report.not_looked_for.iter().map(|name| &**name).collect::<Vec<_>>(),
    })
}

/// Says what a snapshot does not hold, or not surely.
pub(crate) fn tell_report(ui: &Ui, report: &Report) {
    let tell = |what: String, lines: &mut dyn Iterator<Item = String>| {
        let mut lines = lines.peekable();
        if lines.peek().is_some() {
            ui.say(&what);
            lines.take(SHOWN_MAX).for_each(|line| ui.detail(&line));
        }
    };
    tell(
        "these files were left out, as values of secrets are in them:".to_owned(),
        &mut places(&report.left_out).into_iter(),
    );
    tell(
        "not stored, as there is no content to store:".to_owned(),
        &mut report
            .skipped
            .iter()
            .map(|skipped| format!("{} ({})", skipped.path, skipped.kind)),
    );
    tell(
        "changed while they were read, so they may be half old and half new:".to_owned(),
        &mut report.changed.iter().cloned(),
    );
    tell(
        "databases that SQLite finds damaged; they were stored as they are:".to_owned(),
        &mut report.damaged.iter().cloned(),
    );
    if !report.not_looked_for.is_empty() {
        let names: Vec<&str> = report.not_looked_for.iter().map(|name| &**name).collect();
        ui.say(&format!(
            "{} too short to be looked for: {}",
            count(names.len(), "secret"),
            names.join(", ")
        ));
    }
}

/// Refuses an instance that runs.
pub(crate) fn refuse_running(apps: &Apps, instance: &Instance) -> Result<(), CommandError> {
    match apps.is_running(instance)? {
        false => Ok(()),
        true => Err(CommandError::failed(format!(
            "{} runs, and its state cannot be replaced under it; stop it first",
            instance.name
        ))
        .hint(format!("mira stop {}", instance.name))),
    }
}
