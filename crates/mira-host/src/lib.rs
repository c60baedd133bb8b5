//! Runs programs with secrets: environment, terminal, signals, redacted output.
//!
//! It is the only crate that starts processes. [`run`] runs one program in the foreground, which gets
//! its variables and nothing else changes for it or for whoever started Mira: exit status, signals, job control, a
//! terminal or a pipe on each of the three streams are as if Mira were not there, and what the program says passes the
//! redactor on its way. [`lease`] records which running process holds which version of which secret.
//!
//! On Linux it also looks after the services of instances: a [`supervisor`] runs each [`service`] under a [`keeper`], checks
//! its health, restarts it, and writes its redacted [`logs`].
//!
//! ```no_run
//! use std::{ffi::OsStr, sync::Arc};
//! use mira_host::run::{Environment, Outcome, RunSpec, run};
//! use mira_redact::NeedleSet;
//!
//! let mut environment = Environment::inherit(std::env::vars_os());
//! environment.set(OsStr::new("API_KEY"), b"sk-proj-0123456789")?;
//! let mut needles = NeedleSet::builder();
//! needles.add("API_KEY", b"sk-proj-0123456789");
//! let spec = RunSpec {
//!     program: "env".into(),
//!     args: Vec::new(),
//!     environment,
//!     needles: Arc::new(needles.build()),
//!     messages: false,
//!     room: None,
//! };
//! // Among the rest: API_KEY=[redacted:API_KEY]
//! let report = run(spec, &mut |process| assert_ne!(process, 0))?;
//! assert_eq!(report.outcome, Outcome::Exited(0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! It prints nothing, exits never and reads no environment: those belong to the surfaces, which pass values in.

#[cfg(target_os = "linux")]
pub mod background;
#[cfg(target_os = "linux")]
pub mod instances;
#[cfg(target_os = "linux")]
pub mod keeper;
pub mod lease;
#[cfg(unix)]
pub mod logs;
#[cfg(target_os = "linux")]
pub mod network;
#[cfg(target_os = "linux")]
pub mod piped;
#[cfg(unix)]
pub mod run;
#[cfg(target_os = "linux")]
pub mod service;
#[cfg(target_os = "linux")]
pub mod supervisor;
