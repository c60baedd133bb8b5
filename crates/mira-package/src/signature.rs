//! Signatures of packages, in minisign's format: `minisign -Vm app.mira -p key.pub` checks one too.
//!
//! The signature of `app.mira` is the file `app.mira.minisig` beside it, over all bytes of the package file. What a valid one means
//! is said by `trust`.
//!
//! INVARIANT: a password is never asked for here, and no error repeats one.

use std::fmt;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use data_encoding::BASE64;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox, SignatureBox};
use mira_secret::SecretBytes;

/// What the name of a package gets for the name of its signature.
pub const SIGNATURE_SUFFIX: &str = ".minisig";
/// The longest signature file and the longest key file, in bytes.
// LIMIT: minisign's comments have at most 8 KiB.
pub const SIGNATURE_BYTES_MAX: u64 = 32 * 1024;

const PUBLIC_KEY_BYTES: usize = 42;
const SECRET_KEY_BYTES: usize = 158;
const CHECKSUM_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 74;
const GLOBAL_SIGNATURE_BYTES: usize = 64;

/// A publisher's public key, written as minisign writes it: `RW…`.
#[derive(Clone)]
pub struct PublisherKey(PublicKey);

/// What was found of a package's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// There is none.
    Missing,
    /// It is by one of the keys that were given, and holds.
    Valid {
        /// That key.
        key: PublisherKey,
    },
    /// It is by a key that was not given, so nothing is known of it.
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// It is by one of the keys that were given and does not hold, or is no signature.
    Invalid,
}

/// A new key pair, as two files.
#[derive(Debug)]
pub struct NewKey {
    /// The publisher's key.
    pub key: PublisherKey,
    /// The file of the public key.
    pub public_file: String,
    /// The file of the secret key.
    pub secret_file: SecretBytes,
}

/// Why nothing is signed, or a key is not one. No variant holds a password or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A text is no public key.
    #[error(
        "that is no minisign public key: give the line that begins with RW, or the file that has it"
    )]
    PublicKey,
    /// A file is no secret key.
    #[error("the file is no minisign secret key")]
    SecretKey,
    /// The secret key is protected, and no password was given.
    #[error("the secret key is protected by a password, and none was given")]
    PasswordNeeded,
    /// The password is not the key's.
    #[error("the password is not that of the secret key, or the file is damaged")]
    WrongPassword,
    /// The password is not text.
    #[error("the password of a secret key is UTF-8 text")]
    PasswordNotText,
    /// A comment has a line break.
    #[error("a comment is one line of at most 512 bytes")]
    Comment,
    /// Reading the package or making the key failed.
    #[error("cannot sign: {0}")]
    Failed(String),
}

impl PublisherKey {
    /// Returns the key's id, by which a signature names it.
    #[must_use]
    pub fn id(&self) -> String {
        id(self.0.keynum())
    }

    /// Returns a key whose secret nobody has: for tests of rules.
    #[cfg(test)]
    pub(crate) fn dangerous_random() -> Self {
        Self(
            KeyPair::generate_unencrypted_keypair()
                .expect("the system has randomness")
                .pk,
        )
    }
}

impl FromStr for PublisherKey {
    type Err = SignatureError;

    /// Reads the key itself, or the file that `minisign -G` makes.
    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let line = match (lines.next(), lines.next(), lines.next()) {
            (Some(key), None, _) => key,
            (Some(comment), Some(key), None) if comment.starts_with("untrusted comment:") => key,
            _ => return Err(SignatureError::PublicKey),
        };
        let bytes = BASE64
            .decode(line.as_bytes())
            .map_err(|_| SignatureError::PublicKey)?;
        if bytes.len() != PUBLIC_KEY_BYTES || !bytes.starts_with(b"Ed") {
            return Err(SignatureError::PublicKey);
        }
        PublicKey::from_bytes(&bytes)
            .map(Self)
            .map_err(|_| SignatureError::PublicKey)
    }
}

impl fmt::Display for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_base64())
    }
}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for PublisherKey {
    fn eq(&self, other: &Self) -> bool {
        // The library compares without the key's id, which is part of what people compare.
        self.0.to_bytes() == other.0.to_bytes()
    }
}

impl Eq for PublisherKey {}

/// Returns where the signature of a package is.
#[must_use]
pub fn signature_path(package: &Path) -> PathBuf {
    let mut name = package.as_os_str().to_owned();
    name.push(SIGNATURE_SUFFIX);
    name.into()
}

/// Makes a key pair; the secret key is protected by the password, or by nothing.
///
/// # Errors
///
/// The password is not text, or the system has no randomness.
pub fn keygen(password: Option<&SecretBytes>) -> Result<NewKey, SignatureError> {
    let pair = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(text(password)?)),
        None => KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(failed)?;
    let id = id(pair.pk.keynum());
    let kind = if password.is_some() {
        "encrypted"
    } else {
        "unencrypted"
    };
    let secret = pair
        .sk
        .to_box(Some(&format!("minisign {kind} secret key {id}")))
        .map_err(failed)?;
    let public = pair.pk.to_box().map_err(failed)?;
    Ok(NewKey {
        key: PublisherKey(pair.pk),
        public_file: public.into_string(),
        secret_file: SecretBytes::from_vec(secret.into_string().into_bytes()),
    })
}

/// A secret key that can sign.
pub struct SigningKey(SecretKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Returns whether a file of a secret key asks for a password.
    ///
    /// # Errors
    ///
    /// The file is no secret key.
    pub fn is_protected(file: &SecretBytes) -> Result<bool, SignatureError> {
        // EXPOSE: to the comparison of the public head.
        match decoded(file)?.expose() {
            [b'E', b'd', 0, 0, b'B', b'2', ..] => Ok(false),
            [b'E', b'd', b'S', b'c', b'B', b'2', ..] => Ok(true),
            _ => Err(SignatureError::SecretKey),
        }
    }

    /// Reads a secret key's file, with its password if it has one.
    ///
    /// # Errors
    ///
    /// The file is no secret key, or the password is missing or wrong.
    pub fn read(
        file: &SecretBytes,
        password: Option<&SecretBytes>,
    ) -> Result<Self, SignatureError> {
        if !Self::is_protected(file)? {
            return Self::read_unprotected(file);
        }
        let password = password.ok_or(SignatureError::PasswordNeeded)?;
        let boxed = SecretKeyBox::from(text(file).map_err(|_| SignatureError::SecretKey)?);
        let key = boxed.into_secret_key(Some(text(password)?));
        key.map(Self).map_err(|_| SignatureError::WrongPassword)
    }

    fn read_unprotected(file: &SecretBytes) -> Result<Self, SignatureError> {
        let bytes = decoded(file)?;
        // EXPOSE: to the library, which makes a key of it.
        let (_, checksum) = bytes.expose().split_at(SECRET_KEY_BYTES - CHECKSUM_BYTES);
        let key = if checksum.iter().all(|byte| *byte == 0) {
            // minisign 0.11 leaves the checksum out; a damaged key shows when it signs.
            // EXPOSE: as above.
            SecretKey::from_bytes(bytes.expose())
        } else {
            let boxed = SecretKeyBox::from(text(file).map_err(|_| SignatureError::SecretKey)?);
            boxed.into_unencrypted_secret_key()
        };
        key.map(Self).map_err(|_| SignatureError::SecretKey)
    }

    /// Returns the public key.
    ///
    /// # Errors
    ///
    /// The file was no whole secret key.
    pub fn key(&self) -> Result<PublisherKey, SignatureError> {
        PublicKey::from_secret_key(&self.0)
            .map(PublisherKey)
            .map_err(|_| SignatureError::SecretKey)
    }

    /// Signs a package file; `comment` is signed as well, and `minisign` shows it. Returns the signature's file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or the comment is not one line.
    pub fn sign(&self, package: impl Read, comment: &str) -> Result<String, SignatureError> {
        if comment.len() > 512 || comment.chars().any(char::is_control) {
            return Err(SignatureError::Comment);
        }
        let key = self.key()?;
        let untrusted = format!("signature from minisign secret key {}", key.id());
        let signed = minisign::sign(
            Some(&key.0),
            &self.0,
            package,
            Some(comment),
            Some(&untrusted),
        );
        signed.map(SignatureBox::into_string).map_err(failed)
    }
}

/// Returns the bytes of a secret key's file; they may be encrypted.
fn decoded(file: &SecretBytes) -> Result<SecretBytes, SignatureError> {
    // EXPOSE: to the decoder; the result is wiped.
    let text = std::str::from_utf8(file.expose()).map_err(|_| SignatureError::SecretKey)?;
    let line = text.lines().nth(1).unwrap_or_default().trim_end();
    let bytes = BASE64.decode(line.as_bytes()).map(SecretBytes::from_vec);
    bytes
        .ok()
        .filter(|bytes| bytes.len() == SECRET_KEY_BYTES)
        .ok_or(SignatureError::SecretKey)
}

/// Checks a package file against its signature's file, if there is one, by the key among `keys` that it names.
///
/// # Errors
///
/// The package cannot be read.
pub fn check(
    mut package: impl Read + Seek,
    signature: Option<&[u8]>,
    keys: &[&PublisherKey],
) -> Result<Signature, SignatureError> {
    let Some(signature) = signature else {
        return Ok(Signature::Missing);
    };
    let Some(signature) = parse(signature) else {
        return Ok(Signature::Invalid);
    };
    let mut named = keys
        .iter()
        .filter(|key| key.0.keynum() == signature.keynum())
        .peekable();
    if named.peek().is_none() {
        return Ok(Signature::UnknownKey {
            id: id(signature.keynum()),
        });
    }
    for key in named {
        package
            .rewind()
            .map_err(|error| SignatureError::Failed(error.to_string()))?;
        if minisign::verify(&key.0, &signature, &mut package, true, false, false).is_ok() {
            return Ok(Signature::Valid {
                key: (*key).clone(),
            });
        }
    }
    Ok(Signature::Invalid)
}

/// Parses a signature's file; the library takes lengths on trust.
fn parse(bytes: &[u8]) -> Option<SignatureBox> {
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| text.len() as u64 <= SIGNATURE_BYTES_MAX)?;
    let lines: Vec<&str> = text.lines().collect();
    let [_, signature, _, global] = lines.as_slice() else {
        return None;
    };
    let len = |line: &str| {
        BASE64
            .decode(line.trim().as_bytes())
            .ok()
            .map(|bytes| bytes.len())
    };
    let lens = (len(signature)?, len(global)?);
    // Only signatures over the hash of a file: the others are of minisign before 0.6, and made by nobody here.
    SignatureBox::from_string(text)
        .ok()
        .filter(|found| lens == (SIGNATURE_BYTES, GLOBAL_SIGNATURE_BYTES) && found.is_prehashed())
}

fn id(number: &[u8]) -> String {
    number
        .iter()
        .rev()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

fn text(secret: &SecretBytes) -> Result<String, SignatureError> {
    // EXPOSE: to the library, which takes a string.
    let text = std::str::from_utf8(secret.expose()).map_err(|_| SignatureError::PasswordNotText)?;
    Ok(text.to_owned())
}

fn failed(error: minisign::PError) -> SignatureError {
    SignatureError::Failed(error.to_string())
}
