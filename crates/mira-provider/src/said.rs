//! What a provider says, made fit to be shown: a line, of bounded length, and nothing of a key in it.
//!
//! Providers repeat keys in their errors, some with the middle left out: the redactor finds a whole value in every spelling, and what
//! is left of a shortened one is taken out here.

use std::sync::Arc;
use std::time::Instant;

use mira_redact::{NeedleSet, Redactor};

/// How many characters of a provider's message are shown.
// LIMIT: real ones have one or two sentences; a page of HTML has no place in an error.
const CHARS_MAX: usize = 300;

/// How many bytes of a key in one word make the word a piece of the key.
// LIMIT: beginnings such as `sk-proj-` are shorter, and are in messages that explain what a key looks like.
const PIECE_BYTES: usize = 9;

/// The same, where the word says that something was left out.
// LIMIT: a shortened key shows four characters at its end; three of them are not chance beside asterisks.
const SHORTENED_PIECE_BYTES: usize = 3;

/// The keys of a call, which must not be in what is said of it.
pub(crate) struct Keys {
    needles: Arc<NeedleSet>,
    plain: Vec<(String, mira_secret::SecretBytes)>,
}

impl Keys {
    /// Takes keys by their names.
    pub(crate) fn new<'a>(keys: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut needles = NeedleSet::builder();
        let mut plain = Vec::new();
        for (name, value) in keys {
            needles.add(name, value);
            let value = mira_secret::SecretBytes::copy_from(value);
            plain.push((name.to_owned(), value));
        }
        Self {
            needles: Arc::new(needles.build()),
            plain,
        }
    }

    /// Returns a provider's message, fit to be shown.
    pub(crate) fn clean(&self, said: &str) -> String {
        let mut redactor = Redactor::new(Arc::clone(&self.needles));
        let mut bytes = redactor.push(said.as_bytes(), Instant::now()).to_vec();
        bytes.extend_from_slice(redactor.finish());
        let text = String::from_utf8_lossy(&bytes);
        let words = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|word| !word.is_empty())
            .map(|word| self.unless_piece(word));
        let line = words.collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(CHARS_MAX) {
            None => line,
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        }
    }

    /// Returns a word, or the marker of the key that it is a piece of.
    fn unless_piece(&self, word: &str) -> String {
        let is_shortened = ["*", "..", "…", "•", "xxx", "XXX"]
            .iter()
            .any(|sign| word.contains(sign));
        let bytes = match is_shortened {
            true => SHORTENED_PIECE_BYTES,
            false => PIECE_BYTES,
        };
        let piece_of = |key: &mira_secret::SecretBytes| {
            // EXPOSE: to the search for pieces of it in a message, which tells only yes or no.
            let mut pieces = key.expose().windows(bytes);
            pieces.any(|piece| word.as_bytes().windows(bytes).any(|part| part == piece))
        };
        let found = self.plain.iter().find(|(_, key)| piece_of(key));
        found.map_or_else(|| word.to_owned(), |(name, _)| format!("[redacted:{name}]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "sk-proj-Zq8LmN3vXy7RtBw2HcKd9PfGs4";

    #[test]
    fn nothing_of_a_key_is_in_what_is_shown() {
        let keys = Keys::new([("OPENAI_API_KEY", KEY.as_bytes())]);
        let check = |said: &str, expect: &str| assert_eq!(keys.clean(said), expect, "{said}");
        let marked = "[redacted:OPENAI_API_KEY]";
        check(&format!("wrong: {KEY}"), &format!("wrong: {marked}"));
        // As OpenAI shortens it.
        check(
            "wrong: sk-proj-****************fGs4. See",
            &format!("wrong: {marked} See"),
        );
        check("wrong: sk-proj-Zq...", &format!("wrong: {marked}"));
        check("wrong: …PfGs4", &format!("wrong: {marked}"));
        // A half of it.
        check("wrong: Zq8LmN3vXy7R", &format!("wrong: {marked}"));
        // What only looks like one.
        check(
            "keys begin with sk-proj-, **bold**",
            "keys begin with sk-proj-, **bold**",
        );
    }

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let keys = Keys::new([]);
        assert_eq!(keys.clean("a\n\tb\u{1b}[2Jc  d"), "a b [2Jc d");
        let long = keys.clean(&"ä".repeat(1000));
        assert_eq!(long.chars().count(), CHARS_MAX + 1);
        assert!(long.ends_with('…'));
    }
}
