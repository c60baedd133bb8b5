//! How rows are called where people and URLs speak of them: random, some of them behind the time, and worth nothing to who knows them.

use data_encoding::BASE32_NOPAD;
use jiff::Timestamp;

/// How many bytes an id stands for.
const BYTES: usize = 10;

/// How many characters an id has.
const CHARS: usize = BYTES * 8 / 5;

/// Says that a text is no id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id has {CHARS} lower-case letters and digits, as it was listed")]
pub struct RowIdError;

/// How many bytes of an id by time are the time: milliseconds, for some thousand years.
const TIME_BYTES: usize = 6;

/// Returns a new random id as text.
pub(crate) fn make_random() -> Result<String, getrandom::Error> {
    make_behind(&[])
}

/// Returns a new id as text that begins with the time, so that rows of one time stand together in an index, and are written together.
pub(crate) fn make_by_time(now: Timestamp) -> Result<String, getrandom::Error> {
    let time = now.as_millisecond().to_be_bytes();
    make_behind(&time[time.len() - TIME_BYTES..])
}

/// Returns an id as text that begins with these bytes and is random behind them.
fn make_behind(begin: &[u8]) -> Result<String, getrandom::Error> {
    let mut bytes = [0; BYTES];
    let (known, random) = bytes.split_at_mut(begin.len());
    known.copy_from_slice(begin);
    getrandom::fill(random)?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

/// Returns whether a text could be an id.
pub(crate) fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte);
    text.len() == CHARS && text.bytes().all(plain)
}

/// Defines types for ids of rows, so that one is not taken for another.
macro_rules! ids {
    ($($(#[$about:meta])* $name:ident = $make:ident($($given:ident: $type:ty)?);)+) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            pub(crate) fn $make($($given: $type)?) -> Result<Self, getrandom::Error> {
                $make($($given)?).map(|text| Self(text.into()))
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
    UserId = make_random();
    /// A session's id, for listing and revoking; not its token.
    SessionId = make_random();
    /// An API token's id, for listing and revoking; not the token.
    ApiTokenId = make_random();
    /// The id of an event that was accepted.
    HookEventId = make_by_time(now: Timestamp);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_was_made_and_nothing_else() {
        let id = UserId::make_random().unwrap();
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_ne!(UserId::make_random().unwrap(), id);
        let now = Timestamp::UNIX_EPOCH;
        let by_time = HookEventId::make_by_time(now).unwrap();
        assert_eq!(by_time.to_string().parse(), Ok(by_time.clone()));
        assert!(by_time.as_str().starts_with("aaaaaaaaa"));
        assert_ne!(HookEventId::make_by_time(now).unwrap(), by_time);
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
