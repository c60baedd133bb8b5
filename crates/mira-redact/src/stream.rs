//! The state of one stream: what is settled, what is held, what was let go too early.
//!
//! Redactor and scanner share it. It keeps no bytes (its callers do), reads no clock, and speaks of places as offsets
//! from the start of the stream.
//!
//! INVARIANT: `keep <= hold`, and no match that is still to come begins before `keep`; so the bytes before it need
//! not be kept, and what was emitted never depends on how the stream was cut into reads.

use crate::engine::Scratch;
use crate::set::NeedleSet;
use crate::union::Stretch;

/// A stretch that may still grow keeps its bytes up to this length while markers are looked for.
// LIMIT: beyond it a marker inside the stretch may be mistaken; nothing leaks by that.
const KEPT_BYTES_MAX: u64 = 64 * 1024;

/// What happened in a stream so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Markers written.
    pub redactions: u64,
    /// Values whose beginning (at most a third, beside a public prefix) was emitted because the rest did not come in
    /// time, and then came.
    pub partial_leaks: u64,
}

/// A piece of output, in order.
pub(crate) enum Piece {
    /// Bytes of the text as they are.
    Raw { from: usize, to: usize },
    /// A marker in place of a stretch.
    Marker(Stretch),
}

/// A stretch on its way out, with what the stream has already shown of it.
#[derive(Clone, Copy)]
struct Pending {
    stretch: Stretch,
    /// Its marker was written when the tail had waited long enough.
    covered: bool,
    /// Some of it was emitted raw.
    leaked: bool,
}

pub(crate) struct Stream {
    scratch: Scratch,
    /// The first byte that must be kept.
    keep: u64,
    /// Everything before it has been emitted or replaced.
    done: u64,
    /// A stretch that reaches behind `keep` and may still grow.
    pending: Option<Pending>,
    /// Stretches of kept text whose marker was written already.
    covers: Vec<(u64, u64)>,
    /// The pattern that the held tail is the beginning of, how much of it there is, and where that ends.
    growing: Option<(u32, usize, u64)>,
    counts: Counts,
}

impl Stream {
    pub(crate) fn new() -> Self {
        Self {
            scratch: Scratch::default(),
            keep: 0,
            done: 0,
            pending: None,
            covers: Vec::new(),
            growing: None,
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Steps of verification taken so far.
    pub(crate) fn work(&self) -> u64 {
        self.scratch.work
    }

    /// Returns the offset of the first byte that must be kept.
    pub(crate) fn keep(&self) -> u64 {
        self.keep
    }

    /// Returns how many of the bytes up to `end` are neither emitted nor replaced yet.
    pub(crate) fn held(&self, end: u64) -> u64 {
        end - self.done.max(self.keep).min(end)
    }

    /// Returns where the held tail begins.
    pub(crate) fn tail_start(&self) -> u64 {
        self.pending
            .map_or(self.keep, |pending| pending.stretch.start)
    }

    /// Takes the kept bytes and those that came since, emits what is settled; `ended` says that no more will come.
    pub(crate) fn advance(
        &mut self,
        set: &NeedleSet,
        text: &[u8],
        ended: bool,
        mut emit: impl FnMut(Piece),
    ) {
        if text.is_empty() && self.pending.is_none() {
            // Nothing to look at, which would compile the set in vain.
            return;
        }
        let base = self.keep;
        let engine = set.engine();
        if !ended && self.grows(set, text) {
            return;
        }
        let found = engine.scan(text, base, ended, &mut self.scratch);
        let hold = base + found.start as u64;
        let has_guards = engine.has_guards();
        let mut out = Out {
            base,
            cursor: self.done,
            shown: self.done,
            counts: &mut self.counts,
            emit: &mut emit,
        };
        let mut keep = hold;
        let mut unsettled = false;
        let mut matches = self.scratch.union.stretches().iter().peekable();
        while let Some(mut stretch) = self
            .pending
            .take()
            .or_else(|| matches.next().copied().map(Pending::from))
        {
            while matches
                .peek()
                .is_some_and(|next| stretch.stretch.absorb(next))
            {
                matches.next();
            }
            stretch.note_history(out.shown, &self.covers);
            if stretch.stretch.end <= hold {
                out.settle(&stretch);
                continue;
            }
            let Stretch { start, end, .. } = stretch.stretch;
            out.raw_until(start.min(hold));
            if start < hold {
                if has_guards && end - start <= KEPT_BYTES_MAX && start >= base {
                    keep = start;
                } else {
                    self.pending = Some(stretch);
                }
            }
            unsettled = true;
            break;
        }
        if !unsettled {
            out.raw_until(hold);
        }
        self.done = out.cursor;
        self.keep = keep;
        self.growing = found
            .by
            .filter(|_| keep == hold)
            .map(|(pattern, units)| (pattern, units, base + text.len() as u64));
        if self.pending.is_none() {
            self.covers.retain(|&(_, end)| end > keep);
        }
    }

    /// Lets the held tail go: raw where at most a third of a value shows, as a marker otherwise. What was let go is
    /// remembered, so that its continuation is recognised.
    pub(crate) fn expire(&mut self, set: &NeedleSet, text: &[u8], mut emit: impl FnMut(Piece)) {
        let base = self.keep;
        let end = base + text.len() as u64;
        let engine = set.engine();
        let opens = engine.opens(text, &mut self.scratch);
        let hold = base + engine.scan(text, base, false, &mut self.scratch).start as u64;
        let union = &mut self.scratch.union;
        for open in opens {
            let pattern = &engine.patterns()[open.pattern as usize];
            let shown_max = pattern.public + (pattern.len - pattern.public) / 3;
            if open.units > shown_max {
                union.add(engine.stretch(open.pattern, open.start, text.len(), true, base));
            }
        }
        let mut out = Out {
            base,
            cursor: self.done,
            shown: self.done,
            counts: &mut self.counts,
            emit: &mut emit,
        };
        let mut found = union.stretches().iter().peekable();
        while let Some(mut stretch) = self
            .pending
            .take()
            .or_else(|| found.next().copied().map(Pending::from))
        {
            while found
                .peek()
                .is_some_and(|next| stretch.stretch.absorb(next))
            {
                found.next();
            }
            stretch.note_history(out.shown, &self.covers);
            out.settle(&stretch);
            self.covers
                .push((stretch.stretch.start, stretch.stretch.end));
        }
        out.raw_until(end);
        self.done = out.cursor;
        self.keep = hold;
        self.growing = None;
    }

    /// Whether the new bytes only extend what is held: then nothing is settled, and nothing need be searched again.
    fn grows(&mut self, set: &NeedleSet, text: &[u8]) -> bool {
        let Some((pattern, units, seen)) = self.growing else {
            return false;
        };
        let new = text.get((seen - self.keep) as usize..).unwrap_or_default();
        let units_now = set.engine().continued(pattern, units, new);
        self.growing = units_now.map(|units| (pattern, units, seen + new.len() as u64));
        units_now.is_some()
    }
}

impl From<Stretch> for Pending {
    fn from(stretch: Stretch) -> Self {
        Self {
            stretch,
            covered: false,
            leaked: false,
        }
    }
}

impl Pending {
    /// Notes what of the stretch was shown before: `shown` is the end of what has been emitted.
    fn note_history(&mut self, shown: u64, covers: &[(u64, u64)]) {
        let Stretch { start, end, .. } = self.stretch;
        if start >= shown {
            return;
        }
        let mut hidden = start;
        for &(from, to) in covers {
            if from < end && start < to {
                self.covered = true;
            }
            if from <= hidden {
                hidden = hidden.max(to);
            }
        }
        self.leaked |= hidden < shown.min(end);
    }
}

/// Output in progress.
struct Out<'a, E> {
    base: u64,
    cursor: u64,
    shown: u64,
    counts: &'a mut Counts,
    emit: &'a mut E,
}

impl<E: FnMut(Piece)> Out<'_, E> {
    fn raw_until(&mut self, to: u64) {
        if to > self.cursor {
            (self.emit)(Piece::Raw {
                from: (self.cursor - self.base) as usize,
                to: (to - self.base) as usize,
            });
            self.cursor = to;
        }
    }

    fn settle(&mut self, pending: &Pending) {
        let stretch = pending.stretch;
        if stretch.end <= self.shown {
            return;
        }
        self.raw_until(stretch.start);
        if !pending.covered {
            self.counts.redactions += 1;
            (self.emit)(Piece::Marker(stretch));
        }
        self.counts.partial_leaks += u64::from(pending.leaked);
        self.cursor = self.cursor.max(stretch.end);
    }
}
