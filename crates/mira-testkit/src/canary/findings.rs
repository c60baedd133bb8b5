//! What a sweep found, in words for a failing test.
//!
//! INVARIANT: nothing here holds or prints a canary's value; a hit names it.

use std::fmt;
use std::path::PathBuf;

use super::Form;

/// Where a sweep looked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Bytes that the test named.
    Bytes(String),
    /// The content of a file; parts of its path that spell a canary are masked.
    File(PathBuf),
    /// The name of something in a folder, or what a symlink there points to.
    Name(PathBuf),
    /// The arguments of a process.
    Arguments(u32),
    /// The environment of a process.
    Environment(u32),
    /// The memory of a process; offsets are addresses.
    Memory(u32),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(name) => write!(f, "{name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Name(folder) => write!(f, "a name in folder {}", folder.display()),
            Self::Arguments(pid) => write!(f, "arguments of process {pid}"),
            Self::Environment(pid) => write!(f, "environment of process {pid}"),
            Self::Memory(pid) => write!(f, "memory of process {pid}"),
        }
    }
}

/// A canary where it must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Where it is.
    pub place: Place,
    /// Whose value it is.
    pub canary: &'static str,
    /// How it is spelt.
    pub form: Form,
    /// The first byte of its first occurrence there.
    pub offset: u64,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            canary,
            form,
            offset,
        } = self;
        write!(f, "{canary} as {form} at offset {offset} of {place}")
    }
}

/// The result of a sweep.
#[must_use = "a sweep proves nothing until its findings are asserted"]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Every canary found: the first occurrence a place and spelling.
    pub hits: Vec<Hit>,
    /// What could not be looked at, and why.
    pub unread: Vec<(Place, String)>,
    /// How many bytes were looked at.
    pub bytes_seen: u64,
}

impl Findings {
    /// Returns whether everything was looked at and nothing found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.hits.is_empty() && self.unread.is_empty()
    }

    /// Fails the test unless everything was looked at and nothing found.
    ///
    /// # Panics
    ///
    /// Panics with the list of hits.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    /// Returns these findings and others as one.
    pub fn and(mut self, other: Self) -> Self {
        self.hits.extend(other.hits);
        self.unread.extend(other.unread);
        self.bytes_seen += other.bytes_seen;
        self
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} canary hits, {} places unread, {} bytes seen",
            self.hits.len(),
            self.unread.len(),
            self.bytes_seen
        )?;
        for hit in &self.hits {
            write!(f, "\n  {hit}")?;
        }
        for (place, why) in &self.unread {
            write!(f, "\n  not looked at: {place}: {why}")?;
        }
        Ok(())
    }
}
