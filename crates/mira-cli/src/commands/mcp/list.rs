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
            let (what, secrets) = shown(definition);
            let secrets = match secrets.is_empty() {
                true => "-".to_owned(),
                false => secrets.join(", "),
            };
            [name.to_string(), secrets, what]
        })
        .collect();
    ui.data(&table(["NAME", "SECRETS", "RUNS OR CALLS"], &rows))
}

/// Returns what a server runs or calls, and its secrets.
pub(super) fn shown(definition: &Definition) -> (String, Vec<String>) {
    match &definition.kind {
        Kind::Program(program) => {
            let words = std::iter::once(&program.command).chain(&program.args);
            let secrets = program.secrets.iter().map(|(name, origin)| match origin {
                Origin::Own => name.to_string(),
                Origin::User(yours) if yours == name => format!("{name} (yours)"),
                Origin::User(yours) => format!("{name} (your {yours})"),
            });
            let words: Vec<_> = words.map(String::as_str).collect();
            (words.join(" "), secrets.collect())
        }
        Kind::Remote(remote) => (
            without_query(&remote.url).to_owned(),
            remote.secret_headers.keys().cloned().collect(),
        ),
    }
}

/// What stands behind a question mark is left out: some servers have keys there.
fn without_query(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
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
                "url": without_query(&remote.url),
                "transport": match remote.transport { Transport::Auto => "auto", Transport::Sse => "sse" },
                "headers": remote.headers,
                "secrets": secrets.collect::<Vec<_>>(),
                "imported_from": files,
            })
        }
    }
}
