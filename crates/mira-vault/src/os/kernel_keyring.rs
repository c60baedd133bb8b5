//! A root key remembered by the kernel for a while, so that a vault stays unlocked between two commands.
//!
//! Linux only (keyrings(7)); elsewhere every call says [`CacheError::Unsupported`]. The key is in the *user* keyring, because that is
//! the one which all of a user's shells, cron jobs and services share; a session's keyring ends with its terminal. It is not
//! protection from programs of the same user: they may ask the kernel as Mira does. Unlocking is a convenience, and the deadline its bound.
//!
//! INVARIANT: no key is ever in the user keyring without its deadline, whenever the process dies.

use std::time::Duration;

use mira_secret::SecretBytes;

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use none as platform;

/// Why the kernel did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The system has no such keyring.
    #[error("this system has no kernel keyring to remember the unlocked vault in")]
    Unsupported,
    /// The kernel has one and does not let this process use it; containers usually do not.
    #[error(
        "this process may not use the kernel keyring (containers usually forbid it); the vault stays unlocked for one command only"
    )]
    Forbidden,
    /// The user's quota of keys is used up.
    #[error("the user's quota of kernel keys is used up; `keyctl show @u` lists them")]
    Full,
    /// The kernel answered otherwise.
    #[error("the kernel keyring failed: {reason}")]
    Failed {
        /// What the kernel said.
        reason: String,
    },
}

/// Remembers a vault's root key until `ttl` has passed, in place of the one remembered before.
///
/// The deadline is counted in whole seconds, rounded up. A `ttl` of zero remembers nothing and forgets what was there.
///
/// # Errors
///
/// Returns [`CacheError`]; the caller says that the vault is locked again after this command.
pub fn cache(vault_id: &str, key: &SecretBytes, ttl: Duration) -> Result<(), CacheError> {
    match ttl_secs(ttl) {
        0 => platform::forget(&key_name(vault_id)).map(drop),
        secs => platform::cache(&key_name(vault_id), key, secs),
    }
}

/// Returns the vault's remembered root key, or `None` where there is none or its time is over.
///
/// # Errors
///
/// Returns [`CacheError`] where the kernel could not say.
pub fn cached(vault_id: &str) -> Result<Option<SecretBytes>, CacheError> {
    platform::cached(&key_name(vault_id))
}

/// Forgets the vault's root key at once and returns whether there was one.
///
/// # Errors
///
/// Returns [`CacheError`]; the key may still be there then.
pub fn forget(vault_id: &str) -> Result<bool, CacheError> {
    platform::forget(&key_name(vault_id))
}

fn key_name(vault_id: &str) -> String {
    format!("mira:{vault_id}")
}

/// Returns the kernel's timeout for a duration: whole seconds in 32 bits, of which it would take 0 as "for ever".
fn ttl_secs(ttl: Duration) -> u32 {
    let rounded_up = ttl
        .as_secs()
        .saturating_add(u64::from(ttl.subsec_nanos() > 0));
    u32::try_from(rounded_up).unwrap_or(u32::MAX)
}

#[cfg(not(target_os = "linux"))]
mod none {
    //! Systems without such a keyring.

    use super::{CacheError, SecretBytes};

    pub(super) fn cache(_: &str, _: &SecretBytes, _: u32) -> Result<(), CacheError> {
        Err(CacheError::Unsupported)
    }

    pub(super) fn cached(_: &str) -> Result<Option<SecretBytes>, CacheError> {
        Err(CacheError::Unsupported)
    }

    pub(super) fn forget(_: &str) -> Result<bool, CacheError> {
        Err(CacheError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_never_becomes_for_ever_by_rounding() {
        assert_eq!(ttl_secs(Duration::ZERO), 0);
        assert_eq!(ttl_secs(Duration::from_nanos(1)), 1);
        assert_eq!(ttl_secs(Duration::from_secs(900)), 900);
        assert_eq!(ttl_secs(Duration::from_millis(1_001)), 2);
        assert_eq!(ttl_secs(Duration::from_secs(1 << 32)), u32::MAX);
        assert_eq!(ttl_secs(Duration::MAX), u32::MAX);
    }
}
