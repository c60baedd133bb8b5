//! Signals, sent as a person sends them.

use std::process::Command;

/// Sends a signal, by its name without `SIG`, from a process of its own.
///
/// # Panics
///
/// `kill` cannot be started, or the process cannot be sent to.
#[track_caller]
pub fn send(process: u32, signal: &str) {
    let done = Command::new("kill")
        .args([format!("-{signal}"), process.to_string()])
        .status()
        .expect("`kill` is there");
    assert!(done.success(), "kill -{signal} {process}: {done}");
}
