//! What an output stream passes: the redactor of bytes, or that of messages.

use std::sync::Arc;
use std::time::Instant;

use mira_redact::{Counts, Messages, NeedleSet, Redactor};

/// The redactor of one stream.
#[derive(Debug)]
pub(super) enum Filter {
    Bytes(Redactor),
    Messages(Messages),
}

impl Filter {
    pub(super) fn bytes(needles: Arc<NeedleSet>) -> Self {
        Self::Bytes(Redactor::new(needles))
    }

    pub(super) fn messages(needles: Arc<NeedleSet>) -> Self {
        Self::Messages(Messages::new(needles))
    }

    /// Returns where to read next.
    pub(super) fn spare(&mut self) -> &mut [u8] {
        match self {
            Self::Bytes(redactor) => redactor.spare(),
            Self::Messages(messages) => messages.spare(),
        }
    }

    /// Takes what was read; returns what to write now.
    pub(super) fn filled(&mut self, len: usize, now: Instant) -> &[u8] {
        match self {
            Self::Bytes(redactor) => redactor.filled(len, now),
            Self::Messages(messages) => messages.filled(len, now),
        }
    }

    /// Returns when a held tail must go.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Bytes(redactor) => redactor.deadline(),
            Self::Messages(messages) => messages.deadline(),
        }
    }

    /// Lets a held tail go; returns what to write now.
    pub(super) fn expire(&mut self, now: Instant) -> &[u8] {
        match self {
            Self::Bytes(redactor) => redactor.expire(now),
            Self::Messages(messages) => messages.expire(now),
        }
    }

    /// Ends the stream; returns what is left to write.
    pub(super) fn finish(&mut self) -> &[u8] {
        match self {
            Self::Bytes(redactor) => redactor.finish(),
            Self::Messages(messages) => messages.finish(),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        match self {
            Self::Bytes(redactor) => redactor.counts(),
            Self::Messages(messages) => messages.counts(),
        }
    }
}
