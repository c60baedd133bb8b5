//! `mira mcp import`: moves the keys in a client's configuration into the vault, and has the client run Mira instead.
//!
//! The order makes that a crash loses nothing: the values are in the vault before the server is in `mcp.json`, and there before
//! the file is replaced. What was done is done again by the next import, with the same result.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mira_mcp::clients::{self, Client};
use mira_mcp::config::{self, Config, ConfigError, Handover};
use mira_mcp::definition::{Definition, Definitions};
use mira_redact::NeedleSet;
use mira_vault::home::{Home, Platform};
use mira_vault::{NewSecret, Vault};

use super::plan::{Move, Plan, Wishes};
use super::undo;
use crate::commands::set::{coverage, warn_coverage};
use crate::error::{CommandError, Kind};
use crate::render::{count, table};
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without FILE, the usual places of Claude Desktop, Claude Code, Cursor, VS Code, Windsurf, Zed and Codex are looked \
                  at. Names are shown, values never.\n  mira mcp import --dry-run\n  mira mcp import ~/.cursor/mcp.json\n  \
                  mira mcp import --undo ~/.cursor/mcp.json"
)]
pub(super) struct Args {
    /// The client's file
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,

    /// Take this server only, by the client's name for it (may be repeated)
    #[arg(long, value_name = "SERVER")]
    only: Vec<String>,

    /// This variable or header is a secret, whatever it looks like (may be repeated)
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,

    /// This variable or header is no secret, whatever it looks like (may be repeated)
    #[arg(long, value_name = "NAME")]
    setting: Vec<String>,

    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Do it without asking
    #[arg(long)]
    pub(super) yes: bool,

    /// Put the servers back into the client's file, without the values of their secrets
    #[arg(long, conflicts_with_all = ["only", "secret", "setting"])]
    undo: bool,

    /// With --undo: write the values into the file too, in plain
    #[arg(long, requires = "undo")]
    pub(super) with_values: bool,

    #[command(flatten)]
    pub(super) unlock: UnlockArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    if args.undo {
        return undo::run(args, args.dry_run, &home, ui);
    }
    let files = match &args.file {
        Some(file) => vec![file.clone()],
        None => present(ui)?,
    };
    let mut vault = session::open(ui, &args.unlock)?;
    let mut failed = None;
    for file in &files {
        if let Err(error) = import(args, file, &home, &mut vault, ui) {
            // One file that cannot be changed is no reason to leave keys in the others.
            if files.len() == 1 || error.kind() == Kind::Interrupted {
                return Err(error);
            }
            ui.say(&error.in_one_line());
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Returns the files of clients that are there, and shows them.
fn present(ui: &Ui) -> Result<Vec<PathBuf>, CommandError> {
    let folder = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let home = folder("HOME")
        .or_else(|| folder("USERPROFILE"))
        .ok_or_else(|| {
            CommandError::failed("there is no home folder to look in: HOME is not set")
                .hint("Name the client's file.")
        })?;
    let config = match Platform::CURRENT {
        Platform::Linux => folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
        Platform::MacOs => home.join("Library/Application Support"),
        Platform::Windows => folder("APPDATA").unwrap_or_else(|| home.join("AppData/Roaming")),
    };
    let mut files = clients::places(Platform::CURRENT, &home, &config, &std::env::current_dir()?);
    files.retain(|file| file.symlink_metadata().is_ok());
    files.dedup();
    if files.is_empty() {
        return Err(CommandError::missing(
            "no client's configuration was found in the usual places",
            [] as [&str; 0],
        )
        .hint("Name the file: mira mcp import FILE"));
    }
    ui.say("found:");
    for file in &files {
        ui.detail(&file.display().to_string());
    }
    Ok(files)
}

fn import(
    args: &Args,
    file: &Path,
    home: &Home,
    vault: &mut Vault,
    ui: &Ui,
) -> Result<(), CommandError> {
    let mut config = Config::read(file)?;
    let wishes = Wishes {
        secrets: &args.secret,
        settings: &args.setting,
    };
    let known = Definitions::read(home.path())?;
    let Plan { moves, notes } = Plan::of(&config, &args.only, &wishes, &known, vault)?;
    let shown = file.display();
    if moves.is_empty() {
        ui.say(&format!("{shown}: there is no key to move"));
    } else {
        let table_of = |entry: &Move| {
            entry
                .entry
                .at
                .split_last()
                .map(|(_, table)| Client::of(file, table))
        };
        let client = moves.first().and_then(table_of).unwrap_or(Client::Other);
        ui.say(&format!("{shown} ({}):", client.as_str()));
        show(&moves, ui);
    }
    for note in &notes {
        ui.detail(note);
    }
    if moves.is_empty() || args.dry_run {
        return Ok(());
    }
    let question = format!(
        "Move {} into the vault, and have the client run Mira?",
        secrets(&moves)
    );
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed(format!("{shown} is as it was")));
    }
    save(vault, &moves, ui)?;
    define(home, &moves)?;
    let (mira, mira_home) = ourselves()?;
    for Move {
        entry, name, taken, ..
    } in &moves
    {
        let with = Handover {
            mira: &mira,
            name,
            home: mira_home.as_deref(),
            taken,
        };
        config.hand_over(entry, &with);
    }
    let (new, old) = config.texts();
    config::replace(file, old, &new).map_err(|error| {
        CommandError::from(error)
            .hint("The values are saved; the file still has them. Import it again.")
    })?;
    ui.say(&format!("moved {}; {shown} runs Mira now", secrets(&moves)));
    tell_left(&moves, &new, ui);
    ui.detail(
        "Restart the client. The disk, backups and version control may still hold the old file.",
    );
    ui.detail(&format!("To undo it: mira mcp import --undo {shown}"));
    Ok(())
}

fn secrets(moves: &[Move]) -> String {
    count(moves.iter().map(|entry| entry.values.len()).sum(), "secret")
}

fn show(moves: &[Move], ui: &Ui) {
    let rows: Vec<_> = moves
        .iter()
        .map(
            |Move {
                 entry,
                 name,
                 values,
                 ..
             }| {
                let names: Vec<_> = values.iter().map(|(name, _)| name.as_str()).collect();
                [
                    entry.key().to_owned(),
                    names.join(", "),
                    format!("mira mcp run {name}"),
                ]
            },
        )
        .collect();
    for line in table(["SERVER", "SECRETS", "RUNS THEN"], &rows).lines() {
        ui.detail(line);
    }
}

/// Saves the values, all together; one that is saved already is left as it is.
fn save(vault: &mut Vault, moves: &[Move], ui: &Ui) -> Result<(), CommandError> {
    let mut new = Vec::new();
    for entry in moves {
        for (secret, value) in &entry.values {
            let scope = entry.name.scope();
            let saved = vault
                .find(&scope, secret)
                .map(|entry| vault.value(entry))
                .transpose()?;
            if saved.as_ref() != Some(value) {
                warn_coverage(ui, secret, coverage(secret, value));
                // EXPOSE: to the vault, which takes a copy of its own.
                let value = mira_secret::SecretBytes::copy_from(value.expose());
                let value = mira_secret::SecretValue::new(secret, value)
                    .map_err(|error| CommandError::failed(error.to_string()))?;
                new.push((scope, secret, value));
            }
        }
    }
    let now = Timestamp::now();
    vault.update(|draft| {
        for (scope, secret, value) in new {
            draft.set(
                &scope,
                secret,
                NewSecret {
                    value,
                    label: None,
                    kind: None,
                    now,
                },
            )?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Adds the servers to those of the home; one that is there already gets a second source.
fn define(home: &Home, moves: &[Move]) -> Result<(), CommandError> {
    Definitions::update(home.path(), |servers| {
        for Move {
            name, definition, ..
        } in moves
        {
            let server = servers
                .0
                .entry(name.clone())
                .or_insert_with(|| Definition::new(definition.kind.clone()));
            for source in &definition.sources {
                server
                    .sources
                    .retain(|known| (&known.file, &known.at) != (&source.file, &source.at));
                server.sources.push(source.clone());
            }
        }
    })?;
    Ok(())
}

/// Returns the path of this program, and of its home if that is not where a client's processes look.
fn ourselves() -> Result<(String, Option<String>), CommandError> {
    let text = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|_| {
            CommandError::failed(
                "the path of Mira or of its home is no text, and no client's file can name it",
            )
        })
    };
    let home = std::env::var_os("MIRA_HOME").filter(|home| !home.is_empty());
    let home = home
        .map(|home| text(std::path::absolute(PathBuf::from(home))?))
        .transpose()?;
    Ok((text(std::env::current_exe()?)?, home))
}

/// Says which of the values stand in the file still, in another place than they were taken from.
fn tell_left(moves: &[Move], text: &str, ui: &Ui) {
    let mut needles = NeedleSet::builder();
    for (name, value) in moves.iter().flat_map(|entry| &entry.values) {
        // EXPOSE: to the scanner, which looks for it in the new file.
        needles.add(name.as_str(), value.expose());
    }
    for finding in needles.build().find(text.as_bytes()) {
        let before = text
            .as_bytes()
            .iter()
            .take(usize::try_from(finding.offset).unwrap_or(0));
        let line = before.filter(|&&byte| byte == b'\n').count() + 1;
        ui.say(&format!(
            "the value of {} stands in the file once more, in line {line}; take it out by hand",
            finding.name
        ));
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let kind = match &error {
            ConfigError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::Missing
            }
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}
