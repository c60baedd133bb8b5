//! The value of a secret, checked once where it enters.

use std::fmt;

use crate::{SecretBytes, SecretName};

/// The longest environment entry, in bytes: `NAME=value` and its closing NUL.
// LIMIT: MAX_ARG_STRLEN of Linux, 32 pages (execve(2)); a longer entry makes every exec fail with E2BIG.
pub const ENTRY_BYTES_MAX: usize = 128 * 1024;

/// A value that an environment variable can carry: not empty, no NUL, short enough. It need not be UTF-8.
#[derive(PartialEq, Eq)]
pub struct SecretValue(SecretBytes);

/// Why bytes cannot be a secret's value. No variant holds any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// There are no bytes.
    #[error("the value is empty")]
    Empty,
    /// A NUL byte ends an environment variable, so none can carry it.
    #[error(
        "the value holds a NUL byte, which no environment variable can carry; encode it, for example as base64"
    )]
    Nul,
    /// The entry would exceed [`ENTRY_BYTES_MAX`].
    #[error("the value has {len} bytes; with its name at most {max} fit an environment variable")]
    TooLong {
        /// The value's length, in bytes.
        len: usize,
        /// The longest value that this name leaves room for, in bytes.
        max: usize,
    },
}

impl SecretValue {
    /// Checks that `NAME=value` fits an environment variable.
    ///
    /// # Errors
    ///
    /// Returns which rule the bytes break; they are wiped then.
    pub fn new(name: &SecretName, bytes: SecretBytes) -> Result<Self, ValueError> {
        let max = ENTRY_BYTES_MAX - name.as_str().len() - "=\0".len();
        // EXPOSE: to the check for NUL, which tells only whether there is one.
        if bytes.is_empty() {
            Err(ValueError::Empty)
        } else if bytes.len() > max {
            Err(ValueError::TooLong {
                len: bytes.len(),
                max,
            })
        } else if bytes.expose().contains(&0) {
            Err(ValueError::Nul)
        } else {
            Ok(Self(bytes))
        }
    }

    /// Returns the value's bytes. Every call says, in an `// EXPOSE:` line, to whom and why.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        // EXPOSE: passed on; the caller answers for it.
        self.0.expose()
    }

    /// Returns the value's length, in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a value is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether the value is UTF-8 text.
    #[must_use]
    pub fn is_text(&self) -> bool {
        // EXPOSE: to the check of the encoding, which tells only yes or no.
        std::str::from_utf8(self.expose()).is_ok()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_an_environment_variable() {
        let name: SecretName = "KEY".parse().unwrap();
        let check = |bytes: &[u8], expect: Result<(), ValueError>| {
            let made = SecretValue::new(&name, SecretBytes::copy_from(bytes));
            assert_eq!(made.map(|_| ()), expect);
        };
        let max = ENTRY_BYTES_MAX - "KEY=\0".len();
        check(b"x", Ok(()));
        check(b"\xff\xfe", Ok(()));
        check(b"", Err(ValueError::Empty));
        check(b"a\0b", Err(ValueError::Nul));
        check(&vec![b'x'; max], Ok(()));
        check(
            &vec![b'x'; max + 1],
            Err(ValueError::TooLong { len: max + 1, max }),
        );
    }
}
