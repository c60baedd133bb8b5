//! `mira lock`: forgets a remembered passphrase.

use mira_vault::{LockedVault, ProviderKind};

use crate::error::CommandError;
use crate::session::home;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let vault = LockedVault::read(&home()?)?;
    match vault.provider() {
        ProviderKind::Passphrase => {
            ui.say(if vault.forget_unlock()? {
                "the vault is locked"
            } else {
                "the vault was locked already"
            });
            Ok(())
        }
        ProviderKind::Keyring => Err(CommandError::usage(
            "this vault's key is in the OS keyring; lock the keyring itself",
        )),
        ProviderKind::Keyfile => Err(CommandError::usage(
            "this vault opens with its key file; `mira rekey --provider passphrase` gives it a lock",
        )),
    }
}
