//! The spellings of a value: how programs write one down when they do not write it as it is.
//!
//! Written from the encodings' own documents and apart from the redactor, whose mistakes a sweep is to find.

use std::fmt;

/// The shortest piece that is looked for: shorter ones turn up by chance.
// LIMIT: 16 bytes, the redactor's bound for a line that stands alone.
pub(super) const PIECE_BYTES_MIN: usize = 16;

/// A way to spell a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// The bytes as they are.
    Raw,
    /// One line of a value of several.
    Line,
    /// Lines ended as terminals and Windows do.
    CrLf,
    /// Lines joined by blanks, as an unquoted shell variable.
    Joined,
    /// Base64 (RFC 4648, section 4), inside longer text: only the characters that the value alone decides.
    Base64 {
        /// How many bytes stand before the value in its group of three.
        before: usize,
    },
    /// Base64url (RFC 4648, section 5), as [`Form::Base64`].
    Base64Url {
        /// How many bytes stand before the value in its group of three.
        before: usize,
    },
    /// Hexadecimal digits in lower case.
    HexLower,
    /// Hexadecimal digits in upper case.
    HexUpper,
    /// Percent-encoding (RFC 3986) of what is not unreserved.
    Percent,
    /// As [`Form::Percent`], with digits in lower case.
    PercentLower,
    /// Percent-encoding as a path segment has it: sub-delimiters, `:`, `@` stay.
    PercentPath,
    /// A form's encoding (`application/x-www-form-urlencoded`): blanks become `+`.
    PercentForm,
    /// As [`Form::PercentForm`], with what RFC 3986 leaves unreserved left alone: Python's `quote_plus`.
    PercentPlus,
    /// Percent-encoding of every byte.
    PercentAll,
    /// A JSON string's inside (RFC 8259), escaped as little as is allowed.
    Json,
    /// As [`Form::Json`], with everything beyond ASCII escaped.
    JsonAscii,
    /// As [`Form::Json`], with slashes escaped too.
    JsonSlash,
    /// Inside single quotes of a POSIX shell, quotes as `'\''`.
    ShellSingle,
    /// Inside single quotes, quotes as `'"'"'` (Python's `shlex.quote`).
    ShellSingleDouble,
    /// Inside double quotes of a POSIX shell.
    ShellDouble,
    /// Backslashes before what a shell would read (`printf %q`).
    ShellBackslash,
    /// Inside `$'...'` of bash, as its `set -x` prints it.
    ShellAnsi,
    /// As [`Form::ShellAnsi`] in a locale without UTF-8.
    ShellAnsiOctal,
    /// `\xNN` for what is not printable ASCII (Python's `bytes`, C).
    ByteEscapes,
    /// A SQL string's inside: quotes doubled.
    Sql,
    /// HTML text or an attribute's value, apostrophes as `&#39;`.
    Html,
    /// As [`Form::Html`], apostrophes as `&#x27;`.
    HtmlHex,
    /// UTF-16, little-endian, of a value that is UTF-8.
    Utf16Le,
    /// Backwards: no program does it, so it stands for the spellings that nobody thought of.
    Reversed,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A value's spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct Spelling {
    /// How it is spelt.
    pub form: Form,
    /// The spelt bytes.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Spelling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Spelling").field(&self.form).finish()
    }
}

/// Returns a value's spellings, the first form of each; all are at least [`PIECE_BYTES_MIN`] long.
pub(super) fn spellings(value: &[u8]) -> Vec<Spelling> {
    let mut all: Vec<Spelling> = Vec::new();
    let mut add = |form, bytes: Vec<u8>| {
        let known = all.iter().any(|spelling| spelling.bytes == bytes);
        if !known && bytes.len() >= PIECE_BYTES_MIN {
            all.push(Spelling { form, bytes });
        }
    };
    // A final newline is what `$(...)` and most readers drop; with it, the rest is found as well.
    let body = value.strip_suffix(b"\n").unwrap_or(value);
    add(Form::Raw, body.to_vec());
    for line in body.split(|&byte| byte == b'\n') {
        if !line.starts_with(b"-----") {
            add(Form::Line, line.trim_ascii().to_vec());
        }
    }
    add(Form::CrLf, replaced(body, b'\n', b"\r\n"));
    add(Form::Joined, replaced(body, b'\n', b" "));
    for before in 0..3 {
        add(Form::Base64 { before }, base64_inner(body, before, BASE64));
        add(
            Form::Base64Url { before },
            base64_inner(body, before, BASE64_URL),
        );
    }
    add(
        Form::HexLower,
        each(body, |byte, out| push_hex(out, byte, HEX_LOWER)),
    );
    add(
        Form::HexUpper,
        each(body, |byte, out| push_hex(out, byte, HEX_UPPER)),
    );
    add(Form::Percent, percent(body, b"-._~", HEX_UPPER));
    add(Form::PercentLower, percent(body, b"-._~", HEX_LOWER));
    add(
        Form::PercentPath,
        percent(body, b"-._~!$&'()*+,;=:@", HEX_UPPER),
    );
    add(Form::PercentForm, percent_plus(body, b"*-._ "));
    add(Form::PercentPlus, percent_plus(body, b"-._~ "));
    add(
        Form::PercentAll,
        each(body, |byte, out| push_percent(out, byte, HEX_UPPER)),
    );
    add(Form::ShellSingle, replaced(body, b'\'', br"'\''"));
    add(Form::ShellSingleDouble, replaced(body, b'\'', br#"'"'"'"#));
    add(
        Form::ShellDouble,
        backslashed(body, |byte| br#"$`"\"#.contains(&byte)),
    );
    add(
        Form::ShellBackslash,
        backslashed(body, |byte| br##" !"$&'()*,;<>?[\]^`{|}"##.contains(&byte)),
    );
    add(Form::ShellAnsi, shell_ansi(body, true));
    add(Form::ShellAnsiOctal, shell_ansi(body, false));
    add(Form::ByteEscapes, byte_escapes(body));
    add(Form::Sql, replaced(body, b'\'', b"''"));
    add(Form::Html, html(body, "&#39;"));
    add(Form::HtmlHex, html(body, "&#x27;"));
    if let Ok(text) = std::str::from_utf8(body) {
        add(Form::Json, json(text, false, false));
        add(Form::JsonAscii, json(text, true, false));
        add(Form::JsonSlash, json(text, false, true));
        add(
            Form::Utf16Le,
            text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        );
    }
    add(Form::Reversed, body.iter().rev().copied().collect());
    all
}

const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
pub(super) const BASE64: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Returns the base64 characters whose six bits all come from `value`, with `before` bytes of something else ahead of it.
pub(super) fn base64_inner(value: &[u8], before: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let first = (before * 8).div_ceil(6);
    let end = (before + value.len()) * 8 / 6;
    (first..end)
        .map(|index| {
            let sextet = (0..6).fold(0, |bits, offset| {
                // Bits are counted from the value's first; `index` is at least `first`, so none lies before it.
                let bit = index * 6 + offset - before * 8;
                let byte = value.get(bit / 8).copied().unwrap_or(0);
                bits << 1 | usize::from(byte >> (7 - bit % 8) & 1)
            });
            alphabet.get(sextet).copied().unwrap_or(0)
        })
        .collect()
}

fn each(value: &[u8], push: impl Fn(u8, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len() * 3);
    for &byte in value {
        push(byte, &mut out);
    }
    out
}

fn replaced(value: &[u8], from: u8, to: &[u8]) -> Vec<u8> {
    each(value, |byte, out| {
        if byte == from {
            out.extend(to);
        } else {
            out.push(byte);
        }
    })
}

fn push_hex(out: &mut Vec<u8>, byte: u8, digits: &[u8; 16]) {
    out.extend(
        [byte >> 4, byte & 15].map(|nibble| digits.get(usize::from(nibble)).copied().unwrap_or(0)),
    );
}

fn push_percent(out: &mut Vec<u8>, byte: u8, digits: &[u8; 16]) {
    out.push(b'%');
    push_hex(out, byte, digits);
}

fn percent(value: &[u8], kept: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    each(value, |byte, out| {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(byte);
        } else {
            push_percent(out, byte, digits);
        }
    })
}

/// Letters, digits and what is kept stay, a blank, which is kept, becomes `+`. A form (WHATWG URL, section 5.2) keeps `*-._`.
fn percent_plus(value: &[u8], kept: &[u8]) -> Vec<u8> {
    // `+` itself is encoded, so the only ones left are blanks.
    each(&percent(value, kept, HEX_UPPER), |byte, out| {
        out.push(if byte == b' ' { b'+' } else { byte });
    })
}

fn backslashed(value: &[u8], special: impl Fn(u8) -> bool) -> Vec<u8> {
    each(value, |byte, out| {
        if special(byte) {
            out.push(b'\\');
        }
        out.push(byte);
    })
}

fn shell_ansi(value: &[u8], utf8: bool) -> Vec<u8> {
    // Bash leaves characters alone and escapes stray bytes.
    let kept = utf8 && std::str::from_utf8(value).is_ok();
    each(value, |byte, out| match byte {
        b'\n' => out.extend(br"\n"),
        b'\t' => out.extend(br"\t"),
        b'\r' => out.extend(br"\r"),
        0x07 => out.extend(br"\a"),
        0x08 => out.extend(br"\b"),
        0x0b => out.extend(br"\v"),
        0x0c => out.extend(br"\f"),
        0x1b => out.extend(br"\E"),
        b'\'' | b'\\' => out.extend([b'\\', byte]),
        0x20..=0x7e => out.push(byte),
        0x80.. if kept => out.push(byte),
        _ => out.extend(format!("\\{byte:03o}").bytes()),
    })
}

fn byte_escapes(value: &[u8]) -> Vec<u8> {
    each(value, |byte, out| match byte {
        b'\n' => out.extend(br"\n"),
        b'\t' => out.extend(br"\t"),
        b'\r' => out.extend(br"\r"),
        b'\\' => out.extend(br"\\"),
        0x20..=0x7e => out.push(byte),
        _ => {
            out.extend(br"\x");
            push_hex(out, byte, HEX_LOWER);
        }
    })
}

fn html(value: &[u8], apostrophe: &str) -> Vec<u8> {
    each(value, |byte, out| match byte {
        b'&' => out.extend(b"&amp;"),
        b'<' => out.extend(b"&lt;"),
        b'>' => out.extend(b"&gt;"),
        b'"' => out.extend(b"&quot;"),
        b'\'' => out.extend(apostrophe.bytes()),
        other => out.push(other),
    })
}

fn json(text: &str, ascii: bool, slash: bool) -> Vec<u8> {
    let mut out = String::with_capacity(text.len() * 2);
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if slash => out.push_str("\\/"),
            '\0'..='\u{1f}' => out.push_str(&unicode_escapes(character)),
            '\u{7f}'.. if ascii => out.push_str(&unicode_escapes(character)),
            other => out.push(other),
        }
    }
    out.into_bytes()
}

fn unicode_escapes(character: char) -> String {
    let mut units = [0; 2];
    let units = character.encode_utf16(&mut units);
    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
}
