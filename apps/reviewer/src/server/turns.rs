//! Who goes first: reviews and answers, for which people wait. The indexes of repositories that were just installed are made one at a time, and
//! make way.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::timeout;

/// How long an index makes way.
// LIMIT: a review takes some minutes; where there is always another one, an index is made all the same.
const WAY_MAX: Duration = Duration::from_secs(120);

/// How many are first at the moment, and whose turn it is among the others.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    first: watch::Sender<usize>,
    others: Mutex<()>,
}

/// Somebody who goes first, until it is dropped.
#[derive(Debug)]
pub(super) struct First<'a>(&'a Turns);

impl Turns {
    /// Goes first.
    pub(super) fn first(&self) -> First<'_> {
        self.first.send_modify(|count| *count += 1);
        First(self)
    }

    /// Waits for its turn among those that are not first.
    pub(super) async fn other(&self) -> MutexGuard<'_, ()> {
        self.others.lock().await
    }

    /// Makes way as long as somebody goes first.
    pub(super) async fn make_way(&self) {
        let mut count = self.first.subscribe();
        // Its sender is here, and after the longest time it goes on in any case.
        drop(timeout(WAY_MAX, count.wait_for(|count| *count == 0)).await);
    }
}

impl Drop for First<'_> {
    fn drop(&mut self) {
        self.0.first.send_modify(|count| *count -= 1);
    }
}
