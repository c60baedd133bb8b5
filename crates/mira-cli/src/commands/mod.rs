//! The commands: one file each, its arguments and its `run`.

pub(crate) mod aws;
#[cfg(target_os = "linux")]
mod backup;
mod completions;
#[cfg(target_os = "linux")]
mod delete;
#[cfg(target_os = "linux")]
mod desk;
#[cfg(target_os = "linux")]
mod diagnostics;
mod doctor;
#[cfg(target_os = "linux")]
mod duplicate;
mod explain;
mod export;
#[cfg(target_os = "linux")]
mod github;
mod hooks;
mod import;
mod init;
#[cfg(target_os = "linux")]
mod inspect;
#[cfg(target_os = "linux")]
mod keygen;
mod list;
mod lock;
#[cfg(target_os = "linux")]
mod logs;
mod man;
#[cfg(target_os = "linux")]
mod mcp;
#[cfg(target_os = "linux")]
pub(crate) mod net;
#[cfg(target_os = "linux")]
mod new;
#[cfg(target_os = "linux")]
pub(crate) mod open;
#[cfg(target_os = "linux")]
mod pack;
pub(crate) mod provider;
#[cfg(target_os = "linux")]
mod ps;
mod redact;
mod rekey;
#[cfg(target_os = "linux")]
mod restart;
#[cfg(target_os = "linux")]
mod restore;
#[cfg(target_os = "linux")]
mod review;
mod rm;
mod run;
#[cfg(target_os = "linux")]
mod secret;
#[cfg(target_os = "linux")]
pub(crate) mod serve;
pub(crate) mod set;
#[cfg(target_os = "linux")]
mod snapshot;
#[cfg(target_os = "linux")]
mod start;
#[cfg(target_os = "linux")]
mod stop;
mod unlock;
#[cfg(target_os = "linux")]
mod user;
#[cfg(target_os = "linux")]
mod validate;
#[cfg(target_os = "linux")]
mod verify;

use std::process::ExitCode;

use clap::Subcommand;

use crate::error::CommandError;
use crate::ui::Ui;

/// What the user wants done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the vault, and choose what unlocks it
    Init(init::Args),
    /// Save a secret, or replace its value
    Set(set::Args),
    /// List the secrets: names, labels, times, who holds them; never a value
    List(list::Args),
    /// Remove a secret
    Rm(rm::Args),
    /// Take secrets from a dotenv file or a recovery file
    Import(import::Args),
    /// Write the secrets into an encrypted recovery file
    Export(export::Args),
    #[command(flatten)]
    Program(Program),
    /// Tell what a process would get for a name, from where and why, and who holds it
    Explain(explain::Args),
    /// Save the keys of an AWS account in one secret, and try them
    Aws(aws::Args),
    /// List model providers, and try their keys
    Provider(provider::Args),
    /// Set up the App with which servers act on GitHub, and try it
    #[cfg(target_os = "linux")]
    Github(github::Args),
    /// Redact a stream, or scan files for secrets
    Redact(redact::Args),
    /// Ask for the vault's passphrase once and remember it for a while
    Unlock(unlock::Args),
    /// Forget the remembered passphrase
    Lock(lock::Args),
    /// Change what unlocks the vault
    Rekey(rekey::Args),
    /// Check the vault and what protects it on this machine
    Doctor(doctor::Args),
    /// Run MCP servers with secrets that their clients never see
    #[cfg(target_os = "linux")]
    Mcp(mcp::Args),
    /// Begin an app: a folder with a mira.yaml that runs as it is
    #[cfg(target_os = "linux")]
    New(new::Args),
    /// Check an app's mira.yaml, and name all that is wrong at once
    #[cfg(target_os = "linux")]
    Validate(validate::Args),
    /// Make a key pair to sign packages with
    #[cfg(target_os = "linux")]
    Keygen(keygen::Args),
    /// Make one file of an app's folder: signed, with sealed secrets, encrypted, as you like
    #[cfg(target_os = "linux")]
    Pack(pack::Args),
    /// Show what an app is, asks for and holds, before anything of it runs
    #[cfg(target_os = "linux")]
    Inspect(inspect::Args),
    /// Check every file of a package and who signed it
    #[cfg(target_os = "linux")]
    Verify(verify::Args),
    /// Open an app: a package, a folder with a mira.yaml, or an instance that is there
    #[cfg(target_os = "linux")]
    Open(open::Args),
    /// List the instances of apps: how they fare, where they listen
    #[cfg(target_os = "linux")]
    Ps(ps::Args),
    /// Bring an instance up
    #[cfg(target_os = "linux")]
    Start(start::Args),
    /// Stop instances
    #[cfg(target_os = "linux")]
    Stop(stop::Args),
    /// Stop an instance and bring it up again, with its secrets as they are now
    #[cfg(target_os = "linux")]
    Restart(restart::Args),
    /// Show what the services of an instance wrote, redacted
    #[cfg(target_os = "linux")]
    Logs(logs::Args),
    /// Review a diff with the reviewer that is opened here
    #[cfg(target_os = "linux")]
    Review(review::Args),
    /// Show where instances call, and decide where they may
    #[cfg(target_os = "linux")]
    Net(net::Args),
    /// Manage the secrets of an instance
    #[cfg(target_os = "linux")]
    Secret(secret::Args),
    /// Take, list and restore snapshots of an instance's state
    #[cfg(target_os = "linux")]
    Snapshot(snapshot::Args),
    /// Make another instance of the same package, with a copy of the state; secrets are not copied
    #[cfg(target_os = "linux")]
    Duplicate(duplicate::Args),
    /// Write down all that helps to find out what is wrong with an instance; never a value
    #[cfg(target_os = "linux")]
    Diagnostics(diagnostics::Args),
    /// Delete an instance: its secrets, state, logs, network record and snapshots
    #[cfg(target_os = "linux")]
    Delete(delete::Args),
    /// Save all that this home holds in one encrypted file
    #[cfg(target_os = "linux")]
    Backup(backup::Args),
    /// Take a backup back
    #[cfg(target_os = "linux")]
    Restore(restore::Args),
    /// Open the desk in a browser: secrets, apps, network, users
    #[cfg(target_os = "linux")]
    Desk(desk::Args),
    /// Manage the users of a server's desk
    #[cfg(target_os = "linux")]
    User(user::Args),
    /// Show the webhooks that a server took, and deliver failed ones again
    #[cfg(target_os = "linux")]
    Hooks(hooks::Args),
    /// Run the supervisor, which other commands start when they need it, and the desk for a team; or end it
    #[cfg(target_os = "linux")]
    Serve(serve::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write all pages into a folder
    Man(man::Args),
}

/// What starts a program at once: by itself, so that it does not wait until all other commands are defined.
#[derive(Debug, Subcommand)]
pub(crate) enum Program {
    /// Run a program with secrets in its environment and its output redacted
    Run(run::Args),
}

impl Program {
    /// The command's word.
    pub(crate) const WORD: &str = "run";
}

/// Runs a command.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<ExitCode, CommandError> {
    match command {
        Command::Init(args) => init::run(&args, ui),
        Command::Set(args) => set::run(&args, ui),
        Command::List(args) => list::run(&args, ui),
        Command::Rm(args) => rm::run(&args, ui),
        Command::Import(args) => import::run(&args, ui),
        Command::Export(args) => export::run(&args, ui),
        Command::Program(Program::Run(args)) => return run::run(args, ui),
        Command::Explain(args) => explain::run(&args, ui),
        Command::Aws(args) => return aws::run(&args, ui),
        Command::Provider(args) => return provider::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Github(args) => return github::run(&args, ui),
        Command::Redact(args) => return redact::run(&args, ui),
        Command::Unlock(args) => unlock::run(&args, ui),
        Command::Lock(args) => lock::run(&args, ui),
        Command::Rekey(args) => rekey::run(&args, ui),
        Command::Doctor(args) => return doctor::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Mcp(args) => return mcp::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::New(args) => new::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Validate(args) => return validate::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Keygen(args) => keygen::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Pack(args) => pack::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Inspect(args) => inspect::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Verify(args) => return verify::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Open(args) => return open::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Ps(args) => ps::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Start(args) => start::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Stop(args) => stop::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Restart(args) => restart::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Logs(args) => logs::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Review(args) => return review::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Net(args) => return net::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Secret(args) => secret::run(args, ui),
        #[cfg(target_os = "linux")]
        Command::Snapshot(args) => snapshot::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Duplicate(args) => duplicate::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Diagnostics(args) => diagnostics::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Delete(args) => delete::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Backup(args) => backup::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Restore(args) => restore::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Desk(args) => desk::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::User(args) => user::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Hooks(args) => hooks::run(&args, ui),
        #[cfg(target_os = "linux")]
        Command::Serve(args) => serve::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}
