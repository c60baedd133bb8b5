//! `mira` as its users see it: the real program, in hermetic homes.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test that cannot go on fails the test"
)]

#[cfg(target_os = "linux")]
mod apps;
mod aws;
#[cfg(target_os = "linux")]
mod backup;
mod canary;
mod concurrency;
mod crash;
#[cfg(target_os = "linux")]
mod desk;
mod faults;
#[cfg(target_os = "linux")]
mod gate;
#[cfg(target_os = "linux")]
mod github;
mod import;
mod life;
#[cfg(target_os = "linux")]
mod mcp;
mod output;
#[cfg(target_os = "linux")]
mod packaging;
mod programs;
mod provider;
mod providers;
mod recovery;
mod redact;
#[cfg(target_os = "linux")]
mod reviewer;
mod run;
#[cfg(target_os = "linux")]
mod snapshots;
mod support;
mod terminal;
#[cfg(target_os = "linux")]
mod users;
