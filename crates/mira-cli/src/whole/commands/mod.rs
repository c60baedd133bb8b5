//! The commands for apps, the desk, servers and providers: one file each, its arguments and its `run`.

pub(crate) mod aws;
mod backup;
mod completions;
mod delete;
mod desk;
mod diagnostics;
mod duplicate;
mod github;
mod hooks;
mod inspect;
mod keygen;
mod logs;
mod man;
mod mcp;
pub(crate) mod net;
mod new;
pub(crate) mod open;
mod pack;
pub(crate) mod provider;
mod ps;
mod restart;
mod restore;
mod review;
mod secret;
pub(crate) mod serve;
mod snapshot;
mod start;
mod stop;
mod user;
mod validate;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use super::gate::Gatekeeper;
use crate::commands::{self, Own};
use crate::error::CommandError;
use crate::ui::Ui;

/// What the user wants done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Own(Own),
    /// Save the keys of an AWS account in one secret, and try them
    Aws(aws::Args),
    /// List model providers, and try their keys
    Provider(provider::Args),
    /// Set up the App with which servers act on GitHub, and try it
    Github(github::Args),
    /// Run MCP servers with secrets that their clients never see
    Mcp(mcp::Args),
    /// Begin an app: a folder with a mira.yaml that runs as it is
    New(new::Args),
    /// Check an app's mira.yaml, and name all that is wrong at once
    Validate(validate::Args),
    /// Make a key pair to sign packages with
    Keygen(keygen::Args),
    /// Make one file of an app's folder: signed, with sealed secrets, encrypted, as you like
    Pack(pack::Args),
    /// Show what an app is, asks for and holds, before anything of it runs
    Inspect(inspect::Args),
    /// Check every file of a package and who signed it
    Verify(verify::Args),
    /// Open an app: a package, a folder with a mira.yaml, or an instance that is there
    Open(open::Args),
    /// List the instances of apps: how they fare, where they listen
    Ps(ps::Args),
    /// Bring an instance up
    Start(start::Args),
    /// Stop instances
    Stop(stop::Args),
    /// Stop an instance and bring it up again, with its secrets as they are now
    Restart(restart::Args),
    /// Show what the services of an instance wrote, redacted
    Logs(logs::Args),
    /// Review a diff with the reviewer that is opened here
    Review(review::Args),
    /// Show where instances call, and decide where they may
    Net(net::Args),
    /// Manage the secrets of an instance
    Secret(secret::Args),
    /// Take, list and restore snapshots of an instance's state
    Snapshot(snapshot::Args),
    /// Make another instance of the same package, with a copy of the state; secrets are not copied
    Duplicate(duplicate::Args),
    /// Write down all that helps to find out what is wrong with an instance; never a value
    Diagnostics(diagnostics::Args),
    /// Delete an instance: its secrets, state, logs, network record and snapshots
    Delete(delete::Args),
    /// Save all that this home holds in one encrypted file
    Backup(backup::Args),
    /// Take a backup back
    Restore(restore::Args),
    /// Open the desk in a browser: secrets, apps, network, users
    Desk(desk::Args),
    /// Manage the users of a server's desk
    User(user::Args),
    /// Show the webhooks that a server took, and deliver failed ones again
    Hooks(hooks::Args),
    /// Run the supervisor, which other commands start when they need it, and the desk for a team; or end it
    Serve(serve::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write all pages into a folder
    Man(man::Args),
}

/// Runs a command.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<ExitCode, CommandError> {
    match command {
        Command::Own(own) => return commands::run(own, ui, Some(&Gatekeeper)),
        Command::Aws(args) => return aws::run(&args, ui),
        Command::Provider(args) => return provider::run(&args, ui),
        Command::Github(args) => return github::run(&args, ui),
        Command::Mcp(args) => return mcp::run(&args, ui),
        Command::New(args) => new::run(&args, ui),
        Command::Validate(args) => return validate::run(&args, ui),
        Command::Keygen(args) => keygen::run(&args, ui),
        Command::Pack(args) => pack::run(&args, ui),
        Command::Inspect(args) => inspect::run(&args, ui),
        Command::Verify(args) => return verify::run(&args, ui),
        Command::Open(args) => return open::run(&args, ui),
        Command::Ps(args) => ps::run(&args, ui),
        Command::Start(args) => start::run(&args, ui),
        Command::Stop(args) => stop::run(&args, ui),
        Command::Restart(args) => restart::run(&args, ui),
        Command::Logs(args) => logs::run(&args, ui),
        Command::Review(args) => return review::run(&args, ui),
        Command::Net(args) => return net::run(&args, ui),
        Command::Secret(args) => secret::run(args, ui),
        Command::Snapshot(args) => snapshot::run(&args, ui),
        Command::Duplicate(args) => duplicate::run(&args, ui),
        Command::Diagnostics(args) => diagnostics::run(&args, ui),
        Command::Delete(args) => delete::run(&args, ui),
        Command::Backup(args) => backup::run(&args, ui),
        Command::Restore(args) => restore::run(&args, ui),
        Command::Desk(args) => desk::run(&args, ui),
        Command::User(args) => user::run(&args, ui),
        Command::Hooks(args) => hooks::run(&args, ui),
        Command::Serve(args) => serve::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}
