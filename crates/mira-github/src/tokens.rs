//! Installation tokens: minted when they are needed, one at a time for what they are for, and kept while they last.
//!
//! INVARIANT: what was forgotten is not given out again, whoever was waiting for it: a token belongs to the slot that it was minted for, and a slot that was
//! taken out of the table is never read again.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use mira_secret::SecretBytes;

use crate::app::App;
use crate::clock::Clock;
use crate::error::GitHubError;
use crate::scope::{Repository, Scope};

/// How long a token is used at most.
// LIMIT: GitHub's end after 60 minutes; the rest is for what was begun with one.
const AGE_MAX_S: i64 = 55 * 60;

/// So long before its end a token is not given out any more.
// LIMIT: a request that carries it may take that long to arrive.
const MARGIN_S: i64 = 60;

/// For so long nobody asks again after GitHub refused to mint.
// LIMIT: all who waited for that one get its answer, and a program that tries without end does not use up the App's requests.
const REFUSED_FOR: Duration = Duration::from_secs(5);

/// How many tokens are kept.
// LIMIT: a token and its place have half a kilobyte; more repositories than this are not worked on within an hour.
const SLOTS_MAX: usize = 4096;

/// A token of an installation. `Debug` prints nothing of it.
pub struct Token {
    text: Arc<SecretBytes>,
    until: Instant,
    wall_until: Timestamp,
}

impl Token {
    /// Returns it as GitHub takes it. Whoever exposes it says to whom.
    #[must_use]
    pub fn text(&self) -> &Arc<SecretBytes> {
        &self.text
    }

    /// Two clocks have to agree: one that is set back does not count, nor one that stands still while the machine sleeps.
    fn is_fresh(&self, (now, wall): (Instant, Timestamp)) -> bool {
        now < self.until && wall < self.wall_until
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The tokens of an App's installations.
pub struct Tokens {
    app: App,
    clock: Clock,
    slots: Mutex<HashMap<Scope, Arc<Slot>>>,
}

/// The place of a token. Who mints it holds the lock, and all others wait there.
#[derive(Default)]
struct Slot {
    state: tokio::sync::Mutex<State>,
    forgotten: AtomicBool,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Minted(Arc<Token>),
    Refused(Instant, GitHubError),
}

impl Tokens {
    /// Begins with no token.
    #[must_use]
    pub fn new(app: App) -> Self {
        Self::with_clock(app, Clock::default())
    }

    /// The same, by another clock.
    #[must_use]
    pub fn with_clock(app: App, clock: Clock) -> Self {
        Self {
            app,
            clock,
            slots: Mutex::default(),
        }
    }

    /// Returns whose installations they are of.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Returns a token that lasts for another minute at least.
    ///
    /// # Errors
    ///
    /// Why GitHub gives none.
    pub async fn get(&self, scope: &Scope) -> Result<Arc<Token>, GitHubError> {
        let slot = self.slot(scope);
        let mut state = slot.state.lock().await;
        let forgotten = || GitHubError::Forgotten {
            installation: scope.installation,
        };
        if slot.forgotten.load(Ordering::SeqCst) {
            return Err(forgotten());
        }
        match &*state {
            State::Minted(token) if token.is_fresh(self.clock.now()) => {
                return Ok(Arc::clone(token));
            }
            State::Refused(until, error) if self.clock.now().0 < *until => {
                return Err(error.clone());
            }
            _ => {}
        }
        let (began, wall_began) = self.clock.now();
        let minted = self.app.mint(scope).await.and_then(|minted| {
            // It lasts from when it was asked for: what the answer took is not added.
            let seconds = AGE_MAX_S.min(minted.lasts_s - MARGIN_S);
            let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
            let lasts = Duration::from_secs(seconds.ok_or(GitHubError::TooShort)?);
            let wall_lasts = SignedDuration::try_from(lasts).unwrap_or_default();
            Ok(Arc::new(Token {
                text: Arc::new(minted.token),
                until: began + lasts,
                wall_until: wall_began.saturating_add(wall_lasts).unwrap_or(wall_began),
            }))
        });
        if slot.forgotten.load(Ordering::SeqCst) {
            return Err(forgotten());
        }
        match minted {
            Ok(token) => {
                *state = State::Minted(Arc::clone(&token));
                Ok(token)
            }
            Err(error) => {
                *state = State::Refused(began + REFUSED_FOR, error.clone());
                Err(error)
            }
        }
    }

    /// Forgets the tokens of an installation, or those for some of its repositories. What is being minted in this moment is not given out.
    pub fn forget(&self, installation: u64, repositories: Option<&[Repository]>) {
        self.slots().retain(|scope, slot| {
            let is_meant = scope.installation == installation
                && repositories.is_none_or(|some| some.contains(&scope.repository));
            if is_meant {
                slot.forgotten.store(true, Ordering::SeqCst);
            }
            !is_meant
        });
    }

    fn slot(&self, scope: &Scope) -> Arc<Slot> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(scope) {
            return Arc::clone(slot);
        }
        if slots.len() >= SLOTS_MAX {
            let now = self.clock.now();
            // One that is being minted stays, and so does one that is of use.
            slots.retain(|_, slot| match slot.state.try_lock() {
                Ok(state) => matches!(&*state, State::Minted(token) if token.is_fresh(now)),
                Err(_) => true,
            });
        }
        if slots.len() >= SLOTS_MAX {
            // It is minted for whoever asks, and not kept.
            return Arc::default();
        }
        Arc::clone(slots.entry(scope.clone()).or_default())
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Scope, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({:?}, {})", self.app, self.slots().len())
    }
}
