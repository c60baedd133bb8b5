//! The set of values: what is looked for, under which names.
//!
//! It is compiled when text comes for the first time, for whoever shares it, and never changes: a program that says
//! nothing costs nothing. Until then the values wait in locked memory. It holds no text that was read.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};

use mira_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::engine::Engine;
use crate::forms::{self, Draft};

/// In which spelling a value was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Form {
    /// As it is.
    Raw,
    /// One line of a value that has several.
    Line,
    /// With some or all characters escaped: percent, JSON, HTML, shell, SQL, octal, `\xNN`.
    Escaped,
    /// As base64 or base64url, alone or inside longer text.
    Base64,
    /// As hex digits.
    Hex,
    /// As UTF-16.
    Utf16,
    /// As base64 of another encoding.
    Nested,
}

impl Form {
    /// Returns the form's one spelling, for listings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Line => "line",
            Self::Escaped => "escaped",
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::Utf16 => "utf16",
            Self::Nested => "nested",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much of a value's spellings is looked for. Blanks around a value do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// 8 bytes or more: every form.
    Full,
    /// 4 to 7 bytes: the raw value only.
    RawOnly,
    /// Under 4 bytes: the value is not redacted at all.
    TooShort,
}

/// A place where a value was found. Overlapping places are one finding, named after the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name the value was added under.
    pub name: Arc<str>,
    /// Where it begins, in bytes from the start of what was searched.
    pub offset: u64,
    /// How long it is there, in bytes.
    pub len: u64,
    /// The spelling.
    pub form: Form,
}

/// A name with its marker.
pub(crate) struct Needle {
    pub(crate) name: Arc<str>,
    pub(crate) marker: Box<str>,
}

/// Values to look for. Cheap to share behind an [`Arc`]; its secret bytes are locked and wiped on drop.
///
/// It is compiled when it is first needed: by the first text, or by [`NeedleSet::pattern_count`].
pub struct NeedleSet {
    pub(crate) needles: Arc<[Needle]>,
    is_empty: bool,
    engine: LazyLock<Engine, Compile>,
}

/// What makes the engine; it owns the values, and drops them once they are compiled.
type Compile = Box<dyn FnOnce() -> Engine + Send>;

impl NeedleSet {
    /// Returns a builder for a set.
    #[must_use]
    pub fn builder() -> NeedleSetBuilder {
        NeedleSetBuilder::default()
    }

    /// Returns whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Returns the number of patterns: each spelling that cannot share one with another counts. Compiles the set.
    #[must_use]
    pub fn pattern_count(&self) -> usize {
        self.engine().patterns().len()
    }

    /// Returns the engine; whoever asks first compiles it, and others wait for that.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl fmt::Debug for NeedleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeedleSet")
            .field("needles", &self.needles.len())
            .finish_non_exhaustive()
    }
}

/// Collects values for a [`NeedleSet`].
#[derive(Default)]
pub struct NeedleSetBuilder {
    needles: Vec<Needle>,
    /// One for each needle.
    values: Vec<Zeroizing<Vec<u8>>>,
    /// For each needle, whether it is looked for in nested forms.
    nestings: Vec<bool>,
    is_needed: bool,
    seed: Option<u64>,
    nested: bool,
}

impl NeedleSetBuilder {
    /// Adds a value under a name. Where two names have one value, the first gives the marker.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Coverage {
        let coverage = forms::coverage(value);
        self.needles.push(Needle {
            name: name.into(),
            marker: forms::marker(name).into_boxed_str(),
        });
        self.values.push(Zeroizing::new(value.to_vec()));
        self.nestings.push(self.nested);
        self.is_needed |= coverage != Coverage::TooShort;
        coverage
    }

    /// Also looks for base64 of base64, of hex and of UTF-16, for the values added from now on. Off by default: it
    /// doubles the number of patterns.
    pub fn nested(&mut self, nested: bool) -> &mut Self {
        self.nested = nested;
        self
    }

    /// Fixes the seed of the hashes, for tests and measurements. By default each set has a random one, so that
    /// nobody can prepare text that collides.
    pub fn dangerous_seed(&mut self, seed: u64) -> &mut Self {
        self.seed = Some(seed);
        self
    }

    /// Makes the set, to be compiled when it is first needed.
    #[must_use]
    pub fn build(self) -> NeedleSet {
        let needles: Arc<[Needle]> = self.needles.into();
        let values = Values {
            arena: joined(self.values.iter().map(|value| value.as_slice())),
            lens: self.values.iter().map(|value| value.len()).collect(),
            nestings: self.nestings,
        };
        let seed = self.seed;
        let compile = {
            let needles = Arc::clone(&needles);
            move || values.compile(&needles, seed)
        };
        NeedleSet {
            needles,
            is_empty: !self.is_needed,
            engine: LazyLock::new(Box::new(compile)),
        }
    }
}

/// The values of a set until it is compiled.
struct Values {
    arena: SecretBytes,
    lens: Vec<usize>,
    nestings: Vec<bool>,
}

impl Values {
    fn compile(self, needles: &[Needle], seed: Option<u64>) -> Engine {
        let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let mut drafts = Vec::new();
        let mut of_value = Vec::new();
        // EXPOSE: to the forms in which it is looked for.
        let mut rest = self.arena.expose();
        for ((needle, &len), nested) in (0u32..).zip(&self.lens).zip(self.nestings) {
            let (value, after) = rest.split_at(len);
            rest = after;
            forms::draft(value, nested, &mut of_value);
            drafts.extend(of_value.drain(..).map(|draft| (needle, draft)));
        }
        keep_first(&mut drafts, seed);
        let arena = joined(drafts.iter().map(|(_, draft)| draft.body.as_slice()));
        let markers: Vec<&str> = needles.iter().map(|needle| &*needle.marker).collect();
        Engine::new(arena, &drafts, &markers, mixed(seed))
    }
}

/// Drops each draft that is spelled as one before it.
fn keep_first(drafts: &mut Vec<(u32, Draft)>, seed: u64) {
    let keep: Vec<bool> = {
        let mut known = HashSet::with_capacity_and_hasher(drafts.len(), BodyHasher(seed));
        drafts
            .iter()
            .map(|(_, draft)| known.insert((draft.grammar, draft.body.as_slice())))
            .collect()
    };
    let mut keep = keep.into_iter();
    drafts.retain(|_| keep.next().unwrap_or(true));
}

/// Hashes bodies 8 bytes at a time: cheaper than the standard library's, which resists whoever can choose all keys.
#[derive(Clone)]
struct BodyHasher(u64);

impl BuildHasher for BodyHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        self.clone()
    }
}

impl Hasher for BodyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks();
        for chunk in chunks {
            self.write_u64(u64::from_le_bytes(*chunk));
        }
        for &byte in rest {
            self.0 = self.0 << 8 ^ self.0 >> 56 ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mixed(self.0 ^ number);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn finish(&self) -> u64 {
        mixed(self.0)
    }
}

/// Returns parts one behind the other, in locked memory.
pub(crate) fn joined<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> SecretBytes {
    let joined = SecretBytes::try_fill(parts.clone().map(<[u8]>::len).sum(), |mut rest| {
        for part in parts {
            let (slot, after) = rest.split_at_mut(part.len());
            slot.copy_from_slice(part);
            rest = after;
        }
        Ok::<(), Infallible>(())
    });
    match joined {
        Ok(joined) => joined,
        Err(never) => match never {},
    }
}

/// Spreads a seed over all bits (the finalizer of SplitMix64), so that no seed makes a weak multiplier.
fn mixed(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

impl fmt::Debug for NeedleSetBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeedleSetBuilder")
            .field("needles", &self.needles.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_compiled_by_the_first_text_and_not_before() {
        let mut builder = NeedleSet::builder();
        builder.add("KEY", b"sk-proj-4fXq81LmZ0pTw7Rk");
        let set = Arc::new(builder.build());
        assert!(!set.is_empty());
        let mut redactor = crate::Redactor::new(Arc::clone(&set));
        assert!(redactor.finish().is_empty());
        assert!(!format!("{set:?}").is_empty());
        assert!(LazyLock::get(&set.engine).is_none());
        let mut redactor = crate::Redactor::new(Arc::clone(&set));
        redactor.push(b"x", std::time::Instant::now());
        assert!(LazyLock::get(&set.engine).is_some());
    }

    #[test]
    fn whether_a_set_is_empty_is_known_without_compiling_it() {
        for value in [
            "",
            "abc",
            " abc\n",
            "abcd",
            "12345678",
            "\n\n\r\n  abcdefgh",
        ] {
            let mut builder = NeedleSet::builder();
            builder.add("KEY", value.as_bytes());
            let set = builder.build();
            assert_eq!(set.is_empty(), set.pattern_count() == 0, "{value:?}");
        }
        assert!(NeedleSet::builder().build().is_empty());
    }
}
