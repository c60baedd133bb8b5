//! Sealed secrets: the file `secrets.encrypted` of a package, an age file that `age -d` opens too.
//!
//! What it holds is text of `NAME="value"` lines, as dotenv files are. Guesses at its password are limited by
//! [`crate::guess`], which the caller asks before [`Sealed::open`].
//!
//! INVARIANT: plaintext is in locked memory only, and in the buffers of the age stream, which wipes them.

mod dotenv;

use std::io::{Read as _, Write as _};

use mira_age::{AgeError, Key, Recipients};
use mira_secret::{SecretBytes, SecretName, SecretValue};

use crate::digest::Digest;

pub use dotenv::{DotenvError, Fault, parse};

/// Where the sealed secrets are in a package.
pub const SECRETS_PATH: &str = "secrets.encrypted";

/// The most secrets in one file.
// LIMIT: each takes a page of locked memory at least, of which a user often has 8 MiB.
pub const SECRETS_MAX: usize = 256;

/// Sealed secrets: an age file, not opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

/// Why secrets are not sealed, or not opened. No variant holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The bytes are no age file.
    #[error("it is no age file")]
    NotAge,
    /// The file is longer than any that Mira makes.
    #[error("it has {bytes} bytes, and at most {} are accepted", Sealed::BYTES_MAX)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// There is nothing to seal.
    #[error("there is no secret to seal")]
    Empty,
    /// There are more secrets than the limit.
    #[error("there are more than {SECRETS_MAX} secrets")]
    TooMany,
    /// A name is given twice.
    #[error("{name} is given twice")]
    Twice {
        /// The name.
        name: SecretName,
    },
    /// A value is not text, which dotenv files are.
    #[error("the value of {name} is not UTF-8 text; encode it, for example as base64")]
    NotText {
        /// Whose value it is.
        name: SecretName,
    },
    /// The file cannot be sealed or opened.
    #[error(transparent)]
    Age(#[from] AgeError),
    /// The file opens, but holds something else.
    #[error("it opens, but what it holds is not understood: {0}")]
    Content(#[from] DotenvError),
}

impl Sealed {
    /// The longest file, in bytes.
    // LIMIT: all of it is in locked memory while it is parsed.
    pub const BYTES_MAX: u64 = 1024 * 1024;

    /// Takes a file's bytes.
    ///
    /// # Errors
    ///
    /// The file is too long, or does not begin as an age file does.
    pub fn new(bytes: Vec<u8>) -> Result<Self, SealedError> {
        if bytes.len() as u64 > Self::BYTES_MAX {
            return Err(SealedError::TooLong { bytes: bytes.len() });
        }
        match mira_age::is_age(&bytes) {
            true => Ok(Self(bytes)),
            false => Err(SealedError::NotAge),
        }
    }

    /// Returns the file's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the digest of the file: whose password is guessed at.
    #[must_use]
    pub fn blob(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Returns whether a password opens it, rather than somebody's key.
    ///
    /// # Errors
    ///
    /// The file is damaged.
    pub fn asks_for_passphrase(&self) -> Result<bool, SealedError> {
        Ok(mira_age::asks_for_passphrase(&self.0[..])?)
    }

    /// Opens the file; its secrets come in the order in which they stand there.
    ///
    /// # Errors
    ///
    /// The key is the wrong one, the file is damaged or asks for absurd work, or does not hold secrets.
    pub fn open(&self, key: &Key) -> Result<Vec<(SecretName, SecretValue)>, SealedError> {
        let mut reader = mira_age::open(&self.0[..], key)?;
        // What comes out is shorter than what went in.
        let mut len = 0;
        let mut plain = SecretBytes::try_fill(self.0.len(), |buffer| {
            while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
                match reader.read(rest).map_err(|_| AgeError::Damaged)? {
                    0 => break,
                    read => len += read,
                }
            }
            Ok::<_, AgeError>(())
        })?;
        plain.truncate(len);
        Ok(parse(&plain)?)
    }
}

/// Seals secrets, in the order in which they are given.
///
/// # Errors
///
/// A value is not text, a name is given twice, there are too many, or nobody can be encrypted to.
pub fn seal(secrets: &[(SecretName, SecretValue)], to: &Recipients) -> Result<Sealed, SealedError> {
    if secrets.is_empty() {
        return Err(SealedError::Empty);
    }
    if secrets.len() > SECRETS_MAX {
        return Err(SealedError::TooMany);
    }
    let mut file = Vec::new();
    let mut writer = mira_age::seal(&mut file, to)?;
    for (at, (name, value)) in secrets.iter().enumerate() {
        if secrets.iter().take(at).any(|(other, _)| other == name) {
            return Err(SealedError::Twice { name: name.clone() });
        }
        // EXPOSE: to the age stream, which encrypts it.
        let text = std::str::from_utf8(value.expose())
            .map_err(|_| SealedError::NotText { name: name.clone() })?;
        dotenv::write(&mut writer, name, text).map_err(AgeError::Io)?;
    }
    writer
        .flush()
        .and_then(|()| writer.finish())
        .map_err(AgeError::Io)?;
    Sealed::new(file)
}
