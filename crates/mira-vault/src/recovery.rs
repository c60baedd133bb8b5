//! Recovery files: the secrets in an age file, for the day the root key is lost. Format: `docs/formats/recovery.md`.
//!
//! The file is an ordinary age file (age-encryption.org/v1), so that `age -d` opens it where Mira is not.
//!
//! INVARIANT: plaintext goes into and out of the age stream only.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use data_encoding::BASE64;
use mira_age::{AgeError, Key, Recipients};
use mira_secret::{Kind, Scope, SecretBytes, SecretName, SecretValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::entry::Entry;
use crate::error::VaultError;
use crate::vault::Vault;

const FORMAT: &str = "mira-recovery";
const VERSION: u64 = 1;

/// A secret as it was in a recovery file.
#[derive(Debug)]
pub struct Recovered {
    /// Its scope.
    pub scope: Scope,
    /// Its name.
    pub name: SecretName,
    /// Its label.
    pub label: String,
    /// Its kind.
    pub kind: Kind,
    /// Its value.
    pub value: SecretValue,
}

/// Why a recovery file was not written or opened. No variant holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryError {
    /// A value could not be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The age file was not sealed or does not open.
    #[error("the recovery file: {0}")]
    Age(#[from] AgeError),
    /// The age file holds something else than a recovery document.
    #[error("the age file opens, but holds no recovery document of Mira's: {0}")]
    Content(&'static str),
    /// Reading or writing failed.
    #[error("the recovery file cannot be written or read: {0}")]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRecovery<'a> {
    format: Cow<'a, str>,
    version: u64,
    secrets: Vec<WireSecret>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireSecret {
    scope: String,
    name: String,
    label: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<Zeroizing<String>>,
}

/// Encrypts secrets into an age file; returns it and how many there are.
///
/// # Errors
///
/// A value cannot be opened, or the passphrase is not text.
pub fn seal<'a>(
    vault: &Vault,
    secrets: impl Iterator<Item = &'a Entry>,
    recipients: &Recipients,
) -> Result<(Vec<u8>, usize), RecoveryError> {
    let secrets = secrets
        .map(|entry| to_wire(vault, entry))
        .collect::<Result<Vec<_>, _>>()?;
    let number = secrets.len();
    let document = WireRecovery {
        format: FORMAT.into(),
        version: VERSION,
        secrets,
    };
    let mut file = Vec::new();
    let mut stream = mira_age::seal(&mut file, recipients)?;
    serde_json::to_writer_pretty(&mut stream, &document).map_err(io::Error::from)?;
    stream.write_all(b"\n")?;
    stream.finish()?;
    Ok((file, number))
}

fn to_wire(vault: &Vault, entry: &Entry) -> Result<WireSecret, VaultError> {
    let value = vault.value(entry)?;
    // EXPOSE: to the recovery file, encrypted on its way.
    let bytes = value.expose();
    let (value, value_base64) = match std::str::from_utf8(bytes) {
        Ok(text) => (Some(Zeroizing::new(text.to_owned())), None),
        Err(_) => (None, Some(Zeroizing::new(BASE64.encode(bytes)))),
    };
    Ok(WireSecret {
        scope: entry.scope().to_string(),
        name: entry.name().to_string(),
        label: entry.label().to_owned(),
        kind: entry.kind().to_string(),
        value,
        value_base64,
    })
}

/// Opens a recovery file.
///
/// # Errors
///
/// The key is the wrong one, or the file is damaged, asks for absurd work, or holds something else.
pub fn open(file: &[u8], key: &Key) -> Result<Vec<Recovered>, RecoveryError> {
    let mut reader = mira_age::open(file, key)?;
    // What comes out is shorter than what went in, so the buffer never moves.
    let mut plain = Vec::with_capacity(file.len() + 1);
    let read = reader.read_to_end(&mut plain);
    let plain = SecretBytes::from_vec(plain);
    read.map_err(|_| AgeError::Damaged)?;
    parse(&plain)
}

fn parse(plain: &SecretBytes) -> Result<Vec<Recovered>, RecoveryError> {
    // EXPOSE: to the parser, whose strings are wiped.
    let document: WireRecovery<'_> = serde_json::from_slice(plain.expose())
        .map_err(|_| RecoveryError::Content("it does not fit the format"))?;
    if document.format != FORMAT || document.version != VERSION {
        return Err(RecoveryError::Content(
            "it has another format or a newer version",
        ));
    }
    document.secrets.into_iter().map(from_wire).collect()
}

fn from_wire(wire: WireSecret) -> Result<Recovered, RecoveryError> {
    let wrong = RecoveryError::Content;
    let name: SecretName = wire.name.parse().map_err(|_| wrong("a name is none"))?;
    let bytes = match (wire.value, wire.value_base64) {
        (Some(text), None) => SecretBytes::copy_from(text.as_bytes()),
        (None, Some(text)) => {
            let decoded = BASE64
                .decode(text.as_bytes())
                .map_err(|_| wrong("a value is no base64"))?;
            SecretBytes::from_vec(decoded)
        }
        _ => return Err(wrong("a secret has no value, or two")),
    };
    Ok(Recovered {
        scope: wire.scope.parse().map_err(|_| wrong("a scope is none"))?,
        value: SecretValue::new(&name, bytes).map_err(|_| wrong("a value cannot be one"))?,
        name,
        label: wire.label,
        kind: wire.kind.parse().map_err(|_| wrong("a kind is none"))?,
    })
}
