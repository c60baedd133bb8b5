//! Bytes that are wiped, locked and never printed.
//!
//! What they mean and who may see them is decided here; where they lie, in `room`.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::room::Room;

/// A buffer of secret bytes: wiped on drop, locked into memory where the system allows it.
///
/// `Debug` prints the type's name only, there is no `Display`, no `Clone` and no serialization; equality takes the same time wherever
/// two values of one length differ.
pub struct SecretBytes {
    room: Room,
    len: usize,
}

impl SecretBytes {
    /// Makes a buffer of `len` zero bytes and lets `fill` write the secret in place.
    ///
    /// # Errors
    ///
    /// Returns the error of `fill`; the buffer is wiped then.
    pub fn try_fill<E>(
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut secret = Self::zeroed(len);
        fill(secret.expose_mut())?;
        Ok(secret)
    }

    /// Moves a vector's bytes into a secret and wipes the vector, spare capacity included.
    #[must_use]
    pub fn from_vec(mut source: Vec<u8>) -> Self {
        let mut secret = Self::zeroed(source.len());
        secret.expose_mut().copy_from_slice(&source);
        source.zeroize();
        secret
    }

    /// Copies bytes into a secret; the caller wipes its own copy.
    #[must_use]
    pub fn copy_from(source: &[u8]) -> Self {
        let mut secret = Self::zeroed(source.len());
        secret.expose_mut().copy_from_slice(source);
        secret
    }

    /// Returns the secret bytes. Every call says, in an `// EXPOSE:` line, to whom and why.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.room.bytes().get(..self.len).unwrap_or_default()
    }

    /// Returns the number of secret bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether the system keeps this buffer out of swap.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.room.is_locked()
    }

    /// Shortens the secret to its first `len` bytes and wipes the rest; does nothing if it is not longer.
    pub fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.expose_mut().get_mut(len..) {
            rest.zeroize();
            self.len = len;
        }
    }

    fn zeroed(len: usize) -> Self {
        let room = Room::new(len);
        Self { room, len }
    }

    fn expose_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        self.room.bytes_mut().get_mut(..len).unwrap_or_default()
    }
}

impl PartialEq for SecretBytes {
    fn eq(&self, other: &Self) -> bool {
        // EXPOSE: to the constant-time comparison.
        self.expose().ct_eq(other.expose()).into()
    }
}

impl Eq for SecretBytes {}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_was_given_and_prints_none_of_it() {
        for len in [0, 1, 4095, 4096, 4097, 100_000] {
            let plain: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let secret = SecretBytes::from_vec(plain.clone());
            assert_eq!(secret.expose(), plain);
            assert_eq!(secret.len(), len);
            assert_eq!(format!("{secret:?} {secret:#?}"), "SecretBytes SecretBytes");
        }
    }

    #[test]
    fn equality_is_of_bytes() {
        let a = SecretBytes::copy_from(b"one");
        assert_eq!(a, SecretBytes::copy_from(b"one"));
        assert_ne!(a, SecretBytes::copy_from(b"onf"));
        assert_ne!(a, SecretBytes::copy_from(b"ones"));
    }

    #[test]
    fn a_failed_fill_returns_the_error() {
        let made = SecretBytes::try_fill(8, |buffer| {
            buffer.fill(7);
            Err("no entropy")
        });
        assert_eq!(made.err(), Some("no entropy"));
    }

    #[test]
    fn truncate_wipes_the_rest() {
        let mut secret = SecretBytes::copy_from(b"abcdef");
        secret.truncate(9);
        assert_eq!(secret.expose(), b"abcdef");
        secret.truncate(2);
        assert_eq!(secret.expose(), b"ab");
        assert!(secret.room.bytes().iter().skip(2).all(|&byte| byte == 0));
    }

    #[test]
    fn secrets_are_locked() {
        for len in [1, 1024, 1025, 100_000] {
            assert!(SecretBytes::from_vec(vec![7; len]).is_locked(), "{len}");
        }
    }
}
