//! `mira mcp`: MCP servers, run with secrets that their clients never see.

mod add;
mod import;
mod list;
mod rm;
mod run;
mod test;
mod undo;

use std::process::ExitCode;

use mira_mcp::definition::{DefineError, Definition, Definitions, DefinitionsError, ServerName};
use mira_mcp::import::ImportError;
use mira_mcp::suspect;
use mira_vault::home::Home;

use crate::error::{CommandError, Kind};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A client, such as an editor, starts `mira mcp run NAME` instead of the server:\n  \
                  mira mcp add github --env GITHUB_TOKEN -- npx -y @modelcontextprotocol/server-github\n  \
                  mira mcp add tracker --url https://mcp.tracker.example/mcp --header Authorization\n  \
                  mira mcp import"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add a server: a program, or a URL
    Add(add::Args),
    /// List the servers: what they run or call, and the names of their secrets
    List(list::Args),
    /// Start a server, ask who it is and what it can do, and say what is wrong if it does not answer
    Test(test::Args),
    /// Remove a server and its secrets
    Rm(rm::Args),
    /// Run a server for a client, on standard input and output
    Run(run::Args),
    /// Move the keys in a client's configuration into the vault, and have the client run Mira instead; or undo that
    Import(import::Args),
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    match &args.action {
        Action::Add(args) => add::run(args, ui),
        Action::List(args) => list::run(args, ui),
        Action::Test(args) => test::run(args, ui),
        Action::Rm(args) => rm::run(args, ui),
        Action::Run(args) => return run::run(args, ui),
        Action::Import(args) => import::run(args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// Returns a server's definition.
fn find(home: &Home, name: &ServerName) -> Result<Definition, CommandError> {
    let mut known = Definitions::read(home.path())?;
    known.0.remove(name).ok_or_else(|| {
        CommandError::missing("there is no MCP server of this name:", [name])
            .hint("`mira mcp list` shows those there are; `mira mcp add` adds one.")
    })
}

/// Parses a server's name for clap.
fn parse_server(text: &str) -> Result<ServerName, String> {
    text.parse()
        .map_err(|error: mira_secret::ScopeError| error.to_string())
}

/// Says which words of a program's arguments look like secrets, by their places.
fn warn_of_args(name: &ServerName, args: &[String], ui: &Ui) {
    for (index, _) in args
        .iter()
        .enumerate()
        .filter(|(_, arg)| suspect::looks_secret(arg))
    {
        ui.say(&format!(
            "argument {} of {name} looks like a secret, and stays where every process can read it; \
             if the server takes it from a variable too, give it with --env",
            index + 1
        ));
    }
}

impl From<DefineError> for CommandError {
    fn from(error: DefineError) -> Self {
        let told = Self::usage(error.to_string());
        match error {
            DefineError::Header => told
                .hint("--header takes the name of a header; its value is asked for: --header Authorization, and then `Bearer ...`"),
            _ => told,
        }
    }
}

impl From<ImportError> for CommandError {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Vault(error) => error.into(),
            ImportError::Io(error) => error.into(),
            error => Self::failed(error.to_string()),
        }
    }
}

impl From<DefinitionsError> for CommandError {
    fn from(error: DefinitionsError) -> Self {
        let kind = match &error {
            DefinitionsError::Damaged { .. } => Kind::Integrity,
            _ => Kind::Failed,
        };
        Self::new(kind, error.to_string())
    }
}
