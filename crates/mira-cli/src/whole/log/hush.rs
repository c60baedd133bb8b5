//! The values that the log is kept free of.
//!
//! Values come one by one, and thousands of them over the months. They are kept in layers, each at least twice as large as the next: a new
//! one makes a layer of its own, and layers of one size become one. So a value is built into a searcher a dozen times at most, and not
//! again whenever another comes.
//!
//! INVARIANT: what any layer finds in a line is taken out, also where two values overlap that are in different layers.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, PoisonError, RwLock};

use mira_redact::NeedleSet;
use mira_secret::SecretBytes;

/// How many values are known to the log at least, of all that came.
// LIMIT: more than people save in years; the oldest are forgotten when there are twice as many.
const VALUES_MIN: usize = 4096;

/// What the log must not hold. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Hush(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    /// The oldest and largest first.
    layers: Vec<Layer>,
    /// By which values that are known already are told from new ones: hashes with keys of this process.
    seen: HashSet<u64>,
    hasher: RandomState,
}

struct Layer {
    values: Vec<(Box<str>, SecretBytes)>,
    set: Arc<NeedleSet>,
}

impl Layer {
    fn of(values: Vec<(Box<str>, SecretBytes)>) -> Self {
        let mut builder = NeedleSet::builder();
        for (name, value) in &values {
            // EXPOSE: to the redactor, which keeps it out of the log.
            builder.add(name, value.expose());
        }
        let set = Arc::new(builder.build());
        Self { values, set }
    }
}

impl Hush {
    /// Keeps a value out of the log from now on.
    pub(super) fn add(&self, name: &str, value: &[u8]) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let hash = known.hasher.hash_one(value);
        if !known.seen.insert(hash) {
            return;
        }
        let mut values = vec![(name.into(), SecretBytes::copy_from(value))];
        while let Some(last) = known
            .layers
            .pop_if(|last| last.values.len() < values.len() * 2)
        {
            let mut older = last.values;
            older.append(&mut values);
            values = older;
        }
        known.layers.push(Layer::of(values));
        known.forget();
    }

    /// Returns a line without the values, in the place of each its name.
    pub(super) fn redacted(&self, line: &[u8]) -> Vec<u8> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let sets: Vec<Arc<NeedleSet>> = known
            .layers
            .iter()
            .map(|layer| Arc::clone(&layer.set))
            .collect();
        drop(known);
        let found = sets.iter().flat_map(|set| set.find(line));
        let mut found: Vec<_> = found
            .filter_map(|found| {
                let start = usize::try_from(found.offset).ok()?;
                let len = usize::try_from(found.len).ok()?;
                Some((start, start + len, found.name))
            })
            .collect();
        found.sort_by_key(|&(start, end, _)| (start, std::cmp::Reverse(end)));
        let mut seen = Vec::with_capacity(line.len());
        let mut done = 0;
        for (start, end, name) in found {
            if start >= done {
                seen.extend_from_slice(line.get(done..start).unwrap_or_default());
                seen.extend_from_slice(format!("[redacted:{name}]").as_bytes());
            }
            done = done.max(end);
        }
        seen.extend_from_slice(line.get(done..).unwrap_or_default());
        seen
    }
}

impl Known {
    /// Forgets the older half of the values, where there are too many.
    fn forget(&mut self) {
        let total: usize = self.layers.iter().map(|layer| layer.values.len()).sum();
        if total < VALUES_MIN * 2 {
            return;
        }
        let layers = self.layers.drain(..);
        let mut old: Vec<_> = layers.flat_map(|layer| layer.values).collect();
        let kept = old.split_off(old.len() - VALUES_MIN);
        for (_, value) in &old {
            // EXPOSE: to the hash that it is known by.
            let hash = self.hasher.hash_one(value.expose());
            self.seen.remove(&hash);
        }
        self.layers.push(Layer::of(kept));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(hush: &Hush, line: &str) -> String {
        String::from_utf8(hush.redacted(line.as_bytes())).unwrap()
    }

    #[test]
    fn overlapping_values_leave_nothing_of_each_other_whichever_came_first() {
        let (long, part) = ("sk-proj-7Fq2mXv9LrT4bWc8ZnYd", "7Fq2mXv9LrT4bWc8ZnYd");
        let tail = "LrT4bWc8ZnYd-and-what-follows";
        let line = format!("a {long}-and-what-follows b");
        for order in [[long, part, tail], [tail, part, long], [part, tail, long]] {
            let hush = Hush::default();
            for value in order {
                hush.add("KEY", value.as_bytes());
            }
            let seen = text(&hush, &line);
            assert!(
                seen.starts_with("a [redacted:KEY]") && seen.ends_with(" b"),
                "{seen}"
            );
            assert!(
                !seen.contains("7Fq2") && !seen.contains("follows"),
                "{seen}"
            );
        }
    }

    #[test]
    fn thousands_of_values_are_each_built_in_a_few_times_and_all_are_known() {
        let hush = Hush::default();
        let value = |number: usize| format!("value-{number:05}-of-a-secret");
        let count = 600;
        let mut built = 0;
        for number in 0..count {
            hush.add("KEY", value(number).as_bytes());
            hush.add("KEY", value(number).as_bytes());
            let known = hush.0.read().unwrap();
            built += known.layers.last().unwrap().values.len();
            let sizes: Vec<usize> = known
                .layers
                .iter()
                .map(|layer| layer.values.len())
                .collect();
            assert_eq!(sizes.iter().sum::<usize>(), number + 1, "{sizes:?}");
            assert!(
                sizes.windows(2).all(|pair| pair[0] >= pair[1] * 2),
                "{sizes:?}"
            );
        }
        // Anew for each one it would be a hundred and eighty thousand.
        assert!(built < count * 12, "{built}");
        for number in [0, 1, count / 2, count - 1] {
            assert_eq!(text(&hush, &value(number)), "[redacted:KEY]");
        }
    }

    #[test]
    fn the_newest_values_are_known_when_there_are_too_many() {
        let mut known = Known::default();
        let values = |from: usize, to: usize| {
            let values = (from..to).map(|number| {
                let value = format!("value-{number:05}-of-a-secret");
                ("KEY".into(), SecretBytes::copy_from(value.as_bytes()))
            });
            values.collect::<Vec<_>>()
        };
        for (_, value) in values(0, VALUES_MIN * 2) {
            let hash = known.hasher.hash_one(value.expose());
            known.seen.insert(hash);
        }
        known.layers.push(Layer::of(values(0, VALUES_MIN * 2)));
        known.forget();
        let hush = Hush(Arc::new(RwLock::new(known)));
        assert_eq!(text(&hush, "value-08191-of-a-secret"), "[redacted:KEY]");
        assert_eq!(text(&hush, "value-04096-of-a-secret"), "[redacted:KEY]");
        assert_eq!(
            text(&hush, "value-00000-of-a-secret"),
            "value-00000-of-a-secret"
        );
        // It is new when it comes again.
        hush.add("KEY", b"value-00000-of-a-secret");
        assert_eq!(text(&hush, "value-00000-of-a-secret"), "[redacted:KEY]");
    }
}
