//! The sampled window sieve: which places of a text could hold a pattern.
//!
//! Each pattern gives a segment of `STEP + q - 1` bytes; its `STEP` windows of `q` bytes stand in a bit set. The text
//! is probed every `STEP` bytes only, so each occurrence of a segment shows exactly one of its windows. The sieve
//! answers "maybe"; the patterns verify.
//!
//! INVARIANT: it keeps hashes of windows, never the windows, so nothing in it is a secret's text.

/// The longest segment, in bytes.
// LIMIT: two segments and a line break must fit 60 characters, the shortest usual wrap.
pub(crate) const SEGMENT_BYTES_MAX: usize = 20;

/// The shortest segment, in bytes.
pub(crate) const SEGMENT_BYTES_MIN: usize = 4;

const STEP_MAX: usize = 15;

/// A segment and what it stands for: `body[index]` of `pattern` begins where it begins.
pub(crate) struct Segment<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) pattern: u32,
    pub(crate) index: u32,
}

/// A place where the text may hold a segment.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) pos: usize,
    tag: u32,
    bucket: u32,
}

/// What a window may belong to.
#[derive(Clone, Copy, Default)]
struct Entry {
    tag: u32,
    segment: u32,
    /// How far into the segment the window begins, in bytes.
    within: u32,
}

/// A segment that a text may hold, as the sieve remembers it.
#[derive(Clone, Copy)]
pub(crate) struct Suspect {
    pub(crate) pattern: u32,
    /// The index in the body at which the segment begins.
    pub(crate) index: u32,
    fingerprint: u64,
}

pub(crate) struct Sieve {
    step: usize,
    window: usize,
    /// The length of a segment, in bytes.
    len: usize,
    /// Keeps the bytes of a window out of a load of 8.
    mask: u64,
    multiplier: u64,
    bits: Box<[u64]>,
    bucket_shift: u32,
    bucket_starts: Box<[u32]>,
    entries: Box<[Entry]>,
    suspects: Box<[Suspect]>,
}

/// Returns the window for segments of `len` bytes: short enough to leave a wide step, long enough to be rare.
const fn window_for(len: usize) -> usize {
    match len {
        ..10 => 4,
        10..16 => 5,
        _ => 6,
    }
}

impl Sieve {
    /// Makes a sieve for segments of `len` bytes each (longer ones are cut).
    pub(crate) fn new(segments: &[Segment<'_>], len: usize, seed: u64) -> Self {
        let window = window_for(len);
        let step = (len + 1 - window).min(STEP_MAX);
        let windows = segments.len() * step;
        let log_words = windows.next_power_of_two().clamp(1 << 6, 1 << 16).ilog2();
        let log_buckets = windows.next_power_of_two().clamp(2, 1 << 22).ilog2();
        let mut sieve = Self {
            step,
            window,
            len: step + window - 1,
            mask: u64::MAX >> (64 - 8 * window),
            multiplier: seed | 1,
            bits: vec![0; 1 << log_words].into_boxed_slice(),
            bucket_shift: 64 - log_buckets,
            bucket_starts: vec![0; (1 << log_buckets) + 1].into_boxed_slice(),
            entries: vec![Entry::default(); windows].into_boxed_slice(),
            suspects: Box::default(),
        };
        sieve.suspects = segments
            .iter()
            .map(|segment| Suspect {
                pattern: segment.pattern,
                index: segment.index,
                fingerprint: sieve.fingerprint(segment.text, 0).unwrap_or_default(),
            })
            .collect();
        sieve.fill(segments);
        sieve
    }

    fn fill(&mut self, segments: &[Segment<'_>]) {
        let hashes = |segment: &Segment<'_>, within: usize| {
            load(segment.text, within, self.window).wrapping_mul(self.multiplier)
        };
        // Counting sort by bucket: count, add up, place from the end of each bucket.
        for segment in segments {
            for within in 0..self.step {
                let bucket = (hashes(segment, within) >> self.bucket_shift) as usize;
                self.bucket_starts[bucket] += 1;
            }
        }
        let mut total = 0;
        for start in &mut self.bucket_starts {
            total += *start;
            *start = total;
        }
        for (id, segment) in (0u32..).zip(segments) {
            for within in 0..self.step {
                let hash = hashes(segment, within);
                let start = &mut self.bucket_starts[(hash >> self.bucket_shift) as usize];
                *start -= 1;
                self.entries[*start as usize] = Entry {
                    tag: (hash >> 32) as u32,
                    segment: id,
                    within: within as u32,
                };
                let (word, first, second) = probes(hash, self.bits.len() - 1);
                self.bits[word] |= 1 << first | 1 << second | 1 << third(hash);
            }
        }
    }

    /// Appends the hits among the probes from `from` (a multiple of the step) up to `to`; returns where to go on.
    pub(crate) fn probe(&self, text: &[u8], from: usize, to: usize, hits: &mut Vec<Hit>) -> usize {
        match self.step {
            1 => self.probe_every::<1>(text, from, to, hits),
            2 => self.probe_every::<2>(text, from, to, hits),
            3 => self.probe_every::<3>(text, from, to, hits),
            4 => self.probe_every::<4>(text, from, to, hits),
            5 => self.probe_every::<5>(text, from, to, hits),
            6 => self.probe_every::<6>(text, from, to, hits),
            7 => self.probe_every::<7>(text, from, to, hits),
            8 => self.probe_every::<8>(text, from, to, hits),
            9 => self.probe_every::<9>(text, from, to, hits),
            10 => self.probe_every::<10>(text, from, to, hits),
            11 => self.probe_every::<11>(text, from, to, hits),
            12 => self.probe_every::<12>(text, from, to, hits),
            13 => self.probe_every::<13>(text, from, to, hits),
            14 => self.probe_every::<14>(text, from, to, hits),
            _ => self.probe_every::<STEP_MAX>(text, from, to, hits),
        }
    }

    /// The hot loop. A constant step lets the compiler see that each load lies inside the block.
    #[inline(never)]
    fn probe_every<const STEP: usize>(
        &self,
        text: &[u8],
        from: usize,
        to: usize,
        hits: &mut Vec<Hit>,
    ) -> usize {
        const UNROLL: usize = 8;
        let bits = &*self.bits;
        let mut pos = from;
        while pos < to
            && let Some(block) = text.get(pos..pos + STEP * (UNROLL - 1) + 8)
        {
            // Written out: the compiler does not unroll a loop that may push.
            self.probe_at(bits, block, pos, 0, hits);
            self.probe_at(bits, block, pos, STEP, hits);
            self.probe_at(bits, block, pos, 2 * STEP, hits);
            self.probe_at(bits, block, pos, 3 * STEP, hits);
            self.probe_at(bits, block, pos, 4 * STEP, hits);
            self.probe_at(bits, block, pos, 5 * STEP, hits);
            self.probe_at(bits, block, pos, 6 * STEP, hits);
            self.probe_at(bits, block, pos, 7 * STEP, hits);
            pos += STEP * UNROLL;
        }
        while pos < to && pos + self.window <= text.len() {
            let mut bytes = [0; 8];
            for (slot, &byte) in bytes.iter_mut().zip(&text[pos..]) {
                *slot = byte;
            }
            self.probe_at(bits, &bytes, pos, 0, hits);
            pos += STEP;
        }
        pos
    }

    #[inline(always)]
    fn probe_at(&self, bits: &[u64], block: &[u8], pos: usize, at: usize, hits: &mut Vec<Hit>) {
        let bytes = block[at..at + 8]
            .try_into()
            .expect("a block holds 8 bytes from each of its probes on");
        let hash = (u64::from_le_bytes(bytes) & self.mask).wrapping_mul(self.multiplier);
        let (word, first, second) = probes(hash, bits.len() - 1);
        let word = bits[word];
        if word >> first & 1 != 0 && word >> second & 1 != 0 && word >> third(hash) & 1 != 0 {
            self.note(pos + at, hash, hits);
        }
    }

    #[cold]
    fn note(&self, pos: usize, hash: u64, hits: &mut Vec<Hit>) {
        hits.push(self.hit(pos, hash));
    }

    fn hit(&self, pos: usize, hash: u64) -> Hit {
        Hit {
            pos,
            tag: (hash >> 32) as u32,
            bucket: (hash >> self.bucket_shift) as u32,
        }
    }

    /// Returns what a hit may belong to, with the place where the segment would begin.
    pub(crate) fn suspects(&self, hit: Hit) -> impl Iterator<Item = (Suspect, usize)> + '_ {
        let bucket = hit.bucket as usize;
        let from = self.bucket_starts[bucket] as usize;
        let to = self.bucket_starts[bucket + 1] as usize;
        self.entries[from..to].iter().filter_map(move |entry| {
            let pos = hit.pos.checked_sub(entry.within as usize)?;
            (entry.tag == hit.tag).then(|| (self.suspects[entry.segment as usize], pos))
        })
    }

    /// Returns whether the whole segment stands at a place, not only the window that was probed: what is found must
    /// not depend on where the probes fell.
    pub(crate) fn is_whole(&self, suspect: Suspect, text: &[u8], pos: usize) -> bool {
        self.fingerprint(text, pos) == Some(suspect.fingerprint)
    }

    fn fingerprint(&self, text: &[u8], pos: usize) -> Option<u64> {
        let segment = text.get(pos..pos + self.len)?;
        let print = segment.chunks(8).fold(self.multiplier, |print, part| {
            let mixed = (print ^ load(part, 0, 8)).wrapping_mul(self.multiplier);
            mixed ^ mixed >> 32
        });
        Some(print)
    }
}

/// Returns which word of the bit set a hash looks at, and the first two of its three bits.
///
/// Three bits of one word cost one load, and a log that repeats itself makes each false alarm a thousand: the third
/// bit brings them under one window in a thousand.
#[inline(always)]
fn probes(hash: u64, last: usize) -> (usize, u64, u64) {
    (
        (hash >> 48) as usize & last,
        hash >> 42 & 63,
        hash >> 36 & 63,
    )
}

#[inline(always)]
fn third(hash: u64) -> u64 {
    hash >> 30 & 63
}

/// Returns up to 8 bytes at `pos`, little end first.
fn load(text: &[u8], pos: usize, len: usize) -> u64 {
    let rest = text.get(pos..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_le_bytes(*bytes) & u64::MAX >> (64 - 8 * len);
    }
    let mut bytes = [0; 8];
    for (slot, &byte) in bytes.iter_mut().zip(rest.iter().take(len)) {
        *slot = byte;
    }
    u64::from_le_bytes(bytes)
}
