//! What a user may be called, and when two spellings are one name.

use std::fmt;
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;

/// The most characters that a name has.
// LIMIT: fits the table of users; an address of somebody's mail is shorter nearly always.
pub const USER_NAME_CHARS_MAX: usize = 64;

/// The longest text that is looked at, in bytes.
// LIMIT: normalisation makes a text longer or shorter, by a bounded factor; nothing beyond this becomes a name.
const TEXT_BYTES_MAX: usize = 1024;

/// Says that a text is no user's name. It does not repeat it: it may be a password in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a user's name has 1 to {USER_NAME_CHARS_MAX} letters, digits, '.', '_', '-', '@' or '+', and begins with a letter or digit"
)]
pub struct UserNameError;

/// A user's name in the one spelling that names are compared in: normalised (NFKC) and without case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserName(Box<str>);

impl UserName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserName {
    type Err = UserNameError;

    fn from_str(text: &str) -> Result<Self, UserNameError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(UserNameError);
        }
        let name = folded(text);
        let begins_well = name.chars().next().is_some_and(char::is_alphanumeric);
        let holds_well = name
            .chars()
            .all(|c| c.is_alphanumeric() || "._-@+".contains(c));
        let is_short = name.chars().count() <= USER_NAME_CHARS_MAX;
        // What folds to something else again would be two names.
        let is_settled = folded(&name) == name;
        (begins_well && holds_well && is_short && is_settled)
            .then(|| Self(name.into()))
            .ok_or(UserNameError)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Upper case first, so that letters with several small forms (σ and ς, ß and ss) become one.
fn folded(text: &str) -> String {
    text.nfkc()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .nfkc()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        let check = |text: &str, expect: &str| {
            let name: UserName = text.parse().unwrap();
            assert_eq!(name.as_str(), expect, "{text:?}");
            assert_eq!(name.as_str().parse(), Ok(name.clone()));
        };
        check("Anna", "anna");
        check("ＡＮＮＡ", "anna");
        check("ﬁona", "fiona");
        check("Jose\u{301}", "josé");
        check("STRASSE", "strasse");
        check("Straße", "strasse");
        check("ΣΟΦΟΣ", "σοφοσ");
        check("σοφος", "σοφοσ");
        check("a.b_c-d+e@example.org", "a.b_c-d+e@example.org");
        check(&"A".repeat(64), &"a".repeat(64));
        check("山田", "山田");
    }

    #[test]
    fn what_confuses_is_no_name() {
        for wrong in [
            "",
            " ",
            "a b",
            "-a",
            ".a",
            "@a",
            "a\0",
            "a\n",
            "a/b",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{300}\u{301}x\u{20dd}",
            "😀",
            "<b>",
            "'; DROP TABLE users; --",
            &"a".repeat(65),
            &"a".repeat(1_000_000),
        ] {
            assert_eq!(wrong.parse::<UserName>(), Err(UserNameError), "{wrong:?}");
        }
    }
}
