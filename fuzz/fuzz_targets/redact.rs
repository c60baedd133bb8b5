//! The redactor against any bytes: one output for every chunking, redacting twice is redacting once, no value in the
//! output, and scanning finds what redacting replaces.
//!
//! The first bytes choose the values and the lengths of the reads; the rest is the text.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use mira_redact::{NeedleSet, Redactor};

const VALUES: [(&str, &[u8]); 8] = [
    ("KEY", b"sk-4fXq81LmZ0pT"),
    ("PAIR", b"xyxyxyab"),
    ("SAME", b"aaaaaaaaaaaaaaaaaaaa"),
    ("ODD", br#"p@"s'\o/%d&X9kTq2L"#),
    ("SLASH", br"\\\\\\\\"),
    ("LINES", b"first-line-abcdef\nsecond-line"),
    ("redacted", b"redacted"),
    ("EDGE", b"]1234567["),
];

static SETS: LazyLock<Vec<Arc<NeedleSet>>> = LazyLock::new(|| {
    (0..256usize)
        .map(|chosen| {
            let mut builder = NeedleSet::builder();
            builder.dangerous_seed(chosen as u64);
            for (bit, (name, value)) in VALUES.iter().enumerate() {
                if chosen >> bit & 1 == 1 {
                    builder.add(name, value);
                }
            }
            Arc::new(builder.build())
        })
        .collect()
});

fn redact(set: &Arc<NeedleSet>, mut text: &[u8], lens: &[u8]) -> Vec<u8> {
    let now = Instant::now();
    let mut redactor = Redactor::new(Arc::clone(set));
    let mut out = Vec::new();
    let mut lens = lens.iter().cycle();
    while !text.is_empty() {
        let len = lens.next().map_or(text.len(), |&len| usize::from(len) + 1);
        let (chunk, rest) = text.split_at(len.min(text.len()));
        out.extend_from_slice(redactor.push(chunk, now));
        text = rest;
    }
    out.extend_from_slice(redactor.finish());
    out
}

fuzz_target!(|data: &[u8]| {
    let Some((&[chosen, a, b, c], text)) = data.split_first_chunk::<4>() else {
        return;
    };
    let set = &SETS[usize::from(chosen)];
    let whole = redact(set, text, &[]);
    assert_eq!(redact(set, text, &[a, b, c]), whole, "chunking");
    assert_eq!(redact(set, text, &[0]), whole, "one by one");
    assert_eq!(redact(set, &whole, &[]), whole, "twice");

    let mut marked = Vec::new();
    let mut at = 0;
    for finding in set.find(text) {
        let (from, len) = (finding.offset as usize, finding.len as usize);
        marked.extend_from_slice(&text[at..from]);
        marked.extend_from_slice(format!("[redacted:{}]", finding.name).as_bytes());
        at = from + len;
    }
    marked.extend_from_slice(&text[at..]);
    assert_eq!(marked, whole, "scanning");

    for (bit, (name, value)) in VALUES.iter().enumerate() {
        if chosen >> bit & 1 == 1 {
            for (at, part) in whole.windows(value.len()).enumerate() {
                assert!(
                    part != *value || meets_marker(&whole, at, value.len()),
                    "{name}"
                );
            }
        }
    }
});

/// Whether a place overlaps a marker: there a value is part of a public text.
fn meets_marker(text: &[u8], at: usize, len: usize) -> bool {
    VALUES.iter().any(|(name, _)| {
        let marker = format!("[redacted:{name}]");
        text.windows(marker.len()).enumerate().any(|(from, part)| {
            part == marker.as_bytes() && from < at + len && at < from + part.len()
        })
    })
}
