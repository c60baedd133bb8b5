//! What is wrong with a manifest, and where: one fault, and all of them.
//!
//! INVARIANT: a fault repeats short words of the file's own (keys, names), never a text that may be a value, and nothing that a
//! terminal obeys.

use std::fmt;

use serde::Serialize;

/// The file's name, as faults show it.
pub const FILE_NAME: &str = "mira.yaml";

// LIMIT: nobody mends more in one go, and a hostile file would fill the screen.
const FAULTS_MAX: usize = 100;

// LIMIT: the most characters of the file that a message repeats.
const SHOWN_CHARS_MAX: usize = 40;

/// A place in the file: line and column, both counted from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Place {
    /// The file's beginning.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// Returns the place just behind a text.
    pub(super) fn after(text: &str) -> Self {
        let widths = line_widths(text);
        Self {
            line: widths.len(),
            column: 1 + widths.last().copied().unwrap_or_default(),
        }
    }
}

/// One thing that is wrong with a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The part of the file, such as `services[1].health.port`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Fault {
    pub(super) fn new(place: Place, path: &str, message: impl Into<String>) -> Self {
        Self {
            line: place.line,
            column: place.column,
            path: path.to_owned(),
            message: message.into(),
            suggestion: None,
        }
    }

    pub(super) fn with(mut self, suggestion: impl Into<Option<String>>) -> Self {
        self.suggestion = suggestion.into();
        self
    }

    /// Returns the fault as one line, with the file called as the caller calls it.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            write!(f, "{file}:{}:{}: ", self.line, self.column)?;
            if !self.path.is_empty() {
                write!(f, "{}: ", self.path)?;
            }
            f.write_str(&self.message)?;
            match &self.suggestion {
                Some(suggestion) => write!(f, "; {suggestion}"),
                None => Ok(()),
            }
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.in_file(FILE_NAME).fmt(f)
    }
}

/// All that is wrong with a manifest, by place: one fault at least.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ManifestError {
    faults: Vec<Fault>,
    left_out: usize,
}

impl ManifestError {
    /// Sorts the faults by place, and leaves out those beyond the limit.
    pub(super) fn new(mut faults: Vec<Fault>) -> Self {
        faults.sort_by_key(|fault| (fault.line, fault.column));
        let left_out = faults.len().saturating_sub(FAULTS_MAX);
        faults.truncate(FAULTS_MAX);
        for fault in &mut faults {
            fault.message = visible(&fault.message);
            fault.suggestion = fault.suggestion.as_deref().map(visible);
        }
        Self { faults, left_out }
    }

    /// Moves places behind the end of the text to its end: that is where the parser finds what is missing there.
    pub(super) fn within(mut self, text: &str) -> Self {
        let widths = line_widths(text);
        for fault in &mut self.faults {
            if fault.line > widths.len() {
                (fault.line, fault.column) = (widths.len(), usize::MAX);
            }
            let width = widths.get(fault.line - 1).copied().unwrap_or_default();
            fault.column = fault.column.min(width + 1);
        }
        self
    }

    /// Returns the faults, in the order of the file.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Returns how many more faults there are.
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\n{FILE_NAME}: and {more} more"),
        }
    }
}

/// Returns a short word of the file in backticks, or what to call a text that is better not repeated.
pub(super) fn shown(text: &str) -> String {
    match is_short_word(text) {
        true => format!("`{text}`"),
        false => "this text".to_owned(),
    }
}

/// Returns what something is, with its name where that is a short word.
pub(super) fn called(what: &str, name: &str) -> String {
    match is_short_word(name) {
        true => format!("{what} `{name}`"),
        false => format!("{what} of this name"),
    }
}

fn is_short_word(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= SHOWN_CHARS_MAX
        && text
            .chars()
            .all(|c| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric())
}

/// Returns a question that names the known word which is most like the given one, if any is.
pub(super) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    // LIMIT: longer words are no slips of a key, and comparing costs the product of the lengths.
    if word.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let lower = word.to_lowercase();
    known
        .into_iter()
        .filter(|candidate| is_short_word(candidate))
        .filter_map(|candidate| {
            let other = candidate.to_lowercase();
            let shorter = other.chars().count().min(lower.chars().count());
            let steps = strsim::damerau_levenshtein(&lower, &other);
            let is_slip = steps <= (shorter / 3).max(1) && steps < shorter;
            // `environment` for `env`, `volume` for `volumes`, `SIGTERM` for `TERM`.
            let is_part = shorter >= 3
                && (lower.starts_with(&other)
                    || other.starts_with(&lower)
                    || lower.ends_with(&other));
            (is_slip || is_part).then_some((steps, candidate))
        })
        .min_by_key(|(steps, _)| *steps)
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// Returns a list of words for a sentence: "`a`, `b` or `c`". Texts that are no short words are left out.
pub(super) fn any_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words
        .into_iter()
        .filter(|word| is_short_word(word))
        .map(|word| format!("`{word}`"))
        .collect();
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}

/// Returns how many characters each line has. Lines end as YAML's do: with a line feed, a carriage return, or both.
fn line_widths(text: &str) -> Vec<usize> {
    text.replace("\r\n", "\n")
        .split(['\n', '\r'])
        .map(|line| line.chars().count())
        .collect()
}

/// Returns a text with escapes in the place of what is hidden.
fn visible(text: &str) -> String {
    text.chars()
        .flat_map(|c| match is_hidden(c) {
            true => c.escape_default().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Characters that are not seen but obeyed: controls, line separators, marks that turn the direction of text.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
