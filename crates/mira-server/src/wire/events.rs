//! What the supervisor tells of instances: states and log lines, redacted before they got here.

use jiff::Timestamp;
use mira_gate::Reason;
use mira_host::logs::LogLine;
use mira_host::network::NetworkMode;
use mira_host::service::{self, Phase};
use mira_host::supervisor;
use mira_run::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AutosaveState;

/// An instance that the supervisor knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InstanceState {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its services, in the order in which they start.
    pub services: Vec<ServiceState>,
    /// How the snapshots fare that are taken by themselves, if any are.
    pub autosave: Option<AutosaveState>,
    /// How far its network is enforced; nothing where it has none of its own.
    #[schemars(with = "Option<ModeSchema>")]
    pub network: Option<NetworkMode>,
}

impl InstanceState {
    /// Returns the instance's state in one word: the worst of its services'.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        const WORST_FIRST: [&str; 8] = [
            "failed", "stopping", "delayed", "waiting", "starting", "up", "ended", "stopped",
        ];
        WORST_FIRST
            .into_iter()
            .find(|phase| self.services.iter().any(|service| service.phase == *phase))
            .unwrap_or("stopped")
    }
}

/// How far a network is enforced, as [`NetworkMode`] is written.
#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase", tag = "mode")]
#[expect(dead_code, reason = "describes what another crate writes")]
enum ModeSchema {
    /// Nothing leaves but through the gate.
    Enforced,
    /// Programs are not kept from going around the gate.
    Recorded {
        /// Why it is not enforced.
        why: String,
    },
}

/// How one service fares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceState {
    /// Its name.
    pub service: String,
    /// What it does: waiting, starting, up, stopping, delayed, stopped, ended or failed.
    pub phase: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// Its main process, while there is one.
    pub pid: Option<u32>,
    /// How often it was started again without being asked to.
    pub restarts: u32,
    /// When it is started again, if it waits for that.
    #[schemars(with = "Option<String>")]
    pub until: Option<Timestamp>,
    /// Why it is in this state, or how it ended the last time.
    pub reason: Option<String>,
    /// Why its log is not written at the moment.
    pub log_trouble: Option<String>,
    /// Why it is not recorded that it holds its secrets.
    pub lease_trouble: Option<String>,
}

impl ServiceState {
    pub(crate) fn new(service: &str, state: &service::ServiceState) -> Self {
        let reason = match (&state.phase, &state.last_end) {
            (Phase::Failed { error }, _) => Some(error.to_string()),
            (_, Some(end)) => Some(end.to_string()),
            _ => None,
        };
        Self {
            service: service.to_owned(),
            phase: state.phase.as_str().to_owned(),
            since: state.since,
            pid: state.pid,
            restarts: state.restarts,
            until: match state.phase {
                Phase::Delayed { until } => Some(until),
                _ => None,
            },
            reason,
            log_trouble: state.log_trouble.as_deref().map(ToOwned::to_owned),
            lease_trouble: state.lease_trouble.as_deref().map(ToOwned::to_owned),
        }
    }
}

impl From<&supervisor::InstanceState> for InstanceState {
    fn from(instance: &supervisor::InstanceState) -> Self {
        let services = instance.services.iter();
        Self {
            id: instance.id.clone(),
            name: instance.name.clone(),
            services: services
                .map(|(service, state)| ServiceState::new(service, state))
                .collect(),
            autosave: None,
            network: instance.network.clone(),
        }
    }
}

/// Something that happened to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub enum Event {
    /// A service is in another state.
    State {
        /// The state.
        state: ServiceState,
    },
    /// A service wrote a line.
    Log {
        /// When it was read.
        #[schemars(with = "String")]
        time: Timestamp,
        /// Which service.
        service: String,
        /// `stdout` or `stderr`.
        stream: String,
        /// The line, redacted.
        line: String,
        /// Whether the next line of the stream goes on with it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    /// A snapshot was taken by itself, or could not be.
    Autosave {
        /// How they fare now.
        state: AutosaveState,
    },
    /// A try to call a host was refused.
    Refused {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// Why.
        reason: String,
        /// Whether a decision of the person could allow it.
        can_be_allowed: bool,
    },
    /// A service calls a host that no rule names, and waits for an answer, for a minute at most.
    Asked {
        /// The service, where it is known.
        service: Option<String>,
        /// The host. A program chose it.
        host: String,
        /// The port.
        port: u16,
    },
    /// The reader was too slow, and missed this many events.
    Missed {
        /// How many.
        events: u64,
    },
}

impl From<supervisor::Event> for Event {
    fn from(event: supervisor::Event) -> Self {
        match event {
            supervisor::Event::State { service, state } => Self::State {
                state: ServiceState::new(&service, &state),
            },
            supervisor::Event::Line(line) => Self::Log {
                time: line.time,
                service: line.service.to_string(),
                stream: line.stream.to_string(),
                line: line.line.clone(),
                partial: line.partial,
            },
            supervisor::Event::Refused(refused) => Self::Refused {
                host: refused.host.to_string(),
                port: refused.port,
                reason: refused.reason.to_string(),
                can_be_allowed: matches!(refused.reason, Reason::NotListed | Reason::Rule(_)),
            },
            supervisor::Event::Asked {
                service,
                host,
                port,
            } => Self::Asked {
                service: service.map(Into::into),
                host: host.into(),
                port,
            },
            supervisor::Event::Lost(events) => Self::Missed { events },
        }
    }
}

impl TryFrom<Event> for LogLine {
    type Error = Event;

    fn try_from(event: Event) -> Result<Self, Event> {
        match event {
            Event::Log {
                time,
                service,
                stream,
                line,
                partial,
            } => Ok(Self {
                time,
                service: service.into(),
                stream: match stream.as_str() {
                    "stderr" => Stream::Stderr,
                    _ => Stream::Stdout,
                },
                line,
                partial,
            }),
            other => Err(other),
        }
    }
}

/// Why something did not work, in words for the person at the prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Failure {
    /// What happened, to what.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_as_well_as_its_worst_service() {
        let service = |phase: &str| ServiceState {
            service: "a".to_owned(),
            phase: phase.to_owned(),
            since: Timestamp::UNIX_EPOCH,
            pid: None,
            restarts: 0,
            until: None,
            reason: None,
            log_trouble: None,
            lease_trouble: None,
        };
        let check = |phases: &[&str], expect: &str| {
            let instance = InstanceState {
                id: "a-1".to_owned(),
                name: "a".to_owned(),
                services: phases.iter().map(|phase| service(phase)).collect(),
                autosave: None,
                network: None,
            };
            assert_eq!(instance.phase(), expect, "{phases:?}");
        };
        check(&["up", "up"], "up");
        check(&["up", "starting"], "starting");
        check(&["up", "failed", "delayed"], "failed");
        check(&["ended", "up"], "up");
        check(&["stopped", "ended"], "ended");
        check(&[], "stopped");
    }
}
