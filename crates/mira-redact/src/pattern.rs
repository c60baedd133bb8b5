//! One pattern: a body of characters and the rules by which text may spell it.
//!
//! It verifies what the sieve suspects and the heads test asks; it finds nothing by itself.
//!
//! INVARIANT: a verdict that says neither `open` nor cut depends only on bytes that were there, so it is the same
//! however the stream was cut.

use crate::encode::sextet_of;
use crate::set::Form;
use crate::unit::{self, BREAK_BYTES_MAX, Ends, UNIT_BYTES_MAX};

/// How a text may spell a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Grammar {
    /// Byte for byte.
    Exact,
    /// Each character raw or escaped; a line feed as any line break.
    Text,
    /// Letters and digits as they are, `+` and `/` in both alphabets or escaped, lines wrapped anywhere.
    Base64,
    /// Byte for byte, lines wrapped anywhere.
    Hex,
}

/// A body of at least this many characters may be wrapped: MIME, PEM, `base64` and `xxd -p` never wrap shorter lines.
pub(crate) const WRAPPED_FROM: usize = 56;

/// Control sequences and wraps are looked for only behind this many characters of a body, lest a terminal's query
/// that follows the first letter of a secret be held back.
pub(crate) const FILLER_FROM: usize = 8;

/// The most readings of one text that are followed at a time.
// LIMIT: values of nothing but backslashes and quotes have more; the later readings are dropped.
const READINGS_MAX: usize = 32;

/// A self-overlap of this many bytes makes a pattern keep its Z table.
pub(crate) const OVERLAP_FROM: usize = 16;

#[derive(Debug)]
pub(crate) struct Pattern {
    /// Where the body lies in the arena.
    pub(crate) offset: usize,
    pub(crate) len: usize,
    pub(crate) needle: u32,
    pub(crate) form: Form,
    pub(crate) grammar: Grammar,
    pub(crate) lead: u64,
    pub(crate) trail: u64,
    pub(crate) pads: u8,
    /// Characters at the beginning that anybody knows: `sk-proj-`, `postgres://app:`.
    pub(crate) public: usize,
    /// Whether the body has a character that may be escaped.
    pub(crate) special: bool,
    /// For bodies that overlap themselves: how far the body equals itself from each offset.
    pub(crate) overlaps: Option<Box<[u32]>>,
    /// Where a scan keeps the last comparison of a body that overlaps itself.
    pub(crate) slot: u32,
    /// Whether readings other than byte for byte are tried.
    pub(crate) tolerant: bool,
}

/// What a candidate turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    No,
    /// The text ended while it still fitted; `units` characters did.
    Open {
        start: usize,
        units: usize,
        raw: bool,
    },
    /// A match; `open` says that more text could make it longer.
    Match {
        start: usize,
        end: usize,
        open: bool,
        raw: bool,
    },
}

/// What reading forward came to.
#[derive(Default)]
pub(crate) struct Forward {
    pub(crate) end: Option<usize>,
    pub(crate) open: bool,
    pub(crate) units: usize,
}

/// The stretch of text that was last compared with a body that overlaps itself: its start and how far it fitted.
#[derive(Clone, Copy, Default)]
pub(crate) struct Compared {
    start: usize,
    len: usize,
}

impl Pattern {
    pub(crate) fn body<'a>(&self, arena: &'a [u8]) -> &'a [u8] {
        arena
            .get(self.offset..self.offset + self.len)
            .unwrap_or_default()
    }

    pub(crate) fn wraps(&self) -> bool {
        self.len >= WRAPPED_FROM && matches!(self.grammar, Grammar::Base64 | Grammar::Hex)
    }

    /// Checks the occurrence in which `body[index]` begins at `text[pos]`, byte for byte.
    pub(crate) fn verify_raw(
        &self,
        body: &[u8],
        text: &[u8],
        pos: usize,
        index: usize,
        compared: Option<&mut Compared>,
        work: &mut u64,
    ) -> Verdict {
        let Some(start) = pos.checked_sub(index) else {
            return Verdict::No;
        };
        let fits = self.compare(body, text, start, compared, work);
        if fits == body.len() {
            let (end, open) = self.extended(text, start + fits);
            Verdict::Match {
                start: self.with_lead(text, start),
                end,
                open,
                raw: true,
            }
        } else if start + fits == text.len() {
            Verdict::Open {
                start: self.with_lead(text, start),
                units: fits,
                raw: true,
            }
        } else {
            Verdict::No
        }
    }

    /// Checks the occurrence in which `body[index]` begins at `text[pos]`, in every way the grammar allows.
    pub(crate) fn verify(
        &self,
        body: &[u8],
        text: &[u8],
        pos: usize,
        index: usize,
        work: &mut u64,
    ) -> Verdict {
        if !self.tolerant || !(self.special || self.has_filler(text, pos, index)) {
            return Verdict::No;
        }
        let Some(start) = self.backward(body, text, pos, index, work) else {
            return Verdict::No;
        };
        let forward = self.forward(body, text, pos, index, work);
        let start = self.with_lead(text, start);
        match forward.end {
            Some(end) => Verdict::Match {
                start,
                end,
                open: forward.open,
                raw: false,
            },
            None if forward.open => Verdict::Open {
                start,
                units: forward.units,
                raw: false,
            },
            None => Verdict::No,
        }
    }

    /// Returns how many characters of the body stand at `text[start..]` byte for byte.
    fn compare(
        &self,
        body: &[u8],
        text: &[u8],
        start: usize,
        compared: Option<&mut Compared>,
        work: &mut u64,
    ) -> usize {
        let mut known = 0;
        if let (Some(overlaps), Some(last)) = (&self.overlaps, &compared)
            && start >= last.start
            && start < last.start + last.len
        {
            // The text up to the end of the last comparison equals the body shifted by `delta`.
            let delta = start - last.start;
            let left = last.len - delta;
            let same = overlaps.get(delta).copied().unwrap_or_default() as usize;
            if same < left {
                return same;
            }
            known = left;
        }
        let rest = text.get(start + known..).unwrap_or_default();
        let want = body.get(known..).unwrap_or_default();
        let fits = known + common_prefix(rest, want);
        *work += (fits - known) as u64 + 1;
        if let Some(last) = compared
            && start + fits >= last.start + last.len
        {
            *last = Compared { start, len: fits };
        }
        fits
    }

    /// Whether something that may stand between characters is near.
    fn has_filler(&self, text: &[u8], pos: usize, index: usize) -> bool {
        let from = pos.saturating_sub(index + 2 * UNIT_BYTES_MAX);
        let to = (pos + self.len - index + 2 * UNIT_BYTES_MAX).min(text.len());
        let near = text.get(from..to).unwrap_or_default();
        let wraps = self.wraps();
        near.iter()
            .any(|&b| b == 0x1b || wraps && matches!(b, b'\n' | b'\\'))
    }

    fn filler(&self, text: &[u8], pos: usize, cut: &mut bool) -> Option<usize> {
        unit::control_sequence(text, pos, cut)
            .or_else(|| self.wraps().then(|| unit::wrap(text, pos, cut)).flatten())
    }

    /// Reads from `body[index]` at `text[pos]` to the body's end, in every way the grammar allows.
    pub(crate) fn forward(
        &self,
        body: &[u8],
        text: &[u8],
        pos: usize,
        index: usize,
        work: &mut u64,
    ) -> Forward {
        let mut result = Forward::default();
        let mut readings = Readings::new(index, pos);
        while let Some((mut index, mut pos)) = readings.take_first() {
            while let (Some(&want), Some(&byte)) = (body.get(index), text.get(pos))
                && want == byte
                && (self.is_fixed() || unit::is_plain(want))
            {
                index += 1;
                pos += 1;
                *work += 1;
            }
            *work += 1;
            let Some(&want) = body.get(index) else {
                let (end, open) = self.extended(text, pos);
                result.end = result.end.max(Some(end));
                result.open |= open;
                continue;
            };
            if pos >= text.len() {
                result.open = true;
                result.units = result.units.max(index);
                continue;
            }
            if !self.tolerant || self.grammar == Grammar::Exact {
                continue;
            }
            let mut cut = false;
            if index >= FILLER_FROM
                && let Some(after) = self.filler(text, pos, &mut cut)
            {
                readings.add(index, after);
            }
            if !self.is_fixed() && !unit::is_plain(want) {
                let mut ends = Ends::new();
                self.read(text, pos, body, index, &mut ends);
                for &(pos, index) in ends.as_slice() {
                    readings.add(index, pos);
                }
                cut |= ends.cut;
            }
            if cut {
                result.open = true;
                result.units = result.units.max(index);
            }
        }
        result
    }

    /// Reads from before `body[index]`, which begins at `text[pos]`, back to the body's start; returns the earliest.
    fn backward(
        &self,
        body: &[u8],
        text: &[u8],
        pos: usize,
        index: usize,
        work: &mut u64,
    ) -> Option<usize> {
        let fillers = self.has_filler(text, pos, index);
        let mut start: Option<usize> = None;
        let mut readings = Readings::new(index, pos);
        while let Some((index, pos)) = readings.take_last() {
            *work += 1;
            let Some(before) = index.checked_sub(1) else {
                start = Some(start.map_or(pos, |known| known.min(pos)));
                continue;
            };
            if fillers && index >= FILLER_FROM {
                self.back_over_filler(text, pos, |from| readings.add(index, from));
            }
            let want = body.get(before).copied().unwrap_or_default();
            if self.is_fixed() || unit::is_plain(want) {
                if pos > 0 && text.get(pos - 1) == Some(&want) {
                    readings.add(before, pos - 1);
                }
            } else {
                self.back_over_unit(body, text, pos, index, |index, from| {
                    readings.add(index, from);
                });
            }
        }
        start
    }

    fn back_over_filler(&self, text: &[u8], pos: usize, mut found: impl FnMut(usize)) {
        for from in pos.saturating_sub(UNIT_BYTES_MAX)..pos {
            if self.filler(text, from, &mut false) == Some(pos) {
                found(from);
            }
        }
    }

    /// Finds where the character that ends at `text[pos]` and is the last before `body[index]` may begin.
    fn back_over_unit(
        &self,
        body: &[u8],
        text: &[u8],
        pos: usize,
        index: usize,
        mut found: impl FnMut(usize, usize),
    ) {
        let want = body.get(index - 1).copied().unwrap_or_default();
        let reach = if want == b'\n' {
            BREAK_BYTES_MAX + UNIT_BYTES_MAX
        } else {
            UNIT_BYTES_MAX
        };
        // A character of several bytes begins up to 3 bytes before its last.
        let deepest = if want.is_ascii() { 1 } else { 4 };
        for from in pos.saturating_sub(reach)..pos {
            let begins = text
                .get(from)
                .is_some_and(|&b| unit::is_intro(b) || from + 1 == pos);
            if !begins {
                continue;
            }
            for depth in 1..=deepest.min(index) {
                let mut ends = Ends::new();
                self.read(text, from, body, index - depth, &mut ends);
                if ends.as_slice().contains(&(pos, index)) {
                    found(index - depth, from);
                }
            }
        }
    }

    fn read(&self, text: &[u8], pos: usize, body: &[u8], index: usize, ends: &mut Ends) {
        if self.grammar == Grammar::Base64 {
            let twin = matches!(
                (body.get(index), text.get(pos)),
                (Some(b'+'), Some(b'-')) | (Some(b'/'), Some(b'_'))
            );
            if twin {
                ends.push(pos + 1, index + 1);
                return;
            }
        }
        unit::read(text, pos, body, index, ends);
    }

    /// Whether every character stands for itself only.
    fn is_fixed(&self) -> bool {
        !self.tolerant || matches!(self.grammar, Grammar::Exact | Grammar::Hex)
    }

    /// Moves a start back over the base64 character that holds the value's first bits.
    pub(crate) fn with_lead(&self, text: &[u8], start: usize) -> usize {
        match start.checked_sub(1) {
            Some(before)
                if self.lead != 0
                    && text
                        .get(before)
                        .is_some_and(|&b| self.lead & sextet_of(b) != 0) =>
            {
                before
            }
            _ => start,
        }
    }

    /// Moves an end over the base64 character that holds the value's last bits, and over padding.
    fn extended(&self, text: &[u8], end: usize) -> (usize, bool) {
        if self.trail == 0 {
            return (end, false);
        }
        match text.get(end) {
            None => (end, true),
            Some(&byte) if self.trail & sextet_of(byte) != 0 => {
                let mut at = end + 1;
                for _ in 0..self.pads {
                    let mut ends = Ends::new();
                    unit::read(text, at, b"=", 0, &mut ends);
                    match ends.as_slice().iter().map(|&(end, _)| end).max() {
                        Some(after) => at = after,
                        None => return (at, ends.cut),
                    }
                    if ends.cut {
                        return (at, true);
                    }
                }
                (at, false)
            }
            Some(_) => (end, false),
        }
    }
}

/// Returns how many bytes two slices have in common at their beginning.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let len = a.len().min(b.len());
    let (a, b) = (
        a.get(..len).unwrap_or_default(),
        b.get(..len).unwrap_or_default(),
    );
    let mut at = 0;
    for (x, y) in a.chunks_exact(16).zip(b.chunks_exact(16)) {
        if x != y {
            break;
        }
        at += 16;
    }
    at + a.iter().zip(b).skip(at).take_while(|(x, y)| x == y).count()
}

/// Returns whether a body has a character that its grammar may escape.
pub(crate) fn has_special(grammar: Grammar, body: &[u8]) -> bool {
    matches!(grammar, Grammar::Text | Grammar::Base64) && !body.iter().all(|&b| unit::is_plain(b))
}

/// Returns whether other readings than byte for byte are tried.
// LIMIT: not for bodies that are one part four times over or more (`--------`): in text that repeats it too, each byte
// would begin a long reading.
pub(crate) fn is_tolerant(grammar: Grammar, body: &[u8]) -> bool {
    let repeats = |period: usize| {
        let same = body.len() - period;
        body.get(period) == body.first() && body.get(period..) == body.get(..same)
    };
    grammar != Grammar::Exact && !(1..=body.len() / 4).any(repeats)
}

/// Returns, for each offset, how far a body equals itself from there, if any overlap is worth knowing.
pub(crate) fn overlaps_of(body: &[u8]) -> Option<Box<[u32]>> {
    let head = body.first_chunk::<OVERLAP_FROM>()?;
    let mut others = body.get(1..)?.windows(OVERLAP_FROM);
    if !others.any(|part| part.first_chunk() == Some(head)) {
        return None;
    }
    let mut table = vec![0u32; body.len()];
    let (mut left, mut right) = (0, 0);
    for at in 1..body.len() {
        let mut same = if at < right {
            (right - at).min(table.get(at - left).copied().unwrap_or_default() as usize)
        } else {
            0
        };
        while let (Some(a), Some(b)) = (body.get(same), body.get(at + same))
            && a == b
        {
            same += 1;
        }
        if at + same > right {
            (left, right) = (at, at + same);
        }
        if let Some(slot) = table.get_mut(at) {
            *slot = same as u32;
        }
    }
    Some(table.into_boxed_slice())
}

/// The readings of one text that are still possible, each an index in the body and an offset in the text.
struct Readings {
    list: [(usize, usize); READINGS_MAX],
    len: usize,
}

impl Readings {
    fn new(index: usize, pos: usize) -> Self {
        let mut list = [(0, 0); READINGS_MAX];
        list[0] = (index, pos);
        Self { list, len: 1 }
    }

    fn add(&mut self, index: usize, pos: usize) {
        let known = self.list.get(..self.len).unwrap_or_default();
        if known.contains(&(index, pos)) {
            return;
        }
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = (index, pos);
            self.len += 1;
        }
    }

    fn take_first(&mut self) -> Option<(usize, usize)> {
        self.take(|best, other| other < best)
    }

    fn take_last(&mut self) -> Option<(usize, usize)> {
        self.take(|best, other| other > best)
    }

    fn take(
        &mut self,
        better: impl Fn((usize, usize), (usize, usize)) -> bool,
    ) -> Option<(usize, usize)> {
        let known = self.list.get(..self.len)?;
        let mut best = 0;
        for (at, &reading) in known.iter().enumerate() {
            if better(*known.get(best)?, reading) {
                best = at;
            }
        }
        let taken = *known.get(best)?;
        self.len = self.len.checked_sub(1)?;
        self.list.swap(best, self.len);
        Some(taken)
    }
}
