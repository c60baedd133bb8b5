//! What a text in the database may be: not empty, not endless, and nothing that would confuse a terminal.

use crate::error::StoreError;

/// The longest name, version, key or digest, in bytes.
// LIMIT: more than any of them has; a manifest's texts are shorter.
pub(crate) const TEXT_BYTES_MAX: usize = 512;

/// The longest path, in bytes.
// LIMIT: PATH_MAX of Linux.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// Returns the text if it is one line of 1 to [`TEXT_BYTES_MAX`] bytes.
pub(crate) fn line<'a>(what: &'static str, text: &'a str) -> Result<&'a str, StoreError> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(StoreError::Unfit {
            what,
            bytes_max: TEXT_BYTES_MAX,
        });
    }
    bounded(what, text, TEXT_BYTES_MAX)
}

/// Returns the text if it has at most `bytes_max` bytes and no NUL, which Postgres does not store.
pub(crate) fn bounded<'a>(
    what: &'static str,
    text: &'a str,
    bytes_max: usize,
) -> Result<&'a str, StoreError> {
    if text.len() > bytes_max || text.contains('\0') {
        return Err(StoreError::Unfit { what, bytes_max });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        for fit in ["a", "Read later", "ü", &"a".repeat(TEXT_BYTES_MAX)] {
            assert_eq!(line("a name", fit), Ok(fit));
        }
        for unfit in ["", "a\nb", "\x1b[2J", "\0", &"a".repeat(TEXT_BYTES_MAX + 1)] {
            assert!(line("a name", unfit).is_err(), "{unfit:?}");
        }
        assert!(bounded("a value", "two\nlines", 9).is_ok());
        assert!(bounded("a value", "two\nlines", 8).is_err());
        assert!(bounded("a value", "\0", 8).is_err());
    }
}
