//! Test fixtures: canary sweeps, a Secret Service session, a driven terminal, a model service.
//!
//! A dev-dependency only: nothing that ships depends on it.

pub mod canary;
pub mod home;
pub mod model_server;
pub mod secret_service;
#[cfg(unix)]
pub mod terminal;
