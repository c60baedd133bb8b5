//! Bytes that are wiped, locked and never printed.
//!
//! INVARIANT: each buffer owns whole pages. Locking and unlocking work on pages, so two secrets that shared one would
//! unlock each other.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroize;

const PAGE_BYTES: usize = 4096;

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

impl zeroize::DefaultIsZeroes for Page {}

impl Default for Page {
    fn default() -> Self {
        Self([0; PAGE_BYTES])
    }
}

/// A buffer of secret bytes: wiped on drop, locked into memory where the system allows it.
///
/// `Debug` prints the type's name only, there is no `Display`, no `Clone` and no serialization; equality takes the same time wherever
/// two values of one length differ.
pub struct SecretBytes {
    // Declared before `pages`, so unlocked before they are freed.
    lock: Option<region::LockGuard>,
    pages: Vec<Page>,
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
        self.flat().get(..self.len).unwrap_or_default()
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
        self.lock.is_some()
    }

    /// Shortens the secret to its first `len` bytes and wipes the rest; does nothing if it is not longer.
    pub fn truncate(&mut self, len: usize) {
        if let Some(rest) = self.expose_mut().get_mut(len..) {
            rest.zeroize();
            self.len = len;
        }
    }

    fn zeroed(len: usize) -> Self {
        let pages = vec![Page::default(); len.div_ceil(PAGE_BYTES)];
        // The limit on locked memory is the system's; a buffer beyond it still is wiped.
        let lock = (!pages.is_empty())
            .then(|| region::lock(pages.as_ptr(), pages.len() * PAGE_BYTES).ok())
            .flatten();
        Self { lock, pages, len }
    }

    fn flat(&self) -> &[u8] {
        bytes_of(&self.pages)
    }

    fn expose_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        bytes_of_mut(&mut self.pages)
            .get_mut(..len)
            .unwrap_or_default()
    }
}

#[expect(
    unsafe_code,
    reason = "a page-aligned buffer seen as bytes; no safe cast in std"
)]
fn bytes_of(pages: &[Page]) -> &[u8] {
    // SAFETY: `Page` is `repr(C)` around `[u8; PAGE_BYTES]`, its size equals its alignment, so it has no padding and
    // `pages` spans exactly this many initialised bytes.
    unsafe { std::slice::from_raw_parts(pages.as_ptr().cast(), size_of_val(pages)) }
}

#[expect(
    unsafe_code,
    reason = "a page-aligned buffer seen as bytes; no safe cast in std"
)]
fn bytes_of_mut(pages: &mut [Page]) -> &mut [u8] {
    // SAFETY: as in `bytes_of`; the borrow is exclusive and every byte pattern is a valid `u8`.
    unsafe { std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), size_of_val(pages)) }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        // Wiped before `lock` is dropped: the pages may be swapped out from then on.
        self.pages.as_mut_slice().zeroize();
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
        assert!(secret.flat().iter().skip(2).all(|&byte| byte == 0));
    }

    #[test]
    fn a_small_secret_is_locked_in_pages_of_its_own() {
        let a = SecretBytes::copy_from(b"a");
        let b = SecretBytes::copy_from(b"b");
        assert_eq!(a.flat().as_ptr() as usize % PAGE_BYTES, 0);
        assert_ne!(a.flat().as_ptr(), b.flat().as_ptr());
        assert!(a.is_locked() && b.is_locked());
    }
}
