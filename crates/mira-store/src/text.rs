//! What a text in the database may be: not empty, not endless, and nothing that would confuse a terminal.

/// Says that a text is not fit to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    /// Which text.
    pub(crate) what: &'static str,
    /// The most bytes that it may have.
    pub(crate) bytes_max: usize,
}

/// The longest name, version, key or digest, in bytes.
// LIMIT: more than any of them has; a manifest's texts are shorter.
pub(crate) const TEXT_BYTES_MAX: usize = 512;

/// The longest path, in bytes.
// LIMIT: PATH_MAX of Linux.
pub(crate) const PATH_BYTES_MAX: usize = 4096;

/// Returns the text if it is one line of 1 to [`TEXT_BYTES_MAX`] bytes.
pub(crate) fn line<'a>(what: &'static str, text: &'a str) -> Result<&'a str, Unfit> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Unfit {
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
) -> Result<&'a str, Unfit> {
    if text.len() > bytes_max || text.contains('\0') {
        return Err(Unfit { what, bytes_max });
    }
    Ok(text)
}

/// The longest text that others give and that is kept for people to read, in bytes.
// LIMIT: a line on a page; a browser's name has about 150.
pub(crate) const CLEANED_BYTES_MAX: usize = 256;

/// Returns a text of others as one line of at most [`CLEANED_BYTES_MAX`] bytes: what is too long is cut, and what a terminal or a page would
/// obey or hide is replaced.
pub(crate) fn cleaned(text: &str) -> String {
    const CUT: &str = "…";
    let mut clean = String::new();
    for c in text.chars() {
        let c = match c.is_control() || is_invisible(c) {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        };
        if clean.len() + c.len_utf8() > CLEANED_BYTES_MAX - CUT.len() {
            clean.push_str(CUT);
            break;
        }
        clean.push(c);
    }
    clean
}

/// Returns whether a character changes the direction of text or is not seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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

    #[test]
    fn texts_of_others_are_cut_and_cleaned() {
        assert_eq!(cleaned("Mozilla/5.0 (ü)"), "Mozilla/5.0 (ü)");
        assert_eq!(
            cleaned("a\0b\x1b[2Jc\nd"),
            "a\u{fffd}b\u{fffd}[2Jc\u{fffd}d"
        );
        assert_eq!(cleaned("a\u{202e}b"), "a\u{fffd}b");
        assert_eq!(cleaned(""), "");
        for long in ["a".repeat(1_000_000), "😀".repeat(1_000), "\0".repeat(300)] {
            let clean = cleaned(&long);
            assert!(
                clean.len() <= CLEANED_BYTES_MAX && clean.len() > 240,
                "{clean}"
            );
            assert!(clean.ends_with('…'), "{clean}");
        }
    }
}
