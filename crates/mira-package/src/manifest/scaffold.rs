//! What `mira new` writes: an app that runs as it is, to be changed into another.
//!
//! It returns files; it writes none.

use super::fault::is_hidden;
use super::name::slug;

const FILES: [(&str, &str); 3] = [
    ("mira.yaml", include_str!("scaffold/mira.yaml")),
    ("web.py", include_str!("scaffold/web.py")),
    ("README.md", include_str!("scaffold/README.md")),
];

// LIMIT: the folder's name becomes the app's, which has at most 200.
const NAME_CHARS_MAX: usize = 60;

/// Returns the files of a new app: their paths in its folder, and what they hold.
///
/// Any text is a name; what cannot be a part of the app's id becomes a hyphen there.
#[must_use]
pub fn template(name: &str) -> Vec<(&'static str, String)> {
    let name: String = name
        .chars()
        .filter(|&c| !is_hidden(c))
        .take(NAME_CHARS_MAX)
        .collect();
    let name = match name.trim() {
        "" => "My app",
        name => name,
    };
    let slug = slug(name);
    let part = match slug.trim_start_matches(|c: char| !c.is_ascii_lowercase()) {
        "" => "app",
        part => part,
    };
    // YAML's double quotes read what JSON's write.
    let quoted = serde_json::Value::from(name).to_string();
    let words = [
        ("id", format!("org.example.{part}")),
        ("name", name.to_owned()),
        ("name-in-quotes", quoted),
    ];
    FILES
        .iter()
        .map(|(path, text)| (*path, filled(text, &words)))
        .collect()
}

/// Puts words in the place of `{{word}}`. What is put there is not looked at again.
fn filled(text: &str, words: &[(&str, String)]) -> String {
    let mut pieces = text.split("{{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (word, rest) = piece.split_once("}}").unwrap_or_default();
        filled.extend(
            words
                .iter()
                .filter(|(known, _)| *known == word)
                .map(|(_, text)| text.as_str()),
        );
        filled.push_str(rest);
    }
    filled
}
