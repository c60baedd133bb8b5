//! `mira mcp import --undo`: puts the servers back into a client's file as they were, but for the values of their secrets.
//!
//! What there was is kept in the servers' definitions, without a value; so the file gets empty texts in the place of these,
//! unless the person wants the values there. The servers and their secrets stay with Mira.

use std::collections::BTreeMap;

use mira_mcp::definition::{Definitions, Kind, Origin, ServerName};
use mira_mcp::import::{self, Undo};
use mira_secret::{Scope, SecretName, SecretValue};
use mira_vault::Vault;
use mira_vault::home::Home;

use super::import::Args;
use crate::error::CommandError;
use crate::render::count;
use crate::session;
use crate::ui::Ui;

pub(super) fn run(args: &Args, dry_run: bool, home: &Home, ui: &Ui) -> Result<(), CommandError> {
    let wanted = args.file.as_deref().map(std::path::absolute).transpose()?;
    let known = Definitions::read(home.path())?;
    let mut files = import::files(&known);
    files.retain(|file| wanted.as_ref().is_none_or(|wanted| wanted == file));
    if files.is_empty() {
        return Err(CommandError::missing(
            "nothing was imported from:",
            [match &args.file {
                Some(file) => file.display().to_string(),
                None => "any client's file".to_owned(),
            }],
        ));
    }
    let vault = match args.with_values {
        true => Some(session::open(ui, &args.unlock)?),
        false => None,
    };
    for file in &files {
        undo(
            args,
            dry_run,
            Undo::of(file, &known)?,
            vault.as_ref(),
            home,
            ui,
        )?;
    }
    Ok(())
}

fn undo(
    args: &Args,
    dry_run: bool,
    mut undo: Undo,
    vault: Option<&Vault>,
    home: &Home,
    ui: &Ui,
) -> Result<(), CommandError> {
    let shown = undo.file().display().to_string();
    ui.say(&format!(
        "{shown}: {} put back:",
        count(undo.servers().count(), "server")
    ));
    for (name, _) in undo.servers() {
        ui.detail(name.as_str());
    }
    for name in undo.gone() {
        ui.detail(&format!(
            "{name} is not run by Mira there any more, and is left as it is"
        ));
    }
    if dry_run {
        return Ok(());
    }
    let question = match args.with_values {
        true => {
            format!("Write their secrets into {shown} IN PLAIN, where every program can read them?")
        }
        false => format!(
            "Change {shown}? The values of secrets stay in the vault; the file gets empty ones."
        ),
    };
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed(format!("{shown} is as it was")));
    }
    let mut known = BTreeMap::new();
    if let Some(vault) = vault {
        for (name, kind) in undo.servers() {
            known.insert(name.clone(), values(vault, name, kind)?);
        }
    }
    undo.put_back(&|server, wanted| {
        let mut values = known.get(server).into_iter().flatten();
        let found = values.find(|(name, _)| name == wanted);
        let text = found.and_then(|(_, value)| text(value).ok());
        text.unwrap_or_default()
    })?;
    undo.forget(home)?;
    ui.say(&format!("{shown} runs its servers itself again"));
    if !args.with_values {
        ui.detail("Its secrets are empty there; --with-values would have written them in plain.");
    }
    ui.detail("Mira still has the servers and their secrets: `mira mcp list`, `mira mcp rm NAME`.");
    Ok(())
}

/// Returns the values of a server's secrets by the names of their variables or headers.
fn values(
    vault: &Vault,
    name: &ServerName,
    kind: &Kind,
) -> Result<Vec<(String, SecretValue)>, CommandError> {
    let own = name.scope();
    let places: Vec<(String, &Scope, &SecretName)> = match kind {
        Kind::Program(program) => program
            .secrets
            .iter()
            .map(|(variable, origin)| match origin {
                Origin::Own => (variable.to_string(), &own, variable),
                Origin::User(yours) => (variable.to_string(), &Scope::User, yours),
            })
            .collect(),
        Kind::Remote(remote) => {
            let headers = remote.secret_headers.iter();
            headers
                .map(|(header, secret)| (header.clone(), &own, secret))
                .collect()
        }
    };
    places
        .into_iter()
        .filter_map(|(shown, scope, secret)| Some((shown, secret, vault.find(scope, secret)?)))
        .map(|(shown, secret, entry)| {
            let value = vault.value(entry)?;
            match text(&value) {
                Ok(_) => Ok((shown, value)),
                Err(_) => Err(CommandError::failed(format!(
                    "{secret} is no text, so no file of a client can hold it"
                ))),
            }
        })
        .collect()
}

fn text(value: &SecretValue) -> Result<&str, std::str::Utf8Error> {
    // EXPOSE: to the client's file, in plain: the person asked for that and has agreed.
    std::str::from_utf8(value.expose())
}
