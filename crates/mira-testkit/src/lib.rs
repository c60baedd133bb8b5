//! Test fixtures: canary sweeps, a Secret Service session, a driven terminal, a model service, a GitHub, a database server, a world without a way out and servers in it.
//!
//! A dev-dependency only: nothing that ships depends on it.

pub mod aws_server;
pub mod ca;
pub mod canary;
#[cfg(unix)]
pub mod github;
pub mod home;
pub mod hook_app;
pub mod model_server;
#[cfg(unix)]
pub mod moto;
pub mod oidc;
pub mod origin;
#[cfg(unix)]
pub mod postgres;
pub mod rsa;
pub mod secret_service;
mod server;
pub mod signal;
#[cfg(unix)]
pub mod terminal;
#[cfg(target_os = "linux")]
pub mod world;
