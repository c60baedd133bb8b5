//! The record of every connection and request: when, by whom, where to, how much, allowed or refused, by which rule. Never content.
//!
//! It is a folder of files of JSON lines, readable by the user alone. An attempt has a line where it begins, written before anything leaves, and one where
//! it ends; a refusal has one line. One between says whose an attempt is, where that was not known when it began. [`Reader`] joins them to [`Row`]s.
//!
//! INVARIANT: no path, query, header or body gets in: there is no field for any. When `begin` has returned, its line is in the file and stays there
//! whatever becomes of this process. A line that cannot be written is an error, and whoever gets it refuses.

mod file;
mod read;
mod wire;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use mira_secret::SecretName;
use serde::{Deserialize, Serialize};

use crate::owner::Search;
use crate::policy::{Reason, Verdict};

pub use read::{Filter, Reader, Row};

/// How long a line usually is at most, in bytes.
const LINE_BYTES: usize = 384;

/// A record that can be written to. Clones are the same one.
#[derive(Clone)]
pub struct Audit(Arc<Inner>);

struct Inner {
    instance: Box<str>,
    /// Whether who is recorded has no way but the gate.
    is_enforced: AtomicBool,
    files: Mutex<file::Files>,
    /// Tells the ids of this one from those of all others.
    run: u64,
    next: AtomicU64,
}

/// What attempts that are alike share of their lines. They differ in their moment and their detail only.
pub(crate) struct Alike(Box<[u8]>);

/// How much is kept. What goes is whole files, so a line may stay a little longer than it has to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Of the newest lines, this many bytes.
    pub bytes: u64,
    /// Of those, what is at most this many days old.
    pub days: u32,
}

/// What was tried.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The service that tried, where it is known.
    pub service: Option<&'a str>,
    /// The name or the address that was meant.
    pub host: &'a str,
    /// Where that leads, if it was looked up.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// In what way.
    pub how: How<'a>,
    /// What the policy says of it.
    pub verdict: &'a Verdict,
}

/// In what way something was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How<'a> {
    /// A connection whose content is not looked at.
    Tunnel,
    /// A request of HTTP.
    Request {
        /// Its method.
        method: &'a str,
        /// Whether it is encrypted.
        secure: bool,
    },
    /// A WebSocket.
    WebSocket,
    /// A look-up of a name: the type of record that is asked for.
    Lookup(&'a str),
    /// Packets that went nowhere.
    Packet {
        /// Their protocol, such as `udp`.
        protocol: &'a str,
        /// How many they are.
        packets: u64,
    },
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was let out.
    Allowed,
    /// It was not, or it was ended.
    Refused,
}

/// An attempt that was let out and has begun. When it is dropped, its end is written.
///
/// An end that cannot be written is lost: the row then stays open, as it does where the process dies.
pub struct Entry {
    audit: Audit,
    id: wire::Id,
    began: Instant,
    address: OnceLock<IpAddr>,
    sent: AtomicU64,
    received: AtomicU64,
    redacted: AtomicU64,
    /// Zero where there is none.
    status: AtomicU16,
    secrets: Mutex<BTreeSet<SecretName>>,
    refused: OnceLock<String>,
    /// The look for whose it is, where that was not known when it began.
    search: OnceLock<Arc<Search>>,
}

/// What a row's next lines say, once it is known whose it is.
pub(crate) struct Late {
    audit: Audit,
    id: wire::Id,
    /// The line that ends it, if it has ended.
    end: Option<Vec<u8>>,
}

impl Late {
    /// Returns whether both are of one row.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Writes what there is to be said.
    pub(crate) fn write(self, service: Option<&str>) {
        let mut lines = Vec::with_capacity(LINE_BYTES);
        let named = service.map_or(Ok(()), |service| wire::of(&mut lines, self.id, service));
        lines.extend(self.end.into_iter().flatten());
        // Nobody is left to tell; a reader sees a row without it.
        if named.is_ok() && !lines.is_empty() {
            self.audit.files().end(&lines).ok();
        }
    }
}

/// Why a record cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Somebody else could read or change it.
    #[error("{} is not a folder that is this user's alone", .0.display())]
    NotPrivate(PathBuf),
    /// The system said no.
    #[error("the network record cannot be opened: {0}")]
    Io(#[from] io::Error),
}

impl Audit {
    /// Opens the record of an instance in a folder of its own, which is made if it is not there, and removes what need not be kept any longer.
    ///
    /// # Errors
    ///
    /// Returns an error if the folder is open to others, or the system's if it or a file cannot be made or written.
    pub fn open(folder: &Path, instance: &str, keep: Keep) -> Result<Self, AuditError> {
        let run = getrandom::u64().map_err(io::Error::from)?;
        Ok(Self(Arc::new(Inner {
            instance: instance.into(),
            is_enforced: AtomicBool::new(false),
            files: Mutex::new(file::Files::open(folder, keep)?),
            run,
            next: AtomicU64::new(0),
        })))
    }

    /// Has all rows from now on say that who is recorded has no way but the gate.
    pub(crate) fn enforced(&self) {
        self.0.is_enforced.store(true, Ordering::Relaxed);
    }

    /// Records that something is let out, before it is.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the line could not be written whole. Then nothing may leave.
    pub fn begin(&self, attempt: &Attempt<'_>) -> io::Result<Entry> {
        if let Verdict::Refused(_) = attempt.verdict {
            return Err(io::Error::other("what is refused does not begin"));
        }
        self.begin_again(&self.alike(attempt)?, &attempt.how)
    }

    /// Returns what attempts like this one share, for [`Self::begin_again`].
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be written as JSON.
    pub(crate) fn alike(&self, attempt: &Attempt<'_>) -> io::Result<Alike> {
        let (how, _) = wire::words(&attempt.how);
        let (verdict, rule) = match attempt.verdict {
            Verdict::Allowed(rule) => (Outcome::Allowed, rule.to_string()),
            Verdict::Refused(reason) => (Outcome::Refused, reason.to_string()),
        };
        let alike = wire::Alike {
            instance: &self.0.instance,
            enforced: self.0.is_enforced.load(Ordering::Relaxed),
            service: attempt.service,
            host: wire::host(attempt.host),
            address: attempt.address,
            port: attempt.port,
            how,
            packets: match attempt.how {
                How::Packet { packets, .. } => Some(packets),
                _ => None,
            },
            verdict,
            rule: &rule,
        };
        Ok(Alike(alike.text()?))
    }

    /// Records that something like what was allowed before is let out, before it is. It is tried in the same way, but for its detail.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the line could not be written whole. Then nothing may leave.
    pub(crate) fn begin_again(&self, alike: &Alike, how: &How<'_>) -> io::Result<Entry> {
        Ok(Entry {
            id: self.write(alike, how)?,
            audit: self.clone(),
            began: Instant::now(),
            address: OnceLock::new(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            redacted: AtomicU64::new(0),
            status: AtomicU16::new(0),
            secrets: Mutex::default(),
            refused: OnceLock::new(),
            search: OnceLock::new(),
        })
    }

    /// Records that something is refused.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the line could not be written whole.
    pub fn refused(&self, attempt: &Attempt<'_>) -> io::Result<()> {
        if let Verdict::Allowed(_) = attempt.verdict {
            return Err(io::Error::other("what is allowed is not refused"));
        }
        self.write(&self.alike(attempt)?, &attempt.how).map(|_| ())
    }

    fn write(&self, alike: &Alike, how: &How<'_>) -> io::Result<wire::Id> {
        let (_, what) = wire::words(how);
        let id = wire::Id {
            run: self.0.run,
            number: self.0.next.fetch_add(1, Ordering::Relaxed),
        };
        let now = now();
        let mut line = Vec::with_capacity(LINE_BYTES);
        wire::begin(&mut line, id, now, what, &alike.0)?;
        self.files().begin(&line, now)?;
        Ok(id)
    }

    fn files(&self) -> MutexGuard<'_, file::Files> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the time in milliseconds: what is finer makes lines longer and tells nobody anything.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Audit({})", self.0.instance)
    }
}

impl Entry {
    /// Says which address the host's name led to.
    pub(crate) fn led_to(&self, address: IpAddr) {
        self.address.get_or_init(|| address.to_canonical());
    }

    /// Adds bytes that the program sent.
    pub fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds bytes that came back.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Says which status the answer has.
    pub fn status(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Adds how many times a secret was taken out of the answer.
    pub fn redacted(&self, times: u64) {
        self.redacted.fetch_add(times, Ordering::Relaxed);
    }

    /// Says that a secret was put in.
    pub fn used(&self, secret: &SecretName) {
        let mut secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.contains(secret) {
            secrets.insert(secret.clone());
        }
    }

    /// Has it say whose it is when that is found.
    pub(crate) fn search(&self, search: &Arc<Search>) {
        if self.search.set(Arc::clone(search)).is_ok() {
            search.add(self.late(None));
        }
    }

    fn late(&self, end: Option<Vec<u8>>) -> Late {
        Late {
            audit: self.audit.clone(),
            id: self.id,
            end,
        }
    }

    /// Says that it was ended, and why. What is said first counts.
    pub fn refuse(&self, reason: &Reason) {
        self.refused.get_or_init(|| reason.to_string());
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let status = *self.status.get_mut();
        let elapsed = self.began.elapsed().as_millis();
        let secrets = std::mem::take(&mut self.secrets);
        let secrets = secrets.into_inner().unwrap_or_else(PoisonError::into_inner);
        let end = wire::End {
            id: self.id.to_string().into(),
            address: self.address.get().copied(),
            status: (status != 0).then_some(status),
            sent: *self.sent.get_mut(),
            received: *self.received.get_mut(),
            milliseconds: u64::try_from(elapsed).unwrap_or(u64::MAX),
            redacted: *self.redacted.get_mut(),
            secrets: secrets
                .iter()
                .map(|name| Cow::Borrowed(name.as_str()))
                .collect(),
            refused: self.refused.get().map(|reason| Cow::Borrowed(&**reason)),
        };
        let mut line = Vec::with_capacity(LINE_BYTES);
        // Nobody is left to tell; a reader sees that the row did not end.
        if end.append_to(&mut line).is_err() {
            return;
        }
        match self.search.get() {
            Some(search) => search.end_row(self.late(Some(line))),
            None => drop(self.audit.files().end(&line)),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({})", self.id)
    }
}

impl Keep {
    fn age(&self) -> Duration {
        Duration::from_secs(u64::from(self.days) * 24 * 60 * 60)
    }
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024 * 1024,
            days: 90,
        }
    }
}

#[cfg(test)]
mod tests;
