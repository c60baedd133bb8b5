//! Which secrets a program gets, under which names, and what else sets these names.

use std::ffi::OsString;

use mira_run::lease::Delivery;
use mira_secret::{Kind, SecretBytes, SecretName, SecretValue};
use mira_vault::{AWS_VARIABLES, Entry, Vault};

use super::{Choice, Prefer};
use crate::error::CommandError;
use crate::session;
use crate::ui::Ui;

/// A value that is about to be delivered.
pub(crate) struct Chosen {
    /// The variable that carries it.
    pub(crate) name: SecretName,
    pub(crate) value: SecretValue,
    /// The secret that it is of, or is a part of.
    pub(crate) delivery: Delivery,
    kind: Kind,
}

impl Chosen {
    /// Returns whether it is a part of AWS credentials.
    pub(super) fn is_aws(&self) -> bool {
        self.kind == Kind::AwsCredentials
    }

    /// Returns whether a name means this value. All parts of AWS credentials are meant by each part's name: only together are they good for a signature.
    pub(crate) fn is_meant_by(&self, name: &SecretName) -> bool {
        let by_its_whole = || self.delivery.name == *name || AWS_VARIABLES.contains(&name.as_str());
        self.name == *name || self.is_aws() && by_its_whole()
    }
}

/// Returns the secrets to deliver, refusing names that two sources set differently.
pub(super) fn choose(
    vault: &Vault,
    choice: &Choice,
    prefer: Option<Prefer>,
    settings: &[(OsString, Vec<u8>)],
    ui: &Ui,
) -> Result<Vec<Chosen>, CommandError> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut collisions = Vec::new();
    for entry in choice.entries(vault)? {
        let delivered = vault.delivered(entry)?;
        for (name, _) in &delivered.variables {
            refuse_twice(entry, name, &chosen, settings)?;
        }
        let different = different(entry, &delivered.variables);
        if !different.is_empty() {
            match prefer {
                // All parts of AWS credentials come from one place, or they do not belong together.
                Some(Prefer::Inherited) => continue,
                Some(Prefer::Vault) => {}
                None => collisions.extend(different),
            }
        }
        session::warn_expired(ui, entry.name(), delivered.expires);
        let parts = delivered.variables.into_iter();
        chosen.extend(parts.map(|(name, value)| Chosen {
            name,
            value,
            delivery: delivery(entry),
            kind: entry.kind(),
        }));
    }
    if collisions.is_empty() {
        return Ok(chosen);
    }
    Err(CommandError::usage(format!(
        "the environment sets {} already, to another value than the vault; which one is meant?",
        collisions.join(", ")
    ))
    .hint("--prefer vault       the saved secret")
    .hint("--prefer inherited   what the environment has (it is not redacted)"))
}

/// Refuses to broker a secret that is not among those chosen.
pub(super) fn refuse_absent(
    vault: &Vault,
    choice: &Choice,
    prefer: Option<Prefer>,
    name: &SecretName,
    chosen: &[Chosen],
) -> Result<(), CommandError> {
    if chosen.iter().any(|chosen| chosen.is_meant_by(name)) {
        return Ok(());
    }
    let is_meant = |entry: &Entry| {
        entry.name() == name
            || entry.kind() == Kind::AwsCredentials && AWS_VARIABLES.contains(&name.as_str())
    };
    let inherits = prefer == Some(Prefer::Inherited);
    if inherits && choice.entries(vault)?.into_iter().any(is_meant) {
        return Err(CommandError::usage(format!(
            "{name} is taken from the environment, as --prefer inherited says; only what is saved can be brokered"
        ))
        .hint("--prefer vault takes the saved one."));
    }
    let mut saved = vault.secrets();
    if saved.any(|entry| *entry.scope() == choice.scope && is_meant(entry)) {
        return Err(CommandError::usage(format!(
            "{name} is to be brokered, and is not among the secrets of this run"
        ))
        .hint("--only and --except choose among them."));
    }
    let what = format!("not saved in scope {}:", choice.scope);
    Err(CommandError::missing(what, [name]).hint("`mira set NAME` saves one."))
}

/// Refuses a variable that another secret or `--with` sets too.
fn refuse_twice(
    entry: &Entry,
    name: &SecretName,
    chosen: &[Chosen],
    settings: &[(OsString, Vec<u8>)],
) -> Result<(), CommandError> {
    if settings.iter().any(|(known, _)| known == name.as_str()) {
        return Err(CommandError::usage(format!(
            "{name} is a saved secret and is set by --with too"
        ))
        .hint(format!("--except {} leaves the secret out.", entry.name())));
    }
    match chosen.iter().find(|chosen| chosen.name == *name) {
        None => Ok(()),
        Some(other) => Err(CommandError::usage(format!(
            "{name} is set by two secrets, {} and {}",
            other.delivery.name,
            entry.name()
        ))
        .hint(format!(
            "--except {} or --except {} leaves one out.",
            other.delivery.name,
            entry.name()
        ))),
    }
}

/// Returns the names of which the environment has something else than the secret.
fn different(entry: &Entry, variables: &[(SecretName, SecretValue)]) -> Vec<String> {
    let differs = variables
        .iter()
        .filter(|(name, value)| inherited(name, value) == Inherited::Different)
        .map(|(name, _)| name.to_string());
    let mut names: Vec<String> = differs.collect();
    if entry.kind() == Kind::AwsCredentials {
        // A part that the credentials do not have would be taken for theirs.
        let is_theirs = |name: &str| variables.iter().any(|(own, _)| own.as_str() == name);
        let foreign = AWS_VARIABLES.iter().filter(|name| !is_theirs(name));
        let foreign = foreign.filter(|name| std::env::var_os(name).is_some());
        names.extend(foreign.map(|&name| name.to_owned()));
    }
    names
}

/// Returns the variables that must not be there beside those that were chosen: the session token of another AWS key.
pub(super) fn in_the_way(chosen: &[Chosen]) -> impl Iterator<Item = &'static str> {
    let has_aws = chosen.iter().any(Chosen::is_aws);
    let all = AWS_VARIABLES.into_iter().filter(move |_| has_aws);
    all.filter(|name| !chosen.iter().any(|chosen| chosen.name.as_str() == *name))
}

/// What the environment already says of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inherited {
    Absent,
    Same,
    Different,
}

/// Compares the environment's value with the saved one.
pub(crate) fn inherited(name: &SecretName, value: &SecretValue) -> Inherited {
    match std::env::var_os(name.as_str()) {
        None => Inherited::Absent,
        Some(found) => {
            let found = SecretBytes::from_vec(found.into_encoded_bytes());
            // EXPOSE: to a constant-time comparison.
            let same = found == SecretBytes::copy_from(value.expose());
            if same {
                Inherited::Same
            } else {
                Inherited::Different
            }
        }
    }
}

pub(crate) fn delivery(entry: &Entry) -> Delivery {
    Delivery {
        secret_id: entry.id().to_string(),
        scope: entry.scope().clone(),
        name: entry.name().clone(),
        version: entry.version(),
    }
}
