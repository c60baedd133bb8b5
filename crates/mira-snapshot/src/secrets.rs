//! The values that must not get into a snapshot, compiled for the search.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use mira_redact::{Coverage, NeedleSet, NeedleSetBuilder, Redactor};
use mira_secret::SecretBytes;
use sha2::{Digest as _, Sha256};

/// The values to look for. It knows them well enough to tell later whether a snapshot was searched for the same ones.
pub struct Secrets {
    set: Arc<NeedleSet>,
    digests: Vec<SecretBytes>,
    not_looked_for: Vec<Arc<str>>,
}

impl Secrets {
    /// Returns a builder.
    #[must_use]
    pub fn builder() -> SecretsBuilder {
        SecretsBuilder::default()
    }

    /// Returns the compiled set, for other uses such as redaction.
    #[must_use]
    pub fn needles(&self) -> &Arc<NeedleSet> {
        &self.set
    }

    /// Returns the names whose value is too short to be looked for.
    #[must_use]
    pub fn not_looked_for(&self) -> &[Arc<str>] {
        &self.not_looked_for
    }

    /// Returns a digest of each value that is looked for; secret as the values are.
    pub(crate) fn digests(&self) -> &[SecretBytes] {
        &self.digests
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets")
            .field("needles", &self.set)
            .finish_non_exhaustive()
    }
}

/// Collects values for [`Secrets`].
#[derive(Default)]
pub struct SecretsBuilder {
    needles: NeedleSetBuilder,
    digests: Vec<SecretBytes>,
    not_looked_for: Vec<Arc<str>>,
}

impl SecretsBuilder {
    /// Adds a value under its name.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Coverage {
        let coverage = self.needles.add(name, value);
        if coverage == Coverage::TooShort {
            self.not_looked_for.push(name.into());
        } else {
            self.digests
                .push(SecretBytes::copy_from(&Sha256::digest(value)));
        }
        coverage
    }

    /// Compiles them.
    #[must_use]
    pub fn build(self) -> Secrets {
        Secrets {
            set: Arc::new(self.needles.build()),
            digests: self.digests,
            not_looked_for: self.not_looked_for,
        }
    }
}

impl fmt::Debug for SecretsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretsBuilder")
            .field("needles", &self.needles)
            .finish_non_exhaustive()
    }
}

/// Returns a text with markers in place of values.
pub(crate) fn redacted(needles: &Arc<NeedleSet>, text: &[u8]) -> String {
    let mut redactor = Redactor::new(Arc::clone(needles));
    let mut clean = redactor.push(text, Instant::now()).to_vec();
    clean.extend_from_slice(redactor.finish());
    String::from_utf8_lossy(&clean).into_owned()
}
