//! `mira import`: takes secrets from a dotenv file or a recovery file.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use jiff::Timestamp;
use mira_age::Key;
use mira_secret::{Kind, Scope, SecretBytes, SecretName, SecretValue};
use mira_vault::recovery;
use mira_vault::{NewSecret, Vault};

use crate::commands::set::{coverage, tell_stale, warn_coverage};
use crate::dotenv;
use crate::error::CommandError;
use crate::render::{count, table};
use crate::session::{self, UnlockArgs, parse_names, parse_scope};
use crate::ui::Ui;

/// The longest file that is imported, in bytes.
// LIMIT: a thousand of the longest values; keeps a wrong file from filling the memory.
const IMPORT_BYTES_MAX: u64 = 128 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "  mira import .env\n  mira import --only OPENAI_API_KEY .env\n  \
                        mira import --identity key.txt recovery.age"
)]
pub(crate) struct Args {
    /// The file; `-` is stdin. A recovery file is known by its age header
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Take this name only (may be repeated, or a list with commas)
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,

    /// The scope to save into; a recovery file has its own
    #[arg(long, value_name = "SCOPE", default_value = "user", value_parser = parse_scope)]
    scope: Scope,

    /// Take them without asking
    #[arg(long)]
    yes: bool,

    /// Replace values that are saved already
    #[arg(long)]
    replace: bool,

    /// Remove what was taken from the dotenv file, without asking
    #[arg(long, conflicts_with = "keep_plaintext")]
    remove_plaintext: bool,

    /// Leave the dotenv file as it is, without asking
    #[arg(long)]
    keep_plaintext: bool,

    /// The age identity file that opens a recovery file
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,

    /// Read the recovery file's passphrase from a file instead of asking
    #[arg(long, value_name = "FILE")]
    recovery_passphrase_file: Option<PathBuf>,

    #[command(flatten)]
    unlock: UnlockArgs,
}

/// A secret as it was found in the file.
struct Candidate {
    scope: Scope,
    name: SecretName,
    value: SecretValue,
    label: Option<String>,
    kind: Option<Kind>,
    known: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let only = parse_names(&args.only)?;
    let bytes = read(args)?;
    // EXPOSE: to the look at the first bytes.
    let recovery = mira_age::is_age(bytes.expose());
    let mut vault = session::open(ui, &args.unlock)?;
    let mut candidates = if recovery {
        from_recovery(args, &bytes, ui)?
    } else {
        from_dotenv(args, &bytes, ui)?
    };
    if !only.is_empty() {
        let missing: Vec<_> = only
            .iter()
            .filter(|name| !candidates.iter().any(|c| c.name == **name))
            .collect();
        if !missing.is_empty() {
            return Err(CommandError::missing(
                "not in the file, so nothing was taken:",
                missing,
            ));
        }
        candidates.retain(|candidate| only.contains(&candidate.name));
    }
    for candidate in &mut candidates {
        candidate.known = vault.find(&candidate.scope, &candidate.name).is_some();
    }
    if candidates.is_empty() {
        ui.say("there is nothing to take in the file");
        return Ok(());
    }
    show(&candidates, args.replace, ui);
    candidates.retain(|candidate| !candidate.known || args.replace);
    if candidates.is_empty() {
        ui.say("all of them are saved already; --replace takes the file's values");
        return Ok(());
    }
    let question = format!("Take {}?", count(candidates.len(), "secret"));
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed("nothing was taken"));
    }
    let taken = save(&mut vault, candidates, ui)?;
    ui.say(&format!("saved {}", count(taken.len(), "secret")));
    if recovery {
        Ok(())
    } else {
        remove_plaintext(args, &bytes, &taken, ui)
    }
}

fn read(args: &Args) -> Result<SecretBytes, CommandError> {
    let from = |error: io::Error| {
        CommandError::failed(format!("cannot read {}: {error}", args.file.display()))
    };
    let mut plain = Vec::new();
    let read = if args.file.as_os_str() == "-" {
        io::stdin()
            .lock()
            .take(IMPORT_BYTES_MAX + 1)
            .read_to_end(&mut plain)
    } else {
        let file = File::open(&args.file).map_err(from)?;
        // Room for all of it from the start: a vector that grows leaves copies behind.
        plain.reserve_exact(usize::try_from(file.metadata().map_err(from)?.len() + 1).unwrap_or(0));
        file.take(IMPORT_BYTES_MAX + 1).read_to_end(&mut plain)
    };
    let bytes = SecretBytes::from_vec(plain);
    if read.map_err(from)? as u64 > IMPORT_BYTES_MAX {
        return Err(CommandError::failed(format!(
            "{} is longer than {IMPORT_BYTES_MAX} bytes",
            args.file.display()
        )));
    }
    Ok(bytes)
}

fn from_dotenv(args: &Args, bytes: &SecretBytes, ui: &Ui) -> Result<Vec<Candidate>, CommandError> {
    let pairs = dotenv::parse(bytes).map_err(|error| {
        CommandError::failed(format!(
            "{}: {error}; nothing was taken",
            args.file.display()
        ))
    })?;
    let mut candidates = Vec::new();
    for (name, value) in pairs {
        let parsed = session::parse_name(&name)
            .map_err(|error| error.in_one_line())
            .and_then(|name| {
                SecretValue::new(&name, value)
                    .map(|value| (name, value))
                    .map_err(|error| error.to_string())
            });
        match parsed {
            Ok((name, value)) => candidates.push(Candidate {
                scope: args.scope.clone(),
                name,
                value,
                label: None,
                kind: None,
                known: false,
            }),
            Err(error) => ui.say(&format!("{name} is left out: {error}")),
        }
    }
    Ok(candidates)
}

fn from_recovery(
    args: &Args,
    bytes: &SecretBytes,
    ui: &Ui,
) -> Result<Vec<Candidate>, CommandError> {
    let key = match (&args.identity, &args.recovery_passphrase_file) {
        (Some(path), _) => {
            let text = File::open(path)
                .and_then(|file| session::read_secret(file, 1 << 20))
                .map_err(|error| {
                    CommandError::failed(format!("cannot read {}: {error}", path.display()))
                })?;
            Key::Identities(text)
        }
        (None, Some(path)) => {
            let passphrase = session::passphrase_from(path).map_err(|error| {
                CommandError::failed(format!("cannot read {}: {error}", path.display()))
            })?;
            Key::Passphrase(passphrase.into_secret())
        }
        (None, None) if ui.can_ask_hidden() => {
            Key::Passphrase(ui.ask_hidden("Passphrase of the recovery file: ")?)
        }
        (None, None) => {
            return Err(CommandError::missing(
                "the recovery file needs its key, and there is no terminal to ask on",
                ["--identity FILE or --recovery-passphrase-file FILE"],
            ));
        }
    };
    // EXPOSE: to the age reader; the bytes are ciphertext.
    let secrets = recovery::open(bytes.expose(), &key)?;
    Ok(secrets
        .into_iter()
        .map(|secret| Candidate {
            scope: secret.scope,
            name: secret.name,
            value: secret.value,
            label: Some(secret.label),
            kind: Some(secret.kind),
            known: false,
        })
        .collect())
}

fn show(candidates: &[Candidate], replace: bool, ui: &Ui) {
    let rows: Vec<_> = candidates
        .iter()
        .map(|candidate| {
            let what = match (candidate.known, replace) {
                (false, _) => "new",
                (true, true) => "replaces the saved value",
                (true, false) => "saved already: left as it is",
            };
            [
                candidate.name.to_string(),
                candidate.scope.to_string(),
                count(candidate.value.len(), "byte"),
                what.to_owned(),
            ]
        })
        .collect();
    for line in table(["NAME", "SCOPE", "SIZE", ""], &rows).lines() {
        ui.detail(line);
    }
}

fn save(
    vault: &mut Vault,
    candidates: Vec<Candidate>,
    ui: &Ui,
) -> Result<Vec<SecretName>, CommandError> {
    let home = session::home()?;
    let now = Timestamp::now();
    for candidate in &candidates {
        warn_coverage(
            ui,
            &candidate.name,
            coverage(&candidate.name, &candidate.value),
        );
    }
    let saved = vault.update(|draft| {
        let mut saved = Vec::with_capacity(candidates.len());
        for Candidate {
            scope,
            name,
            value,
            label,
            kind,
            ..
        } in candidates
        {
            let entry = draft.set(
                &scope,
                &name,
                NewSecret {
                    value,
                    label,
                    kind,
                    now,
                },
            )?;
            saved.push((name, entry.id().to_string(), entry.version()));
        }
        Ok(saved)
    })?;
    for (_, id, version) in &saved {
        tell_stale(ui, &home, id, *version)?;
    }
    Ok(saved.into_iter().map(|(name, ..)| name).collect())
}

/// Takes what was saved out of the dotenv file, if that is wanted.
fn remove_plaintext(
    args: &Args,
    bytes: &SecretBytes,
    taken: &[SecretName],
    ui: &Ui,
) -> Result<(), CommandError> {
    if args.file.as_os_str() == "-" || args.keep_plaintext {
        return Ok(());
    }
    let file = args.file.display();
    if !args.remove_plaintext {
        let question = format!("The values still stand in {file}. Remove them from it?");
        if !ui.can_ask() || !ui.confirm(&question, "--remove-plaintext")? {
            ui.say(&format!(
                "{file} still holds the values; --remove-plaintext removes them"
            ));
            return Ok(());
        }
    }
    match dotenv::without(bytes, taken) {
        Some(rest) if rest.iter().all(u8::is_ascii_whitespace) => {
            std::fs::remove_file(&args.file).map_err(|error| {
                CommandError::failed(format!("the secrets are saved, but {file} stays: {error}"))
            })?;
            ui.say(&format!("removed {file}: nothing else was in it"));
        }
        Some(rest) => {
            mira_vault::private_file::replace(&args.file, &rest).map_err(|error| {
                CommandError::failed(format!(
                    "the secrets are saved, but {file} is as it was: {error}"
                ))
            })?;
            ui.say(&format!(
                "removed the values from {file}; the rest of it is unchanged"
            ));
        }
        None => {
            return Err(CommandError::failed(format!(
                "the secrets are saved, but {file} is written in a way that Mira does not edit; \
                 remove them by hand"
            )));
        }
    }
    ui.detail("The disk, backups and version control may still hold the old file.");
    Ok(())
}
