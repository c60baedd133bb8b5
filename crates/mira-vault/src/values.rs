//! Where values rest: in the document, sealed, or each as its own item of the OS keychain.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use mira_secret::{Scope, SecretName};

use crate::os::keychain::{Keychain, KeychainError, OsKeychain};

/// Where a vault's values rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In `credentials.json`, each sealed under its scope's key.
    File,
    /// In the OS keychain, each an item of service `mira` and account `<scope>/<name>`.
    Keychain,
}

/// Says that a text names no back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a back end is one of `file` and `keychain`")]
pub struct BackendError;

impl Backend {
    /// Returns the back end's one spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keychain => "keychain",
        }
    }
}

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, BackendError> {
        [Self::File, Self::Keychain]
            .into_iter()
            .find(|backend| backend.as_str() == text)
            .ok_or(BackendError)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The OS keychain, connected to when it is first needed.
#[derive(Clone, Default)]
pub struct KeychainLink(OnceLock<Arc<dyn Keychain>>);

impl KeychainLink {
    /// Uses this keychain instead of the one of the login session.
    #[must_use]
    pub fn given(keychain: Arc<dyn Keychain>) -> Self {
        Self(OnceLock::from(keychain))
    }

    pub(crate) fn connect(&self) -> Result<&dyn Keychain, KeychainError> {
        if let Some(keychain) = self.0.get() {
            return Ok(&**keychain);
        }
        let keychain: Arc<dyn Keychain> = Arc::new(OsKeychain::connect()?);
        Ok(&**self.0.get_or_init(|| keychain))
    }
}

impl fmt::Debug for KeychainLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeychainLink")
    }
}

/// Returns the account of a value's item.
pub(crate) fn account(scope: &Scope, name: &SecretName) -> String {
    format!("{scope}/{name}")
}
