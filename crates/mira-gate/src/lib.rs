//! The egress gate: every connection that a program makes passes it, and is allowed by name, recorded, and, for brokered secrets,
//! given a value that the program never holds.
//!
//! A [`Gate`] has one [`Policy`] at a time, an [`Audit`] that it writes to before it lets anything out, and listeners: those that were made
//! inside of a room without a network ([`Gate::serve_room`]), and, where there is no room, one on loopback for programs that are told to use a proxy
//! ([`Gate::serve_proxy`]). What was meant is known by the listener and the name that the address stands for, or by the proxy request; SNI,
//! `Host` and `:authority` are held against that, and decide nothing.
//!
//! INVARIANT: no byte leaves for a host before the policy said yes and the row of it is in the audit's file. What cannot be decided, recorded or
//! resolved is refused.

mod address;
mod ask;
mod audit;
mod authority;
mod broker;
mod connection;
mod denial;
mod dns;
mod engine;
mod gate;
mod hello;
mod http;
mod limits;
mod listener;
mod names;
mod open;
mod owner;
mod policy;
mod proxy;
mod resolve;
mod shared;
mod trust;
mod tunnel;
mod watch;

pub use ask::Question;
pub use audit::{Attempt, Audit, AuditError, Entry, Filter, How, Keep, Outcome, Reader, Row};
pub use authority::AuthorityError;
pub use broker::placeholder;
pub use broker::token::{Asking, TokenRequest, TokenSource};
pub use denial::Denial;
pub use gate::{Explanation, Gate, GateConfig, GateError, RoomOpenings, Serving};
pub use limits::Limits;
pub use owner::{Owner, Transport};
pub use policy::{Brokered, Origin, Policy, PolicyBuilder, Reason, Rule, Verdict};
pub use proxy::Access;
pub use resolve::Resolver;
pub use shared::Refused;
pub use trust::{JAVA_PASSWORD, Roots, Trust, TrustError};
