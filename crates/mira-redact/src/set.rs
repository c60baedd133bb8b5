//! The compiled set of values: what is looked for, under which names.
//!
//! It is built once and never changes; streams and scans share it. It holds no text that was read.

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use mira_secret::SecretBytes;

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

/// Values to look for, compiled. Cheap to share behind an [`Arc`]; its secret bytes are locked and wiped on drop.
pub struct NeedleSet {
    pub(crate) needles: Box<[Needle]>,
    pub(crate) engine: Engine,
}

impl NeedleSet {
    /// Returns a builder for a set.
    #[must_use]
    pub fn builder() -> NeedleSetBuilder {
        NeedleSetBuilder::default()
    }

    /// Returns whether nothing is looked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pattern_count() == 0
    }

    /// Returns the number of patterns: each spelling that cannot share one with another counts.
    #[must_use]
    pub fn pattern_count(&self) -> usize {
        self.engine.patterns().len()
    }
}

impl fmt::Debug for NeedleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeedleSet")
            .field("needles", &self.needles.len())
            .field("patterns", &self.pattern_count())
            .finish()
    }
}

/// Collects values for a [`NeedleSet`].
#[derive(Default)]
pub struct NeedleSetBuilder {
    needles: Vec<Needle>,
    drafts: Vec<(u32, Draft)>,
    seed: Option<u64>,
    nested: bool,
}

impl NeedleSetBuilder {
    /// Adds a value under a name. Where two names have one value, the first gives the marker.
    pub fn add(&mut self, name: &str, value: &[u8]) -> Coverage {
        let needle = self.needles.len() as u32;
        let mut drafts = Vec::new();
        let coverage = forms::draft(value, self.nested, &mut drafts);
        self.drafts
            .extend(drafts.into_iter().map(|draft| (needle, draft)));
        self.needles.push(Needle {
            name: name.into(),
            marker: forms::marker(name).into_boxed_str(),
        });
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

    /// Compiles the set.
    #[must_use]
    pub fn build(self) -> NeedleSet {
        let seed = self
            .seed
            .unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let keep: Vec<bool> = {
            let mut known = HashSet::new();
            self.drafts
                .iter()
                .map(|(_, draft)| known.insert((draft.grammar, draft.body.as_slice())))
                .collect()
        };
        let mut drafts = self.drafts;
        let mut keep = keep.into_iter();
        drafts.retain(|_| keep.next().unwrap_or(true));
        let bytes = drafts.iter().map(|(_, draft)| draft.body.len()).sum();
        let arena = SecretBytes::try_fill(bytes, |mut rest| {
            for (_, draft) in &drafts {
                let (slot, after) = rest.split_at_mut(draft.body.len());
                slot.copy_from_slice(&draft.body);
                rest = after;
            }
            Ok::<(), std::convert::Infallible>(())
        });
        let arena = match arena {
            Ok(arena) => arena,
            Err(never) => match never {},
        };
        let markers: Vec<&str> = self.needles.iter().map(|n| &*n.marker).collect();
        let engine = Engine::new(arena, &drafts, &markers, mixed(seed));
        NeedleSet {
            needles: self.needles.into_boxed_slice(),
            engine,
        }
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
