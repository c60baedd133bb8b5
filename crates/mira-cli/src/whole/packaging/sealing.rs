//! What is sealed into a package, and for whom.

use std::path::Path;

use mira_age::{AgeError, Recipients};
use mira_package::archive::MANIFEST_PATH;
use mira_package::manifest::Manifest;
use mira_package::sealed::{self, Sealed};
use mira_secret::{SecretBytes, SecretName, SecretValue};

use super::read_secret_file;
use crate::error::CommandError;

/// Whom secrets are sealed and the package is encrypted for.
pub(crate) enum SealFor<'a> {
    /// Whoever knows the password.
    Password(SecretBytes),
    /// Whoever has the secret half of one of these.
    Keys(&'a [String]),
}

impl SealFor<'_> {
    /// Returns them as age takes them.
    pub(crate) fn recipients(&self) -> Result<Recipients, CommandError> {
        match self {
            // EXPOSE: to age, which derives a key of it.
            Self::Password(password) => Ok(Recipients::passphrase(SecretBytes::copy_from(
                password.expose(),
            ))),
            Self::Keys(keys) => Recipients::parse(keys).map_err(|error| match error {
                // Its text is not repeated: a secret key may have been given by mistake.
                AgeError::Recipient { .. } => CommandError::usage(
                    "--seal-to takes an age1... or an ssh-ed25519 or ssh-rsa public key, and one that is given is none",
                ),
                other => CommandError::failed(other.to_string()),
            }),
        }
    }
}

/// Reads the secrets to seal; each has to be declared, or it would reach no service.
pub(crate) fn secrets_to_seal(
    file: &Path,
    manifest: &Manifest,
) -> Result<Vec<(SecretName, SecretValue)>, CommandError> {
    let text = read_secret_file(file, Sealed::BYTES_MAX)?;
    let secrets = sealed::parse(&text)
        .map_err(|error| CommandError::failed(format!("{}: {error}", file.display())))?;
    if secrets.is_empty() {
        return Err(CommandError::failed(format!(
            "{} has no secret to seal",
            file.display()
        )));
    }
    let is_declared = |name: &SecretName| {
        manifest
            .secrets
            .iter()
            .any(|declared| declared.name == *name)
    };
    let unknown = secrets.iter().filter(|(name, _)| !is_declared(name));
    let unknown: Vec<String> = unknown.map(|(name, _)| name.to_string()).collect();
    if unknown.is_empty() {
        return Ok(secrets);
    }
    let error = CommandError::failed(format!(
        "{MANIFEST_PATH} does not declare what {} has:",
        file.display()
    ));
    let error = unknown.into_iter().fold(error, CommandError::hint);
    Err(error.hint(format!(
        "Name them under `secrets` in {MANIFEST_PATH}, or take them out of the file."
    )))
}
