//! Other programs, run to their end: a status that is not success is an error that names the command.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Returns a shell-like spelling of a command, for messages.
pub(crate) fn spelled(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Runs a command on the task's own streams, with no input.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot start `{}`", spelled(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", spelled(command));
    }
    Ok(())
}

/// Runs a command, with no input; what it writes is shown only if it fails.
pub(crate) fn run_quiet(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", spelled(command)))?;
    if !output.status.success() {
        for stream in [&output.stdout, &output.stderr] {
            crate::say::note(&String::from_utf8_lossy(stream));
        }
        bail!("`{}` ended with {}", spelled(command), output.status);
    }
    Ok(())
}

/// Runs a command, with no input, and returns what it writes to stdout.
pub(crate) fn output_of(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start `{}`", spelled(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", spelled(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something else than text", spelled(command)))
}

/// Which stream of a command is read line by line, while it still is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Runs a command, passes one of its streams through to stderr and shows each of its lines to `see`.
pub(crate) fn run_seen(
    command: &mut Command,
    stream: Stream,
    mut see: impl FnMut(&str),
) -> anyhow::Result<()> {
    command.stdin(Stdio::null());
    match stream {
        Stream::Out => command.stdout(Stdio::piped()),
        Stream::Err => command.stderr(Stdio::piped()),
    };
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{}`", spelled(command)))?;
    let lines: Box<dyn std::io::Read> = match stream {
        Stream::Out => Box::new(child.stdout.take().expect("it was piped just above")),
        Stream::Err => Box::new(child.stderr.take().expect("it was piped just above")),
    };
    for line in BufReader::new(lines).split(b'\n') {
        let line = line.with_context(|| format!("cannot read from `{}`", spelled(command)))?;
        let line = String::from_utf8_lossy(&line);
        crate::say::note(&line);
        see(&line);
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for `{}`", spelled(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", spelled(command));
    }
    Ok(())
}

/// Returns where a program lies, searched as a shell does.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| is_executable(file.as_os_str()))
}

#[cfg(unix)]
fn is_executable(file: &OsStr) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file)
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(file: &OsStr) -> bool {
    let mut exe = file.to_owned();
    exe.push(".exe");
    std::fs::metadata(file).is_ok_and(|data| data.is_file())
        || std::fs::metadata(&exe).is_ok_and(|data| data.is_file())
}
