//! What the vault says of a secret without opening it.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use mira_secret::{Kind, Scope, SecretName};

use crate::id::EntryId;

/// The longest label, in bytes.
// LIMIT: a label is one line of a listing.
pub const LABEL_BYTES_MAX: usize = 256;

/// A secret without its value: everything that a listing shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(crate) id: EntryId,
    pub(crate) scope: Scope,
    pub(crate) name: SecretName,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) created: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) version: u64,
}

impl Entry {
    /// Returns the secret's identifier, which stays when its value is replaced.
    #[must_use]
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// Returns who may have the secret.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Returns the secret's name, the environment variable.
    #[must_use]
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Returns what a person calls the secret.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Returns what the value is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns when the secret was first saved, to the second.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// Returns when the value was last replaced, to the second.
    #[must_use]
    pub fn updated(&self) -> Timestamp {
        self.updated
    }

    /// Returns which value this is: 1 for the first, one more with each replacement.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// Why a text cannot be a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// There is no character.
    #[error("a label must not be empty")]
    Empty,
    /// The label is longer than [`LABEL_BYTES_MAX`].
    #[error("a label must not be longer than {LABEL_BYTES_MAX} bytes")]
    TooLong,
    /// A control character could rewrite the terminal that lists it.
    #[error("a label must not hold control characters, such as line breaks")]
    Control,
}

/// Checks a label: one line, not empty, not endless.
pub(crate) fn check_label(label: &str) -> Result<(), LabelError> {
    if label.is_empty() {
        Err(LabelError::Empty)
    } else if label.len() > LABEL_BYTES_MAX {
        Err(LabelError::TooLong)
    } else if label.chars().any(char::is_control) {
        Err(LabelError::Control)
    } else {
        Ok(())
    }
}

/// Cuts a time to the second, the precision of the document.
pub(crate) fn to_second(time: Timestamp) -> Timestamp {
    let below = SignedDuration::from_nanos(i64::from(time.subsec_nanosecond()));
    time.checked_sub(below).unwrap_or(time)
}

/// Parses the one spelling of a time: `2026-11-24T07:05:09Z`.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let time = Timestamp::from_str(text).ok()?;
    (time.subsec_nanosecond() == 0 && time.to_string() == text).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_one_spelling() {
        let check = |text: &str, expect: bool| {
            let time = parse_time(text);
            assert_eq!(time.is_some(), expect, "{text}");
            assert!(time.is_none_or(|time| time.to_string() == text));
        };
        check("2026-11-24T07:05:09Z", true);
        check("1969-12-31T23:59:59Z", true);
        check("2026-11-24T07:05:09.5Z", false);
        check("2026-11-24T07:05:09+00:00", false);
        check("2026-11-24T07:05:60Z", false);
        check("2026-11-24 07:05:09Z", false);
        check("2026-11-24T07:05:09z", false);
        check("2026-11-24", false);
    }

    #[test]
    fn times_are_cut_to_the_second() {
        let check = |text: &str, expect: &str| {
            let time: Timestamp = text.parse().unwrap();
            assert_eq!(to_second(time).to_string(), expect);
        };
        check("2026-11-24T07:05:09.999Z", "2026-11-24T07:05:09Z");
        check("2026-11-24T07:05:09Z", "2026-11-24T07:05:09Z");
        check("1969-12-31T23:59:58.5Z", "1969-12-31T23:59:59Z");
    }

    #[test]
    fn labels_are_one_line() {
        assert_eq!(check_label("OpenAI API key, the “big” one"), Ok(()));
        assert_eq!(check_label(""), Err(LabelError::Empty));
        assert_eq!(check_label("a\u{1b}[2J"), Err(LabelError::Control));
        assert_eq!(check_label("a\nb"), Err(LabelError::Control));
        assert_eq!(check_label(&"a".repeat(257)), Err(LabelError::TooLong));
    }
}
