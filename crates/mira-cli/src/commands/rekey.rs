//! `mira rekey`: changes what unlocks the vault.

use crate::commands::init::{ProviderArgs, remember, tell_key};
use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    provider: ProviderArgs,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let mut vault = session::open(ui, &args.unlock)?;
    let before = vault.provider();
    let provider = args.provider.choose(ui)?;
    vault.rekey(provider)?;
    remember(ui, &vault);
    ui.say(&format!(
        "the vault has a new key ({before} before, {} now)",
        vault.provider()
    ));
    tell_key(ui, vault.provider(), vault.keyfile_path().as_deref());
    ui.detail("Copies of the old file still open with the old key.");
    Ok(())
}
