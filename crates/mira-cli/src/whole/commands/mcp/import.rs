//! `mira mcp import`: moves the keys in a client's configuration into the vault, and has the client run Mira instead.

use std::path::{Path, PathBuf};

use mira_mcp::clients;
use mira_mcp::config::{Config, ConfigError};
use mira_mcp::definition::Definitions;
use mira_mcp::import::{self, Move, Plan, Wishes};
use mira_vault::Vault;
use mira_vault::home::Home;

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
        if let Err(error) = take(args, file, &home, &mut vault, ui) {
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
    let project = std::env::current_dir()?;
    let files = clients::present(|name| std::env::var_os(name), Some(&project));
    let files = files.ok_or_else(|| {
        CommandError::failed("there is no home folder to look in: HOME is not set")
            .hint("Name the client's file.")
    })?;
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

fn take(
    args: &Args,
    file: &Path,
    home: &Home,
    vault: &mut Vault,
    ui: &Ui,
) -> Result<(), CommandError> {
    let config = Config::read(file)?;
    let wishes = Wishes {
        secrets: &args.secret,
        settings: &args.setting,
    };
    let known = Definitions::read(home.path())?;
    let plan = Plan::of(&config, &args.only, &wishes, &known, vault)?;
    let (client, number) = (plan.client(&config), count(plan.secrets(), "secret"));
    let Plan { moves, notes } = plan;
    let shown = file.display();
    if moves.is_empty() {
        ui.say(&format!("{shown}: there is no key to move"));
    } else {
        ui.say(&format!("{shown} ({}):", client.as_str()));
        show(&moves, ui);
    }
    for note in &notes {
        ui.detail(note);
    }
    if moves.is_empty() || args.dry_run {
        return Ok(());
    }
    let question = format!("Move {number} into the vault, and have the client run Mira?");
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed(format!("{shown} is as it was")));
    }
    for (secret, value) in import::save(vault, &moves)? {
        warn_coverage(ui, secret, coverage(secret, value));
    }
    import::define(home, &moves)?;
    let (mira, mira_home) = ourselves()?;
    let left = import::hand_over(config, &moves, &mira, mira_home.as_deref());
    let left = left.map_err(|error| {
        CommandError::from(error)
            .hint("The values are saved; the file still has them. Import it again.")
    })?;
    ui.say(&format!("moved {number}; {shown} runs Mira now"));
    for (name, line) in left {
        ui.say(&format!(
            "the value of {name} stands in the file once more, in line {line}; take it out by hand"
        ));
    }
    ui.detail(
        "Restart the client. The disk, backups and version control may still hold the old file.",
    );
    ui.detail(&format!("To undo it: mira mcp import --undo {shown}"));
    Ok(())
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
    Ok((text(crate::programs::mira()?)?, home))
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
