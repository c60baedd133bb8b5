//! The heads test: could the end of a text be the beginning of a pattern?
//!
//! It looks only at tails too short for the sieve to have seen a segment of the pattern; longer ones the sieve finds.
//! It may say yes too often (which costs a moment's wait), never no too often.

use crate::encode::sextet_of;
use crate::pattern::{FILLER_FROM, Grammar, Pattern};
use crate::unit::{self, BREAK_BYTES_MAX, UNIT_BYTES_MAX};

const HEAD_BYTES: usize = 4;

pub(crate) struct Heads {
    multiplier: u64,
    /// The bytes that a tail can be made of.
    members: Box<[bool; 256]>,
    /// The longest tail that the sieve may not have seen, in bytes.
    reach: usize,
    /// A bit set of all hashes in the tables below: most places need no search.
    bits: Box<[u64]>,
    shift: u32,
    /// Sorted: hash of a head and the pattern that begins with it.
    by_head: Box<[(u32, u32)]>,
    /// Sorted: hash of a head of 1 to 3 bytes and the characters that may stand before it.
    short: Box<[(u32, u64)]>,
    /// The characters before any pattern.
    leads: u64,
    /// Sorted: hash of the letters and digits before the first other character of a head, and the pattern; for heads
    /// that may be escaped.
    special: Box<[(u32, u32)]>,
    /// The same for heads that begin with such a character: it, and the pattern.
    special_first: Box<[(u8, u32)]>,
    /// Whether any pattern may be wrapped, or have colours inside, before the sieve has seen it.
    fillers: bool,
}

impl Heads {
    /// Makes the test; `seen_from[i]` is the index in pattern `i`'s body behind its last segment.
    pub(crate) fn new(patterns: &[Pattern], arena: &[u8], seen_from: &[usize], seed: u64) -> Self {
        let multiplier = seed.rotate_left(23) | 1;
        let log_bits = (patterns.len() * 64)
            .next_power_of_two()
            .clamp(1 << 10, 1 << 20)
            .ilog2();
        let mut heads = Self {
            multiplier,
            members: Box::new([false; 256]),
            reach: 0,
            bits: vec![0; 1 << (log_bits - 6)].into_boxed_slice(),
            shift: 64 - log_bits,
            by_head: Box::default(),
            short: Box::default(),
            leads: 0,
            special: Box::default(),
            special_first: Box::default(),
            fillers: false,
        };
        let (mut by_head, mut short) = (Vec::new(), Vec::new());
        let (mut special, mut special_first) = (Vec::new(), Vec::new());
        let mut escapes = Escapes::default();
        for ((id, pattern), &seen) in (0u32..).zip(patterns).zip(seen_from) {
            let body = pattern.body(arena);
            heads.admit(pattern, body.get(..seen).unwrap_or(body), &mut escapes);
            for len in 1..HEAD_BYTES {
                if let Some(head) = body.get(..len) {
                    short.push((heads.admit_hash(head), pattern.lead));
                }
            }
            if let Some(head) = body.get(..HEAD_BYTES) {
                by_head.push((heads.admit_hash(head), id));
            }
            heads.leads |= pattern.lead;
            if !matches!(pattern.grammar, Grammar::Text | Grammar::Base64) {
                continue;
            }
            match body
                .iter()
                .take(HEAD_BYTES)
                .position(|&b| !unit::is_plain(b))
            {
                None => {}
                Some(0) => special_first.push((body.first().copied().unwrap_or_default(), id)),
                Some(len) => {
                    let plain = body.get(..len).unwrap_or_default();
                    special.push((heads.admit_hash(plain), id));
                }
            }
        }
        heads.admit_escapes(escapes);
        for byte in 0..=255 {
            if heads.leads & sextet_of(byte) != 0 {
                heads.members[usize::from(byte)] = true;
            }
        }
        by_head.sort_unstable();
        short.sort_unstable();
        short.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 |= next.1;
            }
            same
        });
        heads.by_head = by_head.into_boxed_slice();
        heads.short = short.into_boxed_slice();
        special.sort_unstable();
        special_first.sort_unstable();
        heads.special = special.into_boxed_slice();
        heads.special_first = special_first.into_boxed_slice();
        heads
    }

    /// Notes what a tail of this pattern can be made of and how long it can be.
    fn admit(&mut self, pattern: &Pattern, unseen: &[u8], escapes: &mut Escapes) {
        let may_escape = matches!(pattern.grammar, Grammar::Text | Grammar::Base64);
        let mut reach = 1 + unseen.len();
        if pattern.tolerant && unseen.len() > FILLER_FROM {
            self.fillers = true;
            reach += (unseen.len() - FILLER_FROM) * UNIT_BYTES_MAX;
        }
        for &byte in unseen {
            self.members[usize::from(byte)] = true;
            if !may_escape || unit::is_plain(byte) {
                continue;
            }
            escapes.any = true;
            reach += UNIT_BYTES_MAX;
            if byte == b'\n' {
                escapes.breaks = true;
                reach += BREAK_BYTES_MAX;
            }
        }
        self.reach = self.reach.max(reach);
    }

    /// Notes what the escapes in tails can be made of.
    fn admit_escapes(&mut self, escapes: Escapes) {
        if escapes.any {
            // An escape is made of its introducer, letters, digits and a closing character.
            self.add_range(b'0'..=b'9');
            self.add_range(b'a'..=b'z');
            self.add_range(b'A'..=b'Z');
            self.add_members(b"\\%&'\"^`$=+-_#;{}x");
        }
        if escapes.breaks {
            self.add_members(b" \t\r\n");
        }
    }

    fn add_members(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.members[usize::from(byte)] = true;
        }
    }

    fn add_range(&mut self, range: std::ops::RangeInclusive<u8>) {
        for byte in range {
            self.members[usize::from(byte)] = true;
        }
    }

    /// Calls `open` with the pattern, start and number of characters of each pattern that the text may end in, from
    /// the earliest start on, until it returns `false`.
    pub(crate) fn tails(
        &self,
        patterns: &[Pattern],
        arena: &[u8],
        text: &[u8],
        mut open: impl FnMut(u32, usize, usize) -> bool,
        work: &mut u64,
    ) {
        let from = self.region(text);
        for start in from..text.len() {
            *work += 1;
            let tail = &text[start..];
            let known = tail.get(..HEAD_BYTES);
            let mut ask = |id: u32, work: &mut u64| {
                let pattern = &patterns[id as usize];
                let body = pattern.body(arena);
                let forward = pattern.forward(body, text, start, 0, work);
                !forward.open || open(id, pattern.with_lead(text, start), forward.units)
            };
            let key = known.and_then(|head| self.key(head));
            for id in key.into_iter().flat_map(|key| ids(&self.by_head, key)) {
                if !ask(id, work) {
                    return;
                }
            }
            for id in self.special_heads(tail) {
                if !ask(id, work) {
                    return;
                }
            }
            if known.is_none() && !self.short_tail(text, start, tail, &mut open) {
                return;
            }
        }
        // A base64 character that holds a value's first bits, with nothing behind it yet.
        if let Some(&last) = text.last()
            && self.leads & sextet_of(last) != 0
        {
            open(u32::MAX, text.len() - 1, 0);
        }
    }

    fn short_tail(
        &self,
        text: &[u8],
        start: usize,
        tail: &[u8],
        open: &mut impl FnMut(u32, usize, usize) -> bool,
    ) -> bool {
        let Some(key) = self.key(tail) else {
            return true;
        };
        let Ok(at) = self.short.binary_search_by_key(&key, |&(known, _)| known) else {
            return true;
        };
        let leads = self.short[at].1;
        let before = start.checked_sub(1).and_then(|at| text.get(at));
        let lead = before.is_some_and(|&b| leads & sextet_of(b) != 0);
        open(u32::MAX, start - usize::from(lead), tail.len())
    }

    /// Returns the patterns whose head may be escaped and could begin here.
    fn special_heads(&self, tail: &[u8]) -> impl Iterator<Item = u32> + '_ {
        let plain = tail
            .iter()
            .take(HEAD_BYTES)
            .take_while(|&&b| unit::is_plain(b))
            .count();
        let next = tail.get(plain).copied();
        let behind = (1..HEAD_BYTES).contains(&plain) && next.is_some();
        let behind = behind
            .then(|| self.key(tail.get(..plain).unwrap_or_default()))
            .flatten()
            .into_iter()
            .flat_map(|key| ids(&self.special, key));
        // An introducer may stand for any character.
        let first = next.filter(|_| plain == 0).map(|first| {
            let any = unit::is_intro(first);
            self.special_first
                .iter()
                .filter(move |&&(known, _)| any || known == first)
                .map(|&(_, id)| id)
        });
        behind.chain(first.into_iter().flatten())
    }

    /// Returns where the stretch of bytes begins that a tail can be made of.
    fn region(&self, text: &[u8]) -> usize {
        let least = text.len().saturating_sub(self.reach);
        let mut end = text.len();
        loop {
            let stop = text[least..end]
                .iter()
                .rposition(|&byte| !self.members[usize::from(byte)])
                .map(|at| least + at);
            let Some(stop) = stop else { return least };
            match self.fillers.then(|| filler_before(text, stop)).flatten() {
                Some(before) if before > least => end = before,
                _ => return stop + 1,
            }
        }
    }

    /// Returns the key of a head, if any table has it.
    fn key(&self, head: &[u8]) -> Option<u32> {
        let hash = self.hash(head);
        let bit = (hash >> self.shift) as usize;
        (self.bits[bit >> 6] >> (bit & 63) & 1 != 0).then_some(hash as u32)
    }

    fn admit_hash(&mut self, head: &[u8]) -> u32 {
        let hash = self.hash(head);
        let bit = (hash >> self.shift) as usize;
        self.bits[bit >> 6] |= 1 << (bit & 63);
        hash as u32
    }

    /// Hashes up to 4 bytes and their number.
    fn hash(&self, head: &[u8]) -> u64 {
        let number = head
            .iter()
            .fold(head.len() as u64, |number, &b| number << 8 | u64::from(b));
        let mixed = number.wrapping_mul(self.multiplier);
        mixed ^ mixed >> 32
    }
}

/// Which escapes a tail may hold.
#[derive(Default)]
struct Escapes {
    any: bool,
    breaks: bool,
}

/// Returns the patterns under a key of a sorted table.
fn ids(table: &[(u32, u32)], key: u32) -> impl Iterator<Item = u32> + '_ {
    let first = table.partition_point(|&(known, _)| known < key);
    table
        .get(first..)
        .unwrap_or_default()
        .iter()
        .take_while(move |&&(known, _)| known == key)
        .map(|&(_, id)| id)
}

/// Returns where a line break or control sequence begins that covers `text[at]` and could stand inside a pattern:
/// enough of a body would have to stand before it.
fn filler_before(text: &[u8], at: usize) -> Option<usize> {
    let is_break = |b: u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n');
    let head = text.get(..=at)?;
    let last = *head.last()?;
    let begin = if is_break(last) {
        head.iter().rposition(|&b| !is_break(b))? + 1
    } else if last == b'\\' {
        head.iter().rposition(|&b| b != last)? + 1
    } else {
        let least = at.saturating_sub(UNIT_BYTES_MAX);
        let escape = head.get(least..)?.iter().rposition(|&b| b == 0x1b)? + least;
        let mut cut = false;
        let end = unit::control_sequence(text, escape, &mut cut);
        if !cut && end.is_none_or(|end| end <= at) {
            return None;
        }
        escape
    };
    let before = text.get(begin.checked_sub(FILLER_FROM)?..begin)?;
    // Only base64 and hex are wrapped, their `+` and `/` perhaps escaped; another filler may stand before this one.
    let fits = |b: u8| match last {
        _ if b == 0x1b => true,
        b' ' | b'\t' | b'\r' | b'\n' | b'\\' => sextet_of(b) != 0 || b"%\\&#;=".contains(&b),
        _ => b > b' ' && b < 0x7f,
    };
    before.iter().all(|&b| fits(b)).then_some(begin)
}
