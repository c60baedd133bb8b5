//! `mira mcp rm`: removes a server; its scope goes with its key, so that no copy of the vault gives its secrets back.

use mira_mcp::definition::{Definitions, ServerName};
use mira_vault::LockedVault;

use super::parse_server;
use crate::error::CommandError;
use crate::render::count;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The server
    #[arg(value_name = "NAME", value_parser = parse_server)]
    name: ServerName,

    /// Remove without asking
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = session::home()?;
    let name = &args.name;
    let scope = name.scope();
    let known = Definitions::read(home.path())?.0.remove(name);
    // A vault that is not there holds nothing of the server.
    let vault = match LockedVault::read(&home) {
        Err(mira_vault::VaultError::NoVault { .. }) => None,
        _ => Some(session::open(ui, &args.unlock)?),
    };
    let ids: Vec<_> = vault
        .iter()
        .flat_map(|vault| vault.secrets())
        .filter(|entry| *entry.scope() == scope)
        .map(|entry| entry.id().to_string())
        .collect();
    if known.is_none() && ids.is_empty() {
        return Err(
            CommandError::missing("there is no MCP server of this name:", [name])
                .hint("`mira mcp list` shows those there are."),
        );
    }
    let what = match ids.len() {
        0 => name.to_string(),
        secrets => format!("{name} and {}", count(secrets, "secret")),
    };
    let question = format!("Remove {what} for good?");
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed("nothing was removed"));
    }
    if let (Some(mut vault), false) = (vault, ids.is_empty()) {
        vault.update(|draft| draft.remove_scope(&scope))?;
    }
    if known.is_some() {
        Definitions::update(home.path(), |servers| servers.0.remove(name))?;
    }
    ui.say(&format!("removed {what}"));
    for source in known.iter().flat_map(|definition| &definition.sources) {
        ui.detail(&format!(
            "{} still starts it, and will fail",
            source.file.display()
        ));
    }
    for holder in session::holders(ui, &home)
        .iter()
        .filter(|holder| ids.contains(&holder.delivery.secret_id))
    {
        let (program, pid, secret) = (&holder.program, holder.pid, &holder.delivery.name);
        ui.detail(&format!(
            "{program} (pid {pid}) holds {secret} until it ends"
        ));
    }
    Ok(())
}
