//! Where secret bytes lie: whole pages for long secrets, a place in shared pages for short ones.
//!
//! Pages are locked and unlocked whole, by a system call each, so that a page for every key would cost more than all else
//! that is done with it, and use up what may be locked. Short secrets lie side by side in pages that stay locked.
//!
//! INVARIANT: a slot has one owner, who wipes it before giving it back; shared pages are never unlocked and never freed.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use zeroize::Zeroize;

const PAGE_BYTES: usize = 4096;

/// Shared pages are handed out by slots.
const SLOT_BYTES: usize = 64;

/// How many pages are locked at once to be shared: as many slots as a bit set below has bits.
const CHUNK_PAGES: usize = 2;

/// How many times that.
// LIMIT: bounds the search for free slots, and what stays locked: 512 KiB, 4,096 keys of usual length.
const CHUNKS_MAX: usize = 64;

/// Longer secrets have pages of their own.
const SHARED_BYTES_MAX: usize = 1024;

#[derive(Clone, Copy)]
#[repr(C, align(4096))]
pub(crate) struct Page([u8; PAGE_BYTES]);

impl zeroize::DefaultIsZeroes for Page {}

impl Default for Page {
    fn default() -> Self {
        Self([0; PAGE_BYTES])
    }
}

/// Zeroed bytes, locked into memory where the system allows it; wiped on drop.
pub(crate) enum Room {
    Own {
        // Declared before `pages`, so unlocked before they are freed.
        lock: Option<region::LockGuard>,
        pages: Vec<Page>,
    },
    Shared(Slots),
}

impl Room {
    /// Makes room for `len` bytes or more.
    pub(crate) fn new(len: usize) -> Self {
        if (1..=SHARED_BYTES_MAX).contains(&len)
            && let Some(slots) = Slots::take(len.div_ceil(SLOT_BYTES))
        {
            return Self::Shared(slots);
        }
        let pages = vec![Page::default(); len.div_ceil(PAGE_BYTES)];
        let lock = locked(&pages);
        Self::Own { lock, pages }
    }

    pub(crate) fn is_locked(&self) -> bool {
        match self {
            Self::Own { lock, .. } => lock.is_some(),
            Self::Shared(slots) => slots.locked,
        }
    }

    #[expect(unsafe_code, reason = "pages and slots seen as bytes")]
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            // SAFETY: `Page` is `repr(C)` around `[u8; PAGE_BYTES]`, its size equals its alignment, so it has no padding
            // and `pages` spans exactly this many initialised bytes.
            Self::Own { pages, .. } => unsafe {
                std::slice::from_raw_parts(pages.as_ptr().cast(), size_of_val(pages.as_slice()))
            },
            // SAFETY: the slots are initialised, live as long as the process, and are ours alone until we are dropped.
            Self::Shared(slots) => unsafe {
                std::slice::from_raw_parts(slots.start, slots.number * SLOT_BYTES)
            },
        }
    }

    #[expect(unsafe_code, reason = "pages and slots seen as bytes")]
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            // SAFETY: as in `bytes`; the borrow is exclusive and every byte pattern is a valid `u8`.
            Self::Own { pages, .. } => unsafe {
                let len = size_of_val(pages.as_slice());
                std::slice::from_raw_parts_mut(pages.as_mut_ptr().cast(), len)
            },
            // SAFETY: as in `bytes`; the borrow is exclusive.
            Self::Shared(slots) => unsafe {
                std::slice::from_raw_parts_mut(slots.start, slots.number * SLOT_BYTES)
            },
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Wiped before the lock is dropped: own pages may be swapped out from then on, shared ones have a new owner.
        match self {
            Self::Own { pages, .. } => pages.as_mut_slice().zeroize(),
            Self::Shared(_) => self.bytes_mut().zeroize(),
        }
        if let Self::Shared(slots) = self {
            slots.give_back();
        }
    }
}

/// The limit on locked memory is the system's; pages beyond it still are wiped.
fn locked(pages: &[Page]) -> Option<region::LockGuard> {
    (!pages.is_empty())
        .then(|| region::lock(pages.as_ptr(), size_of_val(pages)).ok())
        .flatten()
}

/// Slots in shared pages, one behind the other.
pub(crate) struct Slots {
    start: *mut u8,
    number: usize,
    locked: bool,
    /// Which chunk they are of, and which of its slots is the first.
    place: (usize, usize),
}

#[expect(unsafe_code, reason = "a pointer to memory that has one owner")]
// SAFETY: what `start` points to belongs to this value alone, as a `Box<[u8]>` would.
unsafe impl Send for Slots {}

#[expect(unsafe_code, reason = "a pointer to memory that has one owner")]
// SAFETY: as above; through a shared reference it is only read.
unsafe impl Sync for Slots {}

/// Pages that are shared.
struct Chunk {
    /// The address of the first slot.
    start: usize,
    /// A bit for each slot that has an owner.
    taken: u128,
    lock: Option<region::LockGuard>,
}

/// Never removed from, so that a chunk's index stays what it is.
static CHUNKS: Mutex<Vec<Chunk>> = Mutex::new(Vec::new());

impl Slots {
    fn take(number: usize) -> Option<Self> {
        let mut chunks = CHUNKS.lock().unwrap_or_else(PoisonError::into_inner);
        let found = chunks
            .iter()
            .enumerate()
            .find_map(|(index, chunk)| Some((index, chunk.free(number)?)));
        let (index, slot) = match found {
            Some(found) => found,
            None if chunks.len() < CHUNKS_MAX => {
                chunks.push(Chunk::new());
                (chunks.len() - 1, 0)
            }
            None => return None,
        };
        let chunk = chunks.get_mut(index)?;
        chunk.taken |= bits(slot..slot + number);
        Some(Self {
            start: std::ptr::with_exposed_provenance_mut(chunk.start + slot * SLOT_BYTES),
            number,
            locked: chunk.lock.is_some(),
            place: (index, slot),
        })
    }

    fn give_back(&self) {
        let (index, slot) = self.place;
        let mut chunks = CHUNKS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunk) = chunks.get_mut(index) {
            chunk.taken &= !bits(slot..slot + self.number);
        }
    }
}

impl Chunk {
    fn new() -> Self {
        let pages = Box::leak(Box::new([Page::default(); CHUNK_PAGES]));
        Self {
            lock: locked(pages),
            start: pages.as_mut_ptr().expose_provenance(),
            taken: 0,
        }
    }

    /// Returns the first of this many free slots in a row.
    fn free(&self, number: usize) -> Option<usize> {
        let run = (0..number).fold(u128::MAX, |run, step| run & !self.taken >> step);
        (run != 0).then(|| run.trailing_zeros() as usize)
    }
}

/// Returns the bits of slots.
fn bits(slots: Range<usize>) -> u128 {
    (u128::MAX >> (128 - slots.len())) << slots.start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_has_as_many_slots_as_the_set_has_bits() {
        assert_eq!(CHUNK_PAGES * PAGE_BYTES / SLOT_BYTES, 128);
        assert_eq!(bits(0..1), 1);
        assert_eq!(bits(126..128), 3 << 126);
        assert_eq!(bits(0..128), u128::MAX);
    }

    #[test]
    fn free_slots_are_found_in_a_row_and_inside_the_chunk() {
        let check = |taken: u128, number: usize, expect: Option<usize>| {
            let chunk = Chunk {
                start: 0,
                taken,
                lock: None,
            };
            assert_eq!(chunk.free(number), expect, "{taken:x}, {number}");
        };
        check(0, 16, Some(0));
        check(1, 1, Some(1));
        check(0b1_0001, 3, Some(1));
        check(0b1_0001, 4, Some(5));
        check(u128::MAX >> 1, 1, Some(127));
        check(u128::MAX >> 1, 2, None);
        check(u128::MAX, 1, None);
    }

    #[test]
    fn rooms_come_zeroed_keep_what_is_written_and_never_overlap() {
        // Sizes around all limits, taken and dropped in an order that leaves gaps.
        let len = |index: usize| index * 97 % 1200;
        let mut rooms: Vec<Option<(u8, Room)>> = Vec::new();
        for round in 0..3000_usize {
            let mut room = Room::new(len(round));
            assert!(room.bytes().iter().all(|&byte| byte == 0), "{round}");
            assert!(room.bytes().len() >= len(round));
            let mark = (round % 255) as u8 + 1;
            room.bytes_mut().fill(mark);
            rooms.push(Some((mark, room)));
            let oldest = round * round % rooms.len();
            if round % 3 != 0
                && let Some((mark, room)) = rooms[oldest].take()
            {
                assert!(room.bytes().iter().all(|&byte| byte == mark), "{round}");
            }
        }
        for (mark, room) in rooms.into_iter().flatten() {
            assert!(room.bytes().iter().all(|&byte| byte == mark));
        }
    }

    #[test]
    fn the_end_of_one_leaves_what_is_beside_it_locked() {
        let rooms: Vec<Room> = (0..300).map(|_| Room::new(72)).collect();
        assert!(rooms.iter().all(Room::is_locked));
        let locked_kib = || {
            let status = std::fs::read_to_string("/proc/self/status").ok()?;
            let line = status.lines().find(|line| line.starts_with("VmLck:"))?;
            line.split_whitespace().nth(1)?.parse::<usize>().ok()
        };
        let before = locked_kib();
        drop(rooms);
        if let (Some(before), Some(after)) = (before, locked_kib()) {
            assert!(before >= 300 * 128 / 1024, "{before} KiB");
            assert!(after >= 300 * 128 / 1024, "{after} KiB");
        }
    }
}
