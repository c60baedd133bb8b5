//! What somebody sent, kept in memory until the next request of theirs says what to do with it: so that they see first what will be
//! done, and need not send it twice.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mira_store::{SessionId, UserId, Who};

use crate::access::Identity;
use crate::error::DeskError;

/// How many things are kept.
// LIMIT: a few people at work at once; each may be an open package. The oldest goes first.
const KEPT_MAX: usize = 8;

/// How long a thing is kept.
// LIMIT: as long as somebody takes to read a page and to look a password up.
const KEPT_FOR: Duration = Duration::from_secs(30 * 60);

/// Things that wait for their owners' word.
#[derive(Debug)]
pub(crate) struct Shelf<T>(Mutex<Vec<Kept<T>>>);

#[derive(Debug)]
struct Kept<T> {
    /// What the next request calls it: it cannot be guessed.
    key: String,
    owner: Owner,
    since: Instant,
    thing: T,
}

/// Whose it is: a session's, or, of what came with a token, its user's.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    session: Option<SessionId>,
    user: Option<UserId>,
}

impl Owner {
    fn of(identity: &Identity) -> Self {
        Self {
            session: identity.session_id().cloned(),
            user: match &identity.who {
                Who::LocalOwner => None,
                Who::User(user) => Some(user.id.clone()),
            },
        }
    }
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Shelf<T> {
    fn lock(&self) -> MutexGuard<'_, Vec<Kept<T>>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|kept| kept.since.elapsed() < KEPT_FOR);
        kept
    }

    /// Keeps a thing, and returns what it is called by.
    pub(crate) fn put(&self, identity: &Identity, thing: T) -> Result<String, DeskError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(DeskError::failed)?;
        let key = format!("{:032x}", u128::from_ne_bytes(random));
        self.put_back(identity, &key, thing);
        Ok(key)
    }

    /// Keeps a thing that was taken, under the name that it had.
    pub(crate) fn put_back(&self, identity: &Identity, key: &str, thing: T) {
        let mut kept = self.lock();
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push(Kept {
            key: key.to_owned(),
            owner: Owner::of(identity),
            since: Instant::now(),
            thing,
        });
    }

    /// Gives a thing back to whoever had it kept.
    pub(crate) fn take(&self, identity: &Identity, key: &str) -> Result<T, DeskError> {
        let mut kept = self.lock();
        let owner = Owner::of(identity);
        let mut things = kept.iter();
        let at = things.position(|kept| kept.key == key && kept.owner == owner);
        let at = at.ok_or_else(|| {
            DeskError::not_found("such page any more")
                .hint("Begin again: what was sent is kept for half an hour.")
        })?;
        Ok(kept.remove(at).thing)
    }
}
