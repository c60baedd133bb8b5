//! Webhooks: verified while they stream in, durable before they are acknowledged, delivered to apps from a queue.
//!
//! [`Ingress`] takes requests, [`Worker`] delivers. What they work with is given to them: the shared store, the [`Targets`] that want
//! events, [`Placeholders`] for tokens, and a [`Watcher`] that is told of each event before its sender is.
//!
//! INVARIANT: nothing of a body is parsed before its signature was right; nothing is acknowledged before it is durable; an event is
//! delivered at least once, and those about one pull request in their order, unless it is given up, and that is shown.

mod along;
mod backoff;
mod commit;
mod deliver;
mod event;
mod ingress;
mod signature;
mod sources;
mod spool;
mod tally;
mod targets;
mod worker;

pub use event::{Event, Repository};
pub use ingress::{Answer, BODY_BYTES_MAX, Ingress, IngressOptions};
pub use signature::{Secrets, SecretsError, WebhookSecret, sign};
pub use sources::{Sources, SourcesError};
pub use tally::Verdict;
pub use targets::{Endpoint, Grant, Later, Placeholders, Targets, Watcher};
pub use worker::{Worker, WorkerOptions};
