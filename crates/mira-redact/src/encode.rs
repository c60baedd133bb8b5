//! Encodings of whole values: what a value looks like as base64, hex, UTF-16 or fully escaped text.
//!
//! Pure functions from bytes to bytes. Which of them become patterns is decided in `forms`.

use zeroize::Zeroizing;

/// Secret bytes on their way into a needle set.
pub(crate) type Body = Zeroizing<Vec<u8>>;

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The part of a base64 text (RFC 4648) that a value alone decides, whatever stands before and after it.
pub(crate) struct Base64Core {
    /// The characters all of whose bits are the value's.
    pub(crate) body: Body,
    /// The characters that may stand before, as a set of sextets; 0 if the value begins with a whole character.
    pub(crate) lead: u64,
    /// The characters that may stand behind, as a set of sextets; 0 if the value ends with a whole character.
    pub(crate) trail: u64,
    /// How many `=` may follow the trailing character.
    pub(crate) pads: u8,
}

/// Returns the core for `before` (0 to 2) bytes in front of the value.
pub(crate) fn base64_core(value: &[u8], before: usize) -> Base64Core {
    let first = (8 * before).div_ceil(6);
    let bits = 8 * (before + value.len());
    let sextet = |index: usize| sextet_at(value, before, index);
    let body = (first..bits / 6)
        .map(|index| {
            BASE64
                .get(usize::from(sextet(index)))
                .copied()
                .unwrap_or_default()
        })
        .collect();
    let lead = match 8 * before % 6 {
        0 => 0,
        foreign => {
            let own = 6 - foreign;
            let low = sextet(first - 1) & ((1 << own) - 1);
            sextet_set(|s| s & ((1 << own) - 1) == low)
        }
    };
    let own = bits % 6;
    let (trail, pads) = if own == 0 {
        (0, 0)
    } else {
        let high = sextet(bits / 6) >> (6 - own);
        (
            sextet_set(|s| s >> (6 - own) == high),
            if own == 2 { 2 } else { 1 },
        )
    };
    Base64Core {
        body: Zeroizing::new(body),
        lead,
        trail,
        pads,
    }
}

/// Returns the sextet at `index` of the base64 text of `before` zero bytes, the value, and zeros.
fn sextet_at(value: &[u8], before: usize, index: usize) -> u8 {
    let bit = 6 * index;
    let byte = |at: usize| {
        at.checked_sub(before)
            .and_then(|i| value.get(i))
            .copied()
            .unwrap_or_default()
    };
    let pair = u16::from_be_bytes([byte(bit / 8), byte(bit / 8 + 1)]);
    (pair >> (10 - bit % 8) & 63) as u8
}

fn sextet_set(fits: impl Fn(u8) -> bool) -> u64 {
    (0..64).filter(|&s| fits(s)).fold(0, |set, s| set | 1 << s)
}

/// Returns a base64 or base64url character's six bits as a set with one member, or 0.
pub(crate) const fn sextet_of(byte: u8) -> u64 {
    let sextet = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return 0,
    };
    1 << sextet
}

/// Returns each byte as two hex digits behind `prefix`; `between` only separates.
pub(crate) fn hex(value: &[u8], upper: bool, prefix: &[u8], between: &[u8]) -> Body {
    let digits = if upper {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let digit = |nibble: u8| digits[usize::from(nibble & 15)];
    let mut out = Vec::with_capacity(value.len() * (2 + prefix.len() + between.len()));
    for (index, &byte) in value.iter().enumerate() {
        // A byte or two at a time: a call that copies them would cost more than they do.
        if index > 0 {
            out.extend(between);
        }
        out.extend(prefix);
        out.extend([digit(byte >> 4), digit(byte)]);
    }
    Zeroizing::new(out)
}

/// Returns the part that UTF-16LE and UTF-16BE text have in common: the ASCII bytes with a NUL between any two.
pub(crate) fn utf16(value: &[u8]) -> Option<Body> {
    if !value.is_ascii() {
        return None;
    }
    let mut out = Vec::with_capacity(value.len() * 2);
    for (index, &byte) in value.iter().enumerate() {
        if index > 0 {
            out.push(0);
        }
        out.push(byte);
    }
    Some(Zeroizing::new(out))
}

/// The dialects in which a run of characters is spelled out, for values without a run of letters and digits.
pub(crate) const DIALECTS: usize = 20;

/// Returns `part` as dialect number `dialect` writes it.
pub(crate) fn spelled(part: &[u8], dialect: usize) -> Body {
    let mut out = Vec::with_capacity(part.len() * 6);
    for &byte in part {
        if byte.is_ascii_alphanumeric() {
            out.push(byte);
        } else {
            spell(byte, dialect, &mut out);
        }
    }
    Zeroizing::new(out)
}

fn spell(byte: u8, dialect: usize, out: &mut Vec<u8>) {
    let unreserved = b"-_.~".contains(&byte);
    let mut number = |prefix: &[u8], upper: bool| {
        out.extend_from_slice(prefix);
        out.extend_from_slice(&hex(&[byte], upper, b"", b""));
    };
    match dialect {
        1 if byte == b'\n' => out.extend_from_slice(br"\n"),
        1 if b"\"\\".contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
        2 if byte == b'\n' => out.extend_from_slice(br"\n"),
        2 if b"\"\\/".contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
        3 if !unreserved => number(b"%", true),
        4 if !unreserved => number(b"%", false),
        5 if byte == b' ' => out.push(b'+'),
        5 if !unreserved => number(b"%", true),
        6 => match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            _ => out.push(byte),
        },
        7 => match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#x27;"),
            b'/' => out.extend_from_slice(b"&#x2F;"),
            _ => out.push(byte),
        },
        8 if byte == b'\n' => out.extend_from_slice(br"\n"),
        8 => out.extend_from_slice(&[b'\\', byte]),
        9 if byte == b'\'' => out.extend_from_slice(br"'\''"),
        10 if byte == b'\'' => out.extend_from_slice(b"''"),
        10 if byte == b'"' => out.extend_from_slice(b"\"\""),
        11 if b"<>&'".contains(&byte) => number(br"\u00", false),
        11 if byte == b'\n' => out.extend_from_slice(br"\n"),
        11 if b"\"\\".contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
        12 if !byte.is_ascii() || byte.is_ascii_control() => number(br"\x", false),
        12 if b"'\\".contains(&byte) => out.extend_from_slice(&[b'\\', byte]),
        13 if byte.is_ascii() => {
            out.extend_from_slice(b"&#");
            out.extend_from_slice(byte.to_string().as_bytes());
            out.push(b';');
        }
        14 => number(b"%", true),
        15 => number(b"%", false),
        16 if byte.is_ascii() => number(br"\u00", false),
        17 => number(br"\x", false),
        18 | 19 if byte.is_ascii() => {
            number(b"&#x", dialect == 18);
            out.push(b';');
        }
        _ => out.push(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_what_every_context_has_in_common() {
        // "secret" behind 0, 1 and 2 bytes; the expected texts are `printf ... | base64`.
        let check = |before, expect: &[u8], pads| {
            let core = base64_core(b"secret", before);
            assert_eq!(core.body.as_slice(), expect, "{before}");
            assert_eq!(core.pads, pads, "{before}");
        };
        check(0, b"c2VjcmV0", 0); // c2VjcmV0
        check(1, b"NlY3Jld", 2); // eHNlY3JldA==
        check(2, b"zZWNyZX", 1); // eHhzZWNyZXQ=
        let core = base64_core(b"secret", 1);
        assert!(core.lead & sextet_of(b'H') != 0);
        assert!(core.trail & sextet_of(b'A') != 0);
        assert_eq!((core.lead.count_ones(), core.trail.count_ones()), (4, 16));
    }

    #[test]
    fn bytes_spelled_in_hex() {
        assert_eq!(hex(b"a/~", false, b"", b"").as_slice(), b"612f7e");
        assert_eq!(hex(b"a/~", true, b"%", b"").as_slice(), b"%61%2F%7E");
        assert_eq!(hex(b"a/~", false, b"", b":").as_slice(), b"61:2f:7e");
        assert_eq!(utf16(b"ab").unwrap().as_slice(), b"a\0b");
        assert!(utf16("é".as_bytes()).is_none());
    }
}
