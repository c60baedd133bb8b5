//! Test fixtures: canary sweeps, a Secret Service session, a driven terminal.
//!
//! A dev-dependency only: nothing that ships depends on it.

pub mod canary;
pub mod home;
pub mod secret_service;
#[cfg(unix)]
pub mod terminal;
