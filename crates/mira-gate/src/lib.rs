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

mod broker;
mod policy;

pub use broker::placeholder;
pub use policy::{Brokered, Origin, Policy, PolicyBuilder, Reason, Rule, Verdict};
