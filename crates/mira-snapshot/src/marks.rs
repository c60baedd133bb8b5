//! Which secrets a snapshot was searched for, without telling them.
//!
//! A mark is a keyed digest (HMAC-SHA256, RFC 2104) of a value. Marks are in the snapshot's description, which the
//! repository encrypts; the key comes from its password. A snapshot without marks (of restic's, say) was not searched.

use hmac::{Hmac, KeyInit as _, Mac as _};
use mira_secret::SecretBytes;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::SnapshotError;
use crate::secrets::Secrets;

/// Which forms and places are searched. To be raised whenever more are, so that old snapshots do not count as searched.
const SEARCH: u32 = 1;

/// A mark's length, in bytes.
// LIMIT: half of the digest; a chance match needs 2^128 values.
const MARK_BYTES: usize = 16;

/// The key that marks are made with.
pub(crate) struct MarkKey(SecretBytes);

/// The marks of one snapshot.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    #[serde(rename = "mira-search")]
    search: u32,
    secrets: Vec<String>,
}

impl MarkKey {
    /// Derives the key from a repository's password.
    pub(crate) fn derive(password: &SecretBytes) -> Self {
        // EXPOSE: to the derivation of another key.
        let digest = keyed(password.expose(), b"mira snapshot marks 1");
        Self(SecretBytes::from_vec(digest))
    }

    /// Returns the marks of these secrets.
    pub(crate) fn marks(&self, secrets: &Secrets) -> Marks {
        let mut marks: Vec<String> = secrets
            .digests()
            .iter()
            .map(|digest| {
                // EXPOSE: to the keyed digest, of which the repository keeps half.
                let mac = keyed(self.0.expose(), digest.expose());
                hex(mac.get(..MARK_BYTES).unwrap_or(&mac))
            })
            .collect();
        marks.sort();
        marks.dedup();
        Marks {
            search: SEARCH,
            secrets: marks,
        }
    }
}

impl Marks {
    /// Returns the marks as a description.
    pub(crate) fn to_description(&self) -> Result<String, SnapshotError> {
        serde_json::to_string(self).map_err(|error| SnapshotError::Io {
            doing: "write",
            path: "the snapshot's description".into(),
            source: error.into(),
        })
    }

    /// Reads them from a description; anything else gives none.
    pub(crate) fn from_description(description: Option<&str>) -> Option<Self> {
        serde_json::from_str(description?).ok()
    }

    /// Returns whether a snapshot with these marks was searched for all that `now` names.
    pub(crate) fn cover(&self, now: &Self) -> bool {
        self.search == now.search && now.secrets.iter().all(|mark| self.secrets.contains(mark))
    }
}

fn keyed(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// Returns bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(values: &[&[u8]]) -> Marks {
        let mut secrets = Secrets::builder();
        for value in values {
            secrets.add("NAME", value);
        }
        MarkKey::derive(&SecretBytes::copy_from(b"password")).marks(&secrets.build())
    }

    #[test]
    fn a_search_covers_fewer_secrets_and_no_others() {
        let [one, two]: [&[u8]; 2] = [b"first-value", b"second-value"];
        assert!(marks(&[one, two]).cover(&marks(&[two])));
        assert!(marks(&[one, two]).cover(&marks(&[two, one, one])));
        assert!(marks(&[]).cover(&marks(&[])));
        assert!(!marks(&[one]).cover(&marks(&[one, two])));
        assert!(!marks(&[one]).cover(&marks(&[b"first-value2"])));
        let older = Marks {
            search: SEARCH - 1,
            ..marks(&[one])
        };
        assert!(!older.cover(&marks(&[one])));
    }

    #[test]
    fn descriptions_keep_marks_and_tell_no_value() {
        let marks = marks(&[b"first-value"]);
        let text = marks.to_description().unwrap();
        assert_eq!(Marks::from_description(Some(&text)), Some(marks));
        assert_eq!(Marks::from_description(Some("before the upgrade")), None);
        assert_eq!(Marks::from_description(None), None);
        let plain = <Sha256 as sha2::Digest>::digest(b"first-value");
        assert!(!text.contains(&hex(&plain[..8])), "the digest is keyed");
    }
}
