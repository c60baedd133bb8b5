//! `mira github`: the App with which this server acts on GitHub.

mod setup;
mod test;

use std::process::ExitCode;

use crate::error::CommandError;
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Save an App's number, its private key and the secret of its webhook
    Setup(setup::Args),
    /// Sign in as the App, and list where it is installed; exits with 1 if something is wrong
    Test(test::Args),
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    match &args.action {
        Action::Setup(args) => setup::run(args, ui).map(|()| ExitCode::SUCCESS),
        Action::Test(args) => test::run(args, ui),
    }
}
