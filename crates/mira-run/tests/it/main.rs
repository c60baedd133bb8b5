//! Runs real programs through the example `run`, over pipes and in driven terminals.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exemption misses helper functions"
)]

mod ends;
mod jobs;
mod launcher;
mod psql;
mod signals;
mod streams;
mod terminals;
