//! The engine: sieve, verification and heads test over one text.
//!
//! It sees one text at a time and remembers nothing between two; what is carried from read to read is `stream`'s.
//!
//! INVARIANT: every place where the text could still become part of a match lies at or behind the hold that
//! [`Engine::scan`] returns, so what is before it never changes.

use mira_secret::SecretBytes;

use crate::forms::Draft;
use crate::heads::Heads;
use crate::pattern::{self, Compared, Pattern, Verdict};
use crate::segments;
use crate::set::{self, Form};
use crate::sieve::{Hit, Sieve};
use crate::union::{Best, Stretch, Union};

/// How much text is probed before its hits are verified: it stays in the first-level cache.
const BLOCK_BYTES: usize = 16 * 1024;

pub(crate) struct Engine {
    arena: SecretBytes,
    patterns: Box<[Pattern]>,
    sieves: Box<[Sieve]>,
    heads: Heads,
    /// From this pattern on they are our own markers, which are passed over.
    guards_from: u32,
    overlapping: u32,
}

/// What one scan needs and the next can use again.
#[derive(Default)]
pub(crate) struct Scratch {
    hits: Vec<Hit>,
    compared: Vec<Compared>,
    /// Our own markers in the text.
    zones: Vec<(usize, usize)>,
    pub(crate) union: Union,
    /// Steps of verification taken: a clock that does not depend on the machine.
    pub(crate) work: u64,
}

/// The earliest place where something may begin that the end of the text cut off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    pub(crate) start: usize,
    /// The pattern that was cut off there byte for byte, and how many of its characters were there.
    pub(crate) by: Option<(u32, usize)>,
}

/// A pattern that the text may end in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) pattern: u32,
    pub(crate) start: usize,
    pub(crate) units: usize,
    /// Whether all of the text from the start on is the body's, byte for byte.
    pub(crate) raw: bool,
}

enum Event {
    Match {
        pattern: u32,
        start: usize,
        end: usize,
        raw: bool,
    },
    Open(Open),
}

impl Engine {
    pub(crate) fn new(
        arena: SecretBytes,
        drafts: &[(u32, Draft)],
        markers: &[&str],
        seed: u64,
    ) -> Self {
        let engine = Self::compile(arena, drafts, u32::MAX, seed);
        if !engine.meets_markers(markers) {
            return engine;
        }
        // A value that is part of a marker, or has one at its edge: markers become patterns of their own, so that
        // they are recognised and left alone, and redacting twice is redacting once.
        let mut known = std::collections::HashSet::new();
        let guards: Vec<Draft> = markers
            .iter()
            .filter(|marker| known.insert(**marker))
            .map(|marker| Draft::guard(marker))
            .collect();
        // EXPOSE: to the next arena, which takes the markers in as well.
        let old = engine.arena.expose();
        let bodies = guards.iter().map(|guard| guard.body.as_slice());
        let arena = set::joined(std::iter::once(old).chain(bodies));
        let guards_from = drafts.len() as u32;
        let all: Vec<(u32, &Draft)> = drafts
            .iter()
            .map(|(needle, draft)| (*needle, draft))
            .chain(guards.iter().map(|guard| (u32::MAX, guard)))
            .collect();
        Self::compile_refs(arena, &all, guards_from, seed)
    }

    fn compile(arena: SecretBytes, drafts: &[(u32, Draft)], guards_from: u32, seed: u64) -> Self {
        let refs: Vec<(u32, &Draft)> = drafts.iter().map(|(n, draft)| (*n, draft)).collect();
        Self::compile_refs(arena, &refs, guards_from, seed)
    }

    fn compile_refs(
        arena: SecretBytes,
        drafts: &[(u32, &Draft)],
        guards_from: u32,
        seed: u64,
    ) -> Self {
        let mut offset = 0;
        let mut overlapping = 0;
        let patterns: Box<[Pattern]> = drafts
            .iter()
            .map(|(needle, draft)| {
                let pattern = Pattern::new(*needle, draft, offset, &mut overlapping);
                offset += pattern.len;
                pattern
            })
            .collect();
        // EXPOSE: to the tables, which keep hashes of windows and heads.
        let bytes = arena.expose();
        let chosen = segments::choose(&patterns, bytes);
        let sieves = chosen.sieves(seed);
        let heads = Heads::new(&patterns, bytes, &chosen.seen_from, seed);
        Self {
            arena,
            patterns,
            sieves,
            heads,
            guards_from,
            overlapping,
        }
    }

    /// Whether a value could overlap a marker in some text.
    fn meets_markers(&self, markers: &[&str]) -> bool {
        // EXPOSE: to comparisons with the markers.
        let arena = self.arena.expose();
        let mut scratch = Scratch::default();
        markers.iter().any(|marker| {
            let marker = marker.as_bytes();
            let hold = self.scan(marker, 0, false, &mut scratch);
            hold.start < marker.len() || !scratch.union.stretches().is_empty()
        }) || self.patterns.iter().any(|pattern| {
            let body = pattern.body(arena);
            body.iter().enumerate().any(|(at, &byte)| {
                byte == b'['
                    && markers.iter().any(|marker| {
                        let rest = body.get(at..).unwrap_or_default();
                        let len = rest.len().min(marker.len());
                        rest.get(..len) == marker.as_bytes().get(..len)
                    })
            })
        })
    }

    pub(crate) fn patterns(&self) -> &[Pattern] {
        self.patterns
            .get(..self.patterns.len().min(self.guards_from as usize))
            .unwrap_or_default()
    }

    /// Whether our own markers are looked for.
    pub(crate) fn has_guards(&self) -> bool {
        self.guards_from != u32::MAX
    }

    /// Puts the union of all matches into `scratch.union`, counted from `base`, and returns the hold. At the end of a
    /// stream nothing is cut off.
    pub(crate) fn scan(&self, text: &[u8], base: u64, ended: bool, scratch: &mut Scratch) -> Hold {
        scratch.union.clear();
        let nothing = Hold {
            start: text.len(),
            by: None,
        };
        if self.patterns.is_empty() {
            return nothing;
        }
        self.find_zones(text, scratch);
        let mut hold = nothing;
        let mut union = std::mem::take(&mut scratch.union);
        self.walk(text, scratch, |event, zones| match event {
            Event::Match {
                pattern,
                start,
                end,
                raw,
            } => {
                if !meets(zones, start, end) {
                    union.add(self.stretch(pattern, start, end, raw, base));
                }
            }
            Event::Open(open) => {
                if open.start < hold.start && !meets(zones, open.start, text.len()) {
                    hold = Hold {
                        start: open.start,
                        by: open.raw.then_some((open.pattern, open.units)),
                    };
                }
            }
        });
        scratch.union = union;
        if ended {
            return nothing;
        }
        let zones = std::mem::take(&mut scratch.zones);
        // EXPOSE: to the comparison of the text's end with the bodies.
        let arena = self.arena.expose();
        let until = |_: u32, start: usize, _: usize| {
            if meets(&zones, start, text.len()) {
                return true;
            }
            if start < hold.start {
                hold = Hold { start, by: None };
            }
            false
        };
        self.heads
            .tails(&self.patterns, arena, text, until, &mut scratch.work);
        scratch.zones = zones;
        hold
    }

    /// Returns every pattern that the text may end in. Slower than [`Engine::scan`]: for the rare moment when a held
    /// tail has waited long enough.
    pub(crate) fn opens(&self, text: &[u8], scratch: &mut Scratch) -> Vec<Open> {
        let mut opens = Vec::new();
        if self.patterns.is_empty() {
            return opens;
        }
        self.find_zones(text, scratch);
        let zones = scratch.zones.clone();
        let guards_from = self.guards_from;
        let mut keep = |open: Open| {
            if open.pattern < guards_from && !meets(&zones, open.start, text.len()) {
                opens.push(open);
            }
        };
        self.walk(text, scratch, |event, _| {
            if let Event::Open(open) = event {
                keep(open);
            }
        });
        // EXPOSE: to the comparison of the text's end with the bodies.
        let arena = self.arena.expose();
        let each = |pattern, start, units| {
            if pattern != u32::MAX {
                keep(Open {
                    pattern,
                    start,
                    units,
                    raw: false,
                });
            }
            true
        };
        self.heads
            .tails(&self.patterns, arena, text, each, &mut scratch.work);
        for start in text.len().saturating_sub(3)..text.len() {
            for (id, pattern) in (0u32..).zip(&self.patterns) {
                let body = pattern.body(arena);
                let forward = pattern.forward(body, text, start, 0, &mut scratch.work);
                if forward.open {
                    keep(Open {
                        pattern: id,
                        start,
                        units: forward.units,
                        raw: false,
                    });
                }
            }
        }
        opens
    }

    /// Returns how many characters of a pattern there are once `new` has followed `units` of them, if it is only the
    /// pattern's beginning still.
    pub(crate) fn continued(&self, pattern: u32, units: usize, new: &[u8]) -> Option<usize> {
        // EXPOSE: to the comparison with the bytes that came.
        let body = self.patterns[pattern as usize].body(self.arena.expose());
        let rest = body.get(units..)?;
        (new.len() < rest.len() && rest.starts_with(new)).then_some(units + new.len())
    }

    /// Returns a match or an open pattern as what a marker would replace.
    pub(crate) fn stretch(
        &self,
        pattern: u32,
        start: usize,
        end: usize,
        raw: bool,
        base: u64,
    ) -> Stretch {
        let pattern = &self.patterns[pattern as usize];
        let form = match pattern.form {
            Form::Raw if !raw => Form::Escaped,
            form => form,
        };
        Stretch {
            start: base + start as u64,
            end: base + end as u64,
            best: Best {
                len: (end - start) as u64,
                needle: pattern.needle,
                form,
            },
        }
    }

    /// Finds our own markers: what lies in them is no value, however it reads.
    fn find_zones(&self, text: &[u8], scratch: &mut Scratch) {
        scratch.zones.clear();
        if !self.has_guards() {
            return;
        }
        let mut zones = Vec::new();
        self.walk(text, scratch, |event, _| {
            if let Event::Match {
                pattern,
                start,
                end,
                ..
            } = event
                && pattern >= self.guards_from
            {
                zones.push((start, end));
            }
        });
        zones.sort_unstable();
        zones.dedup();
        scratch.zones = zones;
    }

    /// Verifies everything the sieves suspect.
    fn walk(
        &self,
        text: &[u8],
        scratch: &mut Scratch,
        mut each: impl FnMut(Event, &[(usize, usize)]),
    ) {
        // EXPOSE: to the verification of candidates.
        let arena = self.arena.expose();
        scratch.compared.clear();
        scratch
            .compared
            .resize(self.overlapping as usize, Compared::default());
        let Scratch {
            hits,
            compared,
            zones,
            work,
            ..
        } = scratch;
        for sieve in &self.sieves {
            let mut from = 0;
            while from < text.len() {
                hits.clear();
                let to = (from + BLOCK_BYTES).min(text.len());
                let next = sieve.probe(text, from, to, hits);
                for &hit in hits.iter() {
                    for (suspect, pos) in sieve.suspects(hit) {
                        *work += 1;
                        let pattern = &self.patterns[suspect.pattern as usize];
                        let last = compared.get_mut(pattern.slot as usize);
                        let body = pattern.body(arena);
                        let index = suspect.index as usize;
                        let mut verdict = pattern.verify_raw(body, text, pos, index, last, work);
                        if verdict == Verdict::No && sieve.is_whole(suspect, text, pos) {
                            verdict = pattern.verify(body, text, pos, index, work);
                        }
                        report(suspect.pattern, verdict, |event| each(event, zones));
                    }
                }
                if next <= from {
                    break;
                }
                from = next;
            }
        }
    }
}

/// Passes a verdict on as events.
fn report(pattern: u32, verdict: Verdict, mut each: impl FnMut(Event)) {
    match verdict {
        Verdict::No => {}
        Verdict::Open { start, units, raw } => each(Event::Open(Open {
            pattern,
            start,
            units,
            raw,
        })),
        Verdict::Match {
            start,
            end,
            open,
            raw,
        } => {
            each(Event::Match {
                pattern,
                start,
                end,
                raw,
            });
            if open {
                each(Event::Open(Open {
                    pattern,
                    start,
                    units: usize::MAX,
                    raw: false,
                }));
            }
        }
    }
}

fn meets(zones: &[(usize, usize)], start: usize, end: usize) -> bool {
    // Zones are disjoint and in order: only the last that begins before `end` can reach in.
    let after = zones.partition_point(|&(from, _)| from < end);
    after
        .checked_sub(1)
        .and_then(|at| zones.get(at))
        .is_some_and(|&(_, to)| start < to)
}

impl Pattern {
    fn new(needle: u32, draft: &Draft, offset: usize, overlapping: &mut u32) -> Self {
        let body = draft.body.as_slice();
        let overlaps = pattern::overlaps_of(body);
        let slot = if overlaps.is_some() {
            *overlapping += 1;
            *overlapping - 1
        } else {
            u32::MAX
        };
        Self {
            offset,
            len: body.len(),
            needle,
            form: draft.form,
            grammar: draft.grammar,
            lead: draft.lead,
            trail: draft.trail,
            pads: draft.pads,
            public: draft.public,
            special: pattern::has_special(draft.grammar, body),
            tolerant: pattern::is_tolerant(draft.grammar, body),
            overlaps,
            slot,
        }
    }
}
