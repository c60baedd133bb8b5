//! `mira doctor`: checks the vault, and what protects it on this machine.

use std::process::ExitCode;

use mira_secret::SecretBytes;
use mira_vault::home::Home;
use mira_vault::os::{kernel_keyring, keychain::OsKeychain};
use mira_vault::{FaultKind, LockedVault, ProviderKind, Vault, VaultError};
use serde_json::{Value, json};

use crate::commands::set::coverage;
use crate::error::{CommandError, Kind};
use crate::render::{count, table};
use crate::session::{self, UnlockArgs};
use crate::ui::Ui;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Accept the vault as it is although a newer one was seen: a backup was put back on purpose
    #[arg(long)]
    accept_restored: bool,

    /// Print a JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    unlock: UnlockArgs,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    /// Worth knowing; nothing is broken.
    Note,
    Bad(Kind),
}

/// One line of the report.
struct Check {
    what: &'static str,
    state: State,
    says: String,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let home = session::home()?;
    let mut checks = vec![home_check(&home)];
    match LockedVault::read(&home) {
        Err(error) => checks.push(unreadable(&error)),
        Ok(locked) => {
            checks.push(provider_check(&locked));
            if args.accept_restored {
                accept_restored(args, ui, &home)?;
            }
            checks.extend(vault_checks(args, ui, &home));
        }
    }
    checks.extend(machine_checks());
    report(args, ui, &checks)
}

/// Returns what the checks say, for a report of something else. A vault that is not given is not looked into.
#[cfg(target_os = "linux")]
pub(crate) fn facts(home: &Home, vault: Option<&Vault>) -> Vec<Value> {
    let mut checks = vec![home_check(home)];
    match LockedVault::read(home) {
        Err(error) => checks.push(unreadable(&error)),
        Ok(locked) => checks.push(provider_check(&locked)),
    }
    if let Some(vault) = vault {
        checks.extend(opened_checks(home, vault));
    }
    checks.extend(machine_checks());
    checks.iter().map(Check::json).collect()
}

/// A vault that cannot even be read.
fn unreadable(error: &VaultError) -> Check {
    let kind = match error.kind() {
        FaultKind::Missing => Kind::Missing,
        FaultKind::Integrity => Kind::Integrity,
        _ => Kind::Failed,
    };
    Check {
        what: "vault",
        state: State::Bad(kind),
        says: error.to_string(),
    }
}

fn accept_restored(args: &Args, ui: &Ui, home: &Home) -> Result<(), CommandError> {
    let generation = session::accept_restored(ui, &args.unlock, home)?;
    ui.say(&format!(
        "accepted the vault as it is now (generation {generation})"
    ));
    Ok(())
}

fn home_check(home: &Home) -> Check {
    let path = home.path().display();
    match home.check() {
        Ok(()) => Check {
            what: "home",
            state: State::Ok,
            says: format!("{path}, private to you"),
        },
        Err(error) => Check {
            what: "home",
            state: State::Bad(Kind::Failed),
            says: error.to_string(),
        },
    }
}

fn provider_check(locked: &LockedVault) -> Check {
    let provider = locked.provider();
    let says = match (provider, locked.keyfile_path()) {
        (ProviderKind::Keyring, _) => "keyring: the key is in the OS keyring".to_owned(),
        (ProviderKind::Passphrase, _) => "passphrase: the key is derived by Argon2id".to_owned(),
        (ProviderKind::Keyfile, Some(path)) => format!(
            "keyfile: {}; it protects copies of the vault alone, not against who reads both",
            path.display()
        ),
        (ProviderKind::Keyfile, None) => "keyfile".to_owned(),
    };
    let state = if provider == ProviderKind::Keyfile {
        State::Note
    } else {
        State::Ok
    };
    Check {
        what: "key",
        state,
        says: format!("{says} (values: {} back end)", locked.backend()),
    }
}

fn vault_checks(args: &Args, ui: &Ui, home: &Home) -> Vec<Check> {
    match session::open_with(ui, &args.unlock, home, Some(session::UNLOCK_TTL)) {
        Err(error) => {
            vec![Check {
                what: "vault",
                state: State::Bad(error.kind()),
                says: error.in_one_line(),
            }]
        }
        Ok(vault) => opened_checks(home, &vault),
    }
}

fn opened_checks(home: &Home, vault: &Vault) -> Vec<Check> {
    let number = vault.secrets().count();
    let says = format!(
        "{}, generation {}, {}, every byte authenticated",
        home.credentials().display(),
        vault.generation(),
        count(number, "secret")
    );
    let mut checks = vec![Check {
        what: "vault",
        state: State::Ok,
        says,
    }];
    checks.extend(value_checks(vault));
    checks
}

/// Opens every value: each must decrypt, and be long enough to be redacted.
fn value_checks(vault: &Vault) -> Vec<Check> {
    let mut checks = Vec::new();
    for entry in vault.secrets() {
        let name = entry.name();
        match vault.value(entry) {
            Err(error) => {
                checks.push(Check {
                    what: "secret",
                    state: State::Bad(Kind::Integrity),
                    says: error.to_string(),
                });
            }
            Ok(value) => {
                let says = match coverage(name, &value) {
                    mira_redact::Coverage::TooShort => {
                        format!("{name} has fewer than 4 bytes and is NOT redacted")
                    }
                    mira_redact::Coverage::RawOnly => {
                        format!("{name} has fewer than 8 bytes and is redacted only as it is")
                    }
                    _ => continue,
                };
                checks.push(Check {
                    what: "secret",
                    state: State::Note,
                    says,
                });
            }
        }
    }
    checks
}

/// What the machine offers, vault or not.
fn machine_checks() -> Vec<Check> {
    let keyring = match OsKeychain::connect() {
        Ok(_) => (State::Ok, "reachable".to_owned()),
        Err(error) => (State::Note, error.to_string()),
    };
    let cache = match kernel_keyring::cached("doctor") {
        Ok(_) => (
            State::Ok,
            "an unlocked passphrase vault can be remembered in the kernel".to_owned(),
        ),
        Err(error) => (
            State::Note,
            format!("a passphrase is asked for each time: {error}"),
        ),
    };
    let locked = if SecretBytes::copy_from(&[0]).is_locked() {
        (
            State::Ok,
            "Mira's own copies of secrets are kept out of swap".to_owned(),
        )
    } else {
        (
            State::Note,
            "the system refuses to lock memory (ulimit -l): secrets may be swapped out".to_owned(),
        )
    };
    let dumps = match mira_run::protect_self() {
        Ok(()) if cfg!(target_os = "linux") => (
            State::Ok,
            "Mira's memory is closed to your other processes and to core files".to_owned(),
        ),
        Ok(()) => (
            State::Note,
            "Mira writes no core file; your other processes may read its memory".to_owned(),
        ),
        Err(error) => (
            State::Note,
            format!("Mira's memory cannot be closed to your other processes: {error}"),
        ),
    };
    let children = (
        State::Note,
        "a program that got a secret can be read by other programs of yours: recorded, not enforced".to_owned(),
    );
    let network = network_check();
    [
        ("keyring", keyring),
        ("unlock", cache),
        ("memory", locked),
        ("dumps", dumps),
        ("programs", children),
        ("network", network),
    ]
    .map(|(what, (state, says))| Check { what, state, says })
    .into()
}

/// Says whether a program can be kept from calling what it may not.
#[cfg(target_os = "linux")]
fn network_check() -> (State, String) {
    let helper = mira_sandbox::Helper::this_program(crate::programs::ROOM);
    match mira_sandbox::probe(&helper) {
        Ok(()) => (
            State::Ok,
            "enforced: apps, and programs under `mira run --gate`, have no network but the gate"
                .to_owned(),
        ),
        Err(refusal) => (
            State::Note,
            format!(
                "recorded, not enforced: {refusal}; {}",
                refusal.hint().join("; ")
            ),
        ),
    }
}

#[cfg(not(target_os = "linux"))]
fn network_check() -> (State, String) {
    let says = "recorded, not enforced: this system has no rooms without a network";
    (State::Note, says.to_owned())
}

impl Check {
    fn word(&self) -> &'static str {
        match self.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Bad(_) => "BAD",
        }
    }

    fn json(&self) -> Value {
        json!({"check": self.what, "state": self.word().to_lowercase(), "says": self.says})
    }
}

fn report(args: &Args, ui: &Ui, checks: &[Check]) -> Result<ExitCode, CommandError> {
    if args.json {
        ui.json(&checks.iter().map(Check::json).collect())?;
    } else {
        let rows: Vec<_> = checks
            .iter()
            .map(|check| {
                [
                    check.word().to_owned(),
                    check.what.to_owned(),
                    check.says.clone(),
                ]
            })
            .collect();
        ui.data(&table(["", "CHECK", "FOUND"], &rows))?;
    }
    let worst = checks.iter().find_map(|check| match check.state {
        State::Bad(kind) => Some(kind),
        _ => None,
    });
    Ok(worst.map_or(ExitCode::SUCCESS, Kind::exit_code))
}
