//! Whom a file is for, and what opens it.

use std::fmt;
use std::str::FromStr;

use age::secrecy::SecretString;
use mira_secret::SecretBytes;

use crate::{AgeError, WORK_FACTOR};

pub(crate) type BoxedIdentity = Box<dyn age::Identity + Send + Sync>;

/// Whom a file is encrypted to.
#[non_exhaustive]
pub enum Recipients {
    /// Whoever knows the passphrase.
    Passphrase {
        /// The passphrase.
        passphrase: SecretBytes,
        /// How much work each guess at it costs, as a power of two.
        work_factor: u8,
    },
    /// Whoever has one of the identities.
    Keys(Vec<Box<dyn age::Recipient + Send>>),
}

impl Recipients {
    /// Returns whoever knows a passphrase, which costs [`WORK_FACTOR`] to guess at.
    #[must_use]
    pub fn passphrase(passphrase: SecretBytes) -> Self {
        Self::dangerous_passphrase(passphrase, WORK_FACTOR)
    }

    /// Returns whoever knows a passphrase that costs less to guess at: for tests.
    #[must_use]
    pub fn dangerous_passphrase(passphrase: SecretBytes, work_factor: u8) -> Self {
        Self::Passphrase {
            passphrase,
            work_factor,
        }
    }

    /// Parses recipients: `age1…`, or an SSH public key.
    ///
    /// # Errors
    ///
    /// Returns [`AgeError::Recipient`] with the first that is none, and [`AgeError::NoRecipient`] for an empty list.
    pub fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, AgeError> {
        if texts.is_empty() {
            return Err(AgeError::NoRecipient);
        }
        let keys = texts.iter().map(|text| recipient(text.as_ref()));
        keys.collect::<Result<_, _>>().map(Self::Keys)
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipients")
    }
}

/// What opens a file.
#[derive(Debug)]
#[non_exhaustive]
pub enum Key {
    /// Its passphrase.
    Passphrase(SecretBytes),
    /// The content of an age identity file or an unencrypted SSH private key.
    Identities(SecretBytes),
}

fn recipient(text: &str) -> Result<Box<dyn age::Recipient + Send>, AgeError> {
    if let Ok(recipient) = age::x25519::Recipient::from_str(text) {
        return Ok(Box::new(recipient));
    }
    match age::ssh::Recipient::from_str(text) {
        Ok(recipient) => Ok(Box::new(recipient)),
        Err(_) => Err(AgeError::Recipient {
            text: text.to_owned(),
        }),
    }
}

pub(crate) fn text(passphrase: &SecretBytes) -> Result<SecretString, AgeError> {
    // EXPOSE: to age, which wipes its copy.
    std::str::from_utf8(passphrase.expose())
        .map(SecretString::from)
        .map_err(|_| AgeError::PassphraseNotText)
}

pub(crate) fn identities(text: &SecretBytes) -> Result<Vec<BoxedIdentity>, AgeError> {
    // EXPOSE: to age, which makes keys of it.
    let bytes = text.expose();
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return match age::ssh::Identity::from_buffer(bytes, None) {
            Ok(identity @ age::ssh::Identity::Unencrypted(_)) => Ok(vec![Box::new(identity)]),
            _ => Err(AgeError::Identity),
        };
    }
    let file = age::IdentityFile::from_buffer(bytes).map_err(|_| AgeError::Identity)?;
    let identities = file.into_identities().map_err(|_| AgeError::Identity)?;
    if identities.is_empty() {
        Err(AgeError::Identity)
    } else {
        Ok(identities)
    }
}
