//! What a person is asked about an instance's network while it runs, and what was answered for as long as it does.
//!
//! INVARIANT: the rules of the instance and its person's decisions win over such answers: these come first in the policy, where the last that fits decides.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mira_gate::{Origin, Question, Rule};
use mira_package::manifest::{Host, HostPattern, Hosts};
use tokio::sync::mpsc;

use super::{Net, NetworkError};

/// The rules of a network, and the questions that are open.
#[derive(Debug)]
pub(super) struct Asked(Mutex<State>);

#[derive(Debug)]
struct State {
    /// What the instance may call.
    rules: Vec<Rule>,
    /// What was answered.
    answered: Vec<Rule>,
    /// By host and port, as they are told. As many as the gate asks at most.
    open: HashMap<(String, u16), Question>,
}

impl Asked {
    pub(super) fn new(rules: &[Rule]) -> Self {
        Self(Mutex::new(State {
            rules: rules.to_vec(),
            answered: Vec::new(),
            open: HashMap::new(),
        }))
    }

    /// Lets other rules count, once `enforce` has done it.
    pub(super) fn replace(
        &self,
        rules: &[Rule],
        enforce: impl FnOnce(&[Rule]) -> Result<(), NetworkError>,
    ) -> Result<(), NetworkError> {
        let mut state = self.state();
        enforce(&[&state.answered, rules].concat())?;
        state.rules = rules.to_vec();
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Net {
    /// Returns the hosts that a person is to be asked about from now on.
    pub(crate) fn questions(&self) -> mpsc::Receiver<Question> {
        self.gate.questions()
    }

    /// Keeps a question until it is answered.
    pub(crate) fn keep(&self, question: Question) {
        let key = (question.host.to_string(), question.port);
        self.asked.state().open.insert(key, question);
    }

    /// Answers a question: who waits for it goes on, by the rules of now. If `allow`, these let the host be called from now on, for as long as this
    /// network is there. What was not asked is not answered.
    ///
    /// # Errors
    ///
    /// The rules cannot be changed; who waits is refused then.
    pub(crate) fn answer(&self, host: &str, port: u16, allow: bool) -> Result<(), NetworkError> {
        let mut state = self.asked.state();
        let Some(question) = state.open.remove(&(host.to_owned(), port)) else {
            return Ok(());
        };
        if allow {
            let hosts = match &question.host {
                Host::Name(name) => Hosts::Name(name.clone()),
                Host::Ip(address) => Hosts::Ip(*address),
            };
            state.answered.push(Rule {
                hosts: HostPattern { hosts, port },
                allow: true,
                origin: Origin::Asked,
            });
            self.enforce(&[&*state.answered, &*state.rules].concat())?;
        }
        // They go on when it is gone.
        drop(question);
        Ok(())
    }
}
