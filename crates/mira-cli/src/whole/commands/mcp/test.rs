//! `mira mcp test`: starts a server just as a client does, and asks who it is and what it can do.

use std::ffi::OsString;
use std::time::Duration;

use mira_mcp::definition::ServerName;
use mira_mcp::probe::{self, Failed};
use serde_json::json;
use tokio::process::Child;

use super::{find, parse_server};
use crate::error::{CommandError, Kind};
use crate::render::{count, facts};
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server
    #[arg(value_name = "NAME", value_parser = parse_server)]
    name: ServerName,

    /// How long to wait for its answers, in seconds; a package that is fetched first takes long
    #[arg(long, value_name = "SECONDS", default_value_t = probe::PATIENCE.as_secs())]
    timeout: u64,

    /// Print a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let definition = find(&session::home()?, &args.name)?;
    if !definition.secrets_shown().is_empty() {
        // A passphrase is asked for here: what is started has no terminal.
        drop(session::open(ui, &args.unlock)?);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let wait = Duration::from_secs(args.timeout);
    let found = runtime.block_on(async {
        let child = start(args)?;
        let tested = probe::attend(child, &args.name, &definition, wait).await;
        tested.map_err(told)
    })?;
    if args.json {
        return ui.json(&json!({
            "name": args.name.as_str(),
            "server": {"name": found.name, "version": found.version},
            "protocol": found.protocol,
            "tools": found.tools,
        }));
    }
    let tools = match found.tools.as_slice() {
        [] => "none".to_owned(),
        tools => format!("{}: {}", count(tools.len(), "tool"), tools.join(", ")),
    };
    ui.data(&facts(&[
        ("server", format!("{} {}", found.name, found.version)),
        ("protocol", found.protocol),
        ("tools", tools),
    ]))
}

fn start(args: &Args) -> Result<Child, CommandError> {
    let mira = crate::programs::mira()?;
    let mut words: Vec<OsString> = vec!["mcp".into(), "run".into(), args.name.as_str().into()];
    if let Some(file) = &args.unlock.passphrase_file {
        words.extend(["--passphrase-file".into(), file.into()]);
    }
    Ok(mira_host::piped::start(
        mira.as_os_str(),
        &words,
        std::env::vars_os(),
    )?)
}

fn told(failed: Failed) -> CommandError {
    let kind = match failed.code {
        Some(3) => Kind::Missing,
        Some(4) => Kind::Locked,
        Some(5) => Kind::Integrity,
        _ => Kind::Failed,
    };
    let error = CommandError::new(kind, failed.message);
    failed.said.into_iter().fold(error, CommandError::hint)
}
