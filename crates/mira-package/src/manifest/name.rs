//! The names in a manifest, each with its one spelling: the app's id, and the names of services, ports and volumes.

use std::fmt;
use std::str::FromStr;

// LIMIT: an instance is called by the last part of the id and nine characters more, and a scope's id has 128.
const ID_BYTES_MAX: usize = 100;

// LIMIT: a label of a host name has 63, and logs are files with these names.
const NAME_BYTES_MAX: usize = 31;

/// An app's identity: a domain name written backwards, and a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Box<str>);

/// Why a text is no app id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppIdError {
    /// It is longer than 100 bytes.
    #[error("the id is longer than {ID_BYTES_MAX} characters")]
    TooLong,
    /// It has one part only.
    #[error("the id is no domain name written backwards")]
    OnePart,
    /// It holds an upper-case letter.
    #[error("the id holds an upper-case letter")]
    UpperCase,
    /// A part is empty, or not spelled as it has to be.
    #[error(
        "each part of the id begins with a letter and goes on with letters, digits and inner hyphens (a-z 0-9 -)"
    )]
    Part,
}

impl AppId {
    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last part: `readlater` of `org.example.readlater`.
    #[must_use]
    pub fn last_part(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or_default()
    }
}

impl FromStr for AppId {
    type Err = AppIdError;

    fn from_str(text: &str) -> Result<Self, AppIdError> {
        if text.len() > ID_BYTES_MAX {
            return Err(AppIdError::TooLong);
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(AppIdError::UpperCase);
        }
        if !text
            .split('.')
            .all(|part| is_name(part) && !part.ends_with('-'))
        {
            return Err(AppIdError::Part);
        }
        if !text.contains('.') {
            return Err(AppIdError::OnePart);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a service, a port or a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name is a lower-case letter, then lower-case letters, digits and hyphens (a-z 0-9 -), {NAME_BYTES_MAX} characters at most"
)]
pub struct NameFault;

impl Name {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameFault;

    fn from_str(text: &str) -> Result<Self, NameFault> {
        if !is_name(text) || text.len() > NAME_BYTES_MAX {
            return Err(NameFault);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Returns a text as a name: what does not fit becomes a hyphen.
pub(super) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => slug.push(c),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
        if slug.len() == NAME_BYTES_MAX {
            break;
        }
    }
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_one_spelling() {
        let check = |text: &str, expect: Result<&str, AppIdError>| {
            let id = text.parse::<AppId>();
            assert_eq!(
                id.as_ref().map(AppId::last_part).map_err(|e| *e),
                expect,
                "{text:?}"
            );
        };
        check("org.example.read-later2", Ok("read-later2"));
        check("org.app", Ok("app"));
        check("app", Err(AppIdError::OnePart));
        check("", Err(AppIdError::Part));
        check("org.Example.app", Err(AppIdError::UpperCase));
        check("org..app", Err(AppIdError::Part));
        check("org.app.", Err(AppIdError::Part));
        check("org.app-", Err(AppIdError::Part));
        check("org.3d.app", Err(AppIdError::Part));
        check("org/app", Err(AppIdError::Part));
        check("org.äpp", Err(AppIdError::Part));
        check(&format!("org.{}", "a".repeat(96)), Ok(&"a".repeat(96)));
        check(&format!("org.{}", "a".repeat(97)), Err(AppIdError::TooLong));
    }

    #[test]
    fn names_have_one_spelling() {
        let check = |text: &str, fits: bool| {
            assert_eq!(text.parse::<Name>().is_ok(), fits, "{text:?}");
        };
        check("web", true);
        check("a", true);
        check("a-9-", true);
        check("", false);
        check("9a", false);
        check("-a", false);
        check("Web", false);
        check("a_b", false);
        check("a/b", false);
        check("..", false);
        check(&"a".repeat(31), true);
        check(&"a".repeat(32), false);
    }

    #[test]
    fn slugs_are_names() {
        let check = |text: &str, expect: &str| assert_eq!(slug(text), expect, "{text:?}");
        check("My App!", "my-app");
        check("--- ", "");
        check("Grüße an alle", "gr-e-an-alle");
        check(&"x".repeat(99), &"x".repeat(31));
    }
}
