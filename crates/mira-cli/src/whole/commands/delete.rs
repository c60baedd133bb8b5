//! `mira delete`: removes an instance: its secrets, state, logs, network record and snapshots.

use mira_desk::hook_target;
use mira_store::Instance;

use super::desk;
use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;
use crate::whole::apps::Apps;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// Delete without asking
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let apps = Apps::open()?;
    let instance = apps.find_to_delete(&args.instance)?;
    let name = &instance.name;
    let question = format!(
        "Delete {name} with its secrets, state, logs, network record and snapshots, for good?"
    );
    if !instance.deleting && !args.yes && !ui.confirm(&question, "--yes")? {
        return Err(CommandError::failed("nothing was deleted"));
    }
    // The vault first: where it cannot be opened, nothing is touched.
    let mut vault = apps.vault(ui, &args.unlock)?;
    let (instance, _claim) = apps.wait(apps.instances.claim_to_delete(&instance))?;
    let name = &instance.name;
    apps.wait(apps.client.discard(instance.id.as_str()))?;
    apps.wait(forget_hooks(&instance))?;
    apps.wait(apps.instances.delete(&instance, vault.as_mut()))?;
    ui.say(&format!("{name} is deleted"));
    Ok(())
}

/// Removes what waits for an instance in this home's queue. In one that servers share, another one may have an instance of that name.
async fn forget_hooks(instance: &Instance) -> Result<(), CommandError> {
    let shared = desk::shared(&session::home()?).await?;
    if shared.is_of_one_server() {
        shared
            .forget_hooks_of_target(&hook_target(instance))
            .await?;
    }
    shared.close().await;
    Ok(())
}
