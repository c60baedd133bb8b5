//! The scanner: where values are, without changing anything.
//!
//! It is the redactor's engine with another ending: stretches become findings instead of markers.

use std::hint::black_box;
use std::io::{self, Read};
use std::sync::Arc;

use crate::buffer::Buffer;
use crate::forms::FORM_BYTES_MIN;
use crate::set::{Finding, NeedleSet};
use crate::stream::{Piece, Stream};
use crate::union::Stretch;

/// How much of a whole buffer is looked at before its hits are settled.
const STEP_BYTES: usize = 32 * 1024;

/// The most findings that a [`Scan`] lists; the rest is counted.
// LIMIT: a file full of one value must not take its own size again in memory.
pub const FINDINGS_MAX: usize = 10_000;

/// What a scan of a reader found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scan {
    /// The first [`FINDINGS_MAX`] findings, in order.
    pub findings: Vec<Finding>,
    /// How many findings there were in all.
    pub total: u64,
    /// How many bytes were read.
    pub bytes: u64,
}

impl NeedleSet {
    /// Returns every place in a buffer where a value stands, in order.
    #[must_use]
    pub fn find(&self, haystack: &[u8]) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut stream = Stream::new();
        let mut end = 0;
        while end < haystack.len() {
            end = (end + STEP_BYTES).min(haystack.len());
            let from = stream.keep() as usize;
            let text = haystack.get(from..end).unwrap_or_default();
            // Probes jump; reading line by line first keeps the memory busy. A stream's bytes were just written.
            black_box(text.iter().step_by(64).fold(0, |sum, &b| sum ^ b));
            stream.advance(self, text, end == haystack.len(), |piece| {
                if let Piece::Marker(stretch) = piece {
                    findings.push(self.finding(&stretch));
                }
            });
        }
        findings
    }

    /// Returns whether a value stands in a text, or so much of one at its end that a [`Redactor`](crate::Redactor) would not show it before a pause. Nothing
    /// is copied.
    #[must_use]
    pub fn concerns(&self, text: &[u8]) -> bool {
        let mut stream = Stream::new();
        let mut is_there = false;
        stream.advance(self, text, false, |piece| {
            is_there |= matches!(piece, Piece::Marker(_));
        });
        if !is_there && stream.held(text.len() as u64) > 0 {
            let held = text.get(stream.keep() as usize..).unwrap_or_default();
            stream.expire(self, held, |piece| {
                is_there |= matches!(piece, Piece::Marker(_));
            });
        }
        is_there
    }

    /// Returns the name of a value that a word holds, such as a variable or an argument of a program. A value too short for other forms than the raw one
    /// counts only where it is the whole word: in others it stands by chance.
    #[must_use]
    pub fn held_by(&self, word: &[u8]) -> Option<Arc<str>> {
        let mut findings = self.find(word).into_iter();
        let found = findings.find(|finding| {
            let is_all = finding.len == word.len() as u64;
            is_all || finding.len >= FORM_BYTES_MIN as u64
        });
        found.map(|finding| finding.name)
    }

    /// Reads to the end and returns what was found. Memory is bounded: see [`FINDINGS_MAX`].
    ///
    /// # Errors
    ///
    /// Returns the reader's error; what was found until then is lost.
    pub fn scan<R: Read>(&self, reader: R) -> io::Result<Scan> {
        let mut scan = Scan::default();
        let mut total = 0;
        let mut findings = Vec::new();
        scan.bytes = self.scan_each(reader, |finding| {
            total += 1;
            if findings.len() < FINDINGS_MAX {
                findings.push(finding);
            }
        })?;
        scan.total = total;
        scan.findings = findings;
        Ok(scan)
    }

    /// Reads to the end, passes on each finding as soon as it is certain, and returns how many bytes were read.
    ///
    /// # Errors
    ///
    /// Returns the reader's error.
    pub fn scan_each<R: Read>(
        &self,
        mut reader: R,
        mut each: impl FnMut(Finding),
    ) -> io::Result<u64> {
        let mut stream = Stream::new();
        let mut buffer = Buffer::new();
        loop {
            let len = match reader.read(buffer.spare()) {
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            buffer.add(len);
            stream.advance(self, buffer.text(), len == 0, |piece| {
                if let Piece::Marker(stretch) = piece {
                    each(self.finding(&stretch));
                }
            });
            if len == 0 {
                return Ok(buffer.end());
            }
            buffer.keep_from(stream.keep());
        }
    }

    fn finding(&self, stretch: &Stretch) -> Finding {
        Finding {
            name: self
                .needles
                .get(stretch.best.needle as usize)
                .map_or_else(|| "".into(), |needle| Arc::clone(&needle.name)),
            offset: stretch.start,
            len: stretch.end - stretch.start,
            form: stretch.best.form,
        }
    }
}
