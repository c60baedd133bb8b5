//! How far something is: one line on the terminal that is written over, and nothing where there is no terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::render::bytes;

/// How often the line is written.
// LIMIT: as often as anybody reads it.
const EVERY: Duration = Duration::from_millis(100);

/// Goes to the line's beginning and clears it (ECMA-48, CR and EL).
const CLEAR: &str = "\r\x1b[K";

/// One line that says how far something is; it is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    is_watched: bool,
    shown: Option<Instant>,
}

impl Progress {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            is_watched: io::stderr().is_terminal(),
            shown: None,
        }
    }

    /// Says how far it is, if the last time is long enough ago.
    pub(crate) fn show(&mut self, files: u64, size: u64) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= EVERY);
        if self.is_watched && is_due {
            self.shown = Some(Instant::now());
            let line = format!("{CLEAR}mira: {}: {files} files, {}", self.what, bytes(size));
            // Who does not see it misses nothing.
            drop(io::stderr().write_all(line.as_bytes()));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            drop(io::stderr().write_all(CLEAR.as_bytes()));
        }
    }
}
