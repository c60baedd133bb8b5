//! `mira init`: makes the vault.

use std::path::PathBuf;

use clap::ValueEnum;
use mira_vault::{
    Backend, FaultKind, KeychainLink, NewProvider, NewVault, Passphrase, ProviderKind, Vault,
};

use crate::error::{CommandError, Kind};
use crate::session::{UNLOCK_TTL, home, passphrase_from};
use crate::ui::Ui;

/// The shortest passphrase for a new vault, in bytes.
// LIMIT: NIST SP 800-63B asks for 8; the vault's file can be guessed at offline, so a little more.
const PASSPHRASE_BYTES_MIN: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    provider: ProviderArgs,

    /// Where the values rest: in the encrypted file, or each as its own item of the OS keychain
    #[arg(long, value_enum, default_value_t = BackendArg::File)]
    backend: BackendArg,
}

/// What unlocks the vault.
#[derive(Debug, clap::Args)]
pub(crate) struct ProviderArgs {
    /// What unlocks the vault; asked for on a terminal
    #[arg(long, value_enum)]
    pub(crate) provider: Option<ProviderArg>,

    /// Where the key file is, or is to be made (with --provider keyfile)
    #[arg(long, value_name = "FILE")]
    pub(crate) keyfile: Option<PathBuf>,

    /// Read the new passphrase from a file instead of asking (with --provider passphrase)
    #[arg(long, value_name = "FILE")]
    pub(crate) new_passphrase_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProviderArg {
    /// The system's keyring: Secret Service, Keychain or Credential Manager
    Keyring,
    /// A passphrase, asked for and remembered for some hours
    Passphrase,
    /// A file with the key: protects copies of the vault alone
    Keyfile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BackendArg {
    /// In `credentials.json`, encrypted
    File,
    /// Each value as its own item of the OS keychain
    Keychain,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    let home = home()?;
    let backend = match args.backend {
        BackendArg::File => Backend::File,
        BackendArg::Keychain => Backend::Keychain,
    };
    if home.credentials().try_exists()? {
        return Err(CommandError::failed(format!(
            "there is a vault already: {}",
            home.credentials().display()
        ))
        .hint("`mira doctor` checks it; `mira rekey` changes what unlocks it."));
    }
    let provider = args.provider.choose(ui)?;
    let new = NewVault {
        backend,
        provider,
        keychain: KeychainLink::default(),
    };
    let vault = Vault::create(&home, new).map_err(|error| {
        let unreachable = error.kind() == FaultKind::Locked;
        let error = CommandError::from(error);
        if unreachable {
            error.hint(
                "No vault was made. --provider passphrase and --provider keyfile need no keyring.",
            )
        } else {
            error
        }
    })?;
    remember(ui, &vault);
    ui.say(&format!("made a vault in {}", home.credentials().display()));
    tell_key(ui, vault.provider(), vault.keyfile_path().as_deref());
    ui.detail("`mira set NAME` saves a secret; `mira run -- PROGRAM` runs a program with it.");
    ui.detail("`mira export --recovery` keeps a copy for the day the key is lost.");
    Ok(())
}

/// Remembers the key of a passphrase that was just typed, so that the next command does not ask for it again.
pub(crate) fn remember(ui: &Ui, vault: &Vault) {
    if vault.provider() == ProviderKind::Passphrase
        && let Err(error) = vault.remember_unlock(UNLOCK_TTL)
    {
        ui.say(&format!(
            "each command will ask for the passphrase: {error}"
        ));
    }
}

/// Tells where the root key lives now.
pub(crate) fn tell_key(ui: &Ui, provider: ProviderKind, keyfile: Option<&std::path::Path>) {
    match (provider, keyfile) {
        (ProviderKind::Keyring, _) => ui.detail("Its key is in the OS keyring."),
        (ProviderKind::Passphrase, _) => {
            ui.detail("Its key comes from your passphrase, which nobody can restore.");
        }
        (ProviderKind::Keyfile, Some(path)) => {
            ui.detail(&format!("Its key is in {}.", path.display()));
            ui.detail("Whoever can read both files can read the secrets.");
        }
        (ProviderKind::Keyfile, None) => {}
    }
}

impl ProviderArgs {
    /// Returns the provider that the options name, or that the user chooses.
    pub(crate) fn choose(&self, ui: &Ui) -> Result<NewProvider, CommandError> {
        let provider = match self.provider {
            Some(provider) => provider,
            None if ui.can_ask() => ask_provider(ui)?,
            None => return Err(no_choice()),
        };
        if self.keyfile.is_some() && provider != ProviderArg::Keyfile {
            return Err(CommandError::usage(
                "--keyfile goes with --provider keyfile",
            ));
        }
        if self.new_passphrase_file.is_some() && provider != ProviderArg::Passphrase {
            return Err(CommandError::usage(
                "--new-passphrase-file goes with --provider passphrase",
            ));
        }
        match provider {
            ProviderArg::Keyring => Ok(NewProvider::Keyring),
            ProviderArg::Keyfile => Ok(NewProvider::Keyfile {
                path: self.keyfile.clone(),
            }),
            ProviderArg::Passphrase => self
                .new_passphrase(ui, "--new-passphrase-file FILE")
                .map(NewProvider::Passphrase),
        }
    }

    /// Asks twice for a new passphrase, or reads it from the file; `option` is what to give where neither is possible.
    pub(crate) fn new_passphrase(&self, ui: &Ui, option: &str) -> Result<Passphrase, CommandError> {
        let passphrase = match &self.new_passphrase_file {
            Some(file) => passphrase_from(file).map_err(|error| {
                CommandError::failed(format!("cannot read {}: {error}", file.display()))
            })?,
            None if ui.can_ask() => {
                let first = ui.ask_hidden("New passphrase: ")?;
                let second = ui.ask_hidden("The same again: ")?;
                if first != second {
                    return Err(CommandError::failed(
                        "the two were not the same; nothing was changed",
                    ));
                }
                Passphrase::new(first)
            }
            None => {
                return Err(CommandError::missing(
                    "the new passphrase is missing, and there is no terminal to ask on",
                    [option],
                ));
            }
        };
        if passphrase.len() < PASSPHRASE_BYTES_MIN {
            return Err(CommandError::failed(format!(
                "the passphrase is shorter than {PASSPHRASE_BYTES_MIN} bytes; nothing was changed"
            ))
            .hint("A copy of the vault can be guessed at without limit: take several words."));
        }
        Ok(passphrase)
    }
}

fn no_choice() -> CommandError {
    CommandError::new(
        Kind::Missing,
        "what shall unlock the vault? There is no terminal to ask on, and Mira never chooses silently",
    )
    .hint("--provider keyring      the system's keyring (Secret Service, Keychain, Credential Manager)")
    .hint("--provider passphrase   with --new-passphrase-file FILE")
    .hint("--provider keyfile      a key file in the home, or --keyfile FILE: for servers and containers")
}

fn ask_provider(ui: &Ui) -> Result<ProviderArg, CommandError> {
    let keyring = mira_vault::os::keychain::OsKeychain::connect();
    ui.say("what shall unlock the vault?");
    match &keyring {
        Ok(_) => ui.detail("1  keyring     the system's keyring, unlocked with your session"),
        Err(error) => ui.detail(&format!("1  keyring     not here: {error}")),
    }
    ui.detail("2  passphrase  asked for, then remembered for some hours");
    ui.detail("3  keyfile     a file with the key: protects copies of the vault alone");
    let default = if keyring.is_ok() { "1" } else { "2" };
    let answer = ui.ask(&format!("Choice [{default}]: "))?;
    match if answer.is_empty() {
        default
    } else {
        answer.as_str()
    } {
        "1" | "keyring" => Ok(ProviderArg::Keyring),
        "2" | "passphrase" => Ok(ProviderArg::Passphrase),
        "3" | "keyfile" => Ok(ProviderArg::Keyfile),
        _ => Err(CommandError::usage(
            "the choices are 1, 2 and 3; nothing was changed",
        )),
    }
}
