//! A line of the record, as it is written and read.
//!
//! An attempt is two lines that share an id, or one where it was refused at once. INVARIANT: every text in them is of a bounded length, whatever a
//! program asked for.

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{How, Outcome};

/// What stands at the beginning of each line that begins an attempt.
pub(super) const BEGIN: &[u8] = br#"{"begin":{"#;

/// What stands at the beginning of each line that ends one.
pub(super) const END: &[u8] = br#"{"end":{"#;

/// The longest host that is kept, in bytes.
// LIMIT: RFC 1035, section 2.3.4; what is longer was no name, and is told from others by its beginning.
const HOST_BYTES_MAX: usize = 253;

/// The longest method, type or protocol that is kept, in bytes.
// LIMIT: all registered ones are shorter; others are the program's own words, of which the record keeps no more than it must.
const WHAT_BYTES_MAX: usize = 24;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line<'a> {
    #[serde(borrow)]
    Begin(Begin<'a>),
    #[serde(borrow)]
    End(End<'a>),
}

#[derive(Serialize, Deserialize)]
pub(super) struct Begin<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    pub(super) time: Timestamp,
    #[serde(borrow)]
    pub(super) instance: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) host: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    #[serde(borrow)]
    pub(super) how: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) what: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) packets: Option<u64>,
    pub(super) verdict: Outcome,
    #[serde(borrow)]
    pub(super) rule: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct End<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) milliseconds: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) redacted: u64,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(super) secrets: Vec<Cow<'a, str>>,
    /// Why it was refused after it had begun.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Cow<'a, str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Line<'_> {
    /// Appends it to a buffer, with a newline.
    pub(super) fn append_to(&self, buffer: &mut Vec<u8>) -> std::io::Result<()> {
        serde_json::to_writer(&mut *buffer, self)?;
        buffer.push(b'\n');
        Ok(())
    }
}

/// Returns the words for how something went: one of a few, and a detail.
pub(super) fn words<'a>(how: &How<'a>) -> (&'static str, Option<&'a str>) {
    let (word, what) = match *how {
        How::Tunnel => ("tunnel", None),
        How::Request {
            method,
            secure: true,
        } => ("https", Some(method)),
        How::Request {
            method,
            secure: false,
        } => ("http", Some(method)),
        How::WebSocket => ("websocket", None),
        How::Lookup(kind) => ("lookup", Some(kind)),
        How::Packet { protocol, .. } => ("packet", Some(protocol)),
    };
    (word, what.map(|what| cut(what, WHAT_BYTES_MAX)))
}

/// Returns a host, cut where it is too long.
pub(super) fn host(host: &str) -> &str {
    cut(host, HOST_BYTES_MAX)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    text.split_at_checked(text.floor_char_boundary(bytes_max))
        .map_or(text, |(kept, _)| kept)
}
