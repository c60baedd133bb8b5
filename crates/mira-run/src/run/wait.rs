//! Waiting for descriptors until an instant.

use std::time::Instant;

use rustix::event::{PollFd, Timespec, poll};
use rustix::io::Errno;

/// Waits until one of the descriptors is ready or the deadline has passed; returns how many are ready.
///
/// A signal does not end it: signals are news on a descriptor of their own. Where the system cannot wait at all, which
/// only a lack of memory brings about, it returns 0 as if the time had passed.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> usize {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(fds, left.as_ref()) {
            Err(Errno::INTR) => {}
            result => return result.unwrap_or_default(),
        }
    }
}
