//! `mira mcp list`: the servers, with the names of their secrets.

use mira_mcp::definition::{Definition, Definitions, Kind, Origin, Transport};
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::table;
use crate::session;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let servers = Definitions::read(session::home()?.path())?.0;
    if args.json {
        let servers = servers.iter().map(|(name, definition)| {
            let mut value = to_json(definition);
            value["name"] = name.as_str().into();
            value
        });
        return ui.json(&servers.collect());
    }
    if servers.is_empty() {
        ui.say("there is no MCP server; `mira mcp add` adds one, `mira mcp import` takes those of a client");
        return Ok(());
    }
    let rows: Vec<_> = servers
        .iter()
        .map(|(name, definition)| {
            let secrets = definition.secrets_shown();
            let secrets = match secrets.is_empty() {
                true => "-".to_owned(),
                false => secrets.join(", "),
            };
            [name.to_string(), secrets, definition.runs()]
        })
        .collect();
    ui.data(&table(["NAME", "SECRETS", "RUNS OR CALLS"], &rows))
}

fn to_json(definition: &Definition) -> Value {
    let files = definition
        .sources
        .iter()
        .map(|source| source.file.display().to_string());
    let files: Vec<_> = files.collect();
    match &definition.kind {
        Kind::Program(program) => {
            let secrets = program.secrets.iter().map(|(name, origin)| {
                let scope = match origin {
                    Origin::Own => "own",
                    Origin::User(_) => "user",
                };
                let saved_as = match origin {
                    Origin::Own => name,
                    Origin::User(yours) => yours,
                };
                json!({"name": name.as_str(), "scope": scope, "saved_as": saved_as.as_str()})
            });
            json!({
                "kind": "program",
                "command": program.command,
                "args": program.args,
                "settings": program.settings.iter().map(|(name, value)| (name.to_string(), json!(value))).collect::<serde_json::Map<_, _>>(),
                "secrets": secrets.collect::<Vec<_>>(),
                "imported_from": files,
            })
        }
        Kind::Remote(remote) => {
            let secrets = remote.secret_headers.iter().map(|(header, secret)| {
                json!({"name": header, "scope": "own", "saved_as": secret.as_str()})
            });
            json!({
                "kind": "remote",
                "url": remote.shown_url(),
                "transport": match remote.transport { Transport::Auto => "auto", Transport::Sse => "sse" },
                "headers": remote.headers,
                "secrets": secrets.collect::<Vec<_>>(),
                "imported_from": files,
            })
        }
    }
}
