//! Short ways to build a set and to run text through it.

use std::sync::Arc;
use std::time::Instant;

use mira_redact::{NeedleSet, Redactor};

pub(crate) fn set(values: &[(&str, &[u8])]) -> Arc<NeedleSet> {
    set_with_seed(values, 7)
}

pub(crate) fn set_with_seed(values: &[(&str, &[u8])], seed: u64) -> Arc<NeedleSet> {
    let mut builder = NeedleSet::builder();
    builder.dangerous_seed(seed);
    for (name, value) in values {
        builder.add(name, value);
    }
    Arc::new(builder.build())
}

/// Redacts a text that comes in one piece.
pub(crate) fn redact(set: &Arc<NeedleSet>, text: &[u8]) -> Vec<u8> {
    redact_in(set, text, &[])
}

/// Redacts a text that comes in pieces of the given lengths, again and again; no tail expires.
pub(crate) fn redact_in(set: &Arc<NeedleSet>, text: &[u8], lens: &[usize]) -> Vec<u8> {
    let now = Instant::now();
    let mut redactor = Redactor::new(Arc::clone(set));
    let mut out = Vec::new();
    let mut rest = text;
    let mut lens = lens.iter().cycle();
    while !rest.is_empty() {
        let len = lens
            .next()
            .map_or(rest.len(), |&len| len.clamp(1, rest.len()));
        let (chunk, after) = rest.split_at(len);
        out.extend_from_slice(redactor.push(chunk, now));
        rest = after;
    }
    out.extend_from_slice(redactor.finish());
    out
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Brings a redactor to its deadline and returns what it lets go.
pub(crate) fn expire(redactor: &mut Redactor) -> Vec<u8> {
    match redactor.deadline() {
        Some(deadline) => redactor.expire(deadline).to_vec(),
        None => Vec::new(),
    }
}
