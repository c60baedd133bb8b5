//! Which part of each pattern the sieve looks for.
//!
//! A segment is taken where no escape can touch it: in a run of letters and digits, away from what everybody knows
//! and from what many patterns share. A body without such a run is spelled out in each dialect instead.

use crate::encode::{self, Body};
use crate::pattern::{Grammar, Pattern};
use crate::sieve::{SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, Segment, Sieve};
use crate::unit;

/// Runs from this length on share one sieve; shorter ones, of values under 8 bytes, have their own.
const RUN_BYTES_MIN: usize = 8;

/// Runs from this length on allow a wide step; shorter ones give way to longer stretches with hyphens in them.
const WIDE_RUN_BYTES: usize = 16;

/// How far into a body segments are looked for.
const SEARCHED_BYTES: usize = 512;

/// Two segments of a body that may be wrapped lie within one line of this length.
const LINE_BYTES: usize = 60;

/// How many windows of a pattern are counted.
const WINDOWS: usize = 64;

/// How many places of a pattern, and how far apart, are compared for how much they are shared.
const PLACES: usize = 20;
const PLACES_STEP: usize = 3;

pub(crate) struct Chosen<'a> {
    long: Class<'a>,
    short: Class<'a>,
    /// For each pattern, the index in the body behind its last segment.
    pub(crate) seen_from: Vec<usize>,
}

/// Segments of one length.
struct Class<'a> {
    len: usize,
    list: Vec<Part<'a>>,
}

struct Part<'a> {
    text: Text<'a>,
    pattern: u32,
    index: u32,
}

enum Text<'a> {
    /// As it stands in the body.
    Body(&'a [u8]),
    Spelled(Body),
}

impl Text<'_> {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Body(text) => text,
            Self::Spelled(text) => text,
        }
    }
}

impl Chosen<'_> {
    pub(crate) fn sieves(&self, seed: u64) -> Box<[Sieve]> {
        [&self.long, &self.short]
            .into_iter()
            .filter(|class| !class.list.is_empty())
            .map(|class| {
                let segments: Vec<Segment<'_>> = class
                    .list
                    .iter()
                    .map(|part| Segment {
                        text: part.text.as_bytes(),
                        pattern: part.pattern,
                        index: part.index,
                    })
                    .collect();
                Sieve::new(&segments, class.len, seed)
            })
            .collect()
    }
}

/// How a pattern's segments are found.
#[derive(Clone, Copy)]
enum Source {
    /// In a run that no escape touches, of this length.
    Run(usize),
    /// In a part of this length that is spelled out in each dialect.
    Spelled(usize),
    /// A value under 8 bytes.
    Short(usize),
}

pub(crate) fn choose<'a>(patterns: &[Pattern], arena: &'a [u8]) -> Chosen<'a> {
    let sources: Vec<Source> = patterns
        .iter()
        .map(|pattern| source_of(pattern, pattern.body(arena)))
        .collect();
    let (mut long, mut short) = (SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX);
    for source in &sources {
        match *source {
            Source::Run(len) | Source::Spelled(len) => long = long.min(len),
            Source::Short(len) => short = short.min(len),
        }
    }
    let mut chosen = Chosen {
        long: Class {
            len: long,
            list: Vec::with_capacity(patterns.len()),
        },
        short: Class {
            len: short.max(SEGMENT_BYTES_MIN),
            list: Vec::new(),
        },
        seen_from: Vec::with_capacity(patterns.len()),
    };
    let shared = Shared::count(patterns, arena);
    for ((id, pattern), source) in (0u32..).zip(patterns).zip(sources) {
        let body = pattern.body(arena);
        let mut seen = 0;
        let mut add = |class: &mut Class<'a>, at: usize, text: Text<'a>| {
            seen = seen.max(at + class.len);
            class.list.push(Part {
                text,
                pattern: id,
                index: at as u32,
            });
        };
        match source {
            Source::Run(_) => {
                let class = &mut chosen.long;
                for at in shared.best_places(pattern, body, class.len) {
                    let text = part(body, at, class.len);
                    add(class, at, Text::Body(text));
                }
            }
            Source::Spelled(_) => {
                let class = &mut chosen.long;
                let at = plainest_place(body, class.len);
                let part = part(body, at, class.len);
                let mut known: Vec<Body> = Vec::new();
                for mut text in spellings(pattern.grammar, part) {
                    text.truncate(class.len);
                    if !known.contains(&text) {
                        known.push(text);
                    }
                }
                for text in known {
                    add(class, at, Text::Spelled(text));
                }
            }
            Source::Short(_) => {
                let class = &mut chosen.short;
                let text = part(body, 0, class.len);
                add(class, 0, Text::Body(text));
            }
        }
        chosen.seen_from.push(seen);
    }
    chosen
}

fn part(body: &[u8], at: usize, len: usize) -> &[u8] {
    body.get(at..at + len).unwrap_or_default()
}

fn source_of(pattern: &Pattern, body: &[u8]) -> Source {
    let longest = runs(pattern, body).map(|(_, len)| len).max().unwrap_or(0);
    if body.len() < RUN_BYTES_MIN {
        return Source::Short(body.len());
    }
    if longest >= WIDE_RUN_BYTES {
        return Source::Run(longest);
    }
    // Few writers escape these, so each way to do it can be spelled out: a UUID, a host name.
    let hyphened = body
        .split(|&b| !unit::is_plain(b) && !b"-_.".contains(&b))
        .map(<[u8]>::len)
        .max()
        .unwrap_or(0);
    if hyphened >= WIDE_RUN_BYTES && body.len() <= SEARCHED_BYTES {
        Source::Spelled(hyphened)
    } else if longest >= RUN_BYTES_MIN {
        Source::Run(longest)
    } else {
        Source::Spelled(body.len().min(SEGMENT_BYTES_MAX / 2))
    }
}

/// Returns the runs that no escape touches, as start and length; behind the public prefix if there is one long enough.
fn runs<'a>(pattern: &Pattern, body: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let whole = matches!(pattern.grammar, Grammar::Exact | Grammar::Hex);
    let all = move |from: usize| {
        let mut at = from;
        std::iter::from_fn(move || {
            while at < body.len().min(SEARCHED_BYTES) {
                let rest = body.get(at..)?;
                let len = if whole {
                    rest.len()
                } else {
                    rest.iter().take_while(|&&b| unit::is_plain(b)).count()
                };
                let start = at;
                at += len.max(1);
                if len > 0 {
                    return Some((start, len));
                }
            }
            None
        })
    };
    let behind = all(pattern.public).any(|(_, len)| len >= RUN_BYTES_MIN);
    all(if behind { pattern.public } else { 0 })
}

/// Returns where `len` characters have the fewest that may be escaped.
fn plainest_place(body: &[u8], len: usize) -> usize {
    let cost = |part: &[u8]| -> usize {
        part.iter()
            .map(|&b| match b {
                b'\n' => 100,
                b'-' | b'_' | b'.' => 1,
                b if unit::is_plain(b) => 0,
                _ => 20,
            })
            .sum()
    };
    body.windows(len)
        .take(SEARCHED_BYTES)
        .enumerate()
        .min_by_key(|(_, part)| cost(part))
        .map_or(0, |(at, _)| at)
}

fn spellings(grammar: Grammar, part: &[u8]) -> impl Iterator<Item = Body> {
    let twin = (grammar == Grammar::Base64).then(|| {
        let url = part
            .iter()
            .map(|&b| match b {
                b'+' => b'-',
                b'/' => b'_',
                b => b,
            })
            .collect();
        Body::new(url)
    });
    (0..encode::DIALECTS)
        .map(|dialect| encode::spelled(part, dialect))
        .chain(twin)
}

/// How often windows occur in all patterns, roughly.
struct Shared {
    counts: Box<[u8]>,
}

impl Shared {
    const LOG_SLOTS: u32 = 16;

    fn count(patterns: &[Pattern], arena: &[u8]) -> Self {
        let mut shared = Self {
            counts: vec![0; 1 << Self::LOG_SLOTS].into_boxed_slice(),
        };
        for pattern in patterns {
            let body = pattern.body(arena);
            for window in body.windows(SEGMENT_BYTES_MIN).take(WINDOWS) {
                let slot = &mut shared.counts[Self::slot(window)];
                *slot = slot.saturating_add(1);
            }
        }
        shared
    }

    fn slot(window: &[u8]) -> usize {
        let bytes = window.first_chunk().copied().unwrap_or_default();
        let hash = u32::from_le_bytes(bytes).wrapping_mul(0x9e37_79b1);
        (hash >> (32 - Self::LOG_SLOTS)) as usize
    }

    /// Returns the place of the least shared segment, and a second one where the first may be broken by a wrap or by
    /// a colour.
    fn best_places(
        &self,
        pattern: &Pattern,
        body: &[u8],
        len: usize,
    ) -> impl Iterator<Item = usize> {
        let line = if pattern.wraps() {
            LINE_BYTES
        } else {
            usize::MAX
        };
        let places: Vec<(u32, usize)> = runs(pattern, body)
            .flat_map(|(start, run)| {
                let end = (start + run + 1).saturating_sub(len).max(start);
                let last = end.checked_sub(1).filter(|&last| last > start);
                (start..end).step_by(PLACES_STEP).chain(last)
            })
            .take_while(|&at| at + len <= line)
            .take(PLACES)
            .filter(|&at| at + len <= body.len())
            .scan(None, |last, at| {
                let cost = self.cost(body, at, len, *last);
                *last = Some((cost, at));
                *last
            })
            .collect();
        let best =
            |places: &mut dyn Iterator<Item = &(u32, usize)>| places.min().map(|&(_, at)| at);
        let mut first = best(&mut places.iter());
        let mut second = None;
        // Of a body that overlaps itself one is enough: comparisons build on each other only if they come in order.
        let two = pattern.wraps() || pattern.grammar == Grammar::Text;
        if two && pattern.overlaps.is_none() {
            let apart = |a: usize, b: usize| a.abs_diff(b) >= len;
            second = first
                .and_then(|first| best(&mut places.iter().filter(|&&(_, at)| apart(at, first))));
            // The best place may leave no room for another: then the outermost two.
            if let (None, Some(&(_, left)), Some(&(_, right))) =
                (second, places.first(), places.last())
                && apart(left, right)
            {
                (first, second) = (Some(left), Some(right));
            }
        }
        // A run behind the first line: better found unwrapped than not at all.
        let first = first.or_else(|| {
            runs(pattern, body)
                .find(|&(_, run)| run >= len)
                .map(|(start, _)| start)
        });
        first.into_iter().chain(second)
    }

    /// Returns how much the segment at a place is shared; that of a place one step before helps.
    fn cost(&self, body: &[u8], at: usize, len: usize, last: Option<(u32, usize)>) -> u32 {
        let count = |at: usize| {
            let window = body.get(at..at + SEGMENT_BYTES_MIN).unwrap_or_default();
            u32::from(self.counts[Self::slot(window)])
        };
        let windows = (len - SEGMENT_BYTES_MIN) / PLACES_STEP + 1;
        match last {
            Some((cost, before)) if before + PLACES_STEP == at => {
                cost - count(before) + count(before + windows * PLACES_STEP)
            }
            _ => (0..windows)
                .map(|step| count(at + step * PLACES_STEP))
                .sum(),
        }
    }
}
