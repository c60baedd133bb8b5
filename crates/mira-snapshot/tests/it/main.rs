//! Snapshots of real folders, read and checked with the real `restic` and `sqlite3`.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking; clippy's own exemption misses helper functions"
)]

mod crashes;
mod databases;
mod interop;
mod leaks;
mod processes;
mod retention;
mod roundtrip;
mod special;
mod support;
mod tampering;
