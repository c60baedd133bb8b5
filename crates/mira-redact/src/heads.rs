//! The heads test: could the end of a text be the beginning of a pattern?
//!
//! It looks only at tails too short for the sieve to have seen a segment of the pattern; longer ones the sieve finds.
//! It may say yes too often (which costs a moment's wait), never no too often.

use crate::encode::sextet_of;
use crate::pattern::{Grammar, Pattern};
use crate::unit::{self, BREAK_BYTES_MAX, UNIT_BYTES_MAX};

const HEAD_BYTES: usize = 4;

pub(crate) struct Heads {
    multiplier: u64,
    /// The bytes that a tail can be made of.
    members: Box<[bool; 256]>,
    /// The longest tail that the sieve may not have seen, in bytes.
    reach: usize,
    /// A bit set of the hashes of all heads of 4 bytes.
    bits: Box<[u64]>,
    shift: u32,
    /// Sorted: hash of a head and the pattern that begins with it.
    by_head: Box<[(u32, u32)]>,
    /// Sorted: hash of a head of 1 to 3 bytes and the characters that may stand before it.
    short: Box<[(u32, u64)]>,
    /// The characters before any pattern.
    leads: u64,
    /// Patterns whose head may be escaped.
    special: Box<[u32]>,
}

impl Heads {
    /// Makes the test; `seen_from[i]` is the index in pattern `i`'s body behind its last segment.
    pub(crate) fn new(patterns: &[Pattern], arena: &[u8], seen_from: &[usize], seed: u64) -> Self {
        let multiplier = seed.rotate_left(23) | 1;
        let log_bits = (patterns.len() * 32)
            .next_power_of_two()
            .clamp(1 << 10, 1 << 21)
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
        };
        let (mut by_head, mut short, mut special) = (Vec::new(), Vec::new(), Vec::new());
        for ((id, pattern), &seen) in (0u32..).zip(patterns).zip(seen_from) {
            let body = pattern.body(arena);
            heads.admit(pattern, body.get(..seen).unwrap_or(body));
            for len in 1..HEAD_BYTES {
                if let Some(head) = body.get(..len) {
                    short.push((heads.hash(head) as u32, pattern.lead));
                }
            }
            if let Some(head) = body.get(..HEAD_BYTES) {
                let hash = heads.hash(head);
                by_head.push(((hash >> 32) as u32, id));
                let bit = (hash >> heads.shift) as usize;
                heads.bits[bit >> 6] |= 1 << (bit & 63);
            }
            heads.leads |= pattern.lead;
            let escapable = matches!(pattern.grammar, Grammar::Text | Grammar::Base64);
            if escapable && body.iter().take(HEAD_BYTES).any(|&b| !unit::is_plain(b)) {
                special.push(id);
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
        heads.special = special.into_boxed_slice();
        heads
    }

    /// Notes what a tail of this pattern can be made of and how long it can be.
    fn admit(&mut self, pattern: &Pattern, unseen: &[u8]) {
        let mut reach = 1;
        for (index, &byte) in unseen.iter().enumerate() {
            self.members[usize::from(byte)] = true;
            reach += 1;
            if index >= 8 && pattern.tolerant {
                self.add_members(b"\x1b");
                self.add_range(0x20..=0x7e);
                reach += UNIT_BYTES_MAX;
            }
            if unit::is_plain(byte) || !matches!(pattern.grammar, Grammar::Text | Grammar::Base64) {
                continue;
            }
            // An escape is made of its introducer, letters, digits and a closing character.
            self.add_range(b'0'..=b'9');
            self.add_range(b'a'..=b'z');
            self.add_range(b'A'..=b'Z');
            self.add_members(b"\\%&'\"^`$=+-_#;{}x");
            reach += UNIT_BYTES_MAX;
            if byte == b'\n' {
                self.add_members(b" \t\r\n");
                reach += BREAK_BYTES_MAX;
            }
        }
        if pattern.wraps() {
            self.add_members(b" \t\r\n\\");
        }
        for byte in 0..=255 {
            if pattern.lead & sextet_of(byte) != 0 {
                self.members[usize::from(byte)] = true;
            }
        }
        self.reach = self.reach.max(reach);
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
            let near = known.unwrap_or(tail);
            let mut ask = |id: u32, work: &mut u64| {
                let pattern = &patterns[id as usize];
                let body = pattern.body(arena);
                let forward = pattern.forward(body, text, start, 0, work);
                !forward.open || open(id, pattern.with_lead(text, start), forward.units)
            };
            if let Some(head) = known {
                let hash = self.hash(head);
                let bit = (hash >> self.shift) as usize;
                if self.bits[bit >> 6] >> (bit & 63) & 1 != 0 {
                    let key = (hash >> 32) as u32;
                    let first = self.by_head.partition_point(|&(known, _)| known < key);
                    for &(known, id) in &self.by_head[first..] {
                        if known != key {
                            break;
                        }
                        if !ask(id, work) {
                            return;
                        }
                    }
                }
            }
            if !self.special.is_empty() && near.iter().any(|&b| unit::is_intro(b)) {
                for &id in &self.special {
                    if !ask(id, work) {
                        return;
                    }
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
        let key = self.hash(tail) as u32;
        let Ok(at) = self.short.binary_search_by_key(&key, |&(known, _)| known) else {
            return true;
        };
        let leads = self.short[at].1;
        let before = start.checked_sub(1).and_then(|at| text.get(at));
        let lead = before.is_some_and(|&b| leads & sextet_of(b) != 0);
        open(u32::MAX, start - usize::from(lead), tail.len())
    }

    /// Returns where the stretch of bytes begins that a tail can be made of.
    fn region(&self, text: &[u8]) -> usize {
        let least = text.len().saturating_sub(self.reach);
        text[least..]
            .iter()
            .rposition(|&byte| !self.members[usize::from(byte)])
            .map_or(least, |at| least + at + 1)
    }

    fn hash(&self, head: &[u8]) -> u64 {
        let mut bytes = [0; 8];
        for (slot, &byte) in bytes.iter_mut().zip(head) {
            *slot = byte;
        }
        bytes[7] = head.len() as u8;
        let mixed = u64::from_le_bytes(bytes).wrapping_mul(self.multiplier);
        (mixed ^ mixed >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}
