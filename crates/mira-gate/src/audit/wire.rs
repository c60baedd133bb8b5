//! A line of the record, as it is written and read.
//!
//! An attempt is two lines that share an id, or one where it was refused at once; a third may say between them whose it is. INVARIANT: every text in them is of a bounded length, whatever a
//! program asked for.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{How, Outcome};

/// What stands at the beginning of each line that begins an attempt.
pub(super) const BEGIN: &[u8] = br#"{"begin":{"#;

/// What stands at the beginning of each line that ends one.
pub(super) const END: &[u8] = br#"{"end":{"#;

/// What stands at the beginning of each line that says whose one is.
pub(super) const OF: &[u8] = br#"{"of":{"#;

/// The longest host that is kept, in bytes.
// LIMIT: RFC 1035, section 2.3.4; what is longer was no name, and is told from others by its beginning.
const HOST_BYTES_MAX: usize = 253;

/// The longest method, type or protocol that is kept, in bytes.
// LIMIT: all registered ones are shorter; others are the program's own words, of which the record keeps no more than it must.
const WHAT_BYTES_MAX: usize = 24;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Line<'a> {
    #[serde(borrow)]
    Begin(Begin<'a>),
    #[serde(borrow)]
    End(End<'a>),
    #[serde(borrow)]
    Of(Of<'a>),
}

#[derive(Deserialize)]
pub(super) struct Begin<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    pub(super) time: Timestamp,
    #[serde(borrow)]
    pub(super) instance: Cow<'a, str>,
    #[serde(default)]
    pub(super) enforced: Option<bool>,
    #[serde(borrow, default)]
    pub(super) service: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) host: Cow<'a, str>,
    #[serde(default)]
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    #[serde(borrow)]
    pub(super) how: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) what: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) packets: Option<u64>,
    pub(super) verdict: Outcome,
    #[serde(borrow)]
    pub(super) rule: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct End<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(default)]
    pub(super) address: Option<IpAddr>,
    #[serde(default)]
    pub(super) status: Option<u16>,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) milliseconds: u64,
    #[serde(default)]
    pub(super) redacted: u64,
    #[serde(borrow, default)]
    pub(super) secrets: Vec<Cow<'a, str>>,
    /// Why it was refused after it had begun.
    #[serde(borrow, default)]
    pub(super) refused: Option<Cow<'a, str>>,
}

/// Which service an attempt is of.
#[derive(Deserialize)]
pub(super) struct Of<'a> {
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) service: Cow<'a, str>,
}

/// What tells one attempt from all others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) run: u64,
    pub(super) number: u64,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.run, self.number)
    }
}

/// What the lines of attempts that are alike share.
#[derive(Serialize)]
pub(super) struct Alike<'a> {
    pub(super) instance: &'a str,
    pub(super) enforced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<&'a str>,
    pub(super) host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) packets: Option<u64>,
    pub(super) verdict: Outcome,
    pub(super) rule: &'a str,
}

impl Alike<'_> {
    /// Returns it as a line has it: without the first brace, for what comes before.
    pub(super) fn text(&self) -> io::Result<Box<[u8]>> {
        let mut text = serde_json::to_vec(self)?;
        text.remove(0);
        Ok(text.into())
    }
}

/// Appends the line that begins an attempt. What is not `alike` is written here: an id and a time have nothing in them that JSON would escape.
pub(super) fn begin(
    line: &mut Vec<u8>,
    id: Id,
    time: Timestamp,
    what: Option<&str>,
    alike: &[u8],
) -> io::Result<()> {
    line.extend_from_slice(BEGIN);
    write!(line, r#""id":"{id}","time":"{time}","#)?;
    if let Some(what) = what {
        line.extend_from_slice(br#""what":"#);
        serde_json::to_writer(&mut *line, what)?;
        line.push(b',');
    }
    line.extend_from_slice(alike);
    line.extend_from_slice(b"}\n");
    Ok(())
}

/// Appends the line that says which service an attempt is of.
pub(super) fn of(line: &mut Vec<u8>, id: Id, service: &str) -> io::Result<()> {
    line.extend_from_slice(OF);
    write!(line, r#""id":"{id}","service":"#)?;
    serde_json::to_writer(&mut *line, service)?;
    line.extend_from_slice(b"}}\n");
    Ok(())
}

impl End<'_> {
    /// Appends the line, of which all but texts are numbers.
    pub(super) fn append_to(&self, line: &mut Vec<u8>) -> io::Result<()> {
        let Self {
            id,
            sent,
            received,
            milliseconds,
            ..
        } = self;
        line.extend_from_slice(END);
        write!(
            line,
            r#""id":"{id}","sent":{sent},"received":{received},"milliseconds":{milliseconds}"#
        )?;
        if let Some(address) = self.address {
            write!(line, r#","address":"{address}""#)?;
        }
        if let Some(status) = self.status {
            write!(line, r#","status":{status}"#)?;
        }
        if self.redacted > 0 {
            write!(line, r#","redacted":{}"#, self.redacted)?;
        }
        if !self.secrets.is_empty() {
            line.extend_from_slice(br#","secrets":"#);
            serde_json::to_writer(&mut *line, &self.secrets)?;
        }
        if let Some(refused) = &self.refused {
            line.extend_from_slice(br#","refused":"#);
            serde_json::to_writer(&mut *line, refused)?;
        }
        line.extend_from_slice(b"}}\n");
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
