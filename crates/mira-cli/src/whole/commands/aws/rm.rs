//! `mira aws rm`: removes the credentials and the region.

use mira_secret::Scope;
use mira_vault::AWS_CREDENTIALS;
use mira_vault::settings::Settings;

use crate::commands::rm;
use crate::error::CommandError;
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Remove without asking
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let removal = rm::Args {
        names: vec![AWS_CREDENTIALS.to_owned()],
        scope: Scope::User,
        yes: args.yes,
        unlock: args.unlock.clone(),
    };
    rm::run(&removal, ui)?;
    Ok(Settings::update(&session::home()?, |settings| {
        settings.aws_region = None;
    })?)
}
