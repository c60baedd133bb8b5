//! What a document goes through before anybody sees it: values become markers, the user's home becomes `~`.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mira_redact::{NeedleSet, Redactor};
use serde_json::Value;

/// Cleans documents.
pub(super) struct Cleaner {
    needles: Arc<NeedleSet>,
    /// Folders and what they are called instead, the longest first.
    folders: Vec<(String, &'static str)>,
}

impl Cleaner {
    pub(super) fn new(needles: Arc<NeedleSet>, mira_home: &Path) -> Self {
        let user = std::env::var_os("HOME").unwrap_or_default();
        Self::with(needles, Path::new(&user), mira_home)
    }

    fn with(needles: Arc<NeedleSet>, user: &Path, mira_home: &Path) -> Self {
        let mut folders = Vec::new();
        for (folder, name) in [(user, "~"), (mira_home, "$MIRA_HOME")] {
            let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
            for spelling in [folder.to_owned(), real] {
                let text = spelling.to_string_lossy().trim_end_matches('/').to_owned();
                // The root is nobody's home.
                if text.len() > 1 {
                    folders.push((text, name));
                }
            }
        }
        // A home of Mira's below the user's is told as the user's is.
        folders.sort_by_key(|(folder, name)| (*name != "~", std::cmp::Reverse(folder.len())));
        folders.dedup();
        Self { needles, folders }
    }

    /// Returns the document with every text in it cleaned, keys too.
    pub(super) fn clean(&self, document: Value) -> Value {
        match document {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.clean(item)).collect(),
            Value::Object(facts) => facts
                .into_iter()
                .map(|(name, fact)| (self.text(&name), self.clean(fact)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other,
        }
    }

    fn text(&self, text: &str) -> String {
        let redacted = match self.needles.find(text.as_bytes()).is_empty() {
            true => text.to_owned(),
            false => {
                let mut redactor = Redactor::new(Arc::clone(&self.needles));
                let mut clean = redactor.push(text.as_bytes(), Instant::now()).to_vec();
                clean.extend_from_slice(redactor.finish());
                String::from_utf8_lossy(&clean).into_owned()
            }
        };
        let folders = self.folders.iter();
        folders.fold(redacted, |text, (folder, name)| {
            shortened(&text, folder, name)
        })
    }
}

/// Replaces a folder by its name, where it is the beginning of a path and not a part of a longer name.
fn shortened(text: &str, folder: &str, name: &str) -> String {
    let of_a_name = |c: char| c.is_alphanumeric() || "._-".contains(c);
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(folder) {
        let (before, from) = rest.split_at(at);
        let after = from.get(folder.len()..).unwrap_or_default();
        let begins = !before.ends_with(|c: char| of_a_name(c) || c == '/');
        clean.push_str(before);
        match begins && !after.starts_with(of_a_name) {
            true => clean.push_str(name),
            false => clean.push_str(folder),
        }
        rest = after;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn homes_are_shortened_where_they_are_meant() {
        let cleaner = |mira_home: &str| {
            let needles = Arc::new(NeedleSet::builder().build());
            Cleaner::with(needles, Path::new("/home/ann"), Path::new(mira_home))
        };
        let check = |mira_home: &str, text: &str, expect: &str| {
            assert_eq!(cleaner(mira_home).text(text), expect, "{text}");
        };
        let below = "/home/ann/.config/mira";
        check(below, "/home/ann", "~");
        check(
            below,
            "open /home/ann/.config/mira/x: no",
            "open ~/.config/mira/x: no",
        );
        check(
            below,
            "/home/anna and /home/ann-2",
            "/home/anna and /home/ann-2",
        );
        check(below, "/mnt/home/ann/x", "/mnt/home/ann/x");
        check(below, "a=/home/ann:/home/ann/b", "a=~:~/b");
        check(
            "/srv/mira",
            "/srv/mira/instances in /home/ann",
            "$MIRA_HOME/instances in ~",
        );
        check("/", "/etc/passwd", "/etc/passwd");
    }

    #[test]
    fn values_become_markers_in_keys_and_texts() {
        let mut needles = NeedleSet::builder();
        needles.add("KEY", b"sk-proj-4fXq81LmZ0pTw7Rk");
        let cleaner = Cleaner::with(Arc::new(needles.build()), Path::new("/"), Path::new("/"));
        let document =
            json!({"sk-proj-4fXq81LmZ0pTw7Rk": [1, {"a": "b sk-proj-4fXq81LmZ0pTw7Rk c"}]});
        let expect = json!({"[redacted:KEY]": [1, {"a": "b [redacted:KEY] c"}]});
        assert_eq!(cleaner.clean(document), expect);
    }
}
