//! Runs the services of instances: what they are, what they get, and the supervisor that looks after them.
//!
//! A [`supervisor`] runs each [`service`] under a [`keeper`], checks its health, restarts it, and writes its redacted [`logs`].
//! [`instances`] is all that belongs to one, from opening a package to deleting what it left, and [`network`] what it may
//! call. Programs in the foreground are `mira-run`'s.
//!
//! It prints nothing, exits never and reads no environment: those belong to the surfaces, which pass values in.

#![cfg(target_os = "linux")]

pub mod background;
pub mod instances;
pub mod keeper;
pub mod logs;
pub mod network;
pub mod piped;
pub mod service;
pub mod supervisor;
