//! The vault's document as the program holds it: checked, sorted, and nothing decrypted.
//!
//! It knows neither JSON (`format`) nor where values rest (`values`).
//!
//! INVARIANT: a scope is there exactly as long as it has a secret, so removing the last secret destroys the scope's key.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use mira_secret::{Scope, SecretName};

use crate::crypto::{
    AssociatedData, DIGEST_BYTES, Forged, NoRandomness, RootKey, ScopeKey, Sealed, WrappingKey,
};
use crate::entry::Entry;
use crate::id::VaultId;
use crate::provider::Parameters;
use crate::values::Backend;

const SCOPE_KEY_PURPOSE: &[u8] = b"mira-credentials/1/scope-key";
const VALUE_PURPOSE: &[u8] = b"mira-credentials/1/value";

/// The largest generation and the largest version of a secret.
// LIMIT: 2^53 - 1, the largest integer that every JSON reader holds exactly.
pub(crate) const COUNTER_MAX: u64 = (1 << 53) - 1;

/// Everything in `credentials.json`.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) vault: VaultId,
    pub(crate) generation: u64,
    pub(crate) backend: Backend,
    pub(crate) provider: Parameters,
    pub(crate) key_check: [u8; DIGEST_BYTES],
    pub(crate) scopes: BTreeMap<Scope, ScopeRecord>,
}

/// One scope: its key where values rest in the document, and its secrets.
#[derive(Debug)]
pub(crate) struct ScopeRecord {
    pub(crate) key: Option<WrappedKey>,
    pub(crate) secrets: BTreeMap<SecretName, Record>,
}

/// One secret: what is known of it and, where values rest in the document, its sealed value.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) entry: Entry,
    pub(crate) sealed: Option<Sealed>,
}

/// A scope's key under the root key, unwrapped when it is first needed.
#[derive(Debug)]
pub(crate) struct WrappedKey {
    pub(crate) sealed: Sealed,
    opened: OnceLock<ScopeKey>,
}

impl Document {
    /// Returns all secrets in the document's order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.records().map(|record| &record.entry)
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Record> {
        self.scopes
            .values()
            .flat_map(|scope| scope.secrets.values())
    }

    pub(crate) fn find(&self, scope: &Scope, name: &SecretName) -> Option<&Record> {
        self.scopes.get(scope)?.secrets.get(name)
    }

    /// Returns whether this root key unwraps any scope's key: then it is the right one, whatever the key check says.
    pub(crate) fn unwraps_under(&self, root: &RootKey) -> bool {
        let wrapping = root.derive_wrapping_key(&self.vault);
        self.scopes.iter().any(|(scope, record)| {
            record
                .key
                .as_ref()
                .is_some_and(|key| key.open(&wrapping, &self.vault, scope).is_ok())
        })
    }
}

impl WrappedKey {
    pub(crate) fn from_sealed(sealed: Sealed) -> Self {
        Self {
            sealed,
            opened: OnceLock::new(),
        }
    }

    /// Makes a new random key for a scope.
    pub(crate) fn make_random(
        wrapping: &WrappingKey,
        vault: &VaultId,
        scope: &Scope,
    ) -> Result<Self, NoRandomness> {
        let key = ScopeKey::make_random()?;
        let sealed = wrapping.wrap(&key, &beside_scope_key(vault, scope))?;
        Ok(Self {
            sealed,
            opened: OnceLock::from(key),
        })
    }

    /// Returns the key, unwrapped.
    pub(crate) fn open(
        &self,
        wrapping: &WrappingKey,
        vault: &VaultId,
        scope: &Scope,
    ) -> Result<&ScopeKey, Forged> {
        if let Some(key) = self.opened.get() {
            return Ok(key);
        }
        let key = wrapping.unwrap(&self.sealed, &beside_scope_key(vault, scope))?;
        Ok(self.opened.get_or_init(|| key))
    }
}

fn beside_scope_key(vault: &VaultId, scope: &Scope) -> AssociatedData {
    AssociatedData::default()
        .field(SCOPE_KEY_PURPOSE)
        .field(vault.to_string().as_bytes())
        .field(scope.to_string().as_bytes())
}

/// Returns what is authenticated beside a value: all else of its entry, so that none of it can be exchanged.
pub(crate) fn beside_value(vault: &VaultId, entry: &Entry) -> AssociatedData {
    AssociatedData::default()
        .field(VALUE_PURPOSE)
        .field(vault.to_string().as_bytes())
        .field(entry.id.to_string().as_bytes())
        .field(entry.scope.to_string().as_bytes())
        .field(entry.name.as_str().as_bytes())
        .field(entry.label.as_bytes())
        .field(entry.kind.as_str().as_bytes())
        .field(entry.created.to_string().as_bytes())
        .field(entry.updated.to_string().as_bytes())
        .field(entry.version.to_string().as_bytes())
}
