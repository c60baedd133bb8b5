//! `mira diagnostics`: one document with all that helps to find out what is wrong with an instance.
//!
//! INVARIANT: no value of the vault is in it. Every text passes the redactor, then the whole is searched once more, and nothing is
//! written where anything is found.

mod clean;
mod facts;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use mira_redact::{Coverage, NeedleSet};
use mira_vault::Vault;
use serde_json::{Value, json};

use self::clean::Cleaner;
use crate::error::{CommandError, Kind};
use crate::session::UnlockArgs;
use crate::ui::Ui;
use crate::whole::apps::Apps;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It holds versions, checks of this machine, names of what the app declares, states, ports and the last lines of the \
                  logs; no value, and nothing of your environment. Read it before you give it to anybody: logs hold what the app wrote."
)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Write it to a new file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// So many of the last log lines of each service
    #[arg(short = 'n', long, value_name = "LINES", default_value_t = 200)]
    lines: usize,

    /// Go on without the vault: what is redacted then is only what was when it was written
    #[arg(long, conflicts_with = "passphrase_file")]
    without_vault: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    // Its data is JSON, and so are its errors where it goes to stdout.
    ui.want_json(args.output.is_none());
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let vault = match args.without_vault {
        true => None,
        false => apps
            .vault(ui, &args.unlock)
            .map_err(|error| error.hint("--without-vault goes on without what the vault knows."))?,
    };
    let (needles, redaction) = known(vault.as_ref(), args.without_vault);
    let mut document = facts::gather(&apps, &instance, vault, args.lines)?;
    if let Some(facts) = document.as_object_mut() {
        facts.insert("redaction".to_owned(), redaction);
    }
    let cleaner = Cleaner::new(Arc::clone(&needles), apps.instances.home().path());
    let text = format!("{:#}\n", cleaner.clean(document));
    refuse_values(&needles, &text)?;
    match &args.output {
        None => ui.data(&text),
        Some(path) => {
            write(path, &text).map_err(|error| {
                CommandError::failed(format!("cannot write {}: {error}", path.display()))
            })?;
            ui.say(&format!(
                "wrote {}; read it before you give it to anybody: logs hold what the app wrote",
                path.display()
            ));
            Ok(())
        }
    }
}

/// Returns all values that can be read, to look for, and what there is to say of that.
fn known(vault: Option<&Vault>, left_out: bool) -> (Arc<NeedleSet>, Value) {
    let mut needles = NeedleSet::builder();
    let (mut number, mut too_short, mut unreadable) = (0_u64, Vec::new(), Vec::new());
    for (vault, entry) in vault
        .iter()
        .flat_map(|vault| vault.secrets().map(move |one| (vault, one)))
    {
        let Ok(delivered) = vault.delivered(entry) else {
            unreadable.push(entry.name().as_str());
            continue;
        };
        number += 1;
        for (name, value) in delivered.variables {
            // EXPOSE: to the redactor, which looks for it in the document.
            if needles.add(name.as_str(), value.expose()) == Coverage::TooShort {
                too_short.push(name.to_string());
            }
        }
    }
    let redaction = json!({
        "vault": match (vault, left_out) {
            (Some(_), _) => "opened",
            (None, true) => "left out",
            (None, false) => "none",
        },
        "secrets": number,
        "tooShort": too_short,
        "unreadable": unreadable,
    });
    (Arc::new(needles.build()), redaction)
}

/// Refuses a document in which there is a value all the same.
fn refuse_values(needles: &NeedleSet, text: &str) -> Result<(), CommandError> {
    let findings = needles.find(text.as_bytes());
    if findings.is_empty() {
        return Ok(());
    }
    let error = CommandError::new(
        Kind::Integrity,
        "nothing was written, as values of secrets would be in it:",
    );
    let found = findings
        .iter()
        .map(|finding| json!({"name": &*finding.name, "offset": finding.offset, "form": finding.form.to_string()}));
    let error = error.found(found.collect());
    Err(findings.iter().fold(error, |error, finding| {
        error.hint(format!(
            "{} at byte {} ({})",
            finding.name, finding.offset, finding.form
        ))
    }))
}

/// Writes a file for its owner only; one that is there is not touched.
fn write(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
