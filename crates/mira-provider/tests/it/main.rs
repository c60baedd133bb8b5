//! Calls as they are made: over real sockets, to servers that answer and fail as the real ones do.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails the test"
)]

mod aws;
#[cfg(target_os = "linux")]
mod moto;
mod provider;
mod roads;
mod support;
