//! Paths of files in a package: such as every system can have, and only those.
//!
//! INVARIANT: a [`PackagePath`] names a place below the folder that it is joined to, on every system, and no other
//! spelling of it names the same file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use unicode_normalization::UnicodeNormalization as _;

/// The longest path, in bytes.
// LIMIT: what is joined in front of it must leave room to Windows' 32,767 and Linux' 4,096 bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// The longest name of a file or folder, in bytes.
// LIMIT: NAME_MAX of all file systems in use.
const NAME_BYTES_MAX: usize = 255;
/// How many folders may be in each other.
// LIMIT: walking and removing recurse, on a stack of 2 MiB at least.
const DEPTH_MAX: usize = 64;

/// A path in a package: relative, with `/` between its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackagePath(Box<str>);

/// Why a text is no path in a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// It is empty, begins or ends with `/`, or has `//` or `.` or `..` in it.
    #[error("it is not a plain relative path")]
    NotRelative,
    /// The whole or one name is too long, or too many folders are in each other.
    #[error(
        "it is longer than {PATH_BYTES_MAX} bytes, or a name than {NAME_BYTES_MAX}, or it is nested deeper than {DEPTH_MAX}"
    )]
    TooLong,
    /// A character that some system cannot have in a name, or that does not show.
    #[error("it holds a control character or one of \\ : * ? \" < > |")]
    Character,
    /// A name that Windows keeps for a device, or that ends with a dot or a blank.
    #[error("Windows cannot have such a name")]
    Reserved,
    /// The text is not in Unicode's composed form (NFC).
    #[error("it is not in Unicode's composed form (NFC)")]
    NotComposed,
}

impl PackagePath {
    /// Returns the path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a path that is a constant of ours.
    pub(crate) fn from_str_constant(text: &'static str) -> Self {
        text.parse().expect("a constant that is a path")
    }

    /// Returns the path below a folder.
    #[must_use]
    pub fn below(&self, folder: &Path) -> PathBuf {
        let mut path = folder.to_owned();
        path.extend(self.0.split('/'));
        path
    }
}

impl FromStr for PackagePath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if text.len() > PATH_BYTES_MAX || text.split('/').count() > DEPTH_MAX {
            return Err(PathError::TooLong);
        }
        text.split('/').try_for_each(check_name)?;
        if !text.nfc().eq(text.chars()) {
            return Err(PathError::NotComposed);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for PackagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

fn check_name(name: &str) -> Result<(), PathError> {
    if name.is_empty() || name == "." || name == ".." {
        return Err(PathError::NotRelative);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    if name.chars().any(is_refused) {
        return Err(PathError::Character);
    }
    if name.ends_with(['.', ' ']) || is_device(name) {
        return Err(PathError::Reserved);
    }
    Ok(())
}

fn is_refused(c: char) -> bool {
    // Marks that change the direction of text make a name look like another.
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || "\\:*?\"<>|\u{2028}\u{2029}\u{feff}".contains(c)
}

/// Names that Windows takes for devices, with any ending.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$"
    ) {
        return true;
    }
    let numbered = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    let mut number = numbered.unwrap_or_default().chars();
    let digit = |c: char| c.is_ascii_digit() || matches!(c, '\u{b9}' | '\u{b2}' | '\u{b3}');
    number.next().is_some_and(digit) && number.next().is_none()
}

/// Two paths that are one on some system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collision(pub(crate) PackagePath, pub(crate) PackagePath);

/// Finds two paths that differ in case or form only, or of which one is a folder of the other.
pub(crate) fn collision<'a>(paths: impl IntoIterator<Item = &'a PackagePath>) -> Option<Collision> {
    // Each file and each folder, folded, with its spelling and the path that it was seen in.
    let mut seen: BTreeMap<String, (&str, bool, &PackagePath)> = BTreeMap::new();
    for path in paths {
        let text = path.as_str();
        let ends = text.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([text.len()]) {
            let (name, _) = text.split_at(end);
            let is_file = end == text.len();
            match seen.insert(folded(name), (name, is_file, path)) {
                Some((same, false, _)) if same == name && !is_file => {}
                Some((_, _, other)) => return Some(Collision(other.clone(), path.clone())),
                None => {}
            }
        }
    }
    None
}

/// Returns what is left of a name where case and form do not matter.
fn folded(name: &str) -> String {
    // Up, then down: some letters have several lower forms, and some an upper form of two letters.
    let upper = name.nfkd().collect::<String>().to_uppercase();
    upper.to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_such_as_every_system_can_have() {
        let check = |text: &str, expect: Result<(), PathError>| {
            assert_eq!(text.parse::<PackagePath>().map(|_| ()), expect, "{text:?}");
        };
        for good in [
            "a", "a/b.txt", ".hidden", "a b", "für.txt", "CONSOLE", "com10", "com", "nul-1",
            "a..b", "日本",
        ] {
            check(good, Ok(()));
        }
        for text in [
            "",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            ".",
            "..",
            "../a",
            "a/../b",
            "./a",
        ] {
            check(text, Err(PathError::NotRelative));
        }
        for text in [
            "C:/a",
            "a\\b",
            "..\\a",
            "a\0",
            "a\nb",
            "a\u{7f}",
            "a\u{85}",
            "a:stream",
            "x\u{202e}txt.exe",
            "a*",
        ] {
            check(text, Err(PathError::Character));
        }
        for text in [
            "con",
            "NUL.txt",
            "a/aux",
            "com1",
            "Lpt9.x",
            "COM\u{b9}",
            "nul .txt",
            "a.",
            "b ",
            "CONIN$",
        ] {
            check(text, Err(PathError::Reserved));
        }
        check("fu\u{308}r", Err(PathError::NotComposed));
        check(&"a".repeat(255), Ok(()));
        check(&"a".repeat(256), Err(PathError::TooLong));
        check(&"a/".repeat(70), Err(PathError::TooLong));
        check(
            &format!("{0}/{0}/{0}/{0}/{0}", "a".repeat(250)),
            Err(PathError::TooLong),
        );
    }

    #[test]
    fn paths_that_are_one_on_some_system_collide() {
        let check = |texts: &[&str], expect: bool| {
            let paths: Vec<PackagePath> = texts.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(collision(&paths).is_some(), expect, "{texts:?}");
        };
        check(&["a", "b", "c/a", "c/b", "d/c/a"], false);
        check(&["a", "a"], true);
        check(&["a", "A"], true);
        check(&["c/a", "C/b"], true);
        check(&["a", "a/b"], true);
        check(&["a/b", "A"], true);
        check(&["straße", "STRASSE"], true);
        check(&["für", "FÜR"], true);
        check(&["ſ", "s"], true);
        check(&["ﬁle", "file"], true);
    }
}
