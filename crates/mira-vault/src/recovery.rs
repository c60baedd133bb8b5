//! Recovery files: the secrets in an age file, for the day the root key is lost. Format: `docs/formats/recovery.md`.
//!
//! The file is an ordinary age file (age-encryption.org/v1), so that `age -d` opens it where Mira is not.
//!
//! INVARIANT: plaintext goes into and out of the age stream only; a foreign file's work factor is bounded before any work.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::str::FromStr;

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor};
use data_encoding::BASE64;
use mira_secret::{Kind, Scope, SecretBytes, SecretName, SecretValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::entry::Entry;
use crate::error::VaultError;
use crate::provider::Passphrase;
use crate::vault::Vault;

const FORMAT: &str = "mira-recovery";
const VERSION: u64 = 1;
const MAGIC: &[u8] = b"age-encryption.org/v1\n";
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// The largest scrypt work factor that is accepted, as a power of two.
// LIMIT: 2^20 takes 1 GiB and some seconds; age itself writes 2^18.
const WORK_FACTOR_MAX: u8 = 20;

type BoxedIdentity = Box<dyn age::Identity + Send + Sync>;

/// Whom a recovery file is encrypted to.
pub enum Recipients {
    /// Whoever knows the passphrase.
    Passphrase(Passphrase),
    /// Whoever has one of the identities.
    Keys(Vec<Box<dyn age::Recipient + Send>>),
}

impl std::fmt::Debug for Recipients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recipients")
    }
}

/// What opens a recovery file.
#[derive(Debug)]
pub enum RecoveryKey {
    /// Its passphrase.
    Passphrase(Passphrase),
    /// The content of an age identity file or an unencrypted SSH private key.
    Identities(SecretBytes),
}

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
    /// The passphrase is not text, which age asks for.
    #[error("a passphrase of an age file is UTF-8 text")]
    PassphraseNotText,
    /// A text is no recipient.
    #[error("{text:?} is no recipient: give an age1… or an ssh-ed25519 or ssh-rsa public key")]
    Recipient {
        /// The text, which is public.
        text: String,
    },
    /// The identity file holds none that age can use.
    #[error("the identity file holds no age identity and no unencrypted SSH private key")]
    Identity,
    /// None of the keys opens the file.
    #[error("the recovery file is encrypted to somebody else, or that is not its passphrase")]
    WrongKey,
    /// The file asks for an absurd amount of work.
    #[error(
        "the recovery file asks for more work (scrypt 2^{asked}) than Mira accepts (2^{WORK_FACTOR_MAX})"
    )]
    ExcessiveWork {
        /// The asked work factor, as a power of two.
        asked: u8,
    },
    /// The file is not a whole age file.
    #[error("the recovery file is damaged, or is no age file")]
    Damaged,
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

/// Returns whether bytes begin as an age file does.
#[must_use]
pub fn is_recovery(bytes: &SecretBytes) -> bool {
    // EXPOSE: to the look at the first bytes.
    let bytes = bytes.expose();
    bytes.starts_with(MAGIC) || bytes.trim_ascii_start().starts_with(ARMOR)
}

/// Parses recipients: `age1…`, or an SSH public key.
///
/// # Errors
///
/// Returns [`RecoveryError::Recipient`] with the first that is none.
pub fn recipients(texts: &[String]) -> Result<Recipients, RecoveryError> {
    let parse = |text: &String| -> Result<Box<dyn age::Recipient + Send>, RecoveryError> {
        if let Ok(recipient) = age::x25519::Recipient::from_str(text) {
            return Ok(Box::new(recipient));
        }
        match age::ssh::Recipient::from_str(text) {
            Ok(recipient) => Ok(Box::new(recipient)),
            Err(_) => Err(RecoveryError::Recipient { text: text.clone() }),
        }
    };
    texts
        .iter()
        .map(parse)
        .collect::<Result<_, _>>()
        .map(Recipients::Keys)
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
    let encryptor = match recipients {
        Recipients::Passphrase(passphrase) => Encryptor::with_user_passphrase(text(passphrase)?),
        Recipients::Keys(keys) => {
            Encryptor::with_recipients(keys.iter().map(|key| &**key as &dyn age::Recipient))
                .map_err(|error| io::Error::other(error.to_string()))?
        }
    };
    let mut file = Vec::new();
    let mut stream = encryptor.wrap_output(&mut file)?;
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
pub fn open(file: &[u8], key: &RecoveryKey) -> Result<Vec<Recovered>, RecoveryError> {
    let armored = age::armor::ArmoredReader::new(file);
    let decryptor = Decryptor::new_buffered(armored).map_err(refused)?;
    let mut reader = match key {
        RecoveryKey::Passphrase(passphrase) => {
            let mut identity = age::scrypt::Identity::new(text(passphrase)?);
            identity.set_max_work_factor(WORK_FACTOR_MAX);
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
        }
        RecoveryKey::Identities(text) => {
            let identities = identities(text)?;
            decryptor.decrypt(
                identities
                    .iter()
                    .map(|identity| &**identity as &dyn age::Identity),
            )
        }
    }
    .map_err(refused)?;
    // What comes out is shorter than what went in, so the buffer never moves.
    let mut plain = Vec::with_capacity(file.len() + 1);
    let read = reader.read_to_end(&mut plain);
    let plain = SecretBytes::from_vec(plain);
    read.map_err(|_| RecoveryError::Damaged)?;
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

fn text(passphrase: &Passphrase) -> Result<SecretString, RecoveryError> {
    // EXPOSE: to age, which wipes its copy.
    std::str::from_utf8(passphrase.as_secret().expose())
        .map(SecretString::from)
        .map_err(|_| RecoveryError::PassphraseNotText)
}

fn identities(text: &SecretBytes) -> Result<Vec<BoxedIdentity>, RecoveryError> {
    // EXPOSE: to age, which makes keys of it.
    let bytes = text.expose();
    if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
        return match age::ssh::Identity::from_buffer(bytes, None) {
            Ok(identity @ age::ssh::Identity::Unencrypted(_)) => Ok(vec![Box::new(identity)]),
            _ => Err(RecoveryError::Identity),
        };
    }
    let file = age::IdentityFile::from_buffer(bytes).map_err(|_| RecoveryError::Identity)?;
    let identities = file
        .into_identities()
        .map_err(|_| RecoveryError::Identity)?;
    if identities.is_empty() {
        Err(RecoveryError::Identity)
    } else {
        Ok(identities)
    }
}

fn refused(error: DecryptError) -> RecoveryError {
    match error {
        DecryptError::ExcessiveWork { required, .. } => {
            RecoveryError::ExcessiveWork { asked: required }
        }
        DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed
        | DecryptError::NoMatchingKeys => RecoveryError::WrongKey,
        DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            RecoveryError::Io(error)
        }
        _ => RecoveryError::Damaged,
    }
}
