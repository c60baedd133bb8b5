//! Whether programs have a way around the gate, as the last start found it: a file beside the network record, in JSON.

use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file's name.
const FILE: &str = "mode.json";

// LIMIT: one sentence and its frame.
const FILE_BYTES_MAX: u64 = 4096;

/// Whether programs have a way around the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "mode", deny_unknown_fields)]
pub enum NetworkMode {
    /// They have none: the gate is the only way out of their network.
    Enforced,
    /// They are told to use the gate, and are not kept from going around it.
    Recorded {
        /// Why it is not enforced, for people.
        why: String,
    },
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enforced => f.write_str("enforced"),
            Self::Recorded { why } => write!(f, "recorded, not enforced: {why}"),
        }
    }
}

impl NetworkMode {
    /// Writes it beside a network record, whole or not at all.
    ///
    /// # Errors
    ///
    /// Returns the system's error.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")?;
        file.persist(folder.join(FILE))?;
        Ok(())
    }

    /// Reads what the last start found; nothing before the first.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or says something else.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let file = match std::fs::File::open(folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let file = io::Read::take(file, FILE_BYTES_MAX);
        Ok(Some(serde_json::from_reader(file)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written_and_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(NetworkMode::read(folder.path()).unwrap(), None);
        let recorded = NetworkMode::Recorded {
            why: "user namespaces are off".to_owned(),
        };
        for mode in [recorded, NetworkMode::Enforced] {
            mode.write(folder.path()).unwrap();
            assert_eq!(NetworkMode::read(folder.path()).unwrap(), Some(mode));
        }
        let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text, "{\"mode\":\"enforced\"}\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_says_nothing_clear_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "",
            "{}",
            "{\"mode\":\"recorded\"}",
            "{\"mode\":\"perhaps\"}",
        ] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert!(NetworkMode::read(folder.path()).is_err(), "{text}");
        }
    }
}
