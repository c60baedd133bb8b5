//! `credentials.json`, version 1: its JSON and its MAC. The specification is `docs/formats/credentials.md`.
//!
//! The types here are the file's; they are converted to and from [`Document`]. No file is opened here.
//!
//! INVARIANT: what is not exactly the format is refused: unknown or repeated fields, another order, other spellings.

mod wire;

use std::collections::BTreeMap;

use data_encoding::{BASE64, HEXLOWER};
use mira_secret::{ENTRY_BYTES_MAX, Scope};

use crate::crypto::{DIGEST_BYTES, KEY_BYTES, MacKey, RootKey, Sealed, TAG_BYTES};
use crate::document::{COUNTER_MAX, Document, Record, ScopeRecord, WrappedKey};
use crate::entry::{Entry, check_label, parse_time};
use crate::id::decode_hex;
use crate::values::Backend;
use wire::{WireDocument, WireScope, WireSecret};

/// The longest document, in bytes.
// LIMIT: bounds the memory that a foreign file can ask for; ten thousand API keys take about 5 MiB.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The most secrets in a document.
pub(crate) const SECRETS_MAX: usize = 100_000;

const FORMAT: &str = "mira-credentials";
const VERSION: u64 = 1;
/// What stands before the MAC's digits, and what after them, to the end of the file.
const MAC_LINE: &[u8] = b"  \"mac\": \"";
const END: &[u8] = b"\"\n}\n";

/// How a file differs from the format. No variant holds any of its content but positions and numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The text is not JSON.
    #[error("it is not JSON at line {line}, column {column}")]
    NotJson {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The text stops in the middle.
    #[error("it ends in the middle, at line {line}")]
    Truncated {
        /// Line, from 1.
        line: usize,
    },
    /// The JSON has a field too many, too few, or of another type.
    #[error("it does not fit the format at line {line}, column {column}")]
    Shape {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// The document does not say that it is one.
    #[error("it does not call itself `mira-credentials`")]
    NotCredentials,
    /// A newer program wrote it.
    #[error(
        "it has version {version} of the format and was written by a newer Mira; update this one"
    )]
    Newer {
        /// The version that it has.
        version: u64,
    },
    /// The line with the MAC is not the last, or not as it must be.
    #[error("it does not end with the line that holds its MAC")]
    MacLine,
    /// A field has a value that it cannot have.
    #[error("its field `{field}` has a value that Mira never writes")]
    Field {
        /// Which, with the position in a list: `secrets[3].created`.
        field: String,
    },
    /// A list is not sorted, or has two of one.
    #[error("its list `{list}` is out of order or has something twice, at position {at}")]
    Order {
        /// Which list.
        list: &'static str,
        /// Where, from 0.
        at: usize,
    },
    /// A scope without a secret, or a secret without a scope.
    #[error("its scopes are not those of its secrets")]
    Scopes,
    /// More secrets than a document may have, or a longer text.
    #[error("it holds more than a vault can: {SECRETS_MAX} secrets in {DOCUMENT_BYTES_MAX} bytes")]
    TooMuch,
}

/// Why a document's MAC does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VerifyError {
    /// The key is not this document's.
    WrongKey,
    /// The key is right and the document is not what was written.
    Tampered,
}

/// A document that was read and not verified.
#[derive(Debug)]
pub(crate) struct Unverified {
    document: Document,
    authenticated: Vec<u8>,
    mac: [u8; DIGEST_BYTES],
}

impl Unverified {
    /// Parses the bytes of a file.
    pub(crate) fn parse(mut bytes: Vec<u8>) -> Result<Self, FormatError> {
        let wire: WireDocument<'_> =
            serde_json::from_slice(&bytes).map_err(|error| wire::explain(&bytes, &error))?;
        if wire.format != FORMAT {
            return Err(FormatError::NotCredentials);
        }
        if wire.version != VERSION {
            return Err(wire::other_version(wire.version));
        }
        let (range, mac) = split(&bytes)?;
        // The line at the end must be the field `mac` itself.
        if wire.mac.as_deref().and_then(decode_hex) != Some(mac) {
            return Err(FormatError::MacLine);
        }
        let document = to_document(&wire)?;
        drop(wire);
        bytes.truncate(range);
        Ok(Self {
            document,
            authenticated: bytes,
            mac,
        })
    }

    /// Returns the document as it claims to be: enough to find its key, not to be believed.
    pub(crate) fn claimed(&self) -> &Document {
        &self.document
    }

    /// Returns whether this is the document's key: it passes the key check, or it unwraps a scope's key although somebody changed
    /// the key check.
    pub(crate) fn is_under(&self, root: &RootKey) -> bool {
        root.passes(&self.document.key_check) || self.document.unwraps_under(root)
    }

    /// Checks the key and the MAC; only now the document is to be believed.
    pub(crate) fn verify(self, root: &RootKey) -> Result<Document, VerifyError> {
        if !self.is_under(root) {
            return Err(VerifyError::WrongKey);
        }
        let mac_key = root.derive_mac_key(&self.document.vault);
        match mac_key.verify(&self.authenticated, &self.mac) {
            true => Ok(self.document),
            false => Err(VerifyError::Tampered),
        }
    }
}

/// Returns how many bytes the MAC covers, and the MAC.
fn split(bytes: &[u8]) -> Result<(usize, [u8; DIGEST_BYTES]), FormatError> {
    let rest = bytes.strip_suffix(END).ok_or(FormatError::MacLine)?;
    let (rest, digits) = rest
        .split_last_chunk::<{ 2 * DIGEST_BYTES }>()
        .ok_or(FormatError::MacLine)?;
    let covered = rest.strip_suffix(MAC_LINE).ok_or(FormatError::MacLine)?;
    let mac = std::str::from_utf8(digits)
        .ok()
        .and_then(decode_hex)
        .ok_or(FormatError::MacLine)?;
    match covered.ends_with(b",\n") {
        true => Ok((covered.len(), mac)),
        false => Err(FormatError::MacLine),
    }
}

/// Writes a document, with its MAC, as the bytes of a file.
pub(crate) fn encode(document: &Document, mac_key: &MacKey) -> Result<Vec<u8>, FormatError> {
    let wire = from_document(document);
    let mut bytes = serde_json::to_vec_pretty(&wire).expect("strings and numbers are always JSON");
    // The object stays open: its last line is the MAC's.
    let open = bytes
        .strip_suffix(b"\n}")
        .expect("pretty JSON of an object ends so")
        .len();
    bytes.truncate(open);
    bytes.extend_from_slice(b",\n");
    let mac = mac_key.authenticate(&bytes);
    bytes.extend_from_slice(MAC_LINE);
    bytes.extend_from_slice(HEXLOWER.encode(&mac).as_bytes());
    bytes.extend_from_slice(END);
    let secrets = document.records().count();
    let fits = u64::try_from(bytes.len()).is_ok_and(|len| len <= DOCUMENT_BYTES_MAX);
    if secrets > SECRETS_MAX || !fits {
        return Err(FormatError::TooMuch);
    }
    Ok(bytes)
}

fn from_document(document: &Document) -> WireDocument<'_> {
    let scopes = document.scopes.iter().filter_map(|(scope, record)| {
        let key = record.key.as_ref()?;
        Some(WireScope {
            scope: scope.to_string().into(),
            nonce: BASE64.encode(&key.sealed.nonce).into(),
            wrapped_key: BASE64.encode(&key.sealed.ciphertext).into(),
        })
    });
    let secrets = document
        .records()
        .map(|Record { entry, sealed }| WireSecret {
            id: entry.id.to_string().into(),
            scope: entry.scope.to_string().into(),
            name: entry.name.as_str().into(),
            label: entry.label.as_str().into(),
            kind: entry.kind.as_str().into(),
            created: entry.created.to_string().into(),
            updated: entry.updated.to_string().into(),
            version: entry.version,
            nonce: sealed
                .as_ref()
                .map(|sealed| BASE64.encode(&sealed.nonce).into()),
            ciphertext: sealed
                .as_ref()
                .map(|sealed| BASE64.encode(&sealed.ciphertext).into()),
        });
    WireDocument {
        format: FORMAT.into(),
        version: VERSION,
        vault: document.vault.to_string().into(),
        generation: document.generation,
        backend: document.backend.as_str().into(),
        provider: (&document.provider).into(),
        key_check: HEXLOWER.encode(&document.key_check).into(),
        scopes: scopes.collect(),
        secrets: secrets.collect(),
        mac: None,
    }
}

fn field(name: impl Into<String>) -> FormatError {
    FormatError::Field { field: name.into() }
}

fn to_document(wire: &WireDocument<'_>) -> Result<Document, FormatError> {
    if wire.secrets.len() > SECRETS_MAX {
        return Err(FormatError::TooMuch);
    }
    let backend: Backend = wire.backend.parse().map_err(|_| field("backend"))?;
    let mut scopes = to_scopes(&wire.scopes)?;
    if backend == Backend::Keychain && !scopes.is_empty() {
        return Err(field("scopes"));
    }
    add_secrets(&mut scopes, &wire.secrets, backend)?;
    if scopes.values().any(|scope| scope.secrets.is_empty()) {
        return Err(FormatError::Scopes);
    }
    Ok(Document {
        vault: wire.vault.parse().map_err(|_| field("vault"))?,
        generation: counter(wire.generation).ok_or_else(|| field("generation"))?,
        backend,
        provider: (&wire.provider).try_into()?,
        key_check: decode_hex(&wire.key_check).ok_or_else(|| field("key_check"))?,
        scopes,
    })
}

fn counter(number: u64) -> Option<u64> {
    (1..=COUNTER_MAX).contains(&number).then_some(number)
}

fn to_scopes(wire: &[WireScope<'_>]) -> Result<BTreeMap<Scope, ScopeRecord>, FormatError> {
    let mut scopes = BTreeMap::<Scope, ScopeRecord>::new();
    for (at, one) in wire.iter().enumerate() {
        let wrong = |name: &str| field(format!("scopes[{at}].{name}"));
        let scope: Scope = one.scope.parse().map_err(|_| wrong("scope"))?;
        if scopes
            .last_key_value()
            .is_some_and(|(last, _)| *last >= scope)
        {
            return Err(FormatError::Order { list: "scopes", at });
        }
        let sealed = Sealed {
            nonce: decode_base64(&one.nonce).ok_or_else(|| wrong("nonce"))?,
            ciphertext: decode_base64::<{ KEY_BYTES + TAG_BYTES }>(&one.wrapped_key)
                .ok_or_else(|| wrong("wrapped_key"))?
                .to_vec(),
        };
        let record = ScopeRecord {
            key: Some(WrappedKey::from_sealed(sealed)),
            secrets: BTreeMap::new(),
        };
        scopes.insert(scope, record);
    }
    Ok(scopes)
}

fn add_secrets(
    scopes: &mut BTreeMap<Scope, ScopeRecord>,
    wire: &[WireSecret<'_>],
    backend: Backend,
) -> Result<(), FormatError> {
    let mut last: Option<(Scope, mira_secret::SecretName)> = None;
    let mut ids = Vec::with_capacity(wire.len());
    for (at, one) in wire.iter().enumerate() {
        let record =
            to_record(one, backend).map_err(|name| field(format!("secrets[{at}].{name}")))?;
        let place = (record.entry.scope.clone(), record.entry.name.clone());
        if last.as_ref().is_some_and(|last| *last >= place) {
            return Err(FormatError::Order {
                list: "secrets",
                at,
            });
        }
        ids.push(record.entry.id);
        let scope = match backend {
            Backend::File => scopes.get_mut(&place.0).ok_or(FormatError::Scopes)?,
            Backend::Keychain => scopes
                .entry(place.0.clone())
                .or_insert_with(|| ScopeRecord {
                    key: None,
                    secrets: BTreeMap::new(),
                }),
        };
        scope.secrets.insert(place.1.clone(), record);
        last = Some(place);
    }
    ids.sort_unstable();
    match ids.windows(2).any(|pair| pair.first() == pair.last()) {
        true => Err(field("secrets[].id")),
        false => Ok(()),
    }
}

fn to_record(wire: &WireSecret<'_>, backend: Backend) -> Result<Record, &'static str> {
    let sealed = match (backend, &wire.nonce, &wire.ciphertext) {
        (Backend::File, Some(nonce), Some(ciphertext)) => Some(Sealed {
            nonce: decode_base64(nonce).ok_or("nonce")?,
            ciphertext: decode_ciphertext(ciphertext).ok_or("ciphertext")?,
        }),
        (Backend::Keychain, None, None) => None,
        _ => return Err("ciphertext"),
    };
    check_label(&wire.label).map_err(|_| "label")?;
    let entry = Entry {
        id: wire.id.parse().map_err(|_| "id")?,
        scope: wire.scope.parse().map_err(|_| "scope")?,
        name: wire.name.parse().map_err(|_| "name")?,
        label: wire.label.clone().into_owned(),
        kind: wire.kind.parse().map_err(|_| "kind")?,
        created: parse_time(&wire.created).ok_or("created")?,
        updated: parse_time(&wire.updated).ok_or("updated")?,
        version: counter(wire.version).ok_or("version")?,
    };
    Ok(Record { entry, sealed })
}

fn decode_ciphertext(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (TAG_BYTES < bytes.len() && bytes.len() <= ENTRY_BYTES_MAX + TAG_BYTES).then_some(bytes)
}

/// Decodes exactly `N` bytes of standard, padded base64.
pub(crate) fn decode_base64<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests;
