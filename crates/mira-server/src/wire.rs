//! What crosses the socket: requests, states and events as JSON. No value is in any of these types.
//!
//! A start is the one exchange with values: see [`StartRequest`] for how they follow it.

mod autosave;
mod events;
mod network;
mod spec;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use autosave::AutosaveSpec;
pub use autosave::{Autosave, AutosaveState, Found, Stopped};
pub use events::{Event, Failure, InstanceState, ServiceState};
pub(crate) use network::{RuleSpec, rules};
pub use spec::NotText;
pub(crate) use spec::{Spec, ValueHead};

/// The name of the protocol that a start is upgraded to.
pub(crate) const START_PROTOCOL: &str = "mira-start";

/// The answer to a start that came while the supervisor was about to end: another one is to be asked.
pub(crate) const LEAVING: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The longest start request, in bytes, without the values.
// LIMIT: a manifest has at most 256 KiB; what is made of it is not many times that.
pub(crate) const START_REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The longest line that is read, in bytes.
// LIMIT: a log line has at most 64 KiB, and JSON makes at most six bytes of one.
pub(crate) const LINE_BYTES_MAX: usize = 512 * 1024;

/// What is sent after the upgrade: its length as four bytes, big end first; then this as JSON; then the values' bytes,
/// one after the other, as long as `values` says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct StartRequest {
    /// Stop the instance when this connection ends.
    pub(crate) attached: bool,
    /// Hold calls of hosts that no rule names, until they are answered or time is up: somebody who can answer follows this connection.
    pub(crate) asks: bool,
    pub(crate) spec: Spec,
    pub(crate) values: Vec<ValueHead>,
    /// What is needed to take snapshots by itself, if it is to.
    pub(crate) autosave: Option<AutosaveSpec>,
}

/// What is answered about a host that an instance called.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AnswerRequest {
    /// The host, as it was asked about.
    pub(crate) host: String,
    /// The port.
    pub(crate) port: u16,
    /// Let it be called for as long as the instance runs. Otherwise the rules decide, which may have been replaced in the meantime.
    pub(crate) allow: bool,
}

/// One line of the answer to a start.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum StartLine {
    /// Something happened to the instance.
    Event { event: Event },
    /// All services are up.
    Started,
    /// It did not start, or not all of it; everything is stopped.
    Failed { failure: Failure },
    /// It has stopped.
    Stopped,
}
