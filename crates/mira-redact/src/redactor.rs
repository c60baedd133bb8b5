//! The redactor of one stream: bytes in, bytes to write out, and the moment when a held tail must go.
//!
//! It reads no clock: the caller passes the time and wakes it when [`Redactor::deadline`] has come.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::buffer::Buffer;
use crate::set::NeedleSet;
use crate::stream::{Counts, Piece, Stream};

/// How long a tail of under [`SHORT_TAIL_BYTES`] is held.
const SHORT_WAIT: Duration = Duration::from_millis(10);

/// How long a longer tail is held since the last byte that extended it.
const LONG_WAIT: Duration = Duration::from_millis(100);

/// How long a tail is held in all.
const WHOLE_WAIT: Duration = Duration::from_secs(2);

const SHORT_TAIL_BYTES: u64 = 4;

/// Redacts one stream.
///
/// Nothing is held back but a tail that could still become part of a value, and that only until
/// [`Redactor::deadline`].
pub struct Redactor {
    set: Arc<NeedleSet>,
    stream: Stream,
    buffer: Buffer,
    out: Vec<u8>,
    timer: Option<Timer>,
}

/// Since when a tail is held.
#[derive(Clone, Copy)]
struct Timer {
    tail_start: u64,
    first: Instant,
    extended: Instant,
}

/// What to write: a part of the buffer, if nothing was replaced.
#[derive(Clone, Copy)]
enum Output {
    Nothing,
    Kept { from: usize, to: usize },
    Copied,
}

impl Redactor {
    /// Makes a redactor for a new stream.
    #[must_use]
    pub fn new(set: Arc<NeedleSet>) -> Self {
        Self {
            set,
            stream: Stream::new(),
            buffer: Buffer::new(),
            out: Vec::new(),
            timer: None,
        }
    }

    /// Returns where the caller reads next: 64 KiB. Say with [`Redactor::filled`] how much came.
    pub fn spare(&mut self) -> &mut [u8] {
        self.buffer.spare()
    }

    /// Takes `len` bytes that were read into [`Redactor::spare`]; returns the bytes to write now.
    pub fn filled(&mut self, len: usize, now: Instant) -> &[u8] {
        self.out.clear();
        self.buffer.add(len);
        let output = self.advance(false);
        if len > 0 {
            self.set_timer(now);
        }
        self.output(output)
    }

    /// Takes a chunk of any size; returns the bytes to write now.
    pub fn push(&mut self, chunk: &[u8], now: Instant) -> &[u8] {
        self.out.clear();
        let mut rest = self.buffer.copy(chunk);
        let mut output = self.advance(false);
        while !rest.is_empty() {
            // The buffer is about to be used again: what it had to say goes to the side.
            self.copy_out(output);
            rest = self.buffer.copy(rest);
            output = self.advance(false);
        }
        if !chunk.is_empty() {
            self.set_timer(now);
        }
        self.output(output)
    }

    /// Returns how many bytes are held back.
    #[must_use]
    pub fn held(&self) -> usize {
        self.stream.held(self.end()) as usize
    }

    /// Returns when [`Redactor::expire`] is due, if anything is held back.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let timer = self.timer?;
        let wait = if self.end() - timer.tail_start < SHORT_TAIL_BYTES {
            SHORT_WAIT
        } else {
            LONG_WAIT
        };
        Some((timer.extended + wait).min(timer.first + WHOLE_WAIT))
    }

    /// Lets a held tail go when its time has come; returns the bytes to write now. Before the deadline it does nothing.
    ///
    /// A tail that shows at most a third of a value (beside a public prefix such as `sk-proj-`) goes out as it is,
    /// but is remembered: if the rest comes, a marker takes its place and [`Counts::partial_leaks`] counts it. Of a
    /// longer tail the marker is written now, and the continuation is swallowed if it comes.
    pub fn expire(&mut self, now: Instant) -> &[u8] {
        self.out.clear();
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return &[];
        }
        self.timer = None;
        let markers = &mut self.out;
        let text = self.buffer.text();
        let set = &*self.set;
        self.stream.expire(set, text, |piece| {
            copy_piece(set, text, piece, markers);
        });
        self.forget();
        &self.out
    }

    /// Ends the stream; returns the last bytes to write. A tail that did not become a value goes out as it is.
    pub fn finish(&mut self) -> &[u8] {
        self.out.clear();
        self.timer = None;
        let output = self.advance(true);
        self.output(output)
    }

    /// Returns what happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.stream.counts()
    }

    /// Returns how many steps of verification were taken so far: a measure of cost that no clock disturbs.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.stream.work()
    }

    fn end(&self) -> u64 {
        self.buffer.end()
    }

    /// Moves the stream on. The output refers to the buffer, which stays as it is until the next read.
    fn advance(&mut self, ended: bool) -> Output {
        let text = self.buffer.text();
        let (set, out) = (&*self.set, &mut self.out);
        let fresh = out.is_empty();
        let mut output = Output::Nothing;
        self.stream.advance(set, text, ended, |piece| {
            match (&output, &piece) {
                (Output::Nothing, &Piece::Raw { from, to }) if fresh => {
                    output = Output::Kept { from, to };
                    return;
                }
                (&Output::Kept { from, to }, _) => {
                    out.extend_from_slice(text.get(from..to).unwrap_or_default());
                }
                _ => {}
            }
            output = Output::Copied;
            copy_piece(set, text, piece, out);
        });
        // Places in the text become places in the buffer before its beginning moves.
        if let Output::Kept { from, to } = &mut output {
            let start = self.buffer.start();
            *from += start;
            *to += start;
        }
        self.forget();
        output
    }

    fn forget(&mut self) {
        self.buffer.keep_from(self.stream.keep());
    }

    fn set_timer(&mut self, now: Instant) {
        self.timer = (self.held() > 0).then(|| {
            let tail_start = self.stream.tail_start();
            let first = match self.timer {
                Some(timer) if timer.tail_start == tail_start => timer.first,
                _ => now,
            };
            Timer {
                tail_start,
                first,
                extended: now,
            }
        });
    }

    fn copy_out(&mut self, output: Output) {
        if let Output::Kept { from, to } = output {
            self.out.extend_from_slice(self.buffer.slice(from, to));
        }
    }

    fn output(&self, output: Output) -> &[u8] {
        match output {
            Output::Kept { from, to } => self.buffer.slice(from, to),
            Output::Nothing | Output::Copied => &self.out,
        }
    }
}

fn copy_piece(set: &NeedleSet, text: &[u8], piece: Piece, out: &mut Vec<u8>) {
    match piece {
        Piece::Raw { from, to } => out.extend_from_slice(text.get(from..to).unwrap_or_default()),
        Piece::Marker(stretch) => {
            if let Some(needle) = set.needles.get(stretch.best.needle as usize) {
                out.extend_from_slice(needle.marker.as_bytes());
            }
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redactor")
            .field("held", &self.held())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
