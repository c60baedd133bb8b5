//! Kinds of secrets: what a value is.

use std::fmt;
use std::str::FromStr;

/// What a secret's value is. It changes how the secret is listed and delivered, never how it is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An API token or key: the usual case.
    #[default]
    Token,
    /// A password or passphrase.
    Password,
    /// A private key, usually PEM text.
    PrivateKey,
    /// A URL with credentials inside, such as a database's.
    Url,
    /// The keys of an AWS account, in one value: delivered as several variables.
    AwsCredentials,
}

/// Says that a text names no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kind is one of `token`, `password`, `private-key`, `url` and `aws-credentials`")]
pub struct KindError;

impl Kind {
    /// Every kind, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::Token,
        Self::Password,
        Self::PrivateKey,
        Self::Url,
        Self::AwsCredentials,
    ];

    /// Returns the kind's one spelling.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Password => "password",
            Self::PrivateKey => "private-key",
            Self::Url => "url",
            Self::AwsCredentials => "aws-credentials",
        }
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or(KindError)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_one_spelling() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert_eq!("Token".parse::<Kind>(), Err(KindError));
    }
}
