//! The user's keychain: macOS Keychain, Windows Credential Manager, Secret Service elsewhere.
//!
//! One item a secret, found by service `mira` and its account; storing again replaces it. Which items there are and what
//! their accounts mean is the caller's.
//!
//! INVARIANT: no call falls back to another store and none waits without end; what the keychain refuses is an error that says why.

use std::time::Duration;

use mira_secret::SecretBytes;

#[cfg(any(target_os = "macos", windows))]
mod native;
#[cfg(not(any(target_os = "macos", windows)))]
mod secret_service;

#[cfg(any(target_os = "macos", windows))]
use native as platform;
#[cfg(not(any(target_os = "macos", windows)))]
use secret_service as platform;

/// The service name of every item.
pub const SERVICE: &str = "mira";

/// A store that keeps one secret an account.
pub trait Keychain: Send + Sync {
    /// Stores a secret under an account, in place of the one that may be there.
    ///
    /// `label` is what the user reads in a keyring manager, where the platform keeps labels.
    ///
    /// # Errors
    ///
    /// Returns [`KeychainError`]; the old secret is still there then, unless it says otherwise.
    fn store(&self, account: &str, label: &str, secret: &SecretBytes) -> Result<(), KeychainError>;

    /// Returns the account's secret, or `None` where there is none.
    ///
    /// # Errors
    ///
    /// Returns [`KeychainError`] where the store could not say.
    fn load(&self, account: &str) -> Result<Option<SecretBytes>, KeychainError>;

    /// Deletes the account's secret and returns whether there was one.
    ///
    /// # Errors
    ///
    /// Returns [`KeychainError`]; the secret is still there then.
    fn delete(&self, account: &str) -> Result<bool, KeychainError>;
}

/// Why the keychain did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainError {
    /// Nothing answers: no session bus, no Secret Service on it, or it went away.
    #[error(
        "the OS keychain cannot be reached: {reason}; start it (a desktop session does) or choose another key provider"
    )]
    Unreachable {
        /// What was tried and failed.
        reason: String,
    },
    /// The keychain is locked, and nobody unlocked it when asked.
    #[error("the OS keychain is locked; unlock it, or log in to the desktop, and try again")]
    Locked,
    /// The keychain took the request and did not answer in time.
    #[error("the OS keychain did not answer within {} s; see whether it waits for you, and try again", waited.as_secs())]
    NoAnswer {
        /// How long was waited.
        waited: Duration,
    },
    /// There is no keychain to put a new item into.
    #[error(
        "the OS keychain has no default collection; make one in your keyring manager and try again"
    )]
    NoCollection,
    /// Several items carry the account, so none of them is the right one.
    #[error(
        "the OS keychain holds {count} items with service `mira` and account `{account}`; keep one, delete the others"
    )]
    Ambiguous {
        /// The account asked for.
        account: String,
        /// How many items there are.
        count: usize,
    },
    /// The keychain answered, and refused.
    #[error("the OS keychain refused the item with account `{account}`: {reason}")]
    Failed {
        /// The account asked for.
        account: String,
        /// What the platform said.
        reason: String,
    },
}

/// The keychain of the user who runs the program.
///
/// Making one connects; it can be used from several threads and for many items.
#[derive(Debug)]
pub struct OsKeychain(platform::Connection);

impl OsKeychain {
    /// Connects to the keychain of this login session.
    ///
    /// On Linux that is the Secret Service on the session bus, found as every D-Bus program finds it
    /// (`DBUS_SESSION_BUS_ADDRESS`, else the bus in the runtime folder). What passes over the bus is encrypted.
    ///
    /// # Errors
    ///
    /// Returns [`KeychainError::Unreachable`] where there is none, [`KeychainError::NoAnswer`] where it is mute.
    pub fn connect() -> Result<Self, KeychainError> {
        platform::Connection::open().map(Self)
    }

    /// Connects to the Secret Service on the bus at a D-Bus address, waiting no longer than `waits` says.
    ///
    /// # Errors
    ///
    /// As [`OsKeychain::connect`].
    #[cfg(not(any(target_os = "macos", windows)))]
    pub fn connect_to_bus(address: &str, waits: Waits) -> Result<Self, KeychainError> {
        platform::Connection::open_at(address, waits).map(Self)
    }
}

impl Keychain for OsKeychain {
    fn store(&self, account: &str, label: &str, secret: &SecretBytes) -> Result<(), KeychainError> {
        self.0.store(account, label, secret)
    }

    fn load(&self, account: &str) -> Result<Option<SecretBytes>, KeychainError> {
        self.0.load(account)
    }

    fn delete(&self, account: &str) -> Result<bool, KeychainError> {
        self.0.delete(account)
    }
}

/// How long the Secret Service is waited for.
#[cfg(not(any(target_os = "macos", windows)))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For an answer that needs nobody.
    pub answer: Duration,
    /// For a person who may be asked to unlock or to confirm.
    pub person: Duration,
}

#[cfg(not(any(target_os = "macos", windows)))]
impl Default for Waits {
    fn default() -> Self {
        // LIMIT: 25 s is the reply timeout of libdbus, and starting the service may be part of it; two minutes are
        // enough to find and type a password, and short enough for a forgotten job to end.
        Self {
            answer: Duration::from_secs(25),
            person: Duration::from_secs(120),
        }
    }
}
