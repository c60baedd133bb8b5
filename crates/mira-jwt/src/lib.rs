//! Signed tokens (JSON Web Tokens, RFC 7519): made with an RSA key, and checked with the keys that an issuer publishes.
//!
//! GitHub takes the first kind from an App; a provider of OpenID Connect hands out the second. No files, no network: who holds a
//! key, and where an issuer's keys are read, is the caller's business.
//!
//! INVARIANT: a token is believed only after its signature, its issuer, its audience and its times were. Nothing but RSA and
//! elliptic curves is taken, so a published key is never mistaken for a shared one.

mod provider;
mod sign;
mod verify;

#[cfg(test)]
mod tests;

pub use sign::{KeyError, SignError, SigningKey};
pub use verify::{Expected, KeySet, VerifyError};
