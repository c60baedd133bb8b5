//! Makes real rooms through the example `room`, and tries to get out of them.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exemption misses helper functions"
)]

mod confinement;
mod house;
mod network;
mod refusals;
mod view;
