//! Starts a program whose three streams the caller holds, to speak with it as another program would.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Stdio;

use tokio::process::{Child, Command};

/// Starts a program with the variables given, and no others; it is killed when what is returned is dropped.
///
/// # Errors
///
/// Returns the system's refusal.
pub fn start(
    program: &OsStr,
    args: &[OsString],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> io::Result<Child> {
    Command::new(program)
        .args(args)
        .env_clear()
        .envs(variables)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}
