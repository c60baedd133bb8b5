//! `mira list`: what is saved, and who holds it; never a value.

use jiff::Timestamp;
use mira_run::lease::Holder;
use mira_secret::Scope;
use mira_vault::Entry;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::{minute, table};
use crate::session::{self, UnlockArgs, parse_scope, stale_since};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List one scope only
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    scope: Option<Scope>,

    /// Print a JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let vault = session::open(ui, &args.unlock)?;
    let holders = session::holders(ui, &home);
    let used = session::last_used(ui, &home);
    let used = |entry: &Entry| used.get(&entry.id().to_string()).copied();
    let entries: Vec<_> = vault
        .secrets()
        .filter(|entry| {
            args.scope
                .as_ref()
                .is_none_or(|scope| entry.scope() == scope)
        })
        .collect();
    let held = |entry: &Entry| -> Vec<&Holder> {
        let id = entry.id().to_string();
        let holders = holders.iter();
        let mut held: Vec<_> = holders
            .filter(|holder| holder.delivery.secret_id == id)
            .collect();
        // A process may hold several parts of AWS credentials.
        held.dedup_by_key(|holder| (holder.pid, holder.delivery.version));
        held
    };
    if args.json {
        let list: Vec<_> = entries
            .iter()
            .map(|entry| to_json(entry, used(entry), &held(entry)))
            .collect();
        return ui.json(&Value::Array(list));
    }
    if entries.is_empty() {
        ui.say("nothing is saved here yet; `mira set NAME` saves a secret");
        return Ok(());
    }
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| row(entry, used(entry), &held(entry)))
        .collect();
    ui.data(&table(
        [
            "NAME",
            "LABEL",
            "SCOPE",
            "KIND",
            "ADDED",
            "ROTATED",
            "LAST USED",
            "VERSION",
            "HELD BY",
        ],
        &rows,
    ))
}

fn row(entry: &Entry, used: Option<Timestamp>, held: &[&Holder]) -> [String; 9] {
    let rotated = if entry.version() > 1 {
        minute(entry.updated())
    } else {
        "-".to_owned()
    };
    [
        entry.name().to_string(),
        entry.label().to_owned(),
        entry.scope().to_string(),
        entry.kind().to_string(),
        minute(entry.created()),
        rotated,
        used.map_or_else(|| "-".to_owned(), minute),
        entry.version().to_string(),
        held_by(entry, held),
    ]
}

fn held_by(entry: &Entry, held: &[&Holder]) -> String {
    if held.is_empty() {
        return "-".to_owned();
    }
    let each = held.iter().map(|holder| {
        let stale = if stale_since(holder, entry).is_some() {
            ", stale"
        } else {
            ""
        };
        format!("{} ({}{stale})", holder.program, holder.pid)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn to_json(entry: &Entry, used: Option<Timestamp>, held: &[&Holder]) -> Value {
    json!({
        "name": entry.name().as_str(),
        "label": entry.label(),
        "scope": entry.scope().to_string(),
        "kind": entry.kind().as_str(),
        "added": entry.created().to_string(),
        "rotated": (entry.version() > 1).then(|| entry.updated().to_string()),
        "last_used": used.map(|time| time.to_string()),
        "version": entry.version(),
        "held_by": held.iter().map(|holder| holder_json(holder, Some(entry))).collect::<Vec<_>>(),
    })
}

/// Renders a holder for `--json`; `entry` is the secret as it is now, if it still is.
pub(crate) fn holder_json(holder: &Holder, entry: Option<&Entry>) -> Value {
    json!({
        "program": holder.program,
        "pid": holder.pid,
        "since": holder.started.to_string(),
        "version": holder.delivery.version,
        "stale_since": entry.and_then(|entry| stale_since(holder, entry)).map(|time| time.to_string()),
    })
}
