//! Webhooks from the request to the app's answer: on real databases, over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exemption misses helper functions"
)]

mod delivery;
mod examples;
mod ground;
mod ingress;
