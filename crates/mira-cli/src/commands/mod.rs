//! The commands that `mira` has by itself, those for secrets: one file each, its arguments and its `run`.

pub(crate) mod doctor;
mod explain;
mod export;
mod import;
pub(crate) mod init;
mod list;
mod lock;
mod redact;
mod rekey;
pub(crate) mod rm;
pub(crate) mod run;
pub(crate) mod set;
mod unlock;

use std::process::ExitCode;

use clap::Subcommand;

use self::run::Gates;
use crate::error::CommandError;
use crate::ui::Ui;

/// What the user wants done with secrets.
#[derive(Debug, Subcommand)]
pub(crate) enum Own {
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
pub(crate) fn run(
    command: Own,
    ui: &Ui,
    gates: Option<&dyn Gates>,
) -> Result<ExitCode, CommandError> {
    match command {
        Own::Init(args) => init::run(&args, ui),
        Own::Set(args) => set::run(&args, ui),
        Own::List(args) => list::run(&args, ui),
        Own::Rm(args) => rm::run(&args, ui),
        Own::Import(args) => import::run(&args, ui),
        Own::Export(args) => export::run(&args, ui),
        Own::Program(Program::Run(args)) => return run::run(args, ui, gates),
        Own::Explain(args) => explain::run(&args, ui),
        Own::Redact(args) => return redact::run(&args, ui),
        Own::Unlock(args) => unlock::run(&args, ui),
        Own::Lock(args) => lock::run(&args, ui),
        Own::Rekey(args) => rekey::run(&args, ui),
        Own::Doctor(args) => return doctor::run(&args, ui),
    }
    .map(|()| ExitCode::SUCCESS)
}
