//! Asking a person about a host that no rule names, while the connection to it waits.
//!
//! INVARIANT: an answer lets nothing out by itself: who has waited is judged by the policy of that moment, like everybody. Where nobody listens, nobody
//! answers, or too many wait, what no rule names is refused as ever. An address that is not public is never asked about.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mira_package::manifest::Host;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::address;
use crate::owner::Caller;
use crate::policy::{Policy, Reason, Verdict};

/// How long a person has for an answer, from the first call on.
// LIMIT: clients give up after a minute or two; who has not answered until then is elsewhere.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(60);

/// How many connections wait at once; one more is refused.
// LIMIT: what a browser opens to some hosts together; each holds a place of the gate's.
const WAITING_MAX: usize = 64;

/// How many hosts are asked about for as long as the gate lives.
// LIMIT: a person reads some; a program that calls names without end is refused without more questions.
const ASKED_MAX: usize = 100;

/// A host that a program calls, and that no rule names. Its connections wait until this is dropped, but not longer than [`Question::TIME`].
pub struct Question {
    /// The service that called first, where it is known.
    pub service: Option<Box<str>>,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Closed with the question, which is what they wait for.
    _open: watch::Sender<()>,
}

impl Question {
    /// How long connections wait for it.
    pub const TIME: Duration = ANSWER_TIME;
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Question({}:{})", self.host, self.port)
    }
}

/// The questions of a gate.
pub(crate) struct Asking {
    state: Mutex<State>,
    places: Semaphore,
}

#[derive(Default)]
struct State {
    /// Who is asked, if anybody.
    person: Option<mpsc::Sender<Question>>,
    /// What was asked about: each host and port once.
    asked: HashMap<(Host, u16), Asked>,
}

#[derive(Clone)]
struct Asked {
    until: Instant,
    open: watch::Receiver<()>,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            places: Semaphore::new(WAITING_MAX),
        }
    }
}

impl Asking {
    /// Returns the questions from now on. Once what is returned is dropped, nobody is asked any more.
    pub(crate) fn begin(&self) -> mpsc::Receiver<Question> {
        let (person, questions) = mpsc::channel(ASKED_MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.person = Some(person);
        questions
    }

    /// Waits, where a policy does not name a host and somebody can be asked about it, for the answer. Then the policy of that moment decides.
    pub(crate) async fn wait(&self, policy: &Policy, host: &Host, port: u16, caller: &Caller) {
        let unlisted = Verdict::Refused(Reason::NotListed);
        if !self.is_on() || !is_askable(host) || policy.decide(host, port) != unlisted {
            return;
        }
        let service = caller.known().await;
        let Some(Asked { until, mut open }) = self.asked(host, port, service) else {
            return;
        };
        if let Ok(_place) = self.places.try_acquire() {
            // An answer, and the end of the time for one, come to the same.
            timeout_at(until, open.changed()).await.ok();
        }
    }

    fn is_on(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.person.is_some()
    }

    /// Asks, unless that was done.
    fn asked(&self, host: &Host, port: u16, service: Option<&str>) -> Option<Asked> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { person, asked } = &mut *state;
        let key = (host.clone(), port);
        if let Some(asked) = asked.get(&key) {
            return Some(asked.clone());
        }
        if asked.len() >= ASKED_MAX {
            return None;
        }
        let (sender, open) = watch::channel(());
        let question = Question {
            service: service.map(Into::into),
            host: host.clone(),
            port,
            _open: sender,
        };
        if person.as_ref()?.try_send(question).is_err() {
            *person = None;
            return None;
        }
        let new = Asked {
            until: Instant::now() + ANSWER_TIME,
            open,
        };
        asked.insert(key, new.clone());
        Some(new)
    }
}

/// Returns whether a person may be asked about a host: not about this machine and what is near it, which has to be named.
fn is_askable(host: &Host) -> bool {
    match host {
        Host::Ip(address) => address::is_public(*address),
        Host::Name(name) => **name != *"localhost" && !name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests;
