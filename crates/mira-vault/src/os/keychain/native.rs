//! The macOS Keychain (the login keychain) and the Windows Credential Manager.
//!
//! Both keep one generic credential a service and account, so storing replaces and nothing is ambiguous. Both show the service and
//! account, not a label of ours. The system asks the user itself where it wants to.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

#[cfg(target_os = "macos")]
use apple_native_keyring_store::keychain::Store;
use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Error};
use mira_secret::SecretBytes;
#[cfg(windows)]
use windows_native_keyring_store::Store;

use super::{KeychainError, SERVICE};

pub(super) struct Connection(Arc<Store>);

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    pub(super) fn open() -> Result<Self, KeychainError> {
        Store::new()
            .map(Self)
            .map_err(|error| KeychainError::Unreachable {
                reason: error.to_string(),
            })
    }

    pub(super) fn store(
        &self,
        account: &str,
        _label: &str,
        secret: &SecretBytes,
    ) -> Result<(), KeychainError> {
        let entry = self.entry(account)?;
        // EXPOSE: to the system's keychain, because it is where the user keeps the secret.
        let set = entry.set_secret(secret.expose());
        set.map_err(|error| explain(account, &error))
    }

    pub(super) fn load(&self, account: &str) -> Result<Option<SecretBytes>, KeychainError> {
        match self.entry(account)?.get_secret() {
            Ok(bytes) => Ok(Some(SecretBytes::from_vec(bytes))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(explain(account, &error)),
        }
    }

    pub(super) fn delete(&self, account: &str) -> Result<bool, KeychainError> {
        match self.entry(account)?.delete_credential() {
            Ok(()) => Ok(true),
            Err(Error::NoEntry) => Ok(false),
            Err(error) => Err(explain(account, &error)),
        }
    }

    fn entry(&self, account: &str) -> Result<Entry, KeychainError> {
        self.0
            .build(SERVICE, account, modifiers().as_ref())
            .map_err(|error| explain(account, &error))
    }
}

/// Keeps credentials on this machine: the store's own choice would let them roam with the domain account.
#[cfg(windows)]
fn modifiers() -> Option<HashMap<&'static str, &'static str>> {
    Some(HashMap::from([("persistence", "Local")]))
}

#[cfg(target_os = "macos")]
fn modifiers() -> Option<HashMap<&'static str, &'static str>> {
    None
}

fn explain(account: &str, error: &Error) -> KeychainError {
    match error {
        Error::NoStorageAccess(_) => KeychainError::Locked,
        Error::Ambiguous(items) => KeychainError::Ambiguous {
            account: account.to_owned(),
            count: items.len(),
        },
        // Its text is the platform's; no variant's text holds the bytes of a secret.
        error => KeychainError::Failed {
            account: account.to_owned(),
            reason: error.to_string(),
        },
    }
}
