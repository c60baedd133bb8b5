//! How instances are called: an id that never changes, and a name that people chose.
//!
//! Both are safe as a file's name, in a URL and on a command line.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

/// The longest id, in bytes.
// LIMIT: that of an id in a scope (`instance/<id>`), which it has to fit.
const ID_BYTES_MAX: usize = 128;

/// The longest name, in bytes.
// LIMIT: a label of a host name, so that a name can become one.
const NAME_BYTES_MAX: usize = 63;

/// The longest part of an app's id that goes into ids and names, in bytes.
// LIMIT: leaves room for the random part, and for `-2`, `-3` and so on.
const LABEL_BYTES_MAX: usize = 40;

/// Says that a text is not an instance's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an instance's id has 1 to {ID_BYTES_MAX} letters, digits, '.', '_' or '-', and begins with a letter or digit"
)]
pub struct IdError;

/// Says that a text is not an instance's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an instance's name has 1 to {NAME_BYTES_MAX} lower-case letters, digits or '-', and begins and ends with a letter or digit"
)]
pub struct NameError;

/// An instance's own id: chosen when it is made, and never changed or used again.
///
/// Written as the last label of the app's id, a `-` and 8 random characters: `readlater-k3q7x2ma`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(Box<str>);

impl InstanceId {
    /// Makes a new id for an instance of an app.
    ///
    /// # Errors
    ///
    /// Returns the system's refusal to give random bytes.
    pub(crate) fn make_random(app_id: &str) -> Result<Self, getrandom::Error> {
        let mut random = [0; 5];
        getrandom::fill(&mut random)?;
        let tail = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
        Ok(Self(format!("{}-{tail}", label(app_id)).into()))
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let begins_well = text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric());
        let holds_well = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        (begins_well && holds_well && text.len() <= ID_BYTES_MAX)
            .then(|| Self(text.into()))
            .ok_or(IdError)
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An instance's name: unique in a home, and changed at will.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceName(Box<str>);

impl InstanceName {
    /// Returns the `number`th name for an instance of an app: `readlater`, `readlater-2`, `readlater-3`.
    pub(crate) fn numbered(app_id: &str, number: usize) -> Self {
        let label = label(app_id);
        match number {
            0 | 1 => Self(label.into()),
            _ => Self(format!("{label}-{number}").into()),
        }
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends_well = [text.bytes().next(), text.bytes().next_back()]
            .into_iter()
            .all(|end| end.is_some_and(plain));
        let holds_well = text.bytes().all(|byte| plain(byte) || byte == b'-');
        (ends_well && holds_well && text.len() <= NAME_BYTES_MAX)
            .then(|| Self(text.into()))
            .ok_or(NameError)
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Returns the last label of an app's id, made fit for a name.
fn label(app_id: &str) -> String {
    let last = app_id.rsplit('.').next().unwrap_or_default();
    let fit: String = last
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c if c.is_ascii_lowercase() || c.is_ascii_digit() => c,
            _ => '-',
        })
        .take(LABEL_BYTES_MAX)
        .collect();
    match fit.trim_matches('-') {
        "" => "app".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_names_come_from_the_apps_last_label() {
        let check = |app_id: &str, expect: &str| {
            let id = InstanceId::make_random(app_id).unwrap();
            let (label, random) = id.as_str().rsplit_once('-').unwrap();
            assert_eq!((label, random.len()), (expect, 8), "{app_id}");
            assert_eq!(id.as_str().parse(), Ok(id.clone()));
            assert_ne!(id, InstanceId::make_random(app_id).unwrap());
            for number in [1, 2, 4_000_000] {
                let name = InstanceName::numbered(app_id, number);
                assert_eq!(name.as_str().parse(), Ok(name.clone()), "{app_id}");
            }
            assert_eq!(InstanceName::numbered(app_id, 1).as_str(), expect);
        };
        check("org.example.readlater", "readlater");
        check("org.example.Read_Later", "read-later");
        check("readlater", "readlater");
        check("org.example.-x-", "x");
        check("org.example.", "app");
        check("org.example.ü", "app");
        check(&"a".repeat(300), &"a".repeat(LABEL_BYTES_MAX));
        let ends_in_dash = format!("org.{}-{}", "a".repeat(LABEL_BYTES_MAX - 1), "b".repeat(9));
        check(&ends_in_dash, &"a".repeat(LABEL_BYTES_MAX - 1));
    }

    #[test]
    fn names_are_plain() {
        let check = |text: &str, fits: bool| {
            assert_eq!(text.parse::<InstanceName>().is_ok(), fits, "{text:?}");
        };
        check("a", true);
        check("read-later-2", true);
        check(&"a".repeat(63), true);
        for wrong in [
            "",
            "-a",
            "a-",
            "A",
            "a b",
            "a.b",
            "a/b",
            "ä",
            &"a".repeat(64),
        ] {
            check(wrong, false);
        }
        for wrong in ["", "..", "-a", "a/b", "a b", &"a".repeat(129)] {
            assert_eq!(wrong.parse::<InstanceId>(), Err(IdError), "{wrong:?}");
        }
    }
}
