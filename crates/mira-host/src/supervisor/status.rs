//! The state of one service, and who hears of its changes.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::events::{Event, Events, Hub};
use crate::service::{Phase, ServiceState};

/// A service's state, as its runner and its log change it.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) service: Arc<str>,
    state: watch::Sender<ServiceState>,
    pub(super) hub: Arc<Hub>,
}

impl Status {
    pub(super) fn new(service: Arc<str>, hub: Arc<Hub>) -> Self {
        let (state, _) = watch::channel(ServiceState {
            phase: Phase::Waiting,
            since: Timestamp::now(),
            pid: None,
            restarts: 0,
            last_end: None,
            log_trouble: None,
            lease_trouble: None,
        });
        Self {
            service,
            state,
            hub,
        }
    }

    pub(super) fn now(&self) -> ServiceState {
        self.state.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<ServiceState> {
        self.state.subscribe()
    }

    /// Enters a phase.
    pub(super) fn enter(&self, phase: Phase) {
        self.enter_with(phase, |_| {});
    }

    /// Enters a phase, and changes what changes with it.
    pub(super) fn enter_with(&self, phase: Phase, change: impl FnOnce(&mut ServiceState)) {
        self.change(|state| {
            state.phase = phase;
            state.since = Timestamp::now();
            change(state);
        });
    }

    /// Changes the state. INVARIANT: it is handed out before anybody acts upon it, so that events of several services are in the
    /// order of what they tell.
    pub(super) fn change(&self, change: impl FnOnce(&mut ServiceState)) {
        self.state.send_modify(|state| {
            change(state);
            self.hub.publish([self.event(state)]);
        });
    }

    /// Hands the present state out to one reader: before every later one, and after no earlier one.
    pub(super) fn show(&self, reader: &Events) {
        let state = self.state.borrow();
        self.hub.show(self.event(&state), reader);
    }

    /// Says, once, that the log cannot be written for this reason, or can again.
    pub(super) fn log_trouble(&self, trouble: Option<&std::io::Error>) {
        let trouble = trouble.map(|error| error.to_string().into());
        if self.state.borrow().log_trouble != trouble {
            self.change(|state| state.log_trouble = trouble);
        }
    }

    /// Says, once, that the lease cannot be taken for this reason, or could be again.
    pub(super) fn lease_trouble(&self, trouble: Option<&std::io::Error>) {
        let trouble = trouble.map(|error| error.to_string().into());
        if self.state.borrow().lease_trouble != trouble {
            self.change(|state| state.lease_trouble = trouble);
        }
    }

    fn event(&self, state: &ServiceState) -> Event {
        Event::State {
            service: Arc::clone(&self.service),
            state: state.clone(),
        }
    }
}
