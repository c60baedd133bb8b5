//! A key of a service, as this program holds it: never printed, wiped when it goes.
//!
//! Under Mira it is a placeholder, which the gate replaces on the way out; run as a plain program, it is the key itself. Both are
//! treated alike. INVARIANT: no `Debug`, log or error holds one.

use std::fmt;

use zeroize::Zeroizing;

/// A key or token.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<String>);

impl Key {
    pub(crate) fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Returns the text, for a header or for the search of it in what goes out.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Compares without telling by its time how much is alike.
    pub(crate) fn is(&self, other: &str) -> bool {
        use sha2::{Digest as _, Sha256};
        // What is compared are digests, so the time says nothing of the values.
        Sha256::digest(self.0.as_bytes()) == Sha256::digest(other.as_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
