//! Runs real programs through the example `run`, over pipes and in driven terminals, and as services under a supervisor.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exemption misses helper functions"
)]

mod ends;
mod jobs;
mod launcher;
mod psql;
#[cfg(target_os = "linux")]
mod services;
mod signals;
mod streams;
mod terminals;
