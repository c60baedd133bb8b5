//! All that happens to an instance, in one row: its services, and the snapshots that are taken of it.

use mira_host::supervisor;
use tokio::sync::watch;

use crate::wire::{AutosaveState, Event};

/// What happens to an instance, until it has stopped and its last snapshot is done.
pub(super) struct Following {
    services: Option<supervisor::Events>,
    autosave: Option<watch::Receiver<AutosaveState>>,
}

impl Following {
    pub(super) fn new(
        services: supervisor::Events,
        autosave: Option<watch::Receiver<AutosaveState>>,
    ) -> Self {
        Self {
            services: Some(services),
            autosave,
        }
    }

    /// Returns the next event; `None` at the end. May be given up and called again.
    pub(super) async fn next(&mut self) -> Option<Event> {
        while self.services.is_some() || self.autosave.is_some() {
            tokio::select! {
                biased;
                event = next_of(&mut self.services) => match event {
                    Some(event) => return Some(event.into()),
                    None => self.services = None,
                },
                state = changed(&mut self.autosave) => match state {
                    Some(state) => return Some(Event::Autosave { state }),
                    None => self.autosave = None,
                },
            }
        }
        None
    }
}

async fn next_of(services: &mut Option<supervisor::Events>) -> Option<supervisor::Event> {
    match services {
        Some(services) => services.next().await,
        None => std::future::pending().await,
    }
}

async fn changed(autosave: &mut Option<watch::Receiver<AutosaveState>>) -> Option<AutosaveState> {
    match autosave {
        Some(autosave) => {
            autosave.changed().await.ok()?;
            Some(autosave.borrow_and_update().clone())
        }
        None => std::future::pending().await,
    }
}
