//! Texts made of everything that could confuse the redactor: pieces of every spelling of several values, markers,
//! names, escapes, colours, binary. For these the output is not predicted but must keep the promises.

use std::sync::Arc;
use std::time::Instant;

use mira_redact::{NeedleSet, Redactor};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::common::{expire, redact, redact_in, set_with_seed, text};

/// Values of every kind, among them some that meet the marker itself.
const VALUES: [(&str, &[u8]); 16] = [
    ("OPENAI_API_KEY", b"sk-proj-4fXq81LmZ0pTw7Rk"),
    ("HEX", b"deadbeef0123456789abcdef"),
    ("UUID", b"123e4567-e89b-12d3-a456-426614174000"),
    ("URL", b"postgres://app:s3cr3tP4ss@db.internal:5432/app"),
    ("ODD", br#"p@s"s'w\o/r%d&X9kTq2Lm8Vd <z>"#),
    ("SYMBOLS", b"!@#$%^&*()_+"),
    ("SHORT", b"abcd"),
    ("SLASHES", br"\\\\\\\\"),
    ("SAME", b"yyyyyyyyyyyy"),
    (
        "LINES",
        b"first-line-of-value-1\nsecond-line-of-value\nthird",
    ),
    ("BINARY", b"\xfb\xef\xbe~~~???>>>\xff\xfe"),
    ("redacted", b"redacted"),
    ("BRACKET", b"]12345678["),
    ("MARKER", b"[redacted:SHORT]"),
    ("NAMED", b"NAMED"),
    (
        "LONG",
        b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-",
    ),
];

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> Vec<u8> {
    let mut out = Vec::new();
    for three in bytes.chunks(3) {
        let number = three
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0u32, |number, &b| number << 8 | u32::from(b));
        for digit in 0..4 {
            out.push(if digit > three.len() {
                b'='
            } else {
                alphabet[(number >> (18 - 6 * digit) & 63) as usize]
            });
        }
    }
    out
}

const STD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Spelling number `form` of a value, by means that share nothing with the crate.
fn spell(value: &[u8], form: usize) -> Vec<u8> {
    let each = |spell: &dyn Fn(u8) -> String| -> Vec<u8> {
        value.iter().flat_map(|&b| spell(b).into_bytes()).collect()
    };
    let special = |b: u8| !b.is_ascii_alphanumeric();
    match form {
        0..=3 => value.to_vec(),
        4..=9 => {
            let mut padded = vec![b'x'; form % 3];
            padded.extend_from_slice(value);
            base64(&padded, if form < 7 { STD } else { URL })
        }
        10 => each(&|b| format!("{b:02x}")),
        11 => each(&|b| format!("{b:02X}")),
        12 => each(&|b| format!("%{b:02X}")),
        13 if value.is_ascii() => each(&|b| {
            if special(b) && !b"-_.".contains(&b) {
                format!("%{b:02x}")
            } else {
                char::from(b).into()
            }
        }),
        14 if value.is_ascii() => each(&|b| match b {
            b'\n' => "\\n".into(),
            b'"' | b'\\' => format!("\\{}", char::from(b)),
            b => char::from(b).into(),
        }),
        15 if value.is_ascii() => each(&|b| match b {
            b'\'' => r"'\''".into(),
            b => char::from(b).into(),
        }),
        16 if value.is_ascii() => each(&|b| match b {
            b'\n' => "\r\n".into(),
            b => char::from(b).into(),
        }),
        17 => base64(&base64(value, STD), STD),
        _ => value.to_vec(),
    }
}

/// What stands between values, and could be the beginning of something.
const NOISE: [&[u8]; 26] = [
    b" ",
    b"\n",
    b"\r\n",
    b"\\",
    b"\\u00",
    b"%",
    b"%2",
    b"&#",
    b"&am",
    b"'",
    b"\"",
    b"\x1b[31m",
    b"\x1b[",
    b"=",
    b"==",
    b"[",
    b"]",
    b"[redacted:",
    b"[redacted:SHORT]",
    b"[redacted:ODD]",
    b"[redacted:redacted]",
    b"x",
    b"yyyyyyy",
    b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
    b"\0",
    b"\xff",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let spelled = (select(&VALUES), 0usize..18).prop_map(|((_, value), form)| spell(value, form));
    let cut = (spelled.clone(), any::<Index>(), any::<Index>()).prop_map(|(whole, a, b)| {
        let (a, b) = (a.index(whole.len()), b.index(whole.len()));
        whole[a.min(b)..=a.max(b)].to_vec()
    });
    let noise = select(NOISE.as_slice());
    prop_oneof![
        3 => spelled,
        4 => cut,
        4 => noise.prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..12),
    ]
}

fn soup() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..24).prop_map(|pieces| pieces.concat())
}

/// Some of the values, at least one.
fn some_values() -> impl Strategy<Value = Vec<(&'static str, &'static [u8])>> {
    proptest::sample::subsequence(VALUES.to_vec(), 1..=VALUES.len())
}

/// Where our own markers stand: what lies in them, or reaches in, is no value.
fn markers(values: &[(&str, &[u8])], text: &[u8]) -> Vec<(usize, usize)> {
    let mut zones = Vec::new();
    for (name, _) in values {
        let marker = format!("[redacted:{name}]");
        for at in 0..text.len() {
            if text[at..].starts_with(marker.as_bytes()) {
                zones.push((at, at + marker.len()));
            }
        }
    }
    zones
}

/// Spellings that must never come out, for a value that is matched in every form.
fn forbidden(value: &[u8]) -> Vec<Vec<u8>> {
    let forms = if value.len() < 8 { 0..1 } else { 3..13 };
    forms
        .map(|form| spell(value, form))
        .map(|form| form.strip_suffix(b"==").map(<[u8]>::to_vec).unwrap_or(form))
        .collect()
}

fn assert_no_needle(values: &[(&str, &[u8])], out: &[u8]) {
    let zones = markers(values, out);
    for (name, value) in values {
        for form in forbidden(value) {
            for at in 0..out.len() {
                let end = at + form.len();
                if out[at..].starts_with(&form) && !zones.iter().any(|z| z.0 < end && at < z.1) {
                    panic!("{name} at {at} of {}", text(out));
                }
            }
        }
    }
}

fn make(values: &[(&str, &[u8])], seed: u64) -> Arc<NeedleSet> {
    set_with_seed(values, seed)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn every_chunking_gives_the_same_output(
        values in some_values(), input in soup(), lens in vec(1usize..40, 1..8), seed: u64,
    ) {
        let set = make(&values, seed);
        let whole = redact(&set, &input);
        prop_assert_eq!(text(&redact_in(&set, &input, &lens)), text(&whole));
        prop_assert_eq!(text(&redact_in(&set, &input, &[1])), text(&whole));
    }

    #[test]
    fn redacting_twice_is_redacting_once(values in some_values(), input in soup(), seed: u64) {
        let set = make(&values, seed);
        let once = redact(&set, &input);
        let twice = redact(&set, &once);
        prop_assert_eq!(text(&twice), text(&once));
    }

    #[test]
    fn no_needle_comes_out(values in some_values(), input in soup(), seed: u64) {
        let set = make(&values, seed);
        assert_no_needle(&values, &redact(&set, &input));
    }

    #[test]
    fn other_bytes_pass_unchanged(
        values in some_values(), input in vec(any::<u8>(), 0..4000), lens in vec(1usize..700, 1..8), seed: u64,
    ) {
        let values: Vec<_> = values.into_iter().filter(|(_, value)| value.len() >= 8).collect();
        let set = make(&values, seed);
        prop_assert_eq!(redact_in(&set, &input, &lens), input);
    }

    #[test]
    fn expiring_anywhere_never_shows_more_than_a_third(
        value in 0usize..8, form in 0usize..13, stops in vec(1usize..40, 1..8), seed: u64,
    ) {
        // Public beginnings of these values: what anybody could guess.
        let public = [8, 0, 0, 15, 0, 0, 0, 0];
        let (name, secret) = VALUES[value];
        let set = make(&[(name, secret)], seed);
        let form = if secret.len() < 8 { 0 } else { form };
        let spelled = spell(secret, form);
        let mut redactor = Redactor::new(set);
        let mut out = Vec::new();
        let (mut rest, mut lens) = (spelled.as_slice(), stops.iter().cycle());
        let now = Instant::now();
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*lens.next().unwrap()).min(rest.len()));
            out.extend_from_slice(redactor.push(chunk, now));
            out.extend(expire(&mut redactor));
            prop_assert_eq!(redactor.held(), 0);
            rest = after;
        }
        out.extend_from_slice(redactor.finish());
        let shown = out
            .windows(10)
            .position(|part| part == b"[redacted:")
            .expect("a marker");
        let raw = form < 4;
        let public = if raw { public[value] } else { 0 };
        // A base64 form may also show the characters before and behind it, which are not the value's alone.
        let slack = if (4..10).contains(&form) { 8 } else { 0 };
        let leaked = shown + (out.len() - shown - format!("[redacted:{name}]").len());
        prop_assert!(
            leaked <= public + (spelled.len() - public) / 3 + slack,
            "{} of {}: {}", leaked, spelled.len(), text(&out)
        );
        let partial = u64::from(shown > slack);
        prop_assert!(redactor.counts().partial_leaks >= partial);
        prop_assert_eq!(redactor.counts().redactions, 1);
    }

    #[test]
    fn what_is_held_is_bounded(values in some_values(), input in soup(), lens in vec(1usize..90, 1..8), seed: u64) {
        let set = make(&values, seed);
        let longest = values.iter().map(|(_, value)| value.len()).max().unwrap_or(0);
        let mut redactor = Redactor::new(set);
        let (mut rest, mut lens) = (input.as_slice(), lens.iter().cycle());
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at((*lens.next().unwrap()).min(rest.len()));
            redactor.push(chunk, Instant::now());
            // The longest form is eight times a value; escapes and colours may stretch it further, within limits.
            prop_assert!(redactor.held() <= 40 * longest + chunk.len() + 400);
            prop_assert_eq!(redactor.held() > 0, redactor.deadline().is_some());
            rest = after;
        }
    }
}
