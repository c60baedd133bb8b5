//! Calls that a person asks for: they try AWS credentials or a model provider's key, and say what is wrong in the person's words.
//!
//! A call takes values and returns what came of it: an outcome, or a [`Fault`] with a message, a hint for what to do, and a code for
//! programs. Nothing here prints, asks, or reads the environment.
//!
//! A [`Caller`] makes any other call that Mira makes of its own: that of a server which lets people sign in elsewhere.
//!
//! INVARIANT: nothing is called unless a function named `test` or `call` is; a key goes only to the host that it is for, encrypted or on this
//! machine, and no redirect is followed with it; what a provider says passes the redactor before it is in a message.

pub mod aws;
mod call;
mod fault;
pub mod provider;
mod said;
pub mod saved;

pub use call::{Answer, Caller, Proxies, Reach, TIMEOUT, UnusableError};
pub use fault::Fault;
