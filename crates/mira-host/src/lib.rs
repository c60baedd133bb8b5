//! Runs programs with secrets: environment, terminal, signals, redacted output.
//!
//! It is the only crate that starts processes. [`run`] runs one program in the foreground, which gets
//! its variables and nothing else changes for it or for whoever started Mira: exit status, signals, job control, a
//! terminal or a pipe on each of the three streams are as if Mira were not there, and what the program says passes the
//! redactor on its way. [`lease`] records which running process holds which version of which secret.
//!
//! It prints nothing, exits never and reads no environment: those belong to the surfaces, which pass values in.

pub mod lease;
#[cfg(unix)]
pub mod run;
