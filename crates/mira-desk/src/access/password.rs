//! Passwords of users: hashed by Argon2id, checked in bounded time, whoever they are of.

use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use jiff::Timestamp;
use mira_secret::SecretBytes;
use mira_store::{PasswordHash, Shared, SharedError, UserName};

/// The first admin's name.
const ADMIN: &str = "admin";

/// The shortest password, in characters.
// LIMIT: NIST SP 800-63B-4 asks for 15 where it is the only factor, and 8 at least; guesses are slowed down here.
const CHARS_MIN: usize = 12;

/// The longest password, in bytes.
// LIMIT: far beyond what anybody types; hashing costs the same for every length, reading does not.
const BYTES_MAX: usize = 1024;

/// Memory in KiB, passes and lanes: the OWASP Password Storage Cheat Sheet's first choice for Argon2id.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);

/// Why a password is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It is too short.
    #[error("a password has at least {CHARS_MIN} characters")]
    TooShort,
    /// It is too long.
    #[error("a password has at most {BYTES_MAX} bytes")]
    TooLong,
    /// It is no text.
    #[error("a password is text in UTF-8")]
    NotText,
    /// It is the user's name, or little more.
    #[error("the password has the user's name in it")]
    HasName,
    /// It could not be hashed.
    #[error("the password cannot be hashed: {0}")]
    NotHashed(String),
}

/// The length of a salt, in bytes (RFC 9106, section 3.1).
const SALT_BYTES: usize = 16;

fn hasher() -> Argon2<'static> {
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None);
    Argon2::new(
        Algorithm::Argon2id,
        Version::V0x13,
        params.expect("these are within Argon2's bounds"),
    )
}

/// Hashes a new password, if it is good enough for this user.
///
/// # Errors
///
/// Says why it is not taken.
pub fn hash_password(
    user: &UserName,
    password: &SecretBytes,
) -> Result<PasswordHash, PasswordError> {
    // EXPOSE: to the rules for passwords, and to the hash.
    let bytes = password.expose();
    if bytes.len() > BYTES_MAX {
        return Err(PasswordError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PasswordError::NotText)?;
    if text.chars().count() < CHARS_MIN {
        return Err(PasswordError::TooShort);
    }
    let has_name = text.to_lowercase().contains(user.as_str());
    // A name of one or two letters is in many words.
    if has_name && user.as_str().chars().count() > 2 {
        return Err(PasswordError::HasName);
    }
    hash(bytes)
}

fn hash(bytes: &[u8]) -> Result<PasswordHash, PasswordError> {
    let not_hashed = |error: &dyn std::fmt::Display| PasswordError::NotHashed(error.to_string());
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| not_hashed(&error))?;
    let hash: Phc = hasher()
        .hash_password_with_salt(bytes, &salt)
        .map_err(|error| not_hashed(&error))?;
    PasswordHash::new(&hash.to_string()).map_err(|error| not_hashed(&error))
}

/// The password of the first admin that nobody has to be told, for this machine alone.
pub const DEFAULT_PASSWORD: &str = "admin";

/// Makes the first admin, if there is no user: `admin`, with this password. Returns whether it did.
///
/// # Errors
///
/// The password is not taken, or the database refuses.
pub async fn make_first_admin(shared: &Shared, password: SecretBytes) -> Result<bool, AdminError> {
    let name: UserName = ADMIN.parse().expect("it is a name");
    // EXPOSE: to the comparison with what everybody knows.
    let is_default = password.expose() == DEFAULT_PASSWORD.as_bytes();
    let hash = match is_default {
        true => hash(DEFAULT_PASSWORD.as_bytes())?,
        false => hash_password(&name, &password)?,
    };
    let made = shared
        .create_first_admin(&name, Some(&hash), Timestamp::now())
        .await?;
    Ok(made.is_some())
}

/// Returns whether the admin can be guessed by everybody.
///
/// # Errors
///
/// The database refuses.
pub async fn has_default_password(shared: &Shared) -> Result<bool, AdminError> {
    let name: UserName = ADMIN.parse().expect("it is a name");
    let login = shared.login(&name).await?;
    let hash = login
        .filter(|login| !login.user.disabled)
        .and_then(|login| login.password);
    let default = SecretBytes::copy_from(DEFAULT_PASSWORD.as_bytes());
    Ok(hash.is_some_and(|hash| is_right(&default, Some(&hash))))
}

/// Why there is no first admin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Its password is not taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The database refuses.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// Returns whether a password is the one that was hashed. Without a hash it is none, after as much work.
pub(crate) fn is_right(password: &SecretBytes, hash: Option<&PasswordHash>) -> bool {
    // EXPOSE: to the hash.
    let bytes = password.expose();
    let bounded = bytes.get(..bytes.len().min(BYTES_MAX)).unwrap_or_default();
    let known = hash.and_then(|hash| Phc::new(hash.as_str()).ok());
    match known {
        // What it costs was decided when it was hashed, by us.
        Some(known) if bounded.len() == bytes.len() => {
            hasher().verify_password(bounded, &known).is_ok()
        }
        _ => {
            // Nobody sees from the time that there is no such user.
            drop(self::hash(bounded));
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::copy_from(text.as_bytes())
    }

    #[test]
    fn a_password_is_right_or_not() {
        let user: UserName = "ada".parse().unwrap();
        let hash = hash_password(&user, &secret("correct horse battery")).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(is_right(&secret("correct horse battery"), Some(&hash)));
        assert!(!is_right(&secret("correct horse batters"), Some(&hash)));
        assert!(!is_right(&secret(""), Some(&hash)));
        assert!(!is_right(&secret("correct horse battery"), None));
        let again = hash_password(&user, &secret("correct horse battery")).unwrap();
        assert_ne!(hash.as_str(), again.as_str());
    }

    #[test]
    fn a_weak_password_is_not_taken() {
        let check = |name: &str, password: &str, expect: PasswordError| {
            let user: UserName = name.parse().unwrap();
            assert_eq!(hash_password(&user, &secret(password)).unwrap_err(), expect);
        };
        check("ada", "elevenchars", PasswordError::TooShort);
        check("ada", "i-am-Ada-lovelace", PasswordError::HasName);
        check("ada", &"x".repeat(BYTES_MAX + 1), PasswordError::TooLong);
        let user: UserName = "ada".parse().unwrap();
        let binary = SecretBytes::copy_from(&[0xff; 16]);
        assert_eq!(
            hash_password(&user, &binary).unwrap_err(),
            PasswordError::NotText
        );
    }
}
