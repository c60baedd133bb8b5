//! Runs a program with secrets: environment, terminal, signals, redacted output.
//!
//! [`run()`] runs one program in the foreground, which gets its variables and nothing else changes for it or for whoever
//! started Mira: exit status, signals, job control, a terminal or a pipe on each of the three streams are as if Mira were
//! not there, and what the program says passes the redactor on its way. [`lease`] records which running process holds
//! which version of which secret.
//!
//! ```no_run
//! use std::{ffi::OsStr, sync::Arc};
//! use mira_redact::NeedleSet;
//! use mira_run::{Environment, Outcome, RunSpec, run};
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
//! It prints nothing, exits never and reads no environment: those belong to the surfaces, which pass values in. It is small,
//! because each `mira run` waits until all that it is made of is loaded.

pub mod lease;
#[cfg(unix)]
mod run;

#[cfg(unix)]
pub use run::{
    Environment, EnvironmentError, Outcome, Redacted, Report, RunError, RunRoom, RunSpec, Stream,
    become_program, die_by, protect_self, run,
};
#[cfg(target_os = "linux")]
pub use run::{RoomError, without_signals};
