//! How rows are called where people and URLs speak of them: random, and worth nothing to who knows them.

use data_encoding::BASE32_NOPAD;

/// How many random bytes are in an id.
const RANDOM_BYTES: usize = 10;

/// How many characters an id has.
const CHARS: usize = RANDOM_BYTES * 8 / 5;

/// Says that a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has {CHARS} lower-case letters and digits, as it was listed")]
pub struct RowIdError;

/// Returns a new random id as text.
pub(crate) fn make_random() -> Result<String, getrandom::Error> {
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random)?;
    Ok(BASE32_NOPAD.encode(&random).to_ascii_lowercase())
}

/// Returns whether a text could be an id.
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte);
    text.len() == CHARS && text.bytes().all(plain)
}

/// Defines types for ids of rows, so that one is not taken for another.
macro_rules! ids {
    ($($(#[$about:meta])* $name:ident)+) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            pub(crate) fn make_random() -> Result<Self, getrandom::Error> {
                make_random().map(|text| Self(text.into()))
            }

            /// Returns the id as text, which is safe in a URL.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = RowIdError;

            fn from_str(text: &str) -> Result<Self, RowIdError> {
                is_id(text).then(|| Self(text.into())).ok_or(RowIdError)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

ids! {
    /// A user's id: never changed, and never used again.
    UserId
    /// A session's id, for listing and revoking; not its token.
    SessionId
    /// An API token's id, for listing and revoking; not the token.
    ApiTokenId
    /// The id of an event that was accepted.
    HookEventId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_was_made_and_nothing_else() {
        let id = UserId::make_random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_ne!(UserId::make_random().unwrap(), id);
        for wrong in [
            "",
            "a",
            "ABCDEFGHIJKLMNOP",
            "abcdefghijklmno1",
            "abcdefghijklmnopq",
            "aä",
        ] {
            assert_eq!(wrong.parse::<UserId>(), Err(RowIdError), "{wrong:?}");
        }
    }
}
