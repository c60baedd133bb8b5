//! One run of a program: what goes in, what comes out, and an end in bounded time.
//!
//! INVARIANT: a run that takes too long is killed with its process group and fails the test; nothing waits by sleeping.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

// LIMIT: no command under test takes a second; a minute tells a loaded machine from a hanging program.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A program that is about to run, with its output captured.
#[derive(Debug)]
#[must_use = "a program runs when `run` is called"]
pub struct Invocation {
    command: Command,
    stdin: Vec<u8>,
    wait_max: Duration,
}

impl Invocation {
    pub(super) fn new(program: &OsStr, env: &[(OsString, OsString)], folder: &Path) -> Self {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(env.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A group of its own, so that whatever it starts can be ended with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self {
            command,
            stdin: Vec::new(),
            wait_max: WAIT_MAX,
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets a variable for this run.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Leaves a variable out of this run.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs in this folder instead of `HOME`.
    pub fn current_dir(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Writes these bytes to the program's input, which then ends; without them it ends at once.
    pub fn stdin_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Waits no longer than this for the program and for whoever holds its output open.
    pub fn wait_max(mut self, limit: Duration) -> Self {
        self.wait_max = limit;
        self
    }

    /// Runs the program to its end.
    ///
    /// # Panics
    ///
    /// Panics where it does not start, or does not end in time.
    #[track_caller]
    pub fn run(mut self) -> Run {
        let child = self.command.spawn();
        let child =
            child.unwrap_or_else(|error| panic!("{:?} does not start: {error}", self.command));
        let mut running = Running::new(child, self.stdin);
        match running.finish(self.wait_max) {
            Some(run) => run,
            None => panic!(
                "{:?} ran longer than {:?}, or left its output open",
                self.command, self.wait_max
            ),
        }
    }
}

/// What a program did.
#[derive(Clone, PartialEq, Eq)]
pub struct Run {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to its output.
    pub stdout: Vec<u8>,
    /// What it wrote to its error output.
    pub stderr: Vec<u8>,
}

impl Run {
    /// Returns the exit code, or `None` after a signal.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Returns the output as text, with stray bytes replaced.
    #[must_use]
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Returns the error output as text, with stray bytes replaced.
    #[must_use]
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Fails the test unless the program ended with this exit code.
    ///
    /// # Panics
    ///
    /// Panics with the run, outputs included.
    #[track_caller]
    pub fn assert_code(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self:?}");
        self
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run")
            .field("status", &self.status)
            .field("stdout", &self.stdout_text())
            .field("stderr", &self.stderr_text())
            .finish()
    }
}

enum Event {
    Stdout(Vec<u8>),
    Stderr(Vec<u8>),
    Ended,
}

/// A child whose streams and end arrive as events.
struct Running {
    child: Child,
    reaped: bool,
    events: mpsc::Receiver<Event>,
}

impl Running {
    fn new(mut child: Child, input: Vec<u8>) -> Self {
        let (sender, events) = mpsc::channel();
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read its input closes it; that is its right.
            thread::spawn(move || stdin.write_all(&input).unwrap_or_default());
        }
        if let Some(stdout) = child.stdout.take() {
            let sender = sender.clone();
            thread::spawn(move || sender.send(Event::Stdout(read_all(stdout))));
        }
        if let Some(stderr) = child.stderr.take() {
            let sender = sender.clone();
            thread::spawn(move || sender.send(Event::Stderr(read_all(stderr))));
        }
        let pid = pid_of(&child);
        thread::spawn(move || {
            // The child is not reaped here, so its id stays its own for whoever may have to kill it.
            let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while matches!(waitid(WaitId::Pid(pid), ended), Err(Errno::INTR)) {}
            sender.send(Event::Ended)
        });
        Self {
            child,
            reaped: false,
            events,
        }
    }

    /// Returns the run once the program has ended and nobody can write its output any more, or `None` after the limit.
    fn finish(&mut self, limit: Duration) -> Option<Run> {
        let deadline = Instant::now() + limit;
        let (mut stdout, mut stderr, mut ended) = (None, None, false);
        while stdout.is_none() || stderr.is_none() || !ended {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left).ok()? {
                Event::Stdout(bytes) => stdout = Some(bytes),
                Event::Stderr(bytes) => stderr = Some(bytes),
                Event::Ended => ended = true,
            }
        }
        let status = self.child.wait().ok()?;
        self.reaped = true;
        Some(Run {
            status,
            stdout: stdout?,
            stderr: stderr?,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Until it is reaped, the group's id is its own, also where the program has ended and what it started has not.
        if !self.reaped {
            kill_process_group(pid_of(&self.child), Signal::KILL).unwrap_or_default();
            drop(self.child.wait());
        }
    }
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn read_all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What came before an error is the output.
    let read: io::Result<usize> = stream.read_to_end(&mut bytes);
    drop(read);
    bytes
}
