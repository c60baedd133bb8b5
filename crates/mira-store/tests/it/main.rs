//! The store's integration tests, on real files: one binary, one module a subject.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exemption misses helper functions"
)]

mod belongings;
mod common;
#[cfg(unix)]
mod crashes;
mod guesses;
mod instances;
mod opening;
mod ports;
#[cfg(unix)]
mod privacy;
mod processes;
mod shared;
