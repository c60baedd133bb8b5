//! The read buffer of a stream, with room for what is carried over in front.
//!
//! It takes no memory before there is something to read, and wipes what was read, not what never was.
//!
//! INVARIANT: a chunk is never moved: the carried bytes are put before the place where the next read goes.

use zeroize::Zeroize;

/// How much is read at once, in bytes.
pub(crate) const READ_BYTES: usize = 64 * 1024;

const ROOM_BYTES: usize = 4 * 1024;

/// Kept bytes and room for the next read; wiped on drop.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// Where reads usually go; the carried bytes end here.
    room: usize,
    start: usize,
    end: usize,
    /// Behind it nothing was ever read.
    used: usize,
    /// The offset in the stream of `start`.
    offset: u64,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self {
            bytes: Vec::new(),
            room: ROOM_BYTES,
            start: ROOM_BYTES,
            end: ROOM_BYTES,
            used: ROOM_BYTES,
            offset: 0,
        }
    }

    /// Returns the kept bytes and those added since.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Returns where the next read goes.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        self.provide();
        if self.end != self.room {
            self.carry();
        }
        self.bytes
            .get_mut(self.end..self.end + READ_BYTES)
            .unwrap_or_default()
    }

    /// Adds `len` bytes that were read into the spare room.
    pub(crate) fn add(&mut self, len: usize) {
        let room = self.bytes.len().saturating_sub(self.end);
        self.end += len.min(room);
        self.used = self.used.max(self.end);
    }

    /// Copies as much of `chunk` in as fits; returns the rest.
    pub(crate) fn copy<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        self.provide();
        if self.bytes.len() - self.end < chunk.len().min(READ_BYTES) {
            self.carry();
        }
        let room = (self.bytes.len() - self.end).min(READ_BYTES);
        let (now, rest) = chunk.split_at(chunk.len().min(room));
        if let Some(slot) = self.bytes.get_mut(self.end..self.end + now.len()) {
            slot.copy_from_slice(now);
            self.add(now.len());
        }
        rest
    }

    /// Returns bytes by their place in the buffer, which holds until the next read.
    pub(crate) fn slice(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }

    /// Returns the place in the buffer where the text begins.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Returns the offset in the stream behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.offset + (self.end - self.start) as u64
    }

    /// Forgets what lies before an offset in the stream.
    pub(crate) fn keep_from(&mut self, offset: u64) {
        let len = (offset - self.offset) as usize;
        self.start = (self.start + len).min(self.end);
        self.offset = offset;
    }

    fn provide(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = vec![0; self.room + READ_BYTES];
        }
    }

    /// Moves the kept bytes before the place of the next read.
    fn carry(&mut self) {
        let carried = self.end - self.start;
        if carried > self.room {
            self.room = carried.next_power_of_two();
            let mut wider = vec![0; self.room + READ_BYTES];
            if let Some(slot) = wider.get_mut(self.room - carried..self.room) {
                slot.copy_from_slice(self.text());
            }
            self.wipe();
            self.bytes = wider;
            self.used = self.room;
        } else {
            self.bytes
                .copy_within(self.start..self.end, self.room - carried);
        }
        self.start = self.room - carried;
        self.end = self.room;
    }

    fn wipe(&mut self) {
        if let Some(used) = self.bytes.get_mut(..self.used) {
            used.zeroize();
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.wipe();
    }
}
