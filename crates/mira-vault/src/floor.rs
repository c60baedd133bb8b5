//! The generation floor: the highest generation of the vault that this home has seen.
//!
//! It stands in a file beside the document, so that an old document put back is noticed. It does not notice an old copy
//! of the whole home put back.
//!
//! INVARIANT: the document is written before the floor is raised, and the floor is read before the document, so a
//! writer or a crash in between can only make the document newer than the floor.

use crate::error::VaultError;
use crate::home::Home;
use crate::id::VaultId;
use crate::private_file::{self, FileError, Staged, WriteLock};

// LIMIT: an identifier, a blank, a number of 16 digits and a newline.
const FLOOR_BYTES_MAX: u64 = 64;

/// What was seen: of which vault, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    vault: VaultId,
    generation: u64,
}

impl Floor {
    /// Reads the home's floor; `None` if nothing was seen yet.
    pub(crate) fn read(home: &Home) -> Result<Option<Self>, VaultError> {
        let path = home.generation();
        let bytes = match private_file::read(&path, FLOOR_BYTES_MAX) {
            Err(FileError::Missing { .. }) => return Ok(None),
            other => other?,
        };
        parse(&bytes).map(Some).ok_or(VaultError::Floor { path })
    }

    /// Returns the generation below which a document of this vault is an old one.
    pub(crate) fn of(self, vault: &VaultId) -> u64 {
        if self.vault == *vault {
            self.generation
        } else {
            0
        }
    }

    /// Records the generation that was just written.
    pub(crate) fn write(
        home: &Home,
        vault: &VaultId,
        generation: u64,
        lock: &WriteLock,
    ) -> Result<(), VaultError> {
        let line = format!("{vault} {generation}\n");
        Ok(Staged::write(lock, &home.generation(), line.as_bytes())?.commit()?)
    }
}

fn parse(bytes: &[u8]) -> Option<Floor> {
    let line = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (vault, generation) = line.split_once(' ')?;
    Some(Floor {
        vault: vault.parse().ok()?,
        generation: generation.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_one_line() {
        let id = "0123456789abcdef0123456789abcdef";
        let check = |text: &str, expect: Option<u64>| {
            let found = parse(text.as_bytes()).map(|floor| floor.generation);
            assert_eq!(found, expect, "{text:?}");
        };
        check(&format!("{id} 7\n"), Some(7));
        check(&format!("{id} 7"), None);
        check(&format!("{id} \n"), None);
        check(&format!("{id} 7\n\n"), None);
        check("7\n", None);
        check("", None);
    }

    #[test]
    fn another_vault_has_no_floor() {
        let floor = parse(b"0123456789abcdef0123456789abcdef 7\n").unwrap();
        assert_eq!(
            floor.of(&"0123456789abcdef0123456789abcdef".parse().unwrap()),
            7
        );
        assert_eq!(
            floor.of(&"ffffffffffffffffffffffffffffffff".parse().unwrap()),
            0
        );
    }
}
