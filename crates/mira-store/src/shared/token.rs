//! Tokens that Mira gives out: of a session, of a one-time link, of a script.
//!
//! Each is a prefix that says which kind it is, 256 random bits in base32 (RFC 4648, in lower case), and four characters by which a token
//! that was cut or mistyped is known before anything is looked up, and a scanner of leaked tokens knows one from
//! other text: the first 20 bits of the SHA-256 of all that stands before them, in base32.
//!
//! INVARIANT: the database gets the SHA-256 of a token. With 256 random bits in it, no slower hash is needed.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use mira_secret::SecretBytes;
use sha2::{Digest as _, Sha256};

const RANDOM_BYTES: usize = 32;
const BODY_CHARS: usize = 52;
const CHECK_CHARS: usize = 4;

/// Says that bytes are no such token. It holds none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no token of the kind that is wanted here, or it was cut or mistyped")]
pub struct TokenError;

/// Defines a type for the tokens of one kind.
macro_rules! token {
    ($(#[$about:meta])* $name:ident = $prefix:literal) => {
        $(#[$about])*
        #[derive(PartialEq, Eq)]
        pub struct $name(SecretBytes);

        impl $name {
            /// What its text begins with.
            pub const PREFIX: &'static str = $prefix;

            pub(crate) fn make_random() -> Result<Self, getrandom::Error> {
                make_random(Self::PREFIX).map(Self)
            }

            /// Reads a token as it was given out; the caller wipes its own copy.
            ///
            /// # Errors
            ///
            /// It is of another kind, or was cut or mistyped.
            pub fn parse(text: &[u8]) -> Result<Self, TokenError> {
                parse(Self::PREFIX, text).map(Self)
            }

            /// Returns the token's text: letters, digits and `_`. Every call says, in an `// EXPOSE:` line, to whom and why.
            #[must_use]
            pub fn expose(&self) -> &str {
                // EXPOSE: passed on; the caller answers for it.
                std::str::from_utf8(self.0.expose()).expect("a token is ASCII")
            }

            /// Returns what the database knows the token by.
            pub(crate) fn hash(&self) -> String {
                // EXPOSE: to the hash, which does not tell it.
                HEXLOWER.encode(&Sha256::digest(self.0.expose()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

token! {
    /// What a browser has for a session, in a cookie.
    SessionToken = "mira_session_"
}

token! {
    /// What is in a one-time link.
    LinkToken = "mira_link_"
}

token! {
    /// What a script signs in with, as a bearer token (RFC 6750).
    ApiToken = "mira_"
}

fn make_random(prefix: &str) -> Result<SecretBytes, getrandom::Error> {
    let random = SecretBytes::try_fill(RANDOM_BYTES, getrandom::fill)?;
    let len = prefix.len() + BODY_CHARS + CHECK_CHARS;
    SecretBytes::try_fill(len, |text| {
        let (head, check) = text.split_at_mut(len - CHECK_CHARS);
        let (start, body) = head.split_at_mut(prefix.len());
        start.copy_from_slice(prefix.as_bytes());
        // EXPOSE: to the encoder, which writes the token in its place.
        BASE32_NOPAD.encode_mut(random.expose(), body);
        body.make_ascii_lowercase();
        check.copy_from_slice(&check_of(head));
        Ok(())
    })
}

fn parse(prefix: &str, text: &[u8]) -> Result<SecretBytes, TokenError> {
    let body = |byte: &u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(byte);
    let rest = text.strip_prefix(prefix.as_bytes()).ok_or(TokenError)?;
    let fits = rest.len() == BODY_CHARS + CHECK_CHARS && rest.iter().all(body);
    let (head, check) = text.split_last_chunk().ok_or(TokenError)?;
    (fits && *check == check_of(head))
        .then(|| SecretBytes::copy_from(text))
        .ok_or(TokenError)
}

fn check_of(head: &[u8]) -> [u8; CHECK_CHARS] {
    let digest = Sha256::digest(head);
    let mut text = BASE32_NOPAD.encode(&digest);
    text.make_ascii_lowercase();
    *text
        .as_bytes()
        .first_chunk()
        .expect("a digest has more characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made_and_printed_never() {
        let made = ApiToken::make_random().unwrap();
        let text = made.expose().to_owned();
        assert_eq!(text.len(), 5 + 52 + 4);
        assert_eq!(ApiToken::parse(text.as_bytes()), Ok(made));
        let read = ApiToken::parse(text.as_bytes()).unwrap();
        assert_eq!(format!("{read:?}"), "ApiToken");
        assert!(!text.contains(&read.hash()) && read.hash().len() == 64);
        assert_ne!(ApiToken::make_random().unwrap(), read);
    }

    #[test]
    fn every_wrong_character_is_noticed() {
        let text = SessionToken::make_random().unwrap().expose().to_owned();
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'a' { b'b' } else { b'a' };
            // Four characters tell all but one in a million; these few never are.
            assert!(SessionToken::parse(&wrong).is_err(), "{at}");
            assert!(SessionToken::parse(&text.as_bytes()[..at]).is_err(), "{at}");
        }
        assert!(SessionToken::parse(text.to_uppercase().as_bytes()).is_err());
        assert!(SessionToken::parse(format!("{text}a").as_bytes()).is_err());
        assert!(SessionToken::parse(b"").is_err());
    }

    #[test]
    fn a_token_of_one_kind_is_none_of_another() {
        let session = SessionToken::make_random().unwrap();
        let link = LinkToken::make_random().unwrap();
        let api = ApiToken::make_random().unwrap();
        assert!(ApiToken::parse(session.expose().as_bytes()).is_err());
        assert!(ApiToken::parse(link.expose().as_bytes()).is_err());
        assert!(LinkToken::parse(session.expose().as_bytes()).is_err());
        assert!(SessionToken::parse(api.expose().as_bytes()).is_err());
    }

    /// What another implementation needs to check a token.
    #[test]
    fn the_check_is_the_documented_one() {
        let body = "a".repeat(52);
        let head = format!("mira_{body}");
        let expected = check_of(head.as_bytes());
        let digest = Sha256::digest(head.as_bytes());
        let bits = u32::from_be_bytes([0, digest[0], digest[1], digest[2]]) >> 4;
        let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
        let by_hand = [15, 10, 5, 0].map(|shift| alphabet[(bits >> shift & 31) as usize]);
        assert_eq!(expected, by_hand);
    }
}
