//! A line of a log file, as it is written and read.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LogLine;
use mira_run::Stream;

/// All of a line but its time, which the writer puts in front.
#[derive(Serialize)]
pub(super) struct Rest<'a> {
    pub(super) service: &'a str,
    pub(super) stream: StreamName,
    pub(super) line: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) partial: bool,
}

#[derive(Deserialize)]
pub(super) struct Line<'a> {
    time: Timestamp,
    #[serde(borrow)]
    service: Cow<'a, str>,
    stream: StreamName,
    line: String,
    #[serde(default)]
    partial: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StreamName {
    Stdout,
    Stderr,
}

impl From<Stream> for StreamName {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
        }
    }
}

impl From<StreamName> for Stream {
    fn from(name: StreamName) -> Self {
        match name {
            StreamName::Stdout => Self::Stdout,
            StreamName::Stderr => Self::Stderr,
        }
    }
}

impl Line<'_> {
    /// Returns the line, sharing the name of the service where it is the one expected.
    pub(super) fn into_line(self, expected: &Arc<str>) -> LogLine {
        LogLine {
            time: self.time,
            service: if *self.service == **expected {
                Arc::clone(expected)
            } else {
                self.service.into()
            },
            stream: self.stream.into(),
            line: self.line,
            partial: self.partial,
        }
    }
}
