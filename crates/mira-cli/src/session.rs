//! The vault as a command uses it: found, unlocked with the person's help where that is due, and its leases beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use mira_run::lease::{Holder, Leases};
use mira_secret::{Scope, SecretBytes, SecretName};
use mira_vault::home::{Home, Platform, default_home};
use mira_vault::{
    AskError, Entry, FaultKind, LockedVault, Passphrase, ProviderKind, UnlockOptions, Vault,
};

use crate::error::CommandError;
use crate::render::minute;
use crate::ui::Ui;

/// The longest passphrase, in bytes.
// LIMIT: far beyond what anybody types; keeps a wrong file from being read whole.
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// How long an unlocked passphrase vault stays unlocked unless the user says otherwise.
pub(crate) const UNLOCK_TTL: Duration = Duration::from_secs(8 * 60 * 60);

/// How the vault is unlocked.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct UnlockArgs {
    /// Read the vault's passphrase from a file instead of asking (less one trailing newline)
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Returns the home: `MIRA_HOME`, or the system's application-data folder.
pub(crate) fn home() -> Result<Home, CommandError> {
    if let Some(path) = std::env::var_os("MIRA_HOME").filter(|path| !path.is_empty()) {
        return Ok(Home::new(PathBuf::from(path)));
    }
    default_home(Platform::CURRENT, |name| std::env::var_os(name))
        .map(Home::new)
        .ok_or_else(|| {
            CommandError::failed(
                "there is no application-data folder: neither HOME nor MIRA_HOME is set",
            )
            .hint("Set MIRA_HOME to a folder of your own.")
        })
}

/// Opens and verifies the vault.
pub(crate) fn open(ui: &Ui, args: &UnlockArgs) -> Result<Vault, CommandError> {
    open_with(ui, args, &home()?, Some(UNLOCK_TTL))
}

/// Opens and verifies the vault of `home`; `ttl` says how long a passphrase is remembered.
pub(crate) fn open_with(
    ui: &Ui,
    args: &UnlockArgs,
    home: &Home,
    ttl: Option<Duration>,
) -> Result<Vault, CommandError> {
    let options = UnlockOptions {
        cache_ttl: ttl,
        ..UnlockOptions::default()
    };
    unlock(ui, args, home, &options)
}

/// Takes the vault as it is now for the newest, and returns its generation.
pub(crate) fn accept_restored(
    ui: &Ui,
    args: &UnlockArgs,
    home: &Home,
) -> Result<u64, CommandError> {
    let options = UnlockOptions {
        accept_restored: true,
        ..UnlockOptions::default()
    };
    Ok(unlock(ui, args, home, &options)?.generation())
}

fn unlock(
    ui: &Ui,
    args: &UnlockArgs,
    home: &Home,
    options: &UnlockOptions,
) -> Result<Vault, CommandError> {
    let locked = LockedVault::read(home).map_err(|error| {
        let missing = error.kind() == FaultKind::Missing;
        let error = CommandError::from(error);
        if missing {
            error.hint("`mira init` makes a vault.")
        } else {
            error
        }
    })?;
    let provider = locked.provider();
    let mut ask = || match &args.passphrase_file {
        Some(file) => passphrase_from(file).map_err(|error| AskError::new(error.to_string())),
        None if ui.can_ask_hidden() => ui
            .ask_hidden("Passphrase of the vault: ")
            .map(Passphrase::new)
            .map_err(|error| AskError::new(error.in_one_line())),
        None => Err(AskError::new(
            "there is no terminal to ask for the passphrase on",
        )),
    };
    locked.unlock(&mut ask, options).map_err(|error| {
        let locked = error.kind() == FaultKind::Locked;
        let error = CommandError::from(error);
        if locked && provider == ProviderKind::Passphrase && args.passphrase_file.is_none() {
            error.hint("`mira unlock` asks for it once; scripts give --passphrase-file FILE.")
        } else {
            error
        }
    })
}

/// Reads a passphrase from a file, less one trailing newline.
pub(crate) fn passphrase_from(file: &Path) -> io::Result<Passphrase> {
    Ok(Passphrase::new(read_secret(
        File::open(file)?,
        PASSPHRASE_BYTES_MAX,
    )?))
}

/// Reads a secret to its end, less one trailing newline, and refuses one longer than `bytes_max`.
pub(crate) fn read_secret(source: impl Read, bytes_max: u64) -> io::Result<SecretBytes> {
    let mut plain = Vec::with_capacity(usize::try_from(bytes_max).unwrap_or(0).saturating_add(2));
    let read = source
        .take(bytes_max.saturating_add(2))
        .read_to_end(&mut plain);
    let mut secret = SecretBytes::from_vec(plain);
    read?;
    // EXPOSE: to the check for a trailing newline.
    if secret.expose().ends_with(b"\n") {
        secret.truncate(secret.len() - 1);
    }
    if secret.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the input is longer than {bytes_max} bytes"),
        ));
    }
    Ok(secret)
}

/// Returns whether a secret is given in the environment, under its name or as a file.
pub(crate) fn is_given(name: &str) -> bool {
    [name.to_owned(), format!("{name}_FILE")]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

/// Returns a secret that is given in the environment: in the variable, or in the file that `<name>_FILE` names, less one
/// trailing newline.
pub(crate) fn given(name: &str) -> Result<Option<SecretBytes>, CommandError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let in_file = format!("{name}_FILE");
    match (variable(name), variable(&in_file)) {
        (Some(_), Some(_)) => Err(CommandError::usage(format!(
            "both {name} and {in_file} are set, and it is not clear which one is meant"
        ))
        .hint("Unset one of them.")),
        (Some(value), None) => Ok(Some(SecretBytes::from_vec(value.into_encoded_bytes()))),
        (None, Some(path)) => {
            let path = PathBuf::from(path);
            let read = File::open(&path).and_then(|file| read_secret(file, PASSPHRASE_BYTES_MAX));
            let value = read.map_err(|error| {
                CommandError::failed(format!(
                    "{in_file}: cannot read {}: {error}",
                    path.display()
                ))
            })?;
            Ok(Some(value))
        }
        (None, None) => Ok(None),
    }
}

/// Returns the leases of a home.
pub(crate) fn leases(home: &Home) -> Leases {
    Leases::at(home.leases())
}

/// What live processes hold, as far as it can be read: an unreadable record is told and taken as empty.
pub(crate) fn holders(ui: &Ui, home: &Home) -> Vec<Holder> {
    leases(home).holders().unwrap_or_else(|error| {
        ui.say(&format!(
            "cannot read who holds secrets in {}: {error}",
            home.path().display()
        ));
        Vec::new()
    })
}

/// When each secret was handed out last, by its id, as far as it can be read: what cannot is told and taken as never.
pub(crate) fn last_used(ui: &Ui, home: &Home) -> BTreeMap<String, Timestamp> {
    leases(home).last_used().unwrap_or_else(|error| {
        ui.say(&format!(
            "cannot read when secrets were used in {}: {error}",
            home.path().display()
        ));
        BTreeMap::new()
    })
}

/// Returns since when a holder's copy is stale; `None` if it is the current version.
pub(crate) fn stale_since(holder: &Holder, entry: &Entry) -> Option<Timestamp> {
    (holder.delivery.version < entry.version())
        .then(|| holder.stale_since.unwrap_or_else(|| entry.updated()))
}

/// Parses names, and says which one is not a name without repeating what may be a value.
pub(crate) fn parse_names(texts: &[String]) -> Result<Vec<SecretName>, CommandError> {
    texts.iter().map(|text| parse_name(text)).collect()
}

/// Parses a name; the error does not repeat the text.
pub(crate) fn parse_name(text: &str) -> Result<SecretName, CommandError> {
    text.parse()
        .map_err(|error| CommandError::usage(format!("that is no name: {error}")))
}

/// Parses a scope for clap.
pub(crate) fn parse_scope(text: &str) -> Result<Scope, String> {
    text.parse()
        .map_err(|error: mira_secret::ScopeError| error.to_string())
}

/// Says so where a secret has ended by itself.
pub(crate) fn warn_expired(ui: &Ui, name: &SecretName, expires: Option<Timestamp>) {
    if let Some(expires) = expires.filter(|expires| *expires <= Timestamp::now()) {
        ui.say(&format!(
            "{name} expired {}: AWS refuses it; `mira aws set` saves new credentials",
            minute(expires)
        ));
    }
}
