//! Passwords, and what is believed of a key file before any work is done for it.

use std::io;
use std::path::Path;

use aes256ctr_poly1305aes::aead::Aead as _;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use mira_secret::SecretBytes;
use rustic_core::repofile::{KeyFile, MasterKey};
use rustic_core::{Credentials, FileType, Id, ReadBackend as _, RusticError};
use scrypt::{Params, scrypt};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

use crate::backend::Backend;
use crate::error::SnapshotError;
use crate::marks::hex;

/// How many random bytes a password is made of.
const PASSWORD_BYTES: usize = 32;

/// scrypt's cost for a password of the form that we make: 256 random bits need no costly derivation.
const LOG_N_RANDOM: u8 = 10;
/// Its cost for any other: that of restic's and rustic's own, 128 MiB.
const LOG_N: u8 = 17;
const BLOCK: u32 = 8;
const PARALLEL: u32 = 1;
const SALT_BYTES: usize = 64;

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

/// Returns a key file for a new repository, and its name: the master key, sealed under a password.
///
/// The format is <https://restic.readthedocs.io/en/stable/100_references.html#keys-encryption-and-mac>.
pub(crate) fn key_file(
    password: &SecretBytes,
    key: &MasterKey,
) -> Result<(Id, Vec<u8>), SnapshotError> {
    let mut salt = [0; SALT_BYTES];
    let mut nonce = Nonce::default();
    getrandom::fill(&mut salt).map_err(SnapshotError::Random)?;
    getrandom::fill(&mut nonce).map_err(SnapshotError::Random)?;
    let log_n = if is_made(password) {
        LOG_N_RANDOM
    } else {
        LOG_N
    };
    let params = Params::new(log_n, BLOCK, PARALLEL).expect("the costs are constants, and allowed");

    let mut sealing = Key::default();
    // EXPOSE: to the derivation of the key that seals the master key.
    scrypt(password.expose(), &salt, &params, &mut sealing).expect("64 bytes can be derived");
    let mut plain = serde_json::to_vec(key).map_err(sealing_failed)?;
    let sealed = Aes256CtrPoly1305Aes::new(&sealing)
        .encrypt(&nonce, plain.as_slice())
        .map_err(|_| sealing_failed(io::ErrorKind::InvalidData));
    plain.zeroize();
    sealing.as_mut_slice().zeroize();

    let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
    let file = serde_json::json!({
        "kdf": "scrypt",
        "N": 1_u32 << log_n,
        "r": BLOCK,
        "p": PARALLEL,
        "data": base64(&[&nonce, sealed?.as_slice()].concat()),
        "salt": base64(&salt),
    });
    let content = file.to_string().into_bytes();
    let name = hex(&Sha256::digest(&content))
        .parse::<Id>()
        .expect("a digest is an id");
    Ok((name, content))
}

/// Returns whether a password has the form of those that `make_password` makes.
fn is_made(password: &SecretBytes) -> bool {
    // EXPOSE: to the check of its form, which tells only yes or no.
    let text = password.expose();
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 2 * PASSWORD_BYTES && text.iter().all(is_digit)
}

fn sealing_failed(error: impl Into<io::Error>) -> SnapshotError {
    SnapshotError::Io {
        doing: "write",
        path: "the repository's key file".into(),
        source: error.into(),
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
