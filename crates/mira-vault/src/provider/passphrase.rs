//! The root key from a passphrase, through Argon2id (RFC 9106).
//!
//! INVARIANT: the cost that a document names is within bounds before any work is done for it.

use mira_secret::SecretBytes;

use crate::crypto::{Argon2Cost, RootKey, SALT_BYTES, fill_random};
use crate::error::VaultError;

/// What a new passphrase costs: more than OWASP's Password Storage Cheat Sheet asks for (46 MiB once, or 19 MiB twice).
const COST: Argon2Cost = Argon2Cost {
    memory_kib: 64 * 1024,
    iterations: 3,
    parallelism: 1,
};

// LIMIT: below these a passphrase is guessed too cheaply, above them a foreign file could stop the machine.
const MEMORY_KIB: std::ops::RangeInclusive<u32> = 19 * 1024..=1024 * 1024;
const ITERATIONS: std::ops::RangeInclusive<u32> = 1..=16;
const PARALLELISM: std::ops::RangeInclusive<u32> = 1..=4;
/// The least memory times iterations: OWASP's smallest pair, 19 MiB and 2.
const WORK_KIB_MIN: u64 = 2 * 19 * 1024;

/// A passphrase that was typed or read.
#[derive(Debug)]
pub struct Passphrase(SecretBytes);

impl Passphrase {
    /// Takes the bytes as they are.
    #[must_use]
    pub fn new(bytes: SecretBytes) -> Self {
        Self(bytes)
    }

    /// Returns the passphrase's length, in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether nothing was typed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the bytes, for another use than a vault's.
    #[must_use]
    pub fn into_secret(self) -> SecretBytes {
        self.0
    }

    pub(crate) fn as_secret(&self) -> &SecretBytes {
        &self.0
    }
}

/// Why no passphrase could be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AskError(String);

impl AskError {
    /// Says why, in a sentence for the user.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// How a root key is derived from a passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PassphraseParameters {
    pub(crate) cost: Argon2Cost,
    pub(crate) salt: [u8; SALT_BYTES],
}

impl PassphraseParameters {
    pub(crate) fn make_random() -> Result<Self, VaultError> {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt)?;
        Ok(Self { cost: COST, salt })
    }

    /// Checks the bounds of a foreign document; returns the name of the field that is out of them.
    pub(crate) fn checked(cost: Argon2Cost, salt: [u8; SALT_BYTES]) -> Result<Self, &'static str> {
        let work = u64::from(cost.memory_kib) * u64::from(cost.iterations);
        if !MEMORY_KIB.contains(&cost.memory_kib) {
            Err("memory_kib")
        } else if !ITERATIONS.contains(&cost.iterations) || work < WORK_KIB_MIN {
            Err("iterations")
        } else if !PARALLELISM.contains(&cost.parallelism) {
            Err("parallelism")
        } else {
            Ok(Self { cost, salt })
        }
    }

    pub(crate) fn derive(&self, passphrase: &Passphrase) -> Result<RootKey, VaultError> {
        RootKey::derive_from_passphrase(passphrase.as_secret(), &self.salt, self.cost)
            .map_err(|_| VaultError::NoMemory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_bounded_both_ways() {
        let check = |memory_kib, iterations, parallelism, expect: Result<(), &str>| {
            let cost = Argon2Cost {
                memory_kib,
                iterations,
                parallelism,
            };
            let checked = PassphraseParameters::checked(cost, [0; SALT_BYTES]).map(drop);
            assert_eq!(checked, expect, "{cost:?}");
        };
        check(COST.memory_kib, COST.iterations, COST.parallelism, Ok(()));
        check(19_456, 2, 1, Ok(()));
        check(38_912, 1, 4, Ok(()));
        check(1 << 20, 16, 4, Ok(()));
        check(19_455, 4, 1, Err("memory_kib"));
        check((1 << 20) + 1, 1, 1, Err("memory_kib"));
        check(19_456, 1, 1, Err("iterations"));
        check(65_536, 0, 1, Err("iterations"));
        check(65_536, 17, 1, Err("iterations"));
        check(65_536, 3, 0, Err("parallelism"));
        check(65_536, 3, 5, Err("parallelism"));
    }
}
