//! Dotenv files: read by the `dotenvy` crate, and edited without touching what is not taken.
//!
//! INVARIANT: an edited file reads exactly as the rest of the original did, or it is not edited.

use mira_secret::{SecretBytes, SecretName};
use zeroize::Zeroize;

/// Why a dotenv file cannot be read. It holds no content.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DotenvError {
    /// The file is not text.
    #[error("it is not UTF-8 text")]
    NotText,
    /// A statement is not understood.
    #[error("line {line} is no NAME=value line (quotes may be open)")]
    Line {
        /// The statement's first line, counted from 1.
        line: usize,
    },
}

/// One statement: its lines, and the name that it assigns to, if it is an assignment.
struct Statement<'a> {
    text: &'a str,
    name: Option<String>,
}

/// Returns the assignments of a dotenv file in their order, references between them resolved; of several to one name,
/// the last.
///
/// # Errors
///
/// Returns which line is not understood.
pub(crate) fn parse(bytes: &SecretBytes) -> Result<Vec<(String, SecretBytes)>, DotenvError> {
    let text = text(bytes)?;
    statements(text)?;
    let mut pairs: Vec<(String, SecretBytes)> = Vec::new();
    for assignment in dotenvy::from_read_iter(text.as_bytes()) {
        // Each statement was read on its own already.
        let (name, value) = assignment.map_err(|_| DotenvError::Line { line: 1 })?;
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, SecretBytes::from_vec(value.into_bytes())));
    }
    Ok(pairs)
}

/// Returns the file without the assignments to `taken`, all other bytes as they were; `None` if the result would not
/// read as the rest of the file did.
pub(crate) fn without(bytes: &SecretBytes, taken: &[SecretName]) -> Option<Vec<u8>> {
    let is_taken = |name: &str| taken.iter().any(|taken| taken.as_str() == name);
    let statements = statements(text(bytes).ok()?).ok()?;
    let kept: String = statements
        .iter()
        .filter(|statement| !statement.name.as_deref().is_some_and(is_taken))
        .map(|statement| statement.text)
        .collect();
    let before: Vec<_> = parse(bytes)
        .ok()?
        .into_iter()
        .filter(|(name, _)| !is_taken(name))
        .collect();
    let after = parse(&SecretBytes::copy_from(kept.as_bytes())).ok()?;
    (before == after).then(|| kept.into_bytes())
}

fn text(bytes: &SecretBytes) -> Result<&str, DotenvError> {
    // EXPOSE: to the dotenv parser, which makes secrets of its values.
    std::str::from_utf8(bytes.expose()).map_err(|_| DotenvError::NotText)
}

/// Splits the text into statements: as few lines each as read as a whole.
fn statements(text: &str) -> Result<Vec<Statement<'_>>, DotenvError> {
    let mut statements = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while !rest.is_empty() {
        let ends = rest
            .match_indices('\n')
            .map(|(at, _)| at + 1)
            .chain([rest.len()]);
        let (head, name) = ends
            .filter_map(|end| rest.split_at_checked(end))
            .find_map(|(head, _)| Some((head, one_statement(head)?)))
            .ok_or(DotenvError::Line { line })?;
        line += head.matches('\n').count();
        rest = rest.strip_prefix(head).unwrap_or_default();
        statements.push(Statement { text: head, name });
    }
    Ok(statements)
}

/// Reads lines as one statement: `None` if they are not a whole one.
fn one_statement(text: &str) -> Option<Option<String>> {
    let mut found = dotenvy::from_read_iter(text.as_bytes());
    match found.next() {
        None => Some(None),
        Some(Err(mut error)) => {
            // The parser's error holds the line, and so perhaps a value.
            if let dotenvy::Error::LineParse(line, _) = &mut error {
                line.zeroize();
            }
            None
        }
        Some(Ok((name, mut value))) => {
            value.zeroize();
            found.next().is_none().then_some(Some(name))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretBytes {
        SecretBytes::copy_from(text.as_bytes())
    }

    fn names(names: &[&str]) -> Vec<SecretName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn statements_are_read_as_dotenv_reads_them() {
        let check = |text: &str, expect: &[(&str, &str)]| {
            let found = parse(&secret(text)).unwrap();
            let expect: Vec<_> = expect
                .iter()
                .map(|(name, value)| ((*name).to_owned(), secret(value)))
                .collect();
            assert_eq!(found, expect, "{text:?}");
        };
        check("", &[]);
        check("# nothing\n\n", &[]);
        check("A=1\nB=2", &[("A", "1"), ("B", "2")]);
        check("export A='a b' # said\n", &[("A", "a b")]);
        check("A=1\nA=2\n", &[("A", "2")]);
        check("A=\"one\ntwo\"\nB=x\n", &[("A", "one\ntwo"), ("B", "x")]);
        check(
            "A='-----BEGIN\nxyz\n-----END'\n",
            &[("A", "-----BEGIN\nxyz\n-----END")],
        );
        check("A=1\r\nB=2\r\n", &[("A", "1"), ("B", "2")]);
    }

    #[test]
    fn errors_name_the_line_and_nothing_of_it() {
        let error = parse(&secret("A=1\n# x\nB=\"never closed sk-1\nC=3\n")).unwrap_err();
        assert_eq!(error, DotenvError::Line { line: 3 });
        assert!(!error.to_string().contains("sk-1"));
        let binary = SecretBytes::copy_from(b"A=\xff\n");
        assert_eq!(parse(&binary).unwrap_err(), DotenvError::NotText);
    }

    #[test]
    fn editing_leaves_all_else_as_it_was() {
        let text = "# keys\nKEY=\"one\ntwo\" # pem\n\nPORT=3000\nexport TOKEN=abc\n";
        let rest = without(&secret(text), &names(&["KEY", "TOKEN"])).unwrap();
        assert_eq!(String::from_utf8(rest).unwrap(), "# keys\n\nPORT=3000\n");
        let rest = without(&secret(text), &names(&["OTHER"])).unwrap();
        assert_eq!(rest, text.as_bytes());
    }

    #[test]
    fn a_value_that_refers_to_a_taken_one_is_not_edited() {
        let text = "KEY=abc\nURL=https://x/$KEY\n";
        assert_eq!(without(&secret(text), &names(&["KEY"])), None);
    }
}
