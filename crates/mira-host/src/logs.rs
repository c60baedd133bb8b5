//! The logs of services: JSON lines, one file per service, rotated by size.
//!
//! ```json
//! {"time":"2026-03-01T12:00:00.000000001Z","service":"web","stream":"stdout","line":"listening"}
//! ```
//!
//! What gets here has passed the redactor: it is split into lines after that, so a value with line breaks in it is found as
//! well. Bytes that are no UTF-8 are replaced, and a line that is longer than 64 KiB comes in several, all but the last of
//! which have `"partial":true`.
//!
//! INVARIANT: within a service no two lines have one time, and none has one before that of an earlier line, whatever the clock
//! does: so where a reader of files goes on with live lines, it neither loses nor repeats one.

#[cfg(target_os = "linux")]
mod encode;
#[cfg(target_os = "linux")]
mod file;
mod read;
#[cfg(target_os = "linux")]
mod split;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use mira_run::Stream;

pub use read::{Filter, Lines, read};

#[cfg(target_os = "linux")]
pub(crate) use {encode::Encoder, file::LogFile, split::Splitter};

/// A line that a service wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// When it was read.
    pub time: Timestamp,
    /// Who wrote it.
    pub service: Arc<str>,
    /// To which of its streams.
    pub stream: Stream,
    /// Its text, redacted, without the line break.
    pub line: String,
    /// Whether the next line of the stream goes on with it.
    pub partial: bool,
}

/// How much is kept of a service's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The size at which a file is put aside, in bytes.
    pub file_bytes_max: u64,
    /// How many files are kept, the current one included.
    pub files_max: u32,
}

impl Default for Rotation {
    // LIMIT: 50 MiB a service: days of a chatty one, and no disk is filled by it.
    fn default() -> Self {
        Self {
            file_bytes_max: 10 * 1024 * 1024,
            files_max: 5,
        }
    }
}

/// Joins lines that were read from files and lines that come live: what was read is not shown again.
///
/// Subscribe first, then read, and show live lines that [`Follower::is_new`].
#[derive(Debug, Default)]
pub struct Follower {
    last: BTreeMap<Arc<str>, Timestamp>,
}

impl Follower {
    /// Takes note of a line that was read, or shown.
    pub fn saw(&mut self, line: &LogLine) {
        self.last.insert(Arc::clone(&line.service), line.time);
    }

    /// Returns whether a live line was not seen before, and takes note of it.
    pub fn is_new(&mut self, line: &LogLine) -> bool {
        let new = self
            .last
            .get(&line.service)
            .is_none_or(|last| *last < line.time);
        if new {
            self.saw(line);
        }
        new
    }
}

/// Returns the file of a service's log that was put aside `age` rotations ago; the current one is of age 0.
#[cfg(target_os = "linux")]
fn file_name(service: &str, age: u32) -> String {
    match age {
        0 => format!("{service}.jsonl"),
        age => format!("{service}.jsonl.{age}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_passes_each_line_of_each_service_once() {
        let line = |service: &str, nanosecond: i32| LogLine {
            time: Timestamp::new(1_800_000_000, nanosecond).unwrap(),
            service: service.into(),
            stream: Stream::Stdout,
            line: String::new(),
            partial: false,
        };
        let mut follower = Follower::default();
        follower.saw(&line("web", 5));
        for (service, nanosecond, new) in [
            ("web", 4, false),
            ("web", 5, false),
            ("db", 3, true),
            ("web", 6, true),
            ("web", 6, false),
            ("db", 4, true),
        ] {
            let line = line(service, nanosecond);
            assert_eq!(follower.is_new(&line), new, "{service} {nanosecond}");
        }
    }
}
