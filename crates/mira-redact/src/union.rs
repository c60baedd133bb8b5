//! The union of overlapping matches: what one marker replaces.
//!
//! Matches that only touch keep their own markers.
//!
//! INVARIANT: the stretches are disjoint and in order, and no more of them are kept than there are markers to write;
//! matches are merged at once, never collected.

use crate::set::Form;

/// A stretch of text that one marker replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The longest match inside, which gives the name.
    pub(crate) best: Best,
}

/// A match as a bidder for the name of its stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Best {
    pub(crate) len: u64,
    pub(crate) needle: u32,
    pub(crate) form: Form,
}

impl Best {
    /// The longer match wins, then the value that was registered first, then the plainer form.
    fn beats(&self, other: &Self) -> bool {
        let rank = |best: &Self| {
            (
                best.len,
                std::cmp::Reverse(best.needle),
                std::cmp::Reverse(best.form),
            )
        };
        rank(self) > rank(other)
    }
}

impl Stretch {
    /// Takes another match in, if it overlaps.
    pub(crate) fn absorb(&mut self, other: &Self) -> bool {
        let overlaps = other.start < self.end && self.start < other.end;
        if overlaps {
            self.start = self.start.min(other.start);
            self.end = self.end.max(other.end);
            if other.best.beats(&self.best) {
                self.best = other.best;
            }
        }
        overlaps
    }
}

/// Disjoint stretches in order.
#[derive(Debug, Default)]
pub(crate) struct Union {
    list: Vec<Stretch>,
}

impl Union {
    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    pub(crate) fn stretches(&self) -> &[Stretch] {
        &self.list
    }

    /// Adds a match; matches come nearly in order, so the place is looked for from the end.
    pub(crate) fn add(&mut self, mut new: Stretch) {
        let after = self
            .list
            .iter()
            .rposition(|known| known.start < new.end)
            .map_or(0, |at| at + 1);
        let mut first = after;
        while let Some(before) = first.checked_sub(1)
            && self.list.get(before).is_some_and(|known| new.absorb(known))
        {
            first = before;
        }
        self.list.splice(first..after, [new]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(matches: &[(u64, u64, u32)], expect: &[(u64, u64, u32)]) {
        let mut union = Union::default();
        for &(start, end, needle) in matches {
            let best = Best {
                len: end - start,
                needle,
                form: Form::Raw,
            };
            union.add(Stretch { start, end, best });
        }
        let found: Vec<_> = union
            .stretches()
            .iter()
            .map(|s| (s.start, s.end, s.best.needle))
            .collect();
        assert_eq!(found, expect);
    }

    #[test]
    fn overlapping_matches_merge_and_touching_ones_do_not() {
        check(&[(0, 4, 0), (4, 8, 1)], &[(0, 4, 0), (4, 8, 1)]);
        check(&[(4, 8, 1), (0, 4, 0)], &[(0, 4, 0), (4, 8, 1)]);
        check(&[(0, 5, 0), (4, 8, 1)], &[(0, 8, 0)]);
        check(&[(0, 4, 0), (6, 9, 1), (3, 8, 2)], &[(0, 9, 2)]);
        check(&[(0, 9, 1), (2, 4, 0)], &[(0, 9, 1)]);
        check(&[(0, 4, 1), (0, 4, 0)], &[(0, 4, 0)]);
        check(
            &[(9, 12, 0), (0, 2, 1), (4, 6, 2)],
            &[(0, 2, 1), (4, 6, 2), (9, 12, 0)],
        );
    }
}
