//! The commands: one file each, its arguments and its `run`.

mod completions;
mod doctor;
mod explain;
mod export;
mod import;
mod init;
mod list;
mod lock;
mod man;
mod redact;
mod rekey;
mod rm;
mod run;
mod set;
mod unlock;

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
    /// Run a program with secrets in its environment and its output redacted
    Run(run::Args),
    /// Tell what a process would get for a name, from where and why, and who holds it
    Explain(explain::Args),
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
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write all pages into a folder
    Man(man::Args),
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
        Command::Run(args) => return run::run(args, ui),
        Command::Explain(args) => explain::run(&args, ui),
        Command::Redact(args) => return redact::run(&args, ui),
        Command::Unlock(args) => unlock::run(&args, ui),
        Command::Lock(args) => lock::run(&args, ui),
        Command::Rekey(args) => rekey::run(&args, ui),
        Command::Doctor(args) => return doctor::run(&args, ui),
        Command::Completions(args) => completions::run(&args, ui),
        Command::Man(args) => man::run(&args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}
