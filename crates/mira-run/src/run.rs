//! Runs one program in the foreground, with secrets in its environment and none of them in what it says.
//!
//! There are two ways, and [`run`] picks one:
//!
//! - **Beside us**: the program stays in our session and process group. It has our standard input itself, so keys and
//!   signals of the terminal reach it natively; each output stream that is a terminal becomes a terminal for output
//!   only, any other a pipe. This is the way of pipelines, redirections, scripts and services, and costs one fork.
//! - **In a session**: when the program would own the terminal (shells, editors, prompts), it gets an inner terminal
//!   that stands in for the outer one in everything, `/dev/tty` included.
//!
//! INVARIANT: nothing that the program writes to a replaced stream reaches ours without passing the redactor.

mod beside;
mod environment;
mod filter;
mod monitor;
mod program;
mod pump;
mod room;
mod session;
mod signals;
mod spawn;
mod streams;
mod sys;
mod terminal;
mod wait;

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::ops::AddAssign;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mira_redact::NeedleSet;

pub use environment::{Environment, EnvironmentError};
#[cfg(target_os = "linux")]
pub use room::RoomError;
pub use room::RunRoom;
pub use streams::Stream;

use program::Program;

/// A program to run.
#[derive(Debug)]
pub struct RunSpec {
    /// Its name, looked up in the `PATH` of its own environment unless it holds a slash.
    pub program: OsString,
    /// Its arguments; the name as given comes before them.
    pub args: Vec<OsString>,
    /// Its variables, all of them; wiped once it runs.
    pub environment: Environment,
    /// What is taken out of its output. If it is empty, the program has our own streams.
    pub needles: Arc<NeedleSet>,
    /// Whether its standard output, unless that is a terminal, is one JSON text per line, which must stay that.
    pub messages: bool,
    /// The room that it runs in; elsewhere than on Linux there is none.
    pub room: Option<RunRoom>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It exited with this code.
    Exited(i32),
    /// It died by this signal.
    Signaled(i32),
}

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// How the program ended.
    pub outcome: Outcome,
    /// What was taken out of its output.
    pub redacted: Redacted,
    /// Which of our streams took no more, and why; a reader that merely went away is not listed.
    pub failed: Vec<(Stream, io::Error)>,
}

/// What was taken out of a program's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redacted {
    /// Values replaced by a marker.
    pub values: u64,
    /// Values written so slowly that a beginning of them was shown before the rest came.
    pub partial: u64,
}

impl AddAssign for Redacted {
    fn add_assign(&mut self, other: Self) {
        self.values += other.values;
        self.partial += other.partial;
    }
}

/// Why a program could not be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// No file of that name was found.
    #[error("{name:?}: command not found")]
    NotFound {
        /// The name as it was given.
        name: OsString,
    },
    /// The file may not be executed by us.
    #[error(
        "{path:?} is not executable; check its mode, and whether its file system allows programs"
    )]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// The name is that of a folder.
    #[error("{path:?} is a folder, not a program")]
    IsDirectory {
        /// The folder.
        path: PathBuf,
    },
    /// The file is there, but the interpreter or loader that it names is not.
    #[error("{path:?} needs an interpreter that does not exist; look at its first line")]
    BadInterpreter {
        /// The file.
        path: PathBuf,
    },
    /// Arguments and environment together exceed what the system takes.
    #[error(
        "the arguments and environment of {name:?} are too big for the system; pass fewer or smaller variables, or hand the big one over in a file"
    )]
    TooBig {
        /// The name as it was given.
        name: OsString,
    },
    /// An argument holds a NUL byte, which ends an argument.
    #[error("the program's name or an argument holds a NUL byte")]
    Nul,
    /// The system refused to start the file for another reason.
    #[error("{name:?} could not be started: {source}")]
    Start {
        /// The name as it was given.
        name: OsString,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused a pipe, a terminal, a process or a thread.
    #[error("the system refused what is needed to run a program: {0}")]
    System(#[source] io::Error),
    /// The process between us and the program was killed, and the program with it.
    #[error("the program was lost: the process between it and Mira was killed")]
    Lost,
}

impl RunError {
    /// Returns the exit code that a shell has for this: 127 for what was not found, 126 for what could not be started.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            _ => 126,
        }
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<rustix::io::Errno> for RunError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::System(errno.into())
    }
}

/// Runs a program and returns how it ended; `on_start` hears its process id once it runs.
///
/// Until then it takes over the process: its signals, and its standard streams, of which standard input and output are
/// released as soon as the program has no more use for them. Call it from the main thread: on Linux the program is
/// killed when the calling thread ends. One run at a time; a second one waits.
///
/// A signal that was sent to us alone is passed on. One sent by `kill` to our whole process group reaches a program
/// beside us twice, since nothing tells the two kinds apart.
///
/// # Errors
///
/// The program could not be started: see [`RunError::exit_code`]. Or the system refused something after it was; the
/// program is killed then when this process ends.
pub fn run(spec: RunSpec, on_start: &mut dyn FnMut(u32)) -> Result<Report, RunError> {
    let RunSpec {
        program,
        args,
        environment,
        needles,
        messages,
        room,
    } = spec;
    let program = Program::new(program, args, &environment)?;
    if !needles.is_empty() && streams::wants_session() {
        session::run(&program, environment, &needles, room.as_ref(), on_start)
    } else {
        let room = room.as_ref();
        beside::run(&program, environment, &needles, messages, room, on_start)
    }
}

/// Does something with all signals blocked, so that threads which it starts take none.
#[cfg(target_os = "linux")]
pub fn without_signals<T>(act: impl FnOnce() -> T) -> T {
    let mask = sys::SignalSet::all().block();
    let done = act();
    mask.restore();
    done
}

/// Dies by a signal, as the program did, so that our parent sees what it would have seen without us.
///
/// Leaves no core file of ours. Returns only where the signal did not end us (as process 1 of a container): then the
/// exit code that a shell has for it.
#[must_use]
pub fn die_by(signal: i32) -> u8 {
    sys::raise_default_without_core(signal);
    u8::try_from(128 + (signal & 0x7f)).unwrap_or(u8::MAX)
}

/// Puts another program in this process's place, with the same environment, mask and ignored signals; returns only if that
/// is not possible.
#[must_use]
pub fn become_program(program: &Path, args: impl Iterator<Item = OsString>) -> io::Error {
    let c_string = |text: &OsStr| CString::new(text.as_bytes());
    let program = c_string(program.as_os_str());
    let args: Result<Vec<CString>, _> = args.map(|arg| c_string(&arg)).collect();
    match (program, args) {
        (Ok(program), Ok(args)) => {
            let argv = args.iter().map(|arg| arg.as_ptr());
            let argv: Vec<_> = argv.chain([std::ptr::null()]).collect();
            sys::replace(&program, &argv)
        }
        (Err(error), _) | (_, Err(error)) => error.into(),
    }
}

/// Keeps this process's memory from other processes of the same user and out of core files: on Linux, elsewhere nothing.
///
/// # Errors
///
/// Returns what the system said; there is nothing to do about it but to say so.
pub fn protect_self() -> io::Result<()> {
    // The limit on core files is not touched: the program would inherit ours, and it has its own rule.
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}
