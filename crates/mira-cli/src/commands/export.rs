//! `mira export --recovery`: writes the secrets into an encrypted file, for the day the root key is lost.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use mira_age::Recipients;
use mira_secret::Scope;
use mira_vault::Passphrase;
use mira_vault::recovery;

use crate::commands::init::ProviderArgs;
use crate::error::CommandError;
use crate::render::count;
use crate::session::{self, UnlockArgs, parse_scope};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
#[command(after_help = "  mira export --recovery --out recovery.age\n  \
                        mira export --recovery --recipient age1... --out recovery.age\n\
                        Open it with `mira import recovery.age`, or with `age -d recovery.age`.")]
pub(crate) struct Args {
    /// Write a recovery file: an age file with all secrets
    #[arg(long, required = true)]
    recovery: bool,

    /// Where to write it; never over a file that is there. `-` is stdout
    #[arg(long, value_name = "FILE", default_value = "mira-recovery.age")]
    out: PathBuf,

    /// Encrypt to an age or SSH recipient instead of a passphrase (may be repeated)
    #[arg(long, value_name = "RECIPIENT")]
    recipient: Vec<String>,

    /// Read the recovery file's passphrase from a file instead of asking
    #[arg(long, value_name = "FILE", conflicts_with = "recipient")]
    recovery_passphrase_file: Option<PathBuf>,

    /// Only this scope's secrets
    #[arg(long, value_name = "SCOPE", value_parser = parse_scope)]
    scope: Option<Scope>,

    #[command(flatten)]
    unlock: UnlockArgs,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let to_stdout = args.out.as_os_str() == "-";
    if to_stdout && std::io::stdout().is_terminal() {
        return Err(CommandError::usage(
            "a recovery file is binary; give --out FILE, or redirect stdout",
        ));
    }
    if !to_stdout && args.out.try_exists()? {
        return Err(CommandError::failed(format!(
            "{} is there already, and is not written over",
            args.out.display()
        ))
        .hint("Give another --out FILE."));
    }
    let vault = session::open(ui, &args.unlock)?;
    let recipients = recipients(args, ui)?;
    let secrets = vault.secrets().filter(|entry| {
        args.scope
            .as_ref()
            .is_none_or(|scope| entry.scope() == scope)
    });
    let (file, number) = recovery::seal(&vault, secrets, &recipients)?;
    if to_stdout {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&file).and_then(|()| stdout.flush())?;
    } else {
        mira_vault::private_file::create(&args.out, &file).map_err(|error| {
            CommandError::failed(format!("cannot write {}: {error}", args.out.display()))
        })?;
    }
    ui.say(&format!(
        "wrote {} into {}",
        count(number, "secret"),
        args.out.display()
    ));
    ui.detail("Keep it and what opens it apart from this machine, and apart from each other.");
    Ok(())
}

fn recipients(args: &Args, ui: &Ui) -> Result<Recipients, CommandError> {
    if !args.recipient.is_empty() {
        return Ok(Recipients::parse(&args.recipient)?);
    }
    let asked = ProviderArgs {
        provider: None,
        keyfile: None,
        new_passphrase_file: args.recovery_passphrase_file.clone(),
    };
    let passphrase: Passphrase =
        asked.new_passphrase(ui, "--recovery-passphrase-file FILE, or --recipient")?;
    Ok(Recipients::passphrase(passphrase.into_secret()))
}
