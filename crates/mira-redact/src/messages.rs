//! The redactor of a stream of messages: one JSON text per line, which must be one afterwards too.
//!
//! A value may begin in the middle of an escape (`\n` and then `abc`, where `nabc` is the value), be a bare number, or reach
//! over several strings of a message; a marker in its place would break the text. So markers are put into strings, at
//! places between characters, and in place of whole numbers and words. The structure is left as it is.
//!
//! INVARIANT: a line that was a JSON text is one afterwards; a line without a value passes byte for byte, and as soon as its
//! newline has come.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use jsonc_parser::tokens::Token;
use jsonc_parser::{Scanner, ScannerOptions};
use zeroize::Zeroizing;

use crate::buffer::READ_BYTES;
use crate::forms;
use crate::redactor::Redactor;
use crate::set::{Finding, NeedleSet};
use crate::stream::Counts;

/// The longest line that is looked at as a message, in bytes.
// LIMIT: a client refuses longer ones; what goes beyond passes as any other bytes, redacted, with no more memory.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What JSON has, and nothing of its extensions (RFC 8259).
const STRICT: ScannerOptions = ScannerOptions {
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

impl NeedleSet {
    /// Returns a JSON text with a marker in place of each value in it, a JSON text again; `None` if there is none in it.
    ///
    /// Of what is no JSON text the values are replaced where they stand.
    #[must_use]
    pub fn redact_message(&self, text: &[u8]) -> Option<Vec<u8>> {
        let findings = self.find(text);
        (!findings.is_empty()).then(|| redacted(text, &findings))
    }
}

fn redacted(text: &[u8], findings: &[Finding]) -> Vec<u8> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| in_json(text, findings))
        .unwrap_or_else(|| in_place(text, findings))
}

/// Puts markers where the values stand.
fn in_place(text: &[u8], findings: &[Finding]) -> Vec<u8> {
    let mut out = Out::new(text);
    for finding in findings {
        let (start, end) = place(finding);
        out.replace(start, end, forms::marker(&finding.name).as_bytes());
    }
    out.finish()
}

/// Puts markers into the strings, numbers and words that values touch; `None` if the text is not made of what JSON is made of.
fn in_json(text: &str, findings: &[Finding]) -> Option<Vec<u8>> {
    let mut scanner = Scanner::new(text, &STRICT);
    let mut out = Out::new(text.as_bytes());
    let mut findings = findings;
    while let Some(token) = scanner.scan().ok()? {
        let (start, end) = (scanner.token_start(), scanner.token_end());
        let past = findings.partition_point(|finding| place(finding).1 <= start);
        findings = findings.get(past..)?;
        let touching = findings.partition_point(|finding| place(finding).0 < end);
        let touching = findings.get(..touching)?;
        match (token, touching.first()) {
            (Token::Word(_) | Token::CommentLine(_) | Token::CommentBlock(_), _) => return None,
            (Token::String(_), Some(_)) => {
                in_string(text, (start + 1, end - 1), touching, &mut out)
            }
            (Token::Number(_) | Token::Boolean(_) | Token::Null, Some(finding)) => {
                out.replace(
                    start,
                    end,
                    format!("\"{}\"", forms::marker(&finding.name)).as_bytes(),
                );
            }
            _ => {}
        }
    }
    Some(out.finish())
}

/// Puts markers into a string, whose characters stand between `start` and `end`.
fn in_string(text: &str, (start, end): (usize, usize), findings: &[Finding], out: &mut Out<'_>) {
    let mut at = start;
    for finding in findings {
        let (from, to) = place(finding);
        let to = to.min(end);
        let mut first = at;
        while at < to {
            let next = at + character_len(text.as_bytes().get(at..end).unwrap_or_default());
            if next <= from {
                first = next;
            }
            at = next;
        }
        if first < at {
            out.replace(first, at, forms::marker(&finding.name).as_bytes());
        }
    }
}

/// Returns how many bytes the first character of a string's inside takes: with its escape, two for a pair of surrogates.
fn character_len(rest: &[u8]) -> usize {
    let is_escaped = |rest: &[u8], second: &[u8]| {
        rest.starts_with(b"\\u")
            && rest.get(2..4).is_some_and(|hex| {
                let hex = hex.to_ascii_lowercase();
                hex.first() == Some(&b'd') && hex.get(1).is_some_and(|digit| second.contains(digit))
            })
    };
    match rest {
        [b'\\', b'u', ..] => {
            let is_pair = is_escaped(rest, b"89ab")
                && rest.get(6..).is_some_and(|low| is_escaped(low, b"cdef"));
            if is_pair { 12 } else { 6 }
        }
        [b'\\', ..] => 2,
        // The length of a character in UTF-8 stands in its first byte (RFC 3629).
        [0xf0..=0xff, ..] => 4,
        [0xe0..=0xef, ..] => 3,
        [0xc0..=0xdf, ..] => 2,
        _ => 1,
    }
}

fn place(finding: &Finding) -> (usize, usize) {
    // What is in memory has a length in memory.
    let start = usize::try_from(finding.offset).unwrap_or(usize::MAX);
    let len = usize::try_from(finding.len).unwrap_or(usize::MAX);
    (start, start.saturating_add(len))
}

/// A copy of a text with some of it replaced, in order.
struct Out<'a> {
    text: &'a [u8],
    bytes: Vec<u8>,
    done: usize,
}

impl<'a> Out<'a> {
    fn new(text: &'a [u8]) -> Self {
        let bytes = Vec::with_capacity(text.len());
        Self {
            text,
            bytes,
            done: 0,
        }
    }

    fn replace(&mut self, start: usize, end: usize, by: &[u8]) {
        self.bytes
            .extend_from_slice(self.text.get(self.done..start).unwrap_or_default());
        self.bytes.extend_from_slice(by);
        self.done = end;
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes
            .extend_from_slice(self.text.get(self.done..).unwrap_or_default());
        self.bytes
    }
}

/// What the line is that has begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    None,
    /// It may be a message, and is kept until its newline.
    Message,
    /// It is none, and passes as it comes.
    Other,
}

/// Redacts one stream of messages. What is no message passes as through a [`Redactor`], with its deadlines.
///
/// LIMIT: in a message, a value of several lines is looked for as JSON spells it, in one line.
pub struct Messages {
    set: Arc<NeedleSet>,
    input: Zeroizing<Vec<u8>>,
    line: Zeroizing<Vec<u8>>,
    begun: Line,
    other: Redactor,
    out: Vec<u8>,
    counts: Counts,
}

impl Messages {
    /// Makes a redactor for a new stream.
    #[must_use]
    pub fn new(set: Arc<NeedleSet>) -> Self {
        Self {
            input: Zeroizing::default(),
            line: Zeroizing::default(),
            begun: Line::None,
            other: Redactor::new(Arc::clone(&set)),
            out: Vec::new(),
            counts: Counts::default(),
            set,
        }
    }

    /// Returns where the caller reads next: 64 KiB. Say with [`Messages::filled`] how much came.
    pub fn spare(&mut self) -> &mut [u8] {
        self.input.resize(READ_BYTES, 0);
        &mut self.input
    }

    /// Takes `len` bytes that were read into [`Messages::spare`]; returns the bytes to write now.
    pub fn filled(&mut self, len: usize, now: Instant) -> &[u8] {
        let input = std::mem::take(&mut self.input);
        self.out.clear();
        self.take(input.get(..len).unwrap_or_default(), now);
        self.input = input;
        &self.out
    }

    /// Takes a chunk of any size; returns the bytes to write now.
    pub fn push(&mut self, chunk: &[u8], now: Instant) -> &[u8] {
        self.out.clear();
        self.take(chunk, now);
        &self.out
    }

    /// Returns when [`Messages::expire`] is due, if anything but a message is held back.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.other.deadline()
    }

    /// Lets a held tail go when its time has come, as [`Redactor::expire`].
    pub fn expire(&mut self, now: Instant) -> &[u8] {
        self.other.expire(now)
    }

    /// Ends the stream; returns the last bytes to write.
    pub fn finish(&mut self) -> &[u8] {
        self.out.clear();
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.message(&line);
        }
        self.out.extend_from_slice(self.other.finish());
        &self.out
    }

    /// Returns what happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let other = self.other.counts();
        let mut counts = self.counts;
        counts.redactions += other.redactions;
        counts.partial_leaks += other.partial_leaks;
        counts
    }

    fn take(&mut self, chunk: &[u8], now: Instant) {
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if self.begun == Line::None {
                let may_be_message = matches!(piece.first(), Some(b'{' | b'[' | b' ' | b'\t'));
                self.begun = if may_be_message {
                    Line::Message
                } else {
                    Line::Other
                };
            }
            match self.begun {
                Line::Message if ends && self.line.is_empty() => self.message(piece),
                Line::Message => self.keep(piece, ends, now),
                _ => self.out.extend_from_slice(self.other.push(piece, now)),
            }
            if ends {
                self.begun = Line::None;
            }
        }
    }

    /// Keeps a part of a message until the rest has come.
    fn keep(&mut self, piece: &[u8], ends: bool, now: Instant) {
        self.line.extend_from_slice(piece);
        let mut line = std::mem::take(&mut self.line);
        if ends {
            self.message(&line);
        } else if line.len() > MESSAGE_BYTES_MAX {
            self.out.extend_from_slice(self.other.push(&line, now));
            self.begun = Line::Other;
        } else {
            self.line = line;
            return;
        }
        if line.capacity() <= READ_BYTES {
            // The next one fits too.
            line.clear();
            self.line = line;
        }
    }

    fn message(&mut self, line: &[u8]) {
        if self.other.held() > 0 {
            // A message stands on a line of its own: what came before it has ended.
            self.out.extend_from_slice(self.other.finish());
            self.counts = self.counts();
            self.other = Redactor::new(Arc::clone(&self.set));
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let findings = self.set.find(text);
        if findings.is_empty() {
            self.out.extend_from_slice(line);
            return;
        }
        self.counts.redactions += findings.len() as u64;
        self.out.extend_from_slice(&redacted(text, &findings));
        self.out
            .extend_from_slice(line.get(text.len()..).unwrap_or_default());
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Messages")
            .field("held", &(self.line.len() + self.other.held()))
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
