//! Whether an instance's parts fit together. It looks at nothing but the specification itself.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use mira_secret::SecretName;

use super::{Check, InstanceSpec, ServiceSpec};

/// The longest name of a service, in bytes.
// LIMIT: it is part of file names; 31 is what a manifest allows.
const NAME_BYTES_MAX: usize = 63;

/// What does not fit together in an instance. No variant holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// There is nothing to run.
    #[error("the instance has no service")]
    NoService,
    /// The id could not be part of a path.
    #[error("{0:?} cannot be the id of an instance: use letters, digits, '.', '_' and '-'")]
    Id(String),
    /// The name could not be part of a path.
    #[error("{0:?} cannot be the name of a service: use lower-case letters, digits and '-'")]
    ServiceName(String),
    /// Two services have one name.
    #[error("there are two services with the name {0:?}")]
    ServiceTwice(String),
    /// A service depends on one that does not come before it.
    #[error("service {service:?} depends on {on:?}, which is not a service that comes before it")]
    Dependency {
        /// The service.
        service: String,
        /// What it depends on.
        on: String,
    },
    /// There is no program to run.
    #[error("service {0:?} has an empty command, or an empty command as its health check")]
    NoCommand(String),
    /// A word or variable holds a NUL byte, or a variable's name is none.
    #[error("{what:?} of service {service:?} cannot be passed to a program")]
    NotPassable {
        /// The service.
        service: String,
        /// The variable's name, or the command's word.
        what: OsString,
    },
    /// A variable is there twice: as a secret, as the path of one, or as a variable.
    #[error("variable {name:?} of service {service:?} is set twice")]
    VariableTwice {
        /// The service.
        service: String,
        /// The variable's name.
        name: OsString,
    },
    /// Two values have one name.
    #[error("there are two values for the secret {0}")]
    ValueTwice(SecretName),
    /// A check that no service could pass.
    #[error(
        "the health check of service {0:?} needs a timeout, at least one try, and, for HTTP, a path that begins with '/'"
    )]
    Health(String),
}

impl InstanceSpec {
    /// Finds the first thing that does not fit together.
    ///
    /// # Errors
    ///
    /// Returns it.
    pub fn check(&self) -> Result<(), SpecError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let begins_well = self.id.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins_well || !self.id.bytes().all(fits) {
            return Err(SpecError::Id(self.id.clone()));
        }
        if self.services.is_empty() {
            return Err(SpecError::NoService);
        }
        let mut names = BTreeSet::new();
        for value in &self.values {
            if !names.insert(&value.name) {
                return Err(SpecError::ValueTwice(value.name.clone()));
            }
        }
        let mut before = BTreeSet::new();
        for service in &self.services {
            service.check(&before)?;
            if !before.insert(service.name.as_str()) {
                return Err(SpecError::ServiceTwice(service.name.clone()));
            }
        }
        Ok(())
    }
}

impl ServiceSpec {
    fn check(&self, before: &BTreeSet<&str>) -> Result<(), SpecError> {
        let name = || self.name.clone();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins_well = self.name.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins_well || !self.name.bytes().all(fits) || self.name.len() > NAME_BYTES_MAX {
            return Err(SpecError::ServiceName(name()));
        }
        if let Some(on) = self
            .depends_on
            .iter()
            .find(|on| !before.contains(on.as_str()))
        {
            let (service, on) = (name(), on.clone());
            return Err(SpecError::Dependency { service, on });
        }
        let check = self.health.as_ref().map(|health| &health.check);
        let words = match check {
            Some(Check::Command(words)) => Some(words),
            _ => None,
        };
        for command in [Some(&self.command), words].into_iter().flatten() {
            if command.first().is_none_or(|program| program.is_empty()) {
                return Err(SpecError::NoCommand(name()));
            }
            passable(&self.name, command.iter(), holds_no_nul)?;
        }
        if let Some(health) = &self.health
            && (health.timeout.is_zero() || health.retries == 0 || !could_be_asked(&health.check))
        {
            return Err(SpecError::Health(name()));
        }
        self.check_variables()
    }

    fn check_variables(&self) -> Result<(), SpecError> {
        let names = self.env.iter().map(|(name, _)| name);
        passable(&self.name, names, |name| {
            !name.is_empty() && holds_no_nul(name) && !name.as_bytes().contains(&b'=')
        })?;
        if let Some((name, _)) = self.env.iter().find(|(_, value)| !holds_no_nul(value)) {
            let (service, what) = (self.name.clone(), name.clone());
            return Err(SpecError::NotPassable { service, what });
        }
        let variables = self.env.iter().map(|(name, _)| name.clone());
        let secrets = self.env_secrets.iter().map(|name| name.as_str().into());
        let files = self.file_secrets.iter().map(file_variable);
        let mut known = BTreeSet::new();
        for name in variables.chain(secrets).chain(files) {
            if let Some(name) = known.replace(name) {
                let service = self.name.clone();
                return Err(SpecError::VariableTwice { service, name });
            }
        }
        Ok(())
    }
}

/// Returns whether a check's path, if it has one, can be sent.
fn could_be_asked(check: &Check) -> bool {
    match check {
        Check::Http { path, .. } => {
            path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
        }
        Check::Tcp { .. } | Check::Command(_) => true,
    }
}

/// Returns the variable that holds the path of a secret's file.
pub(super) fn file_variable(name: &SecretName) -> OsString {
    format!("{name}_FILE").into()
}

fn holds_no_nul(text: &OsStr) -> bool {
    !text.as_bytes().contains(&0)
}

fn passable<'a>(
    service: &str,
    mut texts: impl Iterator<Item = &'a OsString>,
    fits: impl Fn(&OsStr) -> bool,
) -> Result<(), SpecError> {
    match texts.find(|text| !fits(text)) {
        None => Ok(()),
        Some(what) => Err(SpecError::NotPassable {
            service: service.to_owned(),
            what: what.clone(),
        }),
    }
}

#[cfg(test)]
mod tests;
