//! What a server remembers of GitHub between requests: answers with their tags, and until when an account is left alone.
//!
//! INVARIANT: an answer is used only after GitHub said, to the token of that request, that it still holds. Nothing of it is on the disk.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many answers are kept, the newest ones.
// LIMIT: what is asked again is asked within one pull request's life; with the next limit, some MiB.
const ANSWERS_MAX: usize = 256;

/// The longest answer that is kept, in bytes.
const ANSWER_BYTES_MAX: usize = 128 * 1024;

/// How long GitHub may ask to be left alone.
// LIMIT: its longest window is an hour.
const QUIET_MAX: Duration = Duration::from_secs(60 * 60);

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// By address and kind: the tag, and what was answered.
    answers: HashMap<String, (String, Vec<u8>)>,
    /// Their keys, the oldest first.
    order: VecDeque<String>,
    /// By account, for limits are an installation's.
    quiet: HashMap<String, Instant>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({} answers)", self.answers.len())
    }
}

fn key(url: &str, accept: &str) -> String {
    format!("{url} {accept}")
}

fn account(repository: &str) -> &str {
    repository.split('/').next().unwrap_or_default()
}

impl Memory {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the tag and the bytes of an earlier answer.
    pub(super) fn answer(&self, url: &str, accept: &str) -> Option<(String, Vec<u8>)> {
        self.kept().answers.get(&key(url, accept)).cloned()
    }

    pub(super) fn keep(&self, url: &str, accept: &str, tag: &str, bytes: &[u8]) {
        if bytes.len() > ANSWER_BYTES_MAX {
            return;
        }
        let mut kept = self.kept();
        let key = key(url, accept);
        let answer = (tag.to_owned(), bytes.to_vec());
        if kept.answers.insert(key.clone(), answer).is_none() {
            kept.order.push_back(key);
        }
        if kept.order.len() > ANSWERS_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.answers.remove(&oldest);
        }
    }

    /// Leaves a repository's account alone for a while.
    pub(super) fn be_quiet(&self, repository: &str, wait: Duration) {
        let until = Instant::now() + wait.min(QUIET_MAX);
        let account = account(repository).to_owned();
        self.kept().quiet.insert(account, until);
    }

    pub(super) fn is_quiet(&self, repository: &str) -> bool {
        let mut kept = self.kept();
        let now = Instant::now();
        kept.quiet.retain(|_, until| *until > now);
        kept.quiet.contains_key(account(repository))
    }

    /// Forgets all answers: some repository is erased, and which one they are of is in addresses only.
    pub(crate) fn forget(&self) {
        let mut kept = self.kept();
        kept.answers.clear();
        kept.order.clear();
    }
}
