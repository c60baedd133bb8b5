//! The text inside sealed secrets: a strict part of what dotenv files may be.
//!
//! Whatever is read here is read in the same way by other readers of dotenv files; what they disagree about is refused. So no
//! reference (`$NAME`) is ever resolved, and there is no escape but those four that mean the same everywhere.
//!
//! INVARIANT: a fault holds a line's number and what is wrong, never any of the text.

use std::io::{self, Write};

use mira_secret::{SecretBytes, SecretName, SecretValue, ValueError};

use super::SECRETS_MAX;

/// Why a text is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct DotenvError {
    /// The line that the fault is in, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is not UTF-8.
    #[error("the text is not UTF-8")]
    NotText,
    /// There is no `=`, or blanks beside it.
    #[error("it is not NAME=value, without blanks around the `=`")]
    NotAssignment,
    /// The name is none.
    #[error(
        "the name is made of other characters than A-Z a-z 0-9 _, begins with a digit or is too long"
    )]
    Name,
    /// The name was there already.
    #[error("the name is there twice")]
    Twice,
    /// The value is none that an environment variable can carry.
    #[error("{0}")]
    Value(ValueError),
    /// A character that is read in different ways where there are no quotes.
    #[error("write a value with blanks, quotes or one of \\ $ # ` in double quotes")]
    NeedsQuotes,
    /// A quote is not closed.
    #[error("a quote is not closed")]
    OpenQuote,
    /// A backslash in single quotes.
    #[error("write a value with a backslash in double quotes, and the backslash twice")]
    Backslash,
    /// An escape that is not read in the same way everywhere.
    #[error("in double quotes a backslash stands before one of \\ \" $ n only")]
    Escape,
    /// A reference to another variable.
    #[error("references are not resolved; write a dollar sign as \\$")]
    Reference,
    /// Something follows the value.
    #[error("something follows the value, be it a blank; a comment stands on a line of its own")]
    Trailing,
    /// There are more secrets than the limit.
    #[error("there are more than {SECRETS_MAX} secrets")]
    TooMany,
}

/// Writes one secret as it is read again.
pub(super) fn write(output: &mut impl Write, name: &SecretName, value: &str) -> io::Result<()> {
    write!(output, "{name}=\"")?;
    for piece in value.split_inclusive(['\\', '"', '$']) {
        let text = piece.trim_end_matches(['\\', '"', '$']);
        let (text, special) = piece.split_at(text.len());
        output.write_all(text.as_bytes())?;
        if !special.is_empty() {
            output.write_all(b"\\")?;
            output.write_all(special.as_bytes())?;
        }
    }
    output.write_all(b"\"\n")
}

/// Reads secrets, in their order.
///
/// # Errors
///
/// Returns the first line that is not understood.
pub fn parse(text: &SecretBytes) -> Result<Vec<(SecretName, SecretValue)>, DotenvError> {
    // EXPOSE: to the parser below, which makes secrets of it.
    let bytes = text.expose();
    let mut cursor = Cursor { rest: "", line: 1 };
    let rest = std::str::from_utf8(bytes).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
        cursor.line += before.iter().filter(|byte| **byte == b'\n').count();
        cursor.error(Fault::NotText)
    })?;
    let mut cursor = Cursor { rest, line: 1 };
    let mut secrets: Vec<(SecretName, SecretValue)> = Vec::new();
    while !cursor.rest.is_empty() {
        let blanks = cursor.skip(|c| c == ' ' || c == '\t');
        if cursor.rest.is_empty() && !blanks.is_empty() {
            return Err(cursor.error(Fault::NotAssignment));
        }
        if cursor.rest.starts_with('#') {
            cursor.skip(|c| c != '\n');
        }
        if cursor.end_line() {
            continue;
        }
        let at = cursor.clone();
        let name = cursor.name()?;
        if secrets.iter().any(|(other, _)| *other == name) {
            return Err(at.error(Fault::Twice));
        }
        if secrets.len() == SECRETS_MAX {
            return Err(at.error(Fault::TooMany));
        }
        let bytes = cursor.value()?;
        let value =
            SecretValue::new(&name, bytes).map_err(|error| at.error(Fault::Value(error)))?;
        secrets.push((name, value));
    }
    Ok(secrets)
}

#[derive(Clone)]
struct Cursor<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn error(&self, fault: Fault) -> DotenvError {
        DotenvError {
            line: self.line,
            fault,
        }
    }

    /// Passes over characters; returns them.
    fn skip(&mut self, which: impl Fn(char) -> bool) -> &'a str {
        let len = self.rest.find(|c| !which(c)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.line += skipped.matches('\n').count();
        skipped
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.line += usize::from(rest.is_some() && text.ends_with('\n'));
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Passes over the end of a line; returns whether there is one.
    fn end_line(&mut self) -> bool {
        self.rest.is_empty() || self.take("\n") || self.take("\r\n")
    }

    fn name(&mut self) -> Result<SecretName, DotenvError> {
        let at = self.clone();
        let mut text = self.skip(|c| !"= \t\r\n".contains(c));
        if text == "export" && (self.take(" ") || self.take("\t")) {
            self.skip(|c| c == ' ' || c == '\t');
            text = self.skip(|c| !"= \t\r\n".contains(c));
        }
        if text.is_empty() || !self.take("=") {
            return Err(at.error(Fault::NotAssignment));
        }
        text.parse().map_err(|_| at.error(Fault::Name))
    }

    fn value(&mut self) -> Result<SecretBytes, DotenvError> {
        let value = if self.take("\"") {
            self.double_quoted()?
        } else if self.take("'") {
            self.single_quoted()?
        } else {
            self.unquoted()?
        };
        match self.end_line() {
            true => Ok(value),
            false => Err(self.error(Fault::Trailing)),
        }
    }

    fn unquoted(&mut self) -> Result<SecretBytes, DotenvError> {
        let at = self.clone();
        let text = self.skip(|c| !c.is_whitespace() && !c.is_control());
        if text.contains(['\'', '"', '\\', '$', '#', '`']) || at.rest.starts_with([' ', '\t']) {
            return Err(at.error(Fault::NeedsQuotes));
        }
        Ok(SecretBytes::copy_from(text.as_bytes()))
    }

    fn single_quoted(&mut self) -> Result<SecretBytes, DotenvError> {
        let at = self.clone();
        let text = self.skip(|c| c != '\'');
        if !self.take("'") {
            return Err(at.error(Fault::OpenQuote));
        }
        match text.contains('\\') {
            true => Err(at.error(Fault::Backslash)),
            false => Ok(SecretBytes::copy_from(text.as_bytes())),
        }
    }

    fn double_quoted(&mut self) -> Result<SecretBytes, DotenvError> {
        let at = self.clone();
        let mut len = 0;
        // What is unescaped is never longer, so it is written into memory of its own at once.
        let mut value = SecretBytes::try_fill(self.double_quoted_len(), |buffer| {
            let mut push = |text: &str| {
                let place = buffer.get_mut(len..len + text.len());
                place
                    .expect("it is not longer than the text")
                    .copy_from_slice(text.as_bytes());
                len += text.len();
            };
            loop {
                push(self.skip(|c| !matches!(c, '"' | '\\' | '$')));
                if self.take("\"") {
                    return Ok(());
                }
                if self.rest.starts_with('$') {
                    return Err(self.error(Fault::Reference));
                }
                if !self.take("\\") {
                    return Err(at.error(Fault::OpenQuote));
                }
                match self.rest.chars().next() {
                    Some('\\') => push("\\"),
                    Some('"') => push("\""),
                    Some('$') => push("$"),
                    Some('n') => push("\n"),
                    Some(_) => return Err(self.error(Fault::Escape)),
                    None => return Err(at.error(Fault::OpenQuote)),
                }
                let mut rest = self.rest.chars();
                rest.next();
                self.rest = rest.as_str();
            }
        })?;
        value.truncate(len);
        Ok(value)
    }

    /// Returns how long the text is up to the closing quote, or up to the end.
    fn double_quoted_len(&self) -> usize {
        let mut escaped = false;
        let closes = |c: char| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        };
        self.rest.find(closes).unwrap_or(self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, DotenvError> {
        let parsed = parse(&SecretBytes::copy_from(text.as_bytes()))?;
        let shown = |(name, value): &(SecretName, SecretValue)| {
            (
                name.to_string(),
                String::from_utf8(value.expose().to_vec()).unwrap(),
            )
        };
        Ok(parsed.iter().map(shown).collect())
    }

    #[test]
    fn what_is_understood_is_what_dotenv_readers_agree_on() {
        let check = |text: &str, expect: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            let expect: Vec<_> = expect.iter().map(own).collect();
            assert_eq!(read(text).as_deref(), Ok(&expect[..]), "{text:?}");
            let other: Result<Vec<_>, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
            assert_eq!(other.unwrap(), expect, "{text:?}");
        };
        check("", &[]);
        check("\n  # a comment\r\n\t\n", &[]);
        check("A=1\n \n # two ", &[("A", "1")]);
        check("A=1\nB=2", &[("A", "1"), ("B", "2")]);
        check(
            "export A=1\r\n\t# it's one\r\nB=x=y\r\n",
            &[("A", "1"), ("B", "x=y")],
        );
        check(
            "A='it is #1 $HOME \"so\"'\n",
            &[("A", "it is #1 $HOME \"so\"")],
        );
        check(
            "A=\"a \\\\ b \\\" c \\$HOME \\n#d `e` 'f'\"\n",
            &[("A", "a \\ b \" c $HOME \n#d `e` 'f'")],
        );
        check(
            "A=\"one\n# two\r\n\"\nB='x\ny'\n",
            &[("A", "one\n# two\r\n"), ("B", "x\ny")],
        );
    }

    #[test]
    fn what_is_not_understood_is_told_by_line() {
        let check = |text: &str, line: usize, fault: Fault| {
            assert_eq!(read(text), Err(DotenvError { line, fault }), "{text:?}");
            assert!(!format!("{fault} {fault:?}").contains("canary"));
        };
        check("A=1\ncanary\n", 2, Fault::NotAssignment);
        check("A =canary\n", 1, Fault::NotAssignment);
        check("=canary\n", 1, Fault::NotAssignment);
        check("A-B=canary", 1, Fault::Name);
        check("A=1\nB=\"x\ny\"\nA=canary", 4, Fault::Twice);
        check("A=", 1, Fault::Value(ValueError::Empty));
        check("A=\"\"", 1, Fault::Value(ValueError::Empty));
        check("A=\"x\0\"", 1, Fault::Value(ValueError::Nul));
        for value in [" canary", "ca\\nary", "$canary", "canary#1", "it's", "`id`"] {
            check(&format!("A={value}"), 1, Fault::NeedsQuotes);
        }
        check("A=ca nary", 1, Fault::Trailing);
        check("A='a'b", 1, Fault::Trailing);
        check("A=\"a\"#b", 1, Fault::Trailing);
        check("A=a\u{1}", 1, Fault::Trailing);
        for follows in [" ", "\t\n", " # comment", " \r\n"] {
            check(&format!("A=a{follows}"), 1, Fault::Trailing);
            check(&format!("A='a'{follows}"), 1, Fault::Trailing);
        }
        check("A=a\n\t", 2, Fault::NotAssignment);
        check("A='canary\n\n", 1, Fault::OpenQuote);
        check("A=\"canary\\\"\n", 1, Fault::OpenQuote);
        check("A=\"canary\\", 1, Fault::OpenQuote);
        check("A='a\\b'", 1, Fault::Backslash);
        check("A=\"\n\\t\"", 2, Fault::Escape);
        check("A=\"$canary\"", 1, Fault::Reference);
        let many: String = (0..=SECRETS_MAX).map(|at| format!("A{at}=1\n")).collect();
        check(&many, SECRETS_MAX + 1, Fault::TooMany);
        let broken = parse(&SecretBytes::copy_from(b"A=1\nB=\xff"));
        assert_eq!(
            broken.err(),
            Some(DotenvError {
                line: 2,
                fault: Fault::NotText
            })
        );
    }
}
