//! A Rust file as tidy reads it: its lines, the same lines with comments and literals blanked out, and which are tests.
//!
//! It is not a parser. It relies on rustfmt's layout: an item ends at a line with its closing brace at the item's own
//! indentation. INVARIANT: `code` has the same number of lines as the text.

/// A Rust file, prepared for the checks.
#[derive(Debug)]
pub(super) struct Source {
    path: String,
    text: String,
    code: Vec<String>,
    test: Vec<bool>,
}

impl Source {
    /// Prepares a file; `path` is relative to the repository.
    pub(super) fn new(path: String, text: String) -> Self {
        let code: Vec<String> = blanked(&text).lines().map(str::to_owned).collect();
        let test = test_lines(&path, &code);
        Self {
            path,
            text,
            code,
            test,
        }
    }

    /// Returns the path, relative to the repository.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the lines as written.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Returns each line's index, its code without comments and literals, and whether it is test code.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.code
            .iter()
            .zip(&self.test)
            .enumerate()
            .map(|(index, (line, test))| (index, line.as_str(), *test))
    }
}

/// Returns the text with the inside of comments and literals replaced by blanks; line breaks stay.
fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = literal_len(rest, out.chars().next_back()).unwrap_or(0);
        if len == 0 {
            out.push(first);
            rest = tail(rest, first.len_utf8());
        } else {
            let (literal, after) = rest.split_at(len);
            out.extend(literal.chars().map(|c| if c == '\n' { c } else { ' ' }));
            rest = after;
        }
    }
    out
}

fn tail(text: &str, from: usize) -> &str {
    text.get(from..).unwrap_or_default()
}

/// Returns the length in bytes of the comment or literal that `text` begins with; `before` is the character before it.
fn literal_len(text: &str, before: Option<char>) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment_len(text));
    }
    if text.starts_with('"') {
        return Some(quoted_len(text));
    }
    if text.starts_with('\'') {
        return char_len(text);
    }
    let in_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let hashes = text
        .strip_prefix('r')
        .filter(|_| !in_word || before == Some('b'))?;
    let count = hashes.bytes().take_while(|&byte| byte == b'#').count();
    let body = tail(hashes, count).strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    let open = "r".len() + count + "\"".len();
    Some(
        body.find(&end)
            .map_or(text.len(), |at| open + at + end.len()),
    )
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = text.as_bytes().get(at..).unwrap_or_default();
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

fn quoted_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Tells a character literal from a lifetime.
fn char_len(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        let (escaped, _) = chars.next()?;
        let close = tail(text, escaped + 1).find('\'')?;
        return Some(escaped + 1 + close + 1);
    }
    let (at, second) = chars.next()?;
    (second == '\'').then_some(at + 1)
}

/// Tells for each line whether it belongs to tests, fixtures or other code that never ships.
fn test_lines(path: &str, code: &[String]) -> Vec<bool> {
    let all = ["/tests/", "/benches/", "/examples/"]
        .iter()
        .any(|folder| path.contains(folder))
        || path.ends_with("/tests.rs")
        || path.starts_with("fuzz/")
        || path.starts_with("crates/mira-testkit/");
    let mut test = vec![all; code.len()];
    let mut index = 0;
    while let Some(line) = code.get(index) {
        if line.trim() == "#[cfg(test)]" {
            let end = item_end(code, index);
            if let Some(item) = test.get_mut(index..=end) {
                item.fill(true);
            }
            index = end;
        }
        index += 1;
    }
    test
}

/// Returns the index of the last line of the item whose attribute is at `start`.
fn item_end(code: &[String], start: usize) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = code.get(start).map_or(0, |line| indent(line));
    for (index, line) in code.iter().enumerate().skip(start + 1) {
        let ends = line.trim_end().ends_with([';', '}']);
        if ends && indent(line) == own {
            return index;
        }
    }
    code.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let check = |text: &str, expect: &str| assert_eq!(blanked(text), expect, "{text}");
        check("a // b\nc", "a     \nc");
        check("a /* b /* c */ d\n */ e", "a               \n    e");
        check(
            r#"f("x\"y", 'z', '\'', '\u{1}')"#,
            "f(      ,    ,     ,        )",
        );
        check("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)");
        check("r#\"a\"b\"# + br\"c\" + var", "         + b     + var");
        check("for \"x", "for   ");
    }

    #[test]
    fn tests_are_told_from_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(test)]\nuse x;\nfn c() {}\n";
        let lines = |path: &str| -> Vec<bool> {
            Source::new(path.to_owned(), text.to_owned())
                .code()
                .map(|(_, _, test)| test)
                .collect()
        };
        let (no, yes) = (false, true);
        assert_eq!(
            lines("crates/mira-x/src/lib.rs"),
            [no, yes, yes, yes, yes, yes, yes, no]
        );
        assert_eq!(lines("crates/mira-x/tests/it/main.rs"), [yes; 8]);
        assert_eq!(lines("crates/mira-x/src/tests.rs"), [yes; 8]);
    }
}
