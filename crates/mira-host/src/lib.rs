//! Runs programs with secrets: environment, terminal, signals, redacted output.

pub mod lease;
