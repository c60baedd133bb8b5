//! Passwords, and what is believed of a key file before any work is done for it.

use std::path::Path;

use mira_secret::SecretBytes;
use rustic_core::repofile::KeyFile;
use rustic_core::{Credentials, FileType, ReadBackend as _, RusticError};
use zeroize::Zeroize as _;

use crate::backend::Backend;
use crate::error::SnapshotError;
use crate::marks::hex;

/// How many random bytes a password is made of.
const PASSWORD_BYTES: usize = 32;

/// The largest cost of scrypt that is worked for.
// LIMIT: 128 * N * r bytes of memory; restic and rustic take 128 MiB at most, a file that asks for over 1 GiB is an attack.
const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// The most rounds.
// LIMIT: restic takes what half a second allows, some ten at most.
const ROUNDS_MAX: u32 = 64;

/// Makes a password of 256 random bits, as 64 hexadecimal digits.
pub(crate) fn make_password() -> Result<SecretBytes, SnapshotError> {
    let mut random = [0; PASSWORD_BYTES];
    getrandom::fill(&mut random).map_err(SnapshotError::Random)?;
    let password = SecretBytes::from_vec(hex(&random).into_bytes());
    random.zeroize();
    Ok(password)
}

/// A password in the form that the library takes, wiped when dropped.
///
/// The library keeps no copy of it, but copies of the keys that it opens; those it does not wipe.
pub(crate) struct Unlocked(Credentials);

impl Unlocked {
    /// Copies a password.
    pub(crate) fn new(password: &SecretBytes) -> Result<Self, SnapshotError> {
        // EXPOSE: to the library, which derives a key from it.
        let text = std::str::from_utf8(password.expose()).map_err(|_| SnapshotError::Password)?;
        if text.is_empty() {
            return Err(SnapshotError::Password);
        }
        Ok(Self(Credentials::Password(text.to_owned())))
    }

    /// Returns it for the library.
    pub(crate) fn credentials(&self) -> &Credentials {
        &self.0
    }
}

impl Drop for Unlocked {
    fn drop(&mut self) {
        if let Credentials::Password(text) = &mut self.0 {
            text.zeroize();
        }
    }
}

/// Refuses key files that are none, or would cost more than any program asks for.
pub(crate) fn check(folder: &Path, backend: &Backend) -> Result<(), SnapshotError> {
    let failed = |error: Box<RusticError>| SnapshotError::library(folder, &error);
    let damaged = |what: String| SnapshotError::Damaged {
        folder: folder.to_owned(),
        what,
    };
    let ids = backend.list(FileType::Key).map_err(failed)?;
    if ids.is_empty() {
        return Err(damaged("it has no key file".into()));
    }
    for id in ids {
        let bytes = backend.read_full(FileType::Key, &id).map_err(failed)?;
        let hex = id.to_hex();
        let name = hex.as_str().get(..8).unwrap_or_default();
        let key: KeyFile = serde_json::from_slice(&bytes)
            .map_err(|_| damaged(format!("key file {name} cannot be read")))?;
        let memory = u64::from(key.n).saturating_mul(u64::from(key.r)) * 128;
        let sane = key.kdf == "scrypt"
            && key.n.is_power_of_two()
            && key.n > 1
            && (1..=ROUNDS_MAX).contains(&key.p)
            && (1..=MEMORY_BYTES_MAX).contains(&memory);
        if !sane {
            return Err(damaged(format!("key file {name} asks for absurd costs")));
        }
    }
    Ok(())
}
