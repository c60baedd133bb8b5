//! `mira rm`: removes secrets.

use mira_secret::{Scope, SecretName};

use crate::error::CommandError;
use crate::session::{self, UnlockArgs, parse_names, parse_scope};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The secrets to remove
    #[arg(value_name = "NAME", required = true)]
    pub(crate) names: Vec<String>,

    /// The scope that they are in
    #[arg(long, value_name = "SCOPE", default_value = "user", value_parser = parse_scope)]
    pub(crate) scope: Scope,

    /// Remove without asking
    #[arg(long)]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let names = parse_names(&args.names)?;
    let home = session::home()?;
    let mut vault = session::open(ui, &args.unlock)?;
    let missing: Vec<_> = names
        .iter()
        .filter(|name| vault.find(&args.scope, name).is_none())
        .collect();
    if !missing.is_empty() {
        return Err(CommandError::missing(
            format!("not saved in scope {}, so nothing was removed:", args.scope),
            missing,
        ));
    }
    let list = names
        .iter()
        .map(SecretName::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    let question = format!("Remove {list} from scope {} for good?", args.scope);
    if !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed("nothing was removed"));
    }
    let ids: Vec<_> = names
        .iter()
        .filter_map(|name| vault.find(&args.scope, name))
        .map(|entry| entry.id().to_string())
        .collect();
    vault.update(|draft| {
        for name in &names {
            draft.remove(&args.scope, name)?;
        }
        Ok(())
    })?;
    ui.say(&format!("removed {list} from scope {}", args.scope));
    let holders = session::holders(ui, &home);
    for holder in holders
        .iter()
        .filter(|holder| ids.contains(&holder.delivery.secret_id))
    {
        let name = &holder.delivery.name;
        ui.say(&format!(
            "{} (pid {}) holds {name} until it ends",
            holder.program, holder.pid
        ));
    }
    Ok(())
}
