//! The vault's cryptography, in one place: XChaCha20-Poly1305, HKDF-SHA256, HMAC-SHA256, Argon2id and randomness.
//!
//! It knows keys and bytes, not documents: what is authenticated and in which order is decided by the callers and
//! written in `docs/formats/credentials.md`.
//!
//! INVARIANT: a key has one purpose, which is its type; no nonce is chosen but at random; plaintext exists only in
//! [`SecretBytes`].

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{AeadInOut, KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use mira_secret::SecretBytes;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::id::VaultId;

/// The length of every key, in bytes.
pub(crate) const KEY_BYTES: usize = 32;
/// The length of a nonce of XChaCha20-Poly1305, in bytes.
pub(crate) const NONCE_BYTES: usize = 24;
/// What sealing adds to the length of a text, in bytes.
pub(crate) const TAG_BYTES: usize = 16;
/// The length of a document's MAC and of a key check, in bytes.
pub(crate) const DIGEST_BYTES: usize = 32;
/// The length of a passphrase's salt, in bytes.
pub(crate) const SALT_BYTES: usize = 16;

const KEY_CHECK_LABEL: &[u8] = b"mira-credentials/1/key-check";
const MAC_KEY_LABEL: &[u8] = b"mira-credentials/1/mac-key";
const WRAPPING_KEY_LABEL: &[u8] = b"mira-credentials/1/wrapping-key";

/// The system gave no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes, so no key can be made")]
pub struct NoRandomness;

/// The bytes were not sealed under this key with this associated data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forged;

/// The machine has not the memory that the key derivation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMemory;

/// The key that everything else hangs on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RootKey(SecretBytes);

/// Authenticates whole documents.
#[derive(Debug)]
pub(crate) struct MacKey(SecretBytes);

/// Wraps the keys of scopes.
#[derive(Debug)]
pub(crate) struct WrappingKey(SecretBytes);

/// Seals the values of one scope.
#[derive(Debug)]
pub(crate) struct ScopeKey(SecretBytes);

/// A nonce, and the ciphertext with its tag at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) nonce: [u8; NONCE_BYTES],
    pub(crate) ciphertext: Vec<u8>,
}

/// What is authenticated beside a sealed text: fields, each behind its length, so that no two lists encode alike.
#[derive(Debug)]
pub(crate) struct AssociatedData(Vec<u8>);

/// What Argon2id (RFC 9106) is asked to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Argon2Cost {
    pub(crate) memory_kib: u32,
    pub(crate) iterations: u32,
    pub(crate) parallelism: u32,
}

/// Fills a buffer from the operating system's random number generator.
pub(crate) fn fill_random(buffer: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(buffer).map_err(|_| NoRandomness)
}

fn random_key() -> Result<SecretBytes, NoRandomness> {
    SecretBytes::try_fill(KEY_BYTES, fill_random)
}

impl Default for AssociatedData {
    fn default() -> Self {
        // As much as an entry with a usual label has: it does not grow while it is put together.
        Self(Vec::with_capacity(256))
    }
}

impl AssociatedData {
    /// Appends one field: its length as four bytes, big-endian, then its bytes.
    #[must_use]
    pub(crate) fn field(mut self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("every field is far below 4 GiB");
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }
}

impl RootKey {
    pub(crate) fn make_random() -> Result<Self, NoRandomness> {
        random_key().map(Self)
    }

    /// Takes over a key's bytes; `None` where their number is not that of a key.
    pub(crate) fn from_secret(bytes: SecretBytes) -> Option<Self> {
        (bytes.len() == KEY_BYTES).then_some(Self(bytes))
    }

    /// Derives the key from a passphrase with Argon2id, version 0x13 (RFC 9106).
    pub(crate) fn derive_from_passphrase(
        passphrase: &SecretBytes,
        salt: &[u8],
        cost: Argon2Cost,
    ) -> Result<Self, NoMemory> {
        let params = Params::new(
            cost.memory_kib,
            cost.iterations,
            cost.parallelism,
            Some(KEY_BYTES),
        )
        .map_err(|_| NoMemory)?;
        let mut blocks = Vec::new();
        blocks
            .try_reserve_exact(params.block_count())
            .map_err(|_| NoMemory)?;
        blocks.resize(params.block_count(), Block::new());
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let key = SecretBytes::try_fill(KEY_BYTES, |key| {
            // EXPOSE: to the key derivation.
            argon2.hash_password_into_with_memory(passphrase.expose(), salt, key, &mut blocks)
        });
        // The last column of blocks determines the key.
        blocks.iter_mut().for_each(Zeroize::zeroize);
        key.map(Self).map_err(|_| NoMemory)
    }

    /// Returns a value that tells the right root key from a wrong one and says nothing else about it.
    pub(crate) fn check(&self) -> [u8; DIGEST_BYTES] {
        let mut check = [0; DIGEST_BYTES];
        self.expand(&[], KEY_CHECK_LABEL, &mut check);
        check
    }

    /// Returns whether [`check`](Self::check) gives this value.
    pub(crate) fn passes(&self, check: &[u8; DIGEST_BYTES]) -> bool {
        self.check().ct_eq(check).into()
    }

    pub(crate) fn derive_mac_key(&self, vault: &VaultId) -> MacKey {
        MacKey(self.derive(vault, MAC_KEY_LABEL))
    }

    pub(crate) fn derive_wrapping_key(&self, vault: &VaultId) -> WrappingKey {
        WrappingKey(self.derive(vault, WRAPPING_KEY_LABEL))
    }

    /// Returns the key's bytes, for the key providers only.
    pub(crate) fn as_secret(&self) -> &SecretBytes {
        &self.0
    }

    pub(crate) fn duplicate(&self) -> Self {
        // EXPOSE: to a second buffer of the same kind.
        Self(SecretBytes::copy_from(self.0.expose()))
    }

    fn derive(&self, vault: &VaultId, label: &[u8]) -> SecretBytes {
        let made: Result<_, std::convert::Infallible> = SecretBytes::try_fill(KEY_BYTES, |key| {
            self.expand(vault.as_bytes(), label, key);
            Ok(())
        });
        match made {
            Ok(key) => key,
            Err(never) => match never {},
        }
    }

    /// HKDF-SHA256 (RFC 5869) with the root key as input key material.
    fn expand(&self, salt: &[u8], label: &[u8], output: &mut [u8]) {
        // EXPOSE: to the key derivation.
        Hkdf::<Sha256>::new(Some(salt), self.0.expose())
            .expand(label, output)
            .expect("32 bytes are fewer than the 8,160 that HKDF-SHA256 can give");
    }
}

impl MacKey {
    /// HMAC-SHA256 (RFC 2104) of a document's bytes.
    pub(crate) fn authenticate(&self, bytes: &[u8]) -> [u8; DIGEST_BYTES] {
        self.mac(bytes).finalize().into_bytes().into()
    }

    /// Returns whether the bytes have this MAC, in constant time.
    pub(crate) fn verify(&self, bytes: &[u8], mac: &[u8; DIGEST_BYTES]) -> bool {
        self.mac(bytes).verify_slice(mac).is_ok()
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        // EXPOSE: to the MAC.
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.0.expose())
            .expect("HMAC takes keys of every length");
        mac.update(bytes);
        mac
    }
}

impl WrappingKey {
    pub(crate) fn wrap(
        &self,
        key: &ScopeKey,
        beside: &AssociatedData,
    ) -> Result<Sealed, NoRandomness> {
        seal(&self.0, beside, &key.0)
    }

    pub(crate) fn unwrap(
        &self,
        wrapped: &Sealed,
        beside: &AssociatedData,
    ) -> Result<ScopeKey, Forged> {
        open(&self.0, beside, wrapped).map(ScopeKey)
    }
}

impl ScopeKey {
    pub(crate) fn make_random() -> Result<Self, NoRandomness> {
        random_key().map(Self)
    }

    pub(crate) fn seal(
        &self,
        value: &SecretBytes,
        beside: &AssociatedData,
    ) -> Result<Sealed, NoRandomness> {
        seal(&self.0, beside, value)
    }

    pub(crate) fn open(
        &self,
        sealed: &Sealed,
        beside: &AssociatedData,
    ) -> Result<SecretBytes, Forged> {
        open(&self.0, beside, sealed)
    }
}

fn cipher(key: &SecretBytes) -> XChaCha20Poly1305 {
    // EXPOSE: to the cipher, which wipes its copy.
    XChaCha20Poly1305::new_from_slice(key.expose()).expect("every key is made with KEY_BYTES bytes")
}

/// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under a random nonce.
fn seal(
    key: &SecretBytes,
    beside: &AssociatedData,
    plain: &SecretBytes,
) -> Result<Sealed, NoRandomness> {
    let mut nonce = [0; NONCE_BYTES];
    fill_random(&mut nonce)?;
    Ok(seal_with_nonce(key, nonce, beside, plain))
}

fn seal_with_nonce(
    key: &SecretBytes,
    nonce: [u8; NONCE_BYTES],
    beside: &AssociatedData,
    plain: &SecretBytes,
) -> Sealed {
    let mut ciphertext = vec![0; plain.len()];
    // EXPOSE: to the cipher, which writes the ciphertext elsewhere.
    let buffer = InOutBuf::new(plain.expose(), &mut ciphertext)
        .expect("both buffers were made of one length");
    let tag = cipher(key)
        .encrypt_inout_detached(&XNonce::from(nonce), &beside.0, buffer)
        .expect("a value is far below the cipher's limit of 256 GiB");
    ciphertext.extend_from_slice(&tag);
    Sealed { nonce, ciphertext }
}

fn open(
    key: &SecretBytes,
    beside: &AssociatedData,
    sealed: &Sealed,
) -> Result<SecretBytes, Forged> {
    let (text, tag) = sealed
        .ciphertext
        .split_last_chunk::<TAG_BYTES>()
        .ok_or(Forged)?;
    SecretBytes::try_fill(text.len(), |plain| {
        let buffer = InOutBuf::new(text, plain).map_err(|_| Forged)?;
        cipher(key)
            .decrypt_inout_detached(
                &XNonce::from(sealed.nonce),
                &beside.0,
                buffer,
                &Tag::from(*tag),
            )
            .map_err(|_| Forged)
    })
}

#[cfg(test)]
mod tests;
