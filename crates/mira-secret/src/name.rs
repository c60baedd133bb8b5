//! Names of secrets: the environment variables that carry them.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
// LIMIT: no system asks for less than the whole environment; 255 keeps listings and errors readable.
pub const NAME_BYTES_MAX: usize = 255;

/// A secret's name, which is also the environment variable that delivers it.
///
/// The spelling is that of POSIX.1-2017, section 8.1: letters, digits and underscores, not beginning with a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretName(Box<str>);

/// Why a text is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is no character at all.
    #[error("a name must not be empty")]
    Empty,
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("a name must not be longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// The name begins with a digit or holds something other than ASCII letters, digits and underscores.
    #[error(
        "a name is made of letters, digits and underscores (A-Z a-z 0-9 _) and does not begin with a digit"
    )]
    NotPortable,
    /// The text looks like an assignment, so its second half may be a value.
    #[error("a name holds no '='; values are never given on the command line")]
    Assignment,
}

impl SecretName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether it names a secret of Mira's own server: the key of its App, what webhooks are signed with, what it is known by where people
    /// sign in. A program gets none of these unless it is asked for by name, and an app never.
    #[must_use]
    pub fn is_of_server(&self) -> bool {
        let of_server = [
            "MIRA_GITHUB_PRIVATE_KEY",
            "MIRA_OIDC_CLIENT_SECRET",
            "MIRA_WEBHOOK_SECRET",
        ];
        of_server.contains(&self.as_str()) || self.0.starts_with("MIRA_WEBHOOK_SECRET_")
    }
}

impl FromStr for SecretName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = text.bytes().next().ok_or(NameError::Empty)?;
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        if text.contains('=') {
            return Err(NameError::Assignment);
        }
        if first.is_ascii_digit()
            || !text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(NameError::NotPortable);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for SecretName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_of_the_server_are_told_from_others() {
        let is_of_server = |name: &str| name.parse::<SecretName>().unwrap().is_of_server();
        for name in [
            "MIRA_GITHUB_PRIVATE_KEY",
            "MIRA_OIDC_CLIENT_SECRET",
            "MIRA_WEBHOOK_SECRET",
            "MIRA_WEBHOOK_SECRET_PREVIOUS",
            "MIRA_WEBHOOK_SECRET_APP_7",
        ] {
            assert!(is_of_server(name), "{name}");
        }
        for name in ["MIRA_API_KEY", "MIRA_WEBHOOK_SECRETS", "GITHUB_PRIVATE_KEY"] {
            assert!(!is_of_server(name), "{name}");
        }
    }

    #[test]
    fn names_are_posix_names() {
        let check = |text: &str, expect: Result<(), NameError>| {
            assert_eq!(text.parse::<SecretName>().map(|_| ()), expect, "{text:?}");
        };
        check("A", Ok(()));
        check("_lower9", Ok(()));
        check("", Err(NameError::Empty));
        check("9A", Err(NameError::NotPortable));
        check("A-B", Err(NameError::NotPortable));
        check("A B", Err(NameError::NotPortable));
        check("É", Err(NameError::NotPortable));
        check("A\0", Err(NameError::NotPortable));
        check("A=sk-1", Err(NameError::Assignment));
        check(&"A".repeat(255), Ok(()));
        check(&"A".repeat(256), Err(NameError::TooLong));
    }
}
