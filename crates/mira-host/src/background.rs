//! Starts a program of Mira's own that goes on when the command that started it ends.
//!
//! The program says on its standard output that it is ready, and lets go of its streams then. If it ends before that, what
//! it wrote to its standard error says why.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};

/// What the program writes once it is ready.
const READY: &[u8] = b"ready\n";

/// The most that is repeated of what a program said before it ended, in bytes.
// LIMIT: an error of Mira's own is a few lines.
const SAID_BYTES_MAX: u64 = 16 * 1024;

/// Starts a program in a session of its own, in the root folder, and waits until it is ready.
///
/// It gets the variables given, and no others.
///
/// # Errors
///
/// Returns what it said, if it ended, or that it did not get ready in time; it is killed then, with what it started.
#[expect(unsafe_code, reason = "pre_exec")]
pub fn start(
    program: &OsStr,
    args: &[&OsStr],
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    timeout: Duration,
) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(variables)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // SAFETY: the closure makes one system call.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let mut stdout = child.stdout.take().ok_or("it has no standard output")?;
    match wait_for(&mut stdout, Instant::now() + timeout) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let mut said = String::new();
            if let Some(stderr) = child.stderr.take() {
                // What it said in another encoding is of no use here.
                drop(stderr.take(SAID_BYTES_MAX).read_to_string(&mut said));
            }
            let status = child.wait().map_err(|error| error.to_string())?;
            Err(match said.trim() {
                "" => format!("it ended at once ({status})"),
                said => said.trim_start_matches("mira: ").to_owned(),
            })
        }
        Err(error) => {
            // It leads a session, and so a group, in which everything is that it started.
            let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(group) = group {
                kill_process_group(group, Signal::KILL).ok();
            }
            drop(child.kill());
            drop(child.wait());
            Err(error.to_string())
        }
    }
}

/// Opens a file in the person's browser, and does not wait for it.
///
/// # Errors
///
/// Returns the system's error: there is no desktop here that could.
pub fn open_in_browser(file: &Path) -> io::Result<()> {
    let mut opener = Command::new("xdg-open");
    opener
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = opener.spawn()?;
    // It ends by itself, and is waited for so that it leaves nothing behind.
    std::thread::spawn(move || drop(child.wait()));
    Ok(())
}

/// Returns whether the program got ready, rather than ended.
fn wait_for(stdout: &mut (impl Read + std::os::fd::AsFd), deadline: Instant) -> io::Result<bool> {
    let mut said = [0; READY.len()];
    let mut len = 0;
    while len < READY.len() {
        let left = deadline
            .checked_duration_since(Instant::now())
            .ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "it did not get ready"))?;
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(stdout, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        match stdout.read(said.get_mut(len..).unwrap_or_default())? {
            0 => return Ok(false),
            count => len += count,
        }
    }
    Ok(said == READY)
}

/// Says that we are ready, and lets go of the streams that whoever started us waits at.
///
/// # Errors
///
/// Returns the system's error; nobody waits then.
pub fn ready() -> io::Result<()> {
    rustix::io::write(rustix::stdio::stdout(), READY)?;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, timeout: Duration) -> Result<(), String> {
        let path = [("PATH".into(), "/usr/bin:/bin".into())];
        start(
            "sh".as_ref(),
            &["-c".as_ref(), script.as_ref()],
            path,
            timeout,
        )
    }

    #[test]
    fn it_is_waited_for_until_it_is_ready_or_has_said_why_not() {
        let long = Duration::from_secs(30);
        sh("echo ready; exec <&- >&- 2>&-", long).unwrap();
        assert_eq!(
            sh("echo 'mira: the lamp is off' >&2; exit 1", long).unwrap_err(),
            "the lamp is off"
        );
        assert_eq!(
            sh("exit 3", long).unwrap_err(),
            "it ended at once (exit status: 3)"
        );
        assert_eq!(
            sh(
                "read line </dev/tty; cat /dev/zero >/dev/null",
                Duration::ZERO
            )
            .unwrap_err(),
            "it did not get ready"
        );
    }

    #[test]
    fn it_has_a_session_of_its_own_and_only_the_variables_given() {
        sh(
            "test -z \"$HOME\" && test $(ps -o sid= -p $$) = $$ && test $PWD = / && echo ready",
            Duration::from_secs(30),
        )
        .unwrap();
    }
}
