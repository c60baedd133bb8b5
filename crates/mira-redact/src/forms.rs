//! Which spellings of a value are looked for: the tiers, from a value to bodies with their grammars.
//!
//! It decides what is matched, not how. Values shorter than [`VALUE_BYTES_MIN`] get no form at all.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::encode::{self, Body};
use crate::pattern::Grammar;
use crate::set::{Coverage, Form};

/// Shorter values are not redacted: they would damage more text than they protect.
pub(crate) const VALUE_BYTES_MIN: usize = 4;

/// From this length on a value is looked for in every form; a derived form below it is dropped.
pub(crate) const FORM_BYTES_MIN: usize = 8;

/// A line of a longer value is looked for by itself from this length on.
const LINE_BYTES_MIN: usize = 16;

/// Values up to this length are also looked for with each byte escaped, and as UTF-16.
// LIMIT: such a form takes up to four times the value's memory, and nobody prints whole key files that way.
const WIDE_BYTES_MAX: usize = 4096;

/// One spelling on its way into the set.
pub(crate) struct Draft {
    pub(crate) body: Body,
    pub(crate) form: Form,
    pub(crate) grammar: Grammar,
    pub(crate) lead: u64,
    pub(crate) trail: u64,
    pub(crate) pads: u8,
    pub(crate) public: usize,
}

impl Draft {
    fn new(body: Body, form: Form, grammar: Grammar) -> Self {
        Self {
            body,
            form,
            grammar,
            lead: 0,
            trail: 0,
            pads: 0,
            public: 0,
        }
    }

    /// Returns a marker as something to recognise.
    pub(crate) fn guard(marker: &str) -> Self {
        let body = Zeroizing::new(marker.as_bytes().to_vec());
        Self::new(body, Form::Raw, Grammar::Exact)
    }
}

/// Returns how much of a value's spellings [`draft`] adds.
pub(crate) fn coverage(value: &[u8]) -> Coverage {
    match value.trim_ascii().len() {
        ..VALUE_BYTES_MIN => Coverage::TooShort,
        VALUE_BYTES_MIN..FORM_BYTES_MIN => Coverage::RawOnly,
        _ => Coverage::Full,
    }
}

/// Adds every form of `value` to `drafts`.
pub(crate) fn draft(value: &[u8], nested: bool, drafts: &mut Vec<Draft>) {
    let coverage = coverage(value);
    let value = value.trim_ascii();
    match coverage {
        Coverage::TooShort => {}
        Coverage::RawOnly => {
            let body = Zeroizing::new(value.to_vec());
            drafts.push(Draft::new(body, Form::Raw, Grammar::Exact));
        }
        Coverage::Full => {
            draft_text(value, drafts);
            draft_derived(value, nested, drafts);
            if value.contains(&b'\r') {
                let unix = Zeroizing::new(without_returns(value));
                draft_derived(&unix, nested, drafts);
            }
        }
    }
}

fn draft_text(value: &[u8], drafts: &mut Vec<Draft>) {
    let body = Zeroizing::new(with_plain_breaks(value));
    if body.contains(&b'\n') {
        for line in body.split(|&b| b == b'\n') {
            if line.len() >= LINE_BYTES_MIN && !is_armour(line) {
                let line = Zeroizing::new(line.to_vec());
                drafts.push(Draft::new(line, Form::Line, Grammar::Text));
            }
        }
    }
    if body.len() < FORM_BYTES_MIN {
        // Mostly line breaks: what is left would be found in innocent text.
        let body = Zeroizing::new(value.to_vec());
        drafts.push(Draft::new(body, Form::Raw, Grammar::Exact));
        return;
    }
    let public = public_prefix(&body);
    drafts.push(Draft {
        public,
        ..Draft::new(body, Form::Raw, Grammar::Text)
    });
}

fn draft_derived(value: &[u8], nested: bool, drafts: &mut Vec<Draft>) {
    for before in 0..3 {
        let inner = draft_base64(value, before, Form::Base64, drafts);
        if nested {
            for before in 0..3 {
                draft_base64(&inner, before, Form::Nested, drafts);
            }
        }
    }
    let lower = encode::hex(value, false, b"", b"");
    let upper = encode::hex(value, true, b"", b"");
    if nested {
        for before in 0..3 {
            draft_base64(&lower, before, Form::Nested, drafts);
        }
    }
    drafts.push(Draft::new(lower, Form::Hex, Grammar::Hex));
    drafts.push(Draft::new(upper, Form::Hex, Grammar::Hex));
    if value.len() > WIDE_BYTES_MAX {
        return;
    }
    for upper in [false, true] {
        let exact = |body, form| Draft::new(body, form, Grammar::Exact);
        drafts.push(exact(encode::hex(value, upper, b"%", b""), Form::Escaped));
        drafts.push(exact(encode::hex(value, upper, br"\x", b""), Form::Escaped));
        drafts.push(exact(encode::hex(value, upper, b"", b":"), Form::Hex));
    }
    if let Some(wide) = encode::utf16(value) {
        if nested {
            for before in 0..3 {
                draft_base64(&wide, before, Form::Nested, drafts);
            }
        }
        drafts.push(Draft::new(wide, Form::Utf16, Grammar::Exact));
    }
}

fn draft_base64(value: &[u8], before: usize, form: Form, drafts: &mut Vec<Draft>) -> Body {
    let core = encode::base64_core(value, before);
    if core.body.len() >= FORM_BYTES_MIN {
        drafts.push(Draft {
            lead: core.lead,
            trail: core.trail,
            pads: core.pads,
            ..Draft::new(core.body.clone(), form, Grammar::Base64)
        });
    }
    core.body
}

/// Returns the value with each line break, and the blanks around it, as one line feed.
fn with_plain_breaks(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for line in value.split(|&b| b == b'\n') {
        let line = line.trim_ascii();
        if !line.is_empty() {
            if !out.is_empty() {
                out.push(b'\n');
            }
            out.extend_from_slice(line);
        }
    }
    out
}

fn without_returns(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.iter().peekable();
    while let Some(&byte) = rest.next() {
        if byte != b'\r' || rest.peek() != Some(&&b'\n') {
            out.push(byte);
        }
    }
    out
}

fn is_armour(line: &[u8]) -> bool {
    line.starts_with(b"-----")
}

/// Returns how many bytes at the value's beginning say only what kind of value it is.
fn public_prefix(body: &[u8]) -> usize {
    const KNOWN: [&[u8]; 17] = [
        b"sk-proj-",
        b"sk-ant-api03-",
        b"sk-ant-",
        b"sk-or-v1-",
        b"sk_live_",
        b"sk_test_",
        b"sk-",
        b"github_pat_",
        b"ghp_",
        b"gho_",
        b"ghs_",
        b"glpat-",
        b"xoxb-",
        b"xoxp-",
        b"AKIA",
        b"npm_",
        b"pypi-",
    ];
    let len = if is_armour(body) {
        body.iter().position(|&b| b == b'\n').map_or(0, |at| at + 1)
    } else if let Some(scheme) = find(body, b"://") {
        let rest = body.get(scheme + 3..).unwrap_or_default();
        let user = rest.iter().take_while(|b| !b":/@".contains(b)).count();
        match rest.get(user) {
            Some(b':') if rest.contains(&b'@') => scheme + 3 + user + 1,
            _ => scheme + 3,
        }
    } else {
        KNOWN
            .iter()
            .find(|known| body.starts_with(known))
            .map_or(0, |known| known.len())
    };
    // A value that is mostly prefix has no secret worth a smaller share.
    if len * 2 <= body.len() { len } else { 0 }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Returns the marker that replaces a value; characters that could be mistaken for the marker's own are not shown.
pub(crate) fn marker(name: &str) -> String {
    let shown: Cow<'_, str> = if name.chars().all(is_shown) {
        name.into()
    } else {
        name.chars()
            .map(|c| if is_shown(c) { c } else { '_' })
            .collect()
    };
    format!("[redacted:{shown}]")
}

fn is_shown(c: char) -> bool {
    c.is_alphanumeric() || "_-./".contains(c)
}
