//! Canary sweeps: is a known value anywhere, in any spelling?
//!
//! A test generates canaries, lets the program handle them as secrets, and sweeps every place that the program could have
//! written to. Spellings are written here once more, apart from the redactor's, so that a spelling which the redactor
//! has wrong is found.
//!
//! ```
//! use mira_testkit::canary::{Canary, Sweep};
//!
//! let canaries = Canary::generate();
//! let sweep = Sweep::new(&canaries);
//! sweep.bytes("what the program printed", b"key=[redacted:OPENAI_API_KEY]").assert_clean();
//! assert!(!sweep.bytes("a leak", &canaries[0].spellings()[0].bytes).is_clean());
//! ```

use std::fmt;

mod findings;
mod form;
mod sweep;

pub use findings::{Findings, Hit, Place};
pub use form::{Form, Spelling};
pub use sweep::Sweep;

/// A value that must not turn up, and the name it is reported by.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary {
    name: &'static str,
    value: Vec<u8>,
}

impl Canary {
    /// Names a value of the test's own.
    ///
    /// # Panics
    ///
    /// Panics if the value has fewer than 16 bytes: shorter ones turn up by chance.
    #[must_use]
    pub fn new(name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        let value = value.into();
        assert!(
            value.len() >= form::PIECE_BYTES_MIN,
            "{name} is too short for a canary"
        );
        Self { name, value }
    }

    /// Returns a set of fresh values, one of each shape that secrets come in.
    #[must_use]
    pub fn generate() -> Vec<Self> {
        vec![
            Self::new("OPENAI_API_KEY", format!("sk-proj-{}", text(ALNUM, 48))),
            Self::new("AWS_ACCESS_KEY_ID", format!("AKIA{}", text(UPPER, 16))),
            Self::new("AWS_SECRET_ACCESS_KEY", text(BASE64, 40)),
            Self::new(
                "DATABASE_URL",
                format!(
                    "postgres://app:{}@db.internal:5432/{}?sslmode=require",
                    text(ALNUM, 24),
                    text(LOWER, 8)
                ),
            ),
            Self::new("TLS_KEY", pem()),
            Self::new("GOOGLE_CREDENTIALS", service_account()),
            Self::new("HEX_TOKEN", text(HEX, 64)),
            Self::new(
                "ODD_PASSWORD",
                format!(
                    "it's \"{}\" 100%\\{} für {}",
                    text(ALNUM, 12),
                    text(ALNUM, 8),
                    text(ALNUM, 6)
                ),
            ),
            // Both halves hold `+` and `/` again when encoded.
            Self::new(
                "PLUS_AND_SLASH",
                format!("{}+/{}~~~???>>>", text(ALNUM, 12), text(ALNUM, 12)),
            ),
            Self::new(
                "NOTES",
                format!(
                    "first {}\n\nshort\n\tthird {}\n",
                    text(ALNUM, 20),
                    text(ALNUM, 20)
                ),
            ),
            Self::new("BINARY", binary()),
        ]
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the value, for the program under test.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Returns every spelling that a sweep looks for, each once.
    #[must_use]
    pub fn spellings(&self) -> Vec<Spelling> {
        form::spellings(&self.value)
    }
}

impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Canary").field(&self.name).finish()
    }
}

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const HEX: &str = "0123456789abcdef";
const ALNUM: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn text(alphabet: &str, len: usize) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    (0..len)
        .filter_map(|_| fastrand::choice(&alphabet))
        .collect()
}

/// A private key as PEM text (RFC 7468), its last line short as most are.
fn pem() -> String {
    let body: Vec<String> = [64, 64, 64, 64, 24]
        .into_iter()
        .map(|len| text(BASE64, len))
        .collect();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        body.join("\n")
    )
}

/// A service account's JSON document, with a key inside that is escaped already.
fn service_account() -> String {
    let project = text(LOWER, 10);
    format!(
        "{{\n  \"type\": \"{project}\",\n  \"private_key_id\": \"{}\",\n  \"private_key\": \"{}\",\n  \
         \"client_email\": \"bot@{project}.example\"\n}}\n",
        text(HEX, 40),
        pem().replace('\n', "\\n"),
    )
}

/// Bytes that are no UTF-8.
fn binary() -> Vec<u8> {
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(40)
        .collect();
    bytes.extend([0x00, 0xff, 0xc3, 0x28]);
    bytes
}

#[cfg(test)]
mod tests;
