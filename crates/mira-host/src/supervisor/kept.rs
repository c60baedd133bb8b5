//! A program under a keeper, from the supervisor's side.
//!
//! INVARIANT: dropping it closes the keeper's socket, and so kills whatever runs under it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use mira_sandbox::{Entrance, Helper};
use mira_secret::SecretBytes;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::timeout;

use crate::keeper::{NewLaunch, REPORT_BYTES, Report, order_kill, order_signal};
use crate::network::{Resident, children};
use crate::service::{End, ServiceError, StopSignal, not_started};
use mira_run::Outcome;

/// How long a keeper may take to start its program.
// LIMIT: it takes milliseconds; a machine that needs longer than this is not working.
const START_WAIT: Duration = Duration::from_secs(60);

/// The name that keepers are listed under.
const LISTED_AS: &str = "mira";

/// A program under a keeper.
#[derive(Debug)]
pub(super) struct Kept {
    keeper: Child,
    control: UnixStream,
    /// The program's main process.
    pub(super) pid: u32,
    ended: Option<Outcome>,
    closed: bool,
    /// That it lives in its instance's room.
    resident: Option<Resident>,
}

/// What a program writes.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
}

/// The ends of its output that a program gets.
struct Outlets {
    stdout: Stdio,
    stderr: Stdio,
}

impl Kept {
    /// Starts a program and returns what it writes too.
    pub(super) async fn start(
        keeper: &Helper,
        label: &str,
        launch: &NewLaunch<'_>,
        resident: impl FnOnce(u32) -> Option<Resident>,
    ) -> Result<(Self, Output), ServiceError> {
        let (stdout, out) = outlet().map_err(ServiceError::System)?;
        let (stderr, err) = outlet().map_err(ServiceError::System)?;
        let outlets = Outlets {
            stdout: out,
            stderr: err,
        };
        let kept = Self::start_with(keeper, label, launch, outlets, resident).await?;
        Ok((kept, Output { stdout, stderr }))
    }

    /// Starts a program whose output is thrown away.
    pub(super) async fn start_mute(
        keeper: &Helper,
        label: &str,
        launch: &NewLaunch<'_>,
    ) -> Result<Self, ServiceError> {
        let outlets = Outlets {
            stdout: Stdio::null(),
            stderr: Stdio::null(),
        };
        Self::start_with(keeper, label, launch, outlets, |_| None).await
    }

    async fn start_with(
        keeper: &Helper,
        label: &str,
        launch: &NewLaunch<'_>,
        outlets: Outlets,
        resident: impl FnOnce(u32) -> Option<Resident>,
    ) -> Result<Self, ServiceError> {
        let mut kept = Self::spawn(keeper, label, outlets).map_err(ServiceError::System)?;
        // Before it runs, so that its first connection is known as its own.
        kept.resident = kept.keeper.id().and_then(resident);
        let message = launch.message();
        let started = timeout(START_WAIT, kept.tell_launch(&message, launch.room));
        let report = started
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(ServiceError::System)?;
        match report {
            Some(Report::Started(pid)) => {
                let inside = u32::try_from(pid).unwrap_or_default();
                kept.pid = match launch.room {
                    None => inside,
                    // Where it has ended already, its keeper stands for it.
                    Some(_) => {
                        let keeper = kept.keeper.id().unwrap_or_default();
                        seen_from_outside(keeper, inside).unwrap_or(keeper)
                    }
                };
                Ok(kept)
            }
            Some(Report::NotStarted(errno)) => {
                let error = not_started(launch.program.to_owned(), errno);
                Err(ServiceError::Program(error))
            }
            Some(Report::FilesRefused(errno)) => {
                Err(ServiceError::Files(io::Error::from_raw_os_error(errno)))
            }
            Some(Report::Ended(_)) | None => {
                let error = io::Error::other("its keeper ended before it began");
                Err(ServiceError::System(error))
            }
        }
    }

    fn spawn(keeper: &Helper, label: &str, outlets: Outlets) -> io::Result<Self> {
        let (control, far_end) = StdUnixStream::pair()?;
        control.set_nonblocking(true)?;
        let mut command = Command::new(&keeper.program);
        command
            .arg0(LISTED_AS)
            .args(&keeper.arguments)
            .arg(label)
            .env_clear()
            .current_dir("/")
            // Not reached by the keys of the terminal that the supervisor may have been started in.
            .process_group(0)
            .stdin(OwnedFd::from(far_end))
            .stdout(outlets.stdout)
            .stderr(outlets.stderr);
        Ok(Self {
            // Our ends of what it inherits are closed with the command, at the end of this line.
            keeper: tokio::process::Command::from(command).spawn()?,
            control: UnixStream::from_std(control)?,
            pid: 0,
            ended: None,
            closed: false,
            resident: None,
        })
    }

    async fn tell_launch(
        &mut self,
        message: &SecretBytes,
        room: Option<&Entrance>,
    ) -> io::Result<Option<Report>> {
        let len = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        Entrance::send(room, self.control.as_fd(), &len.to_ne_bytes())?;
        // EXPOSE: to the keeper, which hands it to the program: its environment and files.
        self.control.write_all(message.expose()).await?;
        self.report().await
    }

    /// Returns the keeper's next report, waiting for it; nothing once it is gone. It may be dropped at any time.
    async fn report(&mut self) -> io::Result<Option<Report>> {
        loop {
            self.control.readable().await?;
            let mut bytes = [0; REPORT_BYTES];
            // The keeper writes so little at once that it is never cut.
            match self.control.try_read(&mut bytes) {
                Ok(REPORT_BYTES) => return Ok(Report::from_bytes(bytes)),
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits until nothing is left of the program. It may be dropped and called again.
    pub(super) async fn ended(&mut self) -> End {
        while !self.closed {
            match self.report().await {
                Ok(Some(Report::Ended(outcome))) => self.ended = Some(outcome),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => self.closed = true,
            }
        }
        let keeper = self.keeper.wait().await;
        match (self.ended, keeper) {
            (Some(Outcome::Exited(code)), Ok(_)) => End::Exited(code),
            (Some(Outcome::Signaled(signal)), Ok(_)) => End::Signaled(signal),
            (_, Ok(_) | Err(_)) => End::Lost,
        }
    }

    /// Returns whether the keeper left in order: nobody is left of its tree, then.
    pub(super) fn left_in_order(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let status = self.keeper.try_wait().ok().flatten();
        match (self.ended, status) {
            (Some(_), Some(status)) if status.signal().is_none() => true,
            // It dies by the signal that the program died by.
            (Some(Outcome::Signaled(signal)), Some(status)) => {
                signal != libc::SIGKILL && status.signal() == Some(signal)
            }
            _ => false,
        }
    }

    /// Sends a signal to the program's process group.
    pub(super) fn signal(&self, signal: StopSignal) {
        self.order(order_signal(signal.number()));
    }

    /// Has the whole tree killed.
    pub(super) fn kill(&self) {
        self.order(order_kill());
    }

    fn order(&self, order: u8) {
        // If the keeper is gone, so is the program. There is always room: orders are few.
        self.control.try_write(&[order]).ok();
    }
}

/// Returns the process that has the number `inside` in the PID namespace that this keeper made: pid_namespaces(7).
fn seen_from_outside(keeper: u32, inside: u32) -> Option<u32> {
    let first = children(keeper)?.first().copied()?;
    children(first)?.into_iter().find(|process| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status"));
        let status = status.unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let last = numbers.and_then(|numbers| numbers.split_ascii_whitespace().last());
        last.is_some_and(|number| number.parse() == Ok(inside))
    })
}

fn outlet() -> io::Result<(pipe::Receiver, Stdio)> {
    let (reading, writing) = pipe_with(PipeFlags::CLOEXEC)?;
    let reading = pipe::Receiver::from_owned_fd(reading)?;
    Ok((reading, Stdio::from(File::from(writing))))
}

/// Returns the words by which a keeper is told from others in a list of processes.
pub(super) fn label(instance: &str, service: &str) -> String {
    format!("{instance}/{service}")
}

/// Returns the folder of a service's secret files.
pub(super) fn files_folder(runtime_secrets: &Path, service: &str) -> std::path::PathBuf {
    runtime_secrets.join(service)
}
