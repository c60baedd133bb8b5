//! Who has connected: which service of an instance a connection in its room is from.
//!
//! To look for that takes a moment, and no connection waits for it: what is let out begins with a row that does not say it, and that is said in a line
//! of its own as soon as it is known. A refusal waits, since it has one line.
//!
//! INVARIANT: the line that says it comes before the one that ends the row, however soon that ends.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::audit::{Entry, Late};

/// By what something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A connection, or what would have begun one.
    Tcp,
    /// Packets.
    Udp,
}

/// Finds a service by what it sends by and from.
type Look = dyn Fn(Transport, SocketAddr) -> Option<Box<str>> + Send + Sync;

/// Says which service has sent something from an address, where it can be known.
#[derive(Clone, Default)]
pub enum Owner {
    /// Nobody can say.
    #[default]
    Unknown,
    /// There is only one.
    Only(Box<str>),
    /// It has to be looked for, which takes a moment.
    LookedFor(Arc<Look>),
}

impl Owner {
    /// Returns who has sent something from an address.
    pub(crate) async fn of(&self, by: Transport, from: SocketAddr) -> Option<Box<str>> {
        let Self::LookedFor(look) = self else {
            return self.only().map(Into::into);
        };
        let look = Arc::clone(look);
        spawn_blocking(move || look(by, from)).await.ok().flatten()
    }

    /// Begins to look for whoever has connected from an address.
    pub(crate) fn caller(&self, from: Option<SocketAddr>) -> Caller {
        let (Self::LookedFor(_), Some(from)) = (self, from) else {
            return Caller::Known(self.only().map(Into::into));
        };
        let search = Arc::new(Search::default());
        let (owner, looking) = (self.clone(), Looking(Arc::clone(&search)));
        tokio::spawn(async move {
            looking.0.end(owner.of(Transport::Tcp, from).await);
        });
        Caller::LookedFor(search)
    }

    /// Returns the service if there is only one.
    pub(crate) fn only(&self) -> Option<&str> {
        match self {
            Self::Only(service) => Some(service),
            Self::Unknown | Self::LookedFor(_) => None,
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.only().unwrap_or("Owner"))
    }
}

/// Who has made a connection.
#[derive(Clone)]
pub(crate) enum Caller {
    /// This service, or nobody knows.
    Known(Option<Box<str>>),
    /// It is looked for.
    LookedFor(Arc<Search>),
}

impl Caller {
    /// Returns whether it will not become known any better.
    pub(crate) fn is_known(&self) -> bool {
        match self {
            Self::Known(_) => true,
            Self::LookedFor(search) => search.found.get().is_some(),
        }
    }

    /// Returns the service as far as it is known now.
    pub(crate) fn now(&self) -> Option<&str> {
        match self {
            Self::Known(service) => service.as_deref(),
            Self::LookedFor(search) => search.found.get()?.as_deref(),
        }
    }

    /// Returns the service, once it is known or will not be.
    pub(crate) async fn known(&self) -> Option<&str> {
        if let Self::LookedFor(search) = self {
            // Made before the look, so that an end in between is not missed.
            let ended = search.ended.notified();
            if !self.is_known() {
                ended.await;
            }
        }
        self.now()
    }

    /// Has a row say whose it is, which has begun without.
    pub(crate) fn name(&self, entry: &Entry) {
        if let Self::LookedFor(search) = self {
            entry.search(search);
        }
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Caller({:?})", self.now())
    }
}

/// A look for the service behind a connection.
#[derive(Default)]
pub(crate) struct Search {
    found: OnceLock<Option<Box<str>>>,
    ended: Notify,
    /// The rows that wait for it.
    rows: Mutex<Vec<Late>>,
}

impl Search {
    /// Has a row wait for what is found, or say so at once.
    pub(crate) fn add(&self, row: Late) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match self.found.get() {
            Some(found) => row.write(found.as_deref()),
            None => rows.push(row),
        }
    }

    /// Writes the line that ends a row, but not before the one that says whose it is.
    pub(crate) fn end_row(&self, row: Late) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match rows.iter_mut().find(|waiting| waiting.is_of(&row)) {
            Some(waiting) => *waiting = row,
            None => row.write(None),
        }
    }

    fn end(&self, service: Option<Box<str>>) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.found.get_or_init(|| service);
        for row in rows.drain(..) {
            row.write(found.as_deref());
        }
        drop(rows);
        self.ended.notify_waiters();
    }
}

/// A look that is on. However it ends, nothing waits for it any longer.
struct Looking(Arc<Search>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.end(None);
    }
}
