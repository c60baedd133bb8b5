//! Runs real programs as services under a supervisor.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exemption misses helper functions"
)]

mod services;
