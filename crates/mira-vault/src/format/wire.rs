//! The JSON of `credentials.json`, as serde sees it. Nothing here is checked but the shape.

use std::borrow::Cow;
use std::path::PathBuf;

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;

use super::{FORMAT, FormatError, VERSION, decode_base64, field};
use crate::crypto::Argon2Cost;
use crate::provider::{Parameters, PassphraseParameters};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireDocument<'a> {
    #[serde(borrow)]
    pub(super) format: Cow<'a, str>,
    pub(super) version: u64,
    #[serde(borrow)]
    pub(super) vault: Cow<'a, str>,
    pub(super) generation: u64,
    #[serde(borrow)]
    pub(super) backend: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) provider: WireProvider<'a>,
    #[serde(borrow)]
    pub(super) key_check: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) scopes: Vec<WireScope<'a>>,
    #[serde(borrow)]
    pub(super) secrets: Vec<WireSecret<'a>>,
    /// Written by hand, so that it is last and outside of what it authenticates.
    #[serde(borrow, skip_serializing, deserialize_with = "present")]
    pub(super) mac: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum WireProvider<'a> {
    Keyring(WireKeyring),
    #[serde(borrow)]
    Passphrase(WirePassphrase<'a>),
    #[serde(borrow)]
    Keyfile(WireKeyfile<'a>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireKeyring {}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WirePassphrase<'a> {
    #[serde(borrow)]
    kdf: Cow<'a, str>,
    memory_kib: u32,
    iterations: u32,
    parallelism: u32,
    #[serde(borrow)]
    salt: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireKeyfile<'a> {
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    path: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireScope<'a> {
    #[serde(borrow)]
    pub(super) scope: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) nonce: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) wrapped_key: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireSecret<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) scope: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) label: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) created: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) updated: Cow<'a, str>,
    pub(super) version: u64,
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub(super) nonce: Option<Cow<'a, str>>,
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    pub(super) ciphertext: Option<Cow<'a, str>>,
}

/// Reads a field that may be absent but is not null where it is there.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Text::deserialize(deserializer).map(|Text(text)| Some(text))
}

const KDF: &str = "argon2id";

impl<'a> From<&'a Parameters> for WireProvider<'a> {
    fn from(parameters: &'a Parameters) -> Self {
        match parameters {
            Parameters::Keyring => Self::Keyring(WireKeyring {}),
            Parameters::Passphrase(PassphraseParameters { cost, salt }) => {
                Self::Passphrase(WirePassphrase {
                    kdf: KDF.into(),
                    memory_kib: cost.memory_kib,
                    iterations: cost.iterations,
                    parallelism: cost.parallelism,
                    salt: BASE64.encode(salt).into(),
                })
            }
            Parameters::Keyfile { path } => Self::Keyfile(WireKeyfile {
                path: path.as_ref().map(|path| path.to_string_lossy()),
            }),
        }
    }
}

impl TryFrom<&WireProvider<'_>> for Parameters {
    type Error = FormatError;

    fn try_from(wire: &WireProvider<'_>) -> Result<Self, FormatError> {
        match wire {
            WireProvider::Keyring(WireKeyring {}) => Ok(Self::Keyring),
            WireProvider::Passphrase(wire) => {
                let cost = Argon2Cost {
                    memory_kib: wire.memory_kib,
                    iterations: wire.iterations,
                    parallelism: wire.parallelism,
                };
                if wire.kdf != KDF {
                    return Err(field("provider.passphrase.kdf"));
                }
                let salt =
                    decode_base64(&wire.salt).ok_or_else(|| field("provider.passphrase.salt"))?;
                PassphraseParameters::checked(cost, salt)
                    .map(Self::Passphrase)
                    .map_err(|name| field(format!("provider.passphrase.{name}")))
            }
            WireProvider::Keyfile(WireKeyfile { path: None }) => Ok(Self::Keyfile { path: None }),
            WireProvider::Keyfile(WireKeyfile { path: Some(path) }) => {
                let path = PathBuf::from(&**path);
                match path.is_absolute() {
                    true => Ok(Self::Keyfile { path: Some(path) }),
                    false => Err(field("provider.keyfile.path")),
                }
            }
        }
    }
}

/// Says in our own words why serde refused: its messages can quote the file.
pub(super) fn explain(bytes: &[u8], error: &serde_json::Error) -> FormatError {
    #[derive(Deserialize)]
    struct Header<'a> {
        #[serde(borrow)]
        format: Cow<'a, str>,
        version: u64,
    }
    let (line, column) = (error.line(), error.column());
    if error.classify() == Category::Eof {
        return FormatError::Truncated { line };
    }
    match serde_json::from_slice::<Header<'_>>(bytes) {
        Ok(header) if header.format != FORMAT => FormatError::NotCredentials,
        Ok(header) if header.version != VERSION => other_version(header.version),
        Ok(_) => FormatError::Shape { line, column },
        Err(header) if header.classify() == Category::Data => FormatError::Shape { line, column },
        Err(_) => FormatError::NotJson { line, column },
    }
}

/// Versions before the first were never written.
pub(super) fn other_version(version: u64) -> FormatError {
    match version > VERSION {
        true => FormatError::Newer { version },
        false => field("version"),
    }
}
