//! A second redactor, written to be obviously right and nothing else: it tries every value at every place.
//!
//! It knows raw values only, so its texts are made of letters that no encoding of a value could give.

use std::time::Instant;

use mira_redact::Redactor;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{redact_in, set_with_seed, text};

/// Marks every byte that lies in a match, joins overlapping matches, names each by its longest.
fn redact_slowly(values: &[(String, Vec<u8>)], text: &[u8]) -> Vec<u8> {
    let mut matches = Vec::new();
    for (rank, (name, value)) in values.iter().enumerate() {
        if value.len() < 4 {
            continue;
        }
        for start in 0..text.len() {
            if text[start..].starts_with(value) {
                matches.push((start, start + value.len(), rank, name));
            }
        }
    }
    matches.sort();
    let (mut out, mut at) = (Vec::new(), 0);
    let mut rest = matches.as_slice();
    while let Some((&(start, mut end, ..), _)) = rest.split_first() {
        let mut together = 0;
        while rest.get(together).is_some_and(|&(from, ..)| from < end) {
            end = end.max(rest[together].1);
            together += 1;
        }
        let longest = rest[..together]
            .iter()
            .map(|m| m.1 - m.0)
            .max()
            .expect("one match");
        let (.., name) = rest[..together]
            .iter()
            .filter(|m| m.1 - m.0 == longest)
            .min_by_key(|m| m.2)
            .expect("one match");
        out.extend_from_slice(&text[at..start]);
        out.extend_from_slice(format!("[redacted:{name}]").as_bytes());
        at = end;
        rest = &rest[together..];
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// Values over few letters overlap each other and themselves in every way.
fn values(letters: &'static [u8]) -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = vec(proptest::sample::select(letters), 1..24);
    vec(value, 1..7).prop_map(|values| {
        let name = |at| format!("N{at}");
        values
            .into_iter()
            .enumerate()
            .map(|(at, value)| (name(at), value))
            .collect()
    })
}

/// Texts made of the values' pieces and of single letters.
fn soup(letters: &'static [u8]) -> impl Strategy<Value = (Vec<(String, Vec<u8>)>, Vec<u8>)> {
    let piece = (
        any::<prop::sample::Index>(),
        0usize..24,
        0usize..25,
        any::<bool>(),
    );
    let pieces = vec((piece, vec(proptest::sample::select(letters), 0..4)), 0..30);
    (values(letters), pieces).prop_map(|(values, pieces)| {
        let mut text = Vec::new();
        for ((which, from, to, whole), noise) in pieces {
            let value = &which.get(&values).1;
            let (from, to) = (from.min(value.len()), to.min(value.len()));
            text.extend_from_slice(if whole {
                value
            } else {
                &value[from.min(to)..to.max(from)]
            });
            text.extend_from_slice(&noise);
        }
        (values, text)
    })
}

fn check(values: &[(String, Vec<u8>)], input: &[u8], lens: &[usize], seed: u64) {
    let pairs: Vec<(&str, &[u8])> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    let set = set_with_seed(&pairs, seed);
    let expect = redact_slowly(values, input);
    assert_eq!(text(&redact_in(&set, input, &[])), text(&expect), "whole");
    assert_eq!(text(&redact_in(&set, input, lens)), text(&expect), "cut");
    // The same through the read buffer.
    let (mut redactor, mut out, mut rest) = (Redactor::new(set.clone()), Vec::new(), input);
    let mut lens = lens.iter().cycle();
    while !rest.is_empty() {
        let len = lens.next().map_or(1, |&len| len.clamp(1, rest.len()));
        redactor.spare()[..len].copy_from_slice(&rest[..len]);
        out.extend_from_slice(redactor.filled(len, Instant::now()));
        rest = &rest[len..];
    }
    out.extend_from_slice(redactor.finish());
    assert_eq!(text(&out), text(&expect), "read");
    // It is known beforehand whether anything of it would not be shown, were there a pause behind it.
    let mut redactor = Redactor::new(set.clone());
    redactor.push(input, Instant::now());
    if let Some(deadline) = redactor.deadline() {
        redactor.expire(deadline);
    }
    assert_eq!(set.concerns(input), redactor.counts().redactions > 0);
    // Scanning finds the same places.
    let found = set.find(input);
    let scanned = set.scan(input).expect("a slice is read without errors");
    assert_eq!(
        (&found, scanned.total),
        (&scanned.findings, found.len() as u64)
    );
    let mut marked = Vec::new();
    let mut at = 0;
    for finding in &found {
        let (from, len) = (finding.offset as usize, finding.len as usize);
        marked.extend_from_slice(&input[at..from]);
        marked.extend_from_slice(format!("[redacted:{}]", finding.name).as_bytes());
        at = from + len;
    }
    marked.extend_from_slice(&input[at..]);
    assert_eq!(text(&marked), text(&expect), "found");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn two_letters((values, input) in soup(b"yz"), lens in vec(1usize..9, 1..6), seed: u64) {
        check(&values, &input, &lens, seed);
    }

    #[test]
    fn letters_and_blanks((values, input) in soup(b"yzw-"), lens in vec(1usize..30, 1..6), seed: u64) {
        prop_assume!(values.iter().all(|(_, value)| value.trim_ascii() == value.as_slice()));
        check(&values, &input, &lens, seed);
    }
}
