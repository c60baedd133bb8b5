//! The signals that reach us while a program runs, and who sent them.
//!
//! INVARIANT: a signal that was ignored when we started is ignored by the program, unless it decides otherwise. So it is
//! passed on like any other, and not acted upon by us.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::Pid;

use super::streams;
use super::sys::{self, PreviousAction, RECORD_BYTES};

/// What we listen for: news of the child, job control, the window, and everything that is passed on to the program.
///
/// LIMIT: a signal that is not listed, real-time ones included, has its usual effect on us, and through the parent's
/// death signal ends the program.
const WATCHED: [i32; 14] = [
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGWINCH,
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGVTALRM,
    libc::SIGPROF,
    libc::SIGIO,
];

/// Signals belong to the process, so one run at a time listens to them.
static ONE_RUN: Mutex<()> = Mutex::new(());

/// A signal that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) signal: i32,
    pub(super) sender: Sender,
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// The system: a key at the terminal, a hang-up, a new window size. Our whole group had it.
    System,
    /// Ourselves.
    Us,
    /// A process, by `kill`; `None` for one that is outside our process namespace.
    Process(Option<Pid>),
}

/// Listens to signals until it is dropped.
pub(super) struct Watch {
    // Declared first, so put back before the pipe is closed.
    previous: Vec<PreviousAction>,
    reader: OwnedFd,
    _writer: OwnedFd,
    _one_run: MutexGuard<'static, ()>,
}

impl Watch {
    /// Begins to listen.
    pub(super) fn begin() -> io::Result<Self> {
        let one_run = ONE_RUN.lock().unwrap_or_else(PoisonError::into_inner);
        let (reader, writer) = streams::pipe()?;
        // The handler must not wait, and neither do we: `poll` does.
        fcntl_setfl(&reader, OFlags::NONBLOCK)?;
        fcntl_setfl(&writer, OFlags::NONBLOCK)?;
        sys::listen(writer.as_raw_fd());
        let previous = WATCHED.map(sys::record).into();
        Ok(Self {
            previous,
            reader,
            _writer: writer,
            _one_run: one_run,
        })
    }

    /// Undoes the listening in the child of a fork: every signal as it was when we started.
    pub(super) fn undo_in_child(&self) {
        for previous in &self.previous {
            sys::reset(previous.signal(), previous.was_ignored());
        }
        // LIMIT: Rust's runtime ignores SIGPIPE before any code of ours runs, so how it was is not known any more.
        sys::reset(libc::SIGPIPE, false);
    }

    /// Returns the next signal that has come, without waiting.
    pub(super) fn next(&self) -> Option<Event> {
        let mut record = [0; RECORD_BYTES];
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.reader, &mut record)) {
            Ok(RECORD_BYTES) => Some(event(&record)),
            _ => None,
        }
    }
}

impl AsFd for Watch {
    /// Readable when a signal has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.previous.clear();
        sys::listen(-1);
    }
}

fn event(record: &[u8; RECORD_BYTES]) -> Event {
    let mut fields = record
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| i32::from_ne_bytes(*bytes));
    let mut field = || fields.next().unwrap_or_default();
    let (signal, code, pid) = (field(), field(), field());
    // On macOS the system's own signals carry a sender of zero instead of a code of their own.
    let system = code > 0 || (cfg!(target_os = "macos") && pid == 0);
    let pid = (!system && pid > 0).then(|| Pid::from_raw(pid)).flatten();
    let sender = match pid {
        _ if system => Sender::System,
        Some(pid) if pid == rustix::process::getpid() => Sender::Us,
        pid => Sender::Process(pid),
    };
    Event { signal, sender }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sender_is_the_system_a_process_or_we() {
        let check = |code: i32, pid: i32, expect: Sender| {
            let mut record = [0; RECORD_BYTES];
            let fields = [libc::SIGTERM, code, pid].map(i32::to_ne_bytes);
            record.copy_from_slice(fields.as_flattened());
            let found = event(&record);
            assert_eq!((found.signal, found.sender), (libc::SIGTERM, expect));
        };
        let us = rustix::process::getpid();
        check(0x80, 0, Sender::System);
        check(0, us.as_raw_nonzero().get(), Sender::Us);
        check(0, 1, Sender::Process(Pid::from_raw(1)));
        if cfg!(target_os = "linux") {
            check(0, 0, Sender::Process(None));
        }
    }
}
