//! `mira mcp add`: adds a server, and asks for those of its secrets that are not saved.

use std::io;

use jiff::Timestamp;
use mira_mcp::definition::{
    Definition, Definitions, Kind, Origin, Program, Remote, ServerName, Transport,
};
use mira_mcp::suspect;
use mira_secret::{ENTRY_BYTES_MAX, Scope, SecretName, SecretValue};
use mira_vault::{NewSecret, Vault};

use super::{parse_server, warn_of_args};
use crate::commands::set::{coverage, warn_coverage};
use crate::error::CommandError;
use crate::session::{self, UnlockArgs, parse_name};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(
    override_usage = "mira mcp add NAME [--env NAME]... [--with NAME=VALUE]... -- PROGRAM [ARGUMENT]...\n       \
                      mira mcp add NAME --url URL [--header NAME]...",
    after_help = "Values are asked for without showing them, or read with --stdin. What is saved already is not asked for:\n  \
                  mira set GITHUB_TOKEN --scope mcp/github --stdin < token\n  \
                  mira mcp add github --env GITHUB_TOKEN -- npx -y @modelcontextprotocol/server-github"
)]
pub(super) struct Args {
    /// What the server is called
    #[arg(value_name = "NAME", value_parser = parse_server)]
    name: ServerName,

    /// A variable of the program that is a secret of its own (may be repeated)
    #[arg(long, value_name = "NAME")]
    env: Vec<String>,

    /// A variable of the program that is a secret of yours: its name there, and yours (may be repeated)
    #[arg(long, value_name = "NAME=YOURS")]
    bind: Vec<String>,

    /// A variable of the program that is no secret (may be repeated)
    #[arg(long = "with", value_name = "NAME=VALUE")]
    settings: Vec<String>,

    /// The URL of a server that is no program: https, or http on this machine
    #[arg(long, value_name = "URL", conflicts_with_all = ["env", "bind", "settings", "program"])]
    url: Option<String>,

    /// A header of its requests, whose value is a secret: for example Authorization, and the value `Bearer ...` (may be repeated)
    #[arg(long, value_name = "NAME", requires = "url")]
    header: Vec<String>,

    /// The server speaks the older HTTP with SSE; by default that is found out
    #[arg(long, requires = "url")]
    sse: bool,

    /// Read the one value that is not saved from stdin, as it is, less one trailing newline
    #[arg(long)]
    stdin: bool,

    /// Replace a server of this name without asking; what is saved of its secrets is kept
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    unlock: UnlockArgs,

    /// The program and its arguments
    #[arg(last = true, value_name = "PROGRAM", required_unless_present = "url")]
    program: Vec<String>,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let kind = match &args.url {
        Some(url) => Kind::Remote(remote(args, url)?),
        None => Kind::Program(program(args)?),
    };
    let home = session::home()?;
    let name = &args.name;
    let known = Definitions::read(home.path())?.0.contains_key(name);
    if known && !args.replace {
        let question = format!("There is a server {name} already. Replace it?");
        if !ui.confirm(&question, "--replace")? {
            return Err(CommandError::failed(format!("{name} was left as it is")));
        }
    }
    let definition = Definition::new(kind);
    if has_secrets(&definition) {
        let mut vault = session::open(ui, &args.unlock)?;
        check_bindings(&vault, &definition)?;
        save_missing(&mut vault, args, &definition, ui)?;
    } else {
        home.create()
            .map_err(|error| CommandError::failed(error.to_string()))?;
    }
    let shown = definition.clone();
    Definitions::put(home.path(), name, definition)?;
    ui.say(&format!(
        "{} {name}; a client runs it with: mira mcp run {name}",
        if known { "replaced" } else { "added" }
    ));
    if let Kind::Program(program) = &shown.kind {
        warn_of_args(name, &program.args, ui);
        for (setting, _) in program
            .settings
            .iter()
            .filter(|(setting, value)| suspect::is_secret(setting.as_str(), value))
        {
            ui.say(&format!(
                "{setting} looks like a secret, and is kept in plain; keep it in the vault with --env {setting}"
            ));
        }
    }
    Ok(())
}

fn program(args: &Args) -> Result<Program, CommandError> {
    let mut words = args.program.iter().cloned();
    let mut program = Program {
        command: words.next().unwrap_or_default(),
        args: words.collect(),
        ..Program::default()
    };
    for name in &args.env {
        if name.contains('=') {
            return Err(CommandError::usage(
                "a secret's value is never given on the command line: other users see it there, and the shell's history keeps it",
            )
            .hint("--env NAME         asks for it without showing it")
            .hint("--with NAME=VALUE  is for what is no secret")
            .hint("If that was a real value, replace it where it was issued: it may be in the history now."));
        }
        program.add_secret(parse_name(name)?, Origin::Own)?;
    }
    for text in &args.bind {
        let (name, yours) = pair(text, "--bind takes NAME=YOURS, the names of two secrets")?;
        program.add_secret(name, Origin::User(parse_name(yours)?))?;
    }
    for text in &args.settings {
        let (name, value) = pair(text, "--with takes NAME=VALUE")?;
        program.add_setting(name, value)?;
    }
    Ok(program)
}

fn remote(args: &Args, url: &str) -> Result<Remote, CommandError> {
    let transport = match args.sse {
        true => Transport::Sse,
        false => Transport::Auto,
    };
    let mut remote = Remote::new(url, transport)?;
    for header in &args.header {
        remote.add_secret_header(header)?;
    }
    Ok(remote)
}

fn pair<'a>(text: &'a str, usage: &str) -> Result<(SecretName, &'a str), CommandError> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| CommandError::usage(usage))?;
    Ok((parse_name(name)?, value))
}

fn has_secrets(definition: &Definition) -> bool {
    match &definition.kind {
        Kind::Program(program) => !program.secrets.is_empty(),
        Kind::Remote(remote) => !remote.secret_headers.is_empty(),
    }
}

fn check_bindings(vault: &Vault, definition: &Definition) -> Result<(), CommandError> {
    let missing: Vec<_> = definition
        .bound_secrets()
        .filter(|yours| vault.find(&Scope::User, yours).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(CommandError::missing("not saved in scope user:", missing)
        .hint("`mira set NAME` saves one."))
}

/// Takes the values that are not saved yet, and saves them together.
fn save_missing(
    vault: &mut Vault,
    args: &Args,
    definition: &Definition,
    ui: &Ui,
) -> Result<(), CommandError> {
    let scope = args.name.scope();
    let missing: Vec<_> = definition
        .own_secrets()
        .filter(|secret| vault.find(&scope, secret).is_none())
        .collect();
    let mut values = Vec::with_capacity(missing.len());
    if args.stdin {
        let [name] = missing.as_slice() else {
            return Err(CommandError::usage(format!(
                "--stdin takes one value, and {} are to be taken",
                missing.len()
            ))
            .hint(format!(
                "mira set NAME --scope {scope} --stdin    saves each before"
            )));
        };
        let bytes = session::read_secret(io::stdin().lock(), ENTRY_BYTES_MAX as u64)
            .map_err(|error| CommandError::failed(format!("cannot take {name}: {error}")))?;
        values.push((*name, bytes));
    } else if !missing.is_empty() && !ui.can_ask() {
        return Err(CommandError::missing(
            "there is no terminal to ask for these values on:",
            missing,
        )
        .hint(format!("mira set NAME --scope {scope} --stdin    saves one before; --stdin here takes the only one")));
    } else {
        for name in missing {
            let bytes =
                ui.ask_hidden(&format!("Value of {name} for {} (not shown): ", args.name))?;
            values.push((name, bytes));
        }
    }
    let values = values
        .into_iter()
        .map(|(name, bytes)| {
            let value = SecretValue::new(name, bytes)
                .map_err(|error| CommandError::failed(format!("{name} was not saved: {error}")))?;
            warn_coverage(ui, name, coverage(name, &value));
            Ok((name, value))
        })
        .collect::<Result<Vec<_>, CommandError>>()?;
    if values.is_empty() {
        return Ok(());
    }
    let now = Timestamp::now();
    vault.update(|draft| {
        for (name, value) in values {
            let new = NewSecret {
                value,
                label: None,
                kind: None,
                now,
            };
            draft.set(&scope, name, new)?;
        }
        Ok(())
    })?;
    Ok(())
}
