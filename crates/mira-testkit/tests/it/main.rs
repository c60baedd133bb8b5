//! The sample apps as their users see them: real processes, a scripted model service, a real Redis.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails the test"
)]

mod browser;
mod minutes;
mod readlater;
mod service;
mod units;
