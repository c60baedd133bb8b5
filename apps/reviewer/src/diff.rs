//! A change as hunks with line numbers: what the model is shown, and what each finding is checked against.
//!
//! The format is read by `unidiff`. INVARIANT: what would make that library panic is refused before it is asked.

use unidiff::PatchSet;

/// The longest line number that a hunk's header may have, in digits.
// LIMIT: no file has a thousand million lines; the library would overflow.
const NUMBER_DIGITS_MAX: usize = 9;

/// Why a text is no diff.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum DiffError {
    #[error("line {0} of the diff is a hunk's header with a number that no file has")]
    Number(usize),
    #[error("the diff names a new file (`+++`) before any old one (`---`)")]
    NoSource,
    #[error("this is no unified diff: {0}")]
    Format(String),
}

/// What a line of a diff is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    Context,
    Added,
    Removed,
}

/// A line of a hunk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) kind: LineKind,
    /// Its number in the new file, unless it was removed.
    pub(crate) number: Option<u32>,
    pub(crate) text: String,
}

/// Lines that belong together.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hunk {
    pub(crate) section: String,
    pub(crate) lines: Vec<Line>,
}

impl Hunk {
    /// Returns the line with this number in the new file.
    pub(crate) fn line(&self, number: u32) -> Option<&Line> {
        self.lines.iter().find(|line| line.number == Some(number))
    }
}

/// A file that changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FileDiff {
    /// Its path after the change, or before where it is gone.
    pub(crate) path: String,
    pub(crate) removed: bool,
    pub(crate) hunks: Vec<Hunk>,
}

impl FileDiff {
    /// Reads the hunks that GitHub gives of one file.
    pub(crate) fn of_patch(path: &str, removed: bool, patch: &str) -> Result<Self, DiffError> {
        let files = parse(&format!("--- a/x\n+++ b/x\n{patch}"))?;
        let hunks = files
            .into_iter()
            .next()
            .map(|file| file.hunks)
            .unwrap_or_default();
        Ok(Self {
            path: path.to_owned(),
            removed,
            hunks,
        })
    }

    /// Returns the hunk that has this line of the new file.
    pub(crate) fn hunk_of(&self, number: u32) -> Option<&Hunk> {
        self.hunks.iter().find(|hunk| hunk.line(number).is_some())
    }

    /// Returns the numbers and texts of the lines that are in the new file, in order.
    pub(crate) fn new_lines(&self) -> impl Iterator<Item = (u32, &str)> {
        let lines = self.hunks.iter().flat_map(|hunk| &hunk.lines);
        lines.filter_map(|line| Some((line.number?, line.text.as_str())))
    }

    /// Returns how many bytes of text the hunks have.
    pub(crate) fn bytes(&self) -> usize {
        let lines = self.hunks.iter().flat_map(|hunk| &hunk.lines);
        lines.map(|line| line.text.len() + 1).sum()
    }
}

/// Reads a unified diff of any number of files, as git writes it. Binary files and pure renames have no hunks and are not in it.
pub(crate) fn parse(text: &str) -> Result<Vec<FileDiff>, DiffError> {
    check(text)?;
    let mut set = PatchSet::new();
    set.parse(text)
        .map_err(|error| DiffError::Format(error.to_string()))?;
    Ok(set.files().iter().map(file).collect())
}

/// Returns the files of a git diff that have no hunks: binary, renamed, empty, or of another mode.
pub(crate) fn without_lines(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    for line in text.lines() {
        // Lines of a hunk begin with a space, a sign or a backslash: what begins like these is a header.
        if let Some(names) = line.strip_prefix("diff --git ") {
            found.extend(current.take());
            // Both names are alike unless a line below says otherwise.
            let half = names.get(names.len() / 2 + 1..).unwrap_or(names);
            let name = unquoted(half);
            current = Some(name.strip_prefix("b/").unwrap_or(&name).to_owned());
        } else if let Some(name) = line.strip_prefix("rename to ") {
            current = Some(unquoted(name));
        } else if line.starts_with("@@ -") {
            current = None;
        }
    }
    found.extend(current);
    found
}

fn check(text: &str) -> Result<(), DiffError> {
    let mut source = false;
    for (at, line) in text.lines().enumerate() {
        source |= line.starts_with("--- ");
        if line.starts_with("+++ ") && !source {
            return Err(DiffError::NoSource);
        }
        // Lines of a hunk begin with a space, a sign or a backslash: what begins like this is a header.
        if let Some(header) = line.strip_prefix("@@ -") {
            let header = header.split(" @@").next().unwrap_or_default();
            let mut numbers = header.split(|char: char| !char.is_ascii_digit());
            if numbers.any(|digits| digits.len() > NUMBER_DIGITS_MAX) {
                return Err(DiffError::Number(at + 1));
            }
        }
    }
    Ok(())
}

fn file(file: &unidiff::PatchedFile) -> FileDiff {
    let removed = file.target_file == "/dev/null";
    let (name, prefix) = match removed {
        true => (&file.source_file, "a/"),
        false => (&file.target_file, "b/"),
    };
    let name = unquoted(name);
    FileDiff {
        path: name.strip_prefix(prefix).unwrap_or(&name).to_owned(),
        removed,
        hunks: file.hunks().iter().map(hunk).collect(),
    }
}

fn hunk(hunk: &unidiff::Hunk) -> Hunk {
    let line = |line: &unidiff::Line| {
        let kind = match line.line_type.as_str() {
            unidiff::LINE_TYPE_ADDED => LineKind::Added,
            unidiff::LINE_TYPE_REMOVED => LineKind::Removed,
            unidiff::LINE_TYPE_CONTEXT => LineKind::Context,
            // "\ No newline at end of file"
            _ => return None,
        };
        Some(Line {
            kind,
            number: line
                .target_line_no
                .and_then(|number| number.try_into().ok()),
            text: line.value.clone(),
        })
    };
    Hunk {
        section: hunk.section_header.clone(),
        lines: hunk.lines().iter().filter_map(line).collect(),
    }
}

/// Returns a name without the quotes and escapes that git writes around unusual characters.
fn unquoted(name: &str) -> String {
    let Some(inner) = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
    else {
        return name.to_owned();
    };
    let mut bytes = Vec::new();
    let mut rest = inner.bytes().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(digit @ b'0'..=b'3') => {
                let mut value = digit - b'0';
                while let Some(next @ b'0'..=b'7') = rest.peek().copied()
                    && value < 32
                {
                    value = value * 8 + (next - b'0');
                    rest.next();
                }
                bytes.push(value);
            }
            Some(other) => bytes.push(other),
            None => bytes.push(b'\\'),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str = "diff --git a/src/a.rs b/src/b.rs\n--- a/src/a.rs\n+++ b/src/b.rs\n@@ -1,3 +1,3 @@ fn main\n one\n--- two\n+++ zwei\n three\n\\ No newline at end of file\ndiff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-bye\n";

    #[test]
    fn a_line_that_looks_like_a_header_stays_a_line_of_its_hunk() {
        let files = parse(DIFF).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(files[0].path, "src/b.rs");
        let lines: Vec<_> = files[0].new_lines().collect();
        assert_eq!(lines, [(1, "one"), (2, "++ zwei"), (3, "three")]);
        assert!(files[1].removed && files[1].path == "gone");
    }

    #[test]
    fn what_would_make_the_library_panic_is_refused() {
        assert_eq!(
            parse("+++ b/x\n@@ -1 +1 @@\n+a\n"),
            Err(DiffError::NoSource)
        );
        let huge = "--- a/x\n+++ b/x\n@@ -1,99999999999999999999 +1 @@\n+a\n";
        assert_eq!(parse(huge), Err(DiffError::Number(3)));
        assert!(matches!(
            parse("@@ -1 +1 @@\n+a\n"),
            Err(DiffError::Format(_))
        ));
    }

    #[test]
    fn files_without_hunks_are_named_too() {
        let text = format!(
            "diff --git a/l o.png b/l o.png\nBinary files a/l o.png and b/l o.png differ\ndiff --git a/x b/new\nsimilarity index 100%\nrename from x\nrename to new\n{DIFF}diff --git a/m b/m\nold mode 100644\nnew mode 100755\n"
        );
        assert_eq!(without_lines(&text), ["l o.png", "new", "m"]);
    }

    #[test]
    fn names_are_read_as_git_quotes_them() {
        assert_eq!(unquoted("\"b/\\303\\244 \\\"x\\\".rs\""), "b/ä \"x\".rs");
        assert_eq!(unquoted("b/plain"), "b/plain");
    }
}
