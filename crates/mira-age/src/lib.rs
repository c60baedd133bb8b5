//! age files (age-encryption.org/v1): sealed under a passphrase or for keys, and opened again.
//!
//! A thin layer over the `age` crate, for everything of Mira's that `age -d` opens too. It knows streams only: no files,
//! and not what is in them.
//!
//! INVARIANT: the work factor of a foreign file is bounded before any work is done for it.
//!
//! ```
//! use mira_age::{Key, Recipients};
//! use mira_secret::SecretBytes;
//! use std::io::{Read as _, Write as _};
//!
//! let word = || SecretBytes::copy_from(b"open sesame");
//! // LIMIT: cheap, because this is an example; `Recipients::passphrase` is for everything else.
//! let recipients = Recipients::dangerous_passphrase(word(), 2);
//! let mut file = Vec::new();
//! let mut writer = mira_age::seal(&mut file, &recipients)?;
//! writer.write_all(b"forty thieves")?;
//! writer.finish()?;
//!
//! let mut text = String::new();
//! mira_age::open(&file[..], &Key::Passphrase(word()))?.read_to_string(&mut text)?;
//! assert_eq!(text, "forty thieves");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod key;

use std::io::{self, BufRead, BufReader, Read, Write};

use age::armor::ArmoredReader;
use age::stream::{StreamReader, StreamWriter};
use age::{DecryptError, Decryptor, Encryptor};

pub use key::{Key, Recipients};

/// What every binary age file begins with.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// What every armored age file begins with.
const ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";

/// The work factor of what Mira seals under a passphrase, as a power of two.
// LIMIT: 2^18 takes 256 MiB and about a second, as `age -p` takes; measured on the machine, a slow one would get less.
pub const WORK_FACTOR: u8 = 18;

/// The largest scrypt work factor that is accepted, as a power of two.
// LIMIT: 2^20 takes 1 GiB and some seconds.
pub const WORK_FACTOR_MAX: u8 = 20;

/// Why an age file was not sealed or opened. No variant holds a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgeError {
    /// The passphrase is not text, which age asks for.
    #[error("a passphrase of an age file is UTF-8 text")]
    PassphraseNotText,
    /// There is nobody to encrypt to.
    #[error("name at least one recipient")]
    NoRecipient,
    /// A text is no recipient.
    #[error("{text:?} is no recipient: give an age1… or an ssh-ed25519 or ssh-rsa public key")]
    Recipient {
        /// The text, which is public.
        text: String,
    },
    /// The identity file holds none that age can use.
    #[error("the identity file holds no age identity and no unencrypted SSH private key")]
    Identity,
    /// None of the keys opens the file.
    #[error("it is encrypted to somebody else, or that is not its passphrase")]
    WrongKey,
    /// The file asks for an absurd amount of work.
    #[error("it asks for more work (scrypt 2^{asked}) than Mira accepts (2^{WORK_FACTOR_MAX})")]
    ExcessiveWork {
        /// The asked work factor, as a power of two.
        asked: u8,
    },
    /// The file is not a whole age file.
    #[error("it is damaged, or is no age file")]
    Damaged,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Returns whether bytes begin as an age file does.
#[must_use]
pub fn is_age(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || bytes.trim_ascii_start().starts_with(ARMOR)
}

/// Returns a writer that encrypts what it is given to `output`; the file is whole once its `finish` has returned.
///
/// # Errors
///
/// The passphrase is not text, a recipient cannot be encrypted to, or the output cannot be written.
pub fn seal<W: Write>(output: W, to: &Recipients) -> Result<StreamWriter<W>, AgeError> {
    let encryptor = match to {
        Recipients::Passphrase {
            passphrase,
            work_factor,
        } => {
            let mut recipient = age::scrypt::Recipient::new(key::text(passphrase)?);
            recipient.set_work_factor(*work_factor);
            Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        }
        Recipients::Keys(keys) => {
            Encryptor::with_recipients(keys.iter().map(|key| &**key as &dyn age::Recipient))
        }
    }
    .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(encryptor.wrap_output(output)?)
}

/// Returns a reader of what an age file holds, binary or armored. What it returns is authenticated; that the file is
/// whole is known only at its end.
///
/// # Errors
///
/// The key is the wrong one, or the file is damaged or asks for absurd work.
pub fn open<R: Read>(
    file: R,
    key: &Key,
) -> Result<StreamReader<ArmoredReader<BufReader<R>>>, AgeError> {
    decrypt(
        Decryptor::new_buffered(ArmoredReader::new(file)).map_err(refused)?,
        key,
    )
}

/// Returns a reader as [`open`] does, of binary files only: it can seek where `file` can.
///
/// Seeking beyond the end and reading there is not allowed.
///
/// # Errors
///
/// As [`open`].
pub fn open_binary<R: BufRead>(file: R, key: &Key) -> Result<StreamReader<R>, AgeError> {
    decrypt(Decryptor::new_buffered(file).map_err(refused)?, key)
}

/// Returns whether a file is under a passphrase, rather than for keys.
///
/// # Errors
///
/// The file does not begin as an age file does.
pub fn asks_for_passphrase<R: Read>(file: R) -> Result<bool, AgeError> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(file)).map_err(refused)?;
    Ok(decryptor.is_scrypt())
}

fn decrypt<R: Read>(decryptor: Decryptor<R>, key: &Key) -> Result<StreamReader<R>, AgeError> {
    match key {
        Key::Passphrase(passphrase) => {
            let mut identity = age::scrypt::Identity::new(key::text(passphrase)?);
            identity.set_max_work_factor(WORK_FACTOR_MAX);
            decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
        }
        Key::Identities(text) => {
            let identities = key::identities(text)?;
            let identities = identities
                .iter()
                .map(|identity| &**identity as &dyn age::Identity);
            decryptor.decrypt(identities)
        }
    }
    .map_err(refused)
}

fn refused(error: DecryptError) -> AgeError {
    match error {
        DecryptError::ExcessiveWork { required, .. } => AgeError::ExcessiveWork { asked: required },
        DecryptError::DecryptionFailed
        | DecryptError::KeyDecryptionFailed
        | DecryptError::NoMatchingKeys => AgeError::WrongKey,
        DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            AgeError::Io(error)
        }
        _ => AgeError::Damaged,
    }
}

#[cfg(test)]
mod tests;
