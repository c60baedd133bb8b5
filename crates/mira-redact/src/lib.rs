//! Streaming redactor and scanner for known secret values.
//!
//! A [`NeedleSet`] is compiled from names and values. A [`Redactor`] passes one stream through and puts
//! `[redacted:NAME]` in place of each value, however the value is spelled: raw, escaped (percent, JSON, HTML, shell,
//! SQL, octal), as base64 inside longer text, as hex, over several lines. [`NeedleSet::find`] and
//! [`NeedleSet::scan`] use the same engine and tell where values are.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Instant;
//! use mira_redact::{NeedleSet, Redactor};
//!
//! let mut builder = NeedleSet::builder();
//! builder.add("OPENAI_API_KEY", b"sk-proj-4fXq81LmZ0pTw7Rk");
//! let set = Arc::new(builder.build());
//!
//! let now = Instant::now();
//! let mut redactor = Redactor::new(Arc::clone(&set));
//! // A tail that could begin a value is held back, until more comes or the deadline has come.
//! assert_eq!(redactor.push(b"key: sk-proj-4fXq", now), b"key: ");
//! assert!(redactor.deadline().is_some());
//! assert_eq!(redactor.push(b"81LmZ0pTw7Rk, done\n", now), b"[redacted:OPENAI_API_KEY], done\n");
//! assert_eq!(redactor.finish(), b"");
//!
//! let found = set.find(b"auth=c2stcHJvai00ZlhxODFMbVowcFR3N1Jr");
//! assert_eq!((&*found[0].name, found[0].offset), ("OPENAI_API_KEY", 5));
//! ```
//!
//! The crate does no I/O of its own, reads no clock and no environment: bytes, readers and times come in as values.
//!
//! # How it works
//!
//! `forms` decides which spellings of a value are looked for, `segments` which part of each, `sieve` finds the places
//! that could hold one, `pattern` (with `unit`, one escaped character) verifies them, `heads` tells whether a text's
//! end could begin one; `engine` puts these together for one text. `stream` carries what is undecided from read to
//! read, merges overlapping matches (`union`), and lets held tails go in time. `redactor` and `scan` are the two ways
//! in; `messages` is the redactor of a stream whose lines are JSON texts and must stay that.

mod buffer;
mod encode;
mod engine;
mod forms;
mod heads;
mod messages;
mod pattern;
mod redactor;
mod scan;
mod segments;
mod set;
mod sieve;
mod stream;
mod union;
mod unit;

pub use messages::{MESSAGE_BYTES_MAX, Messages};
pub use redactor::Redactor;
pub use scan::{FINDINGS_MAX, Scan};
pub use set::{Coverage, Finding, Form, NeedleSet, NeedleSetBuilder};
pub use stream::Counts;
