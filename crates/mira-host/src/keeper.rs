//! The keeper: the small process between the supervisor and one service, which answers for the service's whole tree.
//!
//! It is this same program, executed again with a hidden argument, so that nothing is ever forked from a process with
//! threads. It is a child subreaper: whatever a service forks, daemons in sessions of their own included, becomes the
//! keeper's child when its parent dies, and never anybody else's. It kills all of them when it is told to, when its control
//! socket closes (the supervisor is gone, however it went), and when the service's main process ends; it leaves when no child
//! is left, and as the service did.
//!
//! In a room it is two processes: one that entered it, and the first process of a PID namespace, which does the keeping. If either is
//! killed, the system kills everything in that namespace.
//!
//! `PR_SET_PDEATHSIG` alone would not do: it reaches the direct child only, is cleared by programs that change user, and is
//! sent when the *thread* that forked ends. It is the second line: the main process has it, so that it dies if the
//! keeper itself is killed. What then is left of the tree goes to the supervisor, a subreaper as well, which kills it.
//!
//! Secrets come over the control socket, not in the keeper's environment, which is empty: so `/proc/PID/environ` of the
//! keeper shows nothing. They lie in locked memory until the service runs, and are wiped then. The service's own environment can
//! be read by every process of the same user: that is what delivery by environment means.
//!
//! INVARIANT: it has one thread, allocates little and prints nothing.

mod birth;
mod control;
mod files;
mod launch;
mod room;
mod sys;
mod tree;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::time::Duration;

use mira_sandbox::Confinement;
use mira_secret::SecretBytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getpid,
    kill_process_group, set_child_subreaper, set_dumpable_behavior, setrlimit, wait,
};

use control::{Control, Order};
use files::SecretFiles;
use launch::Launch;
use mira_run::{Outcome, die_by};

pub(crate) use control::{REPORT_BYTES, Report, order_kill, order_signal};
pub(crate) use files::remove as remove_secret_files;
pub(crate) use launch::NewLaunch;
pub(crate) use tree::kill_strays;

/// The exit code of a keeper that kept nothing: nobody told it what, or it could not be started.
const NOTHING_KEPT: u8 = 127;

/// How long after one round of killing the next begins, where nothing is heard before.
const ROUND: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: Duration::from_millis(20).as_nanos() as i64,
};

/// Keeps one service, which the supervisor names on standard input: a socket.
///
/// The binary calls it for its hidden argument, before anything else: it takes over the process, and wants no other
/// thread in it. Words after that argument are for whoever lists processes; they are not read.
#[must_use]
pub fn main() -> ExitCode {
    // There is nobody to tell: the supervisor sees the end of the socket.
    match keep() {
        Ok(Some(Outcome::Exited(code))) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Ok(Some(Outcome::Signaled(signal))) => ExitCode::from(die_by(signal)),
        Ok(None) | Err(_) => ExitCode::from(NOTHING_KEPT),
    }
}

/// Keeps one service; returns how it ended, or nothing where it could not be started.
fn keep() -> io::Result<Option<Outcome>> {
    protect()?;
    sys::close_from(3)?;
    let control = Control::take()?;
    match control.receive_launch()? {
        (message, None) => keep_one(control, message, None),
        (message, Some(room)) => room::inside(room, |confinement| {
            keep_one(control, message, Some(confinement))
        }),
    }
}

/// Keeps the service of this message, confined if it is in a room.
fn keep_one(
    control: Control,
    message: SecretBytes,
    confinement: Option<&Confinement>,
) -> io::Result<Option<Outcome>> {
    let signals = sys::take_child_signals()?;
    let launch = Launch::parse(&message)?;
    let files = match SecretFiles::deliver(&launch) {
        Ok(files) => files,
        Err(error) => {
            control.tell(Report::FilesRefused(errno(&error)));
            return Ok(None);
        }
    };
    let main = match birth::start(&launch, confinement) {
        Ok(main) => main,
        Err(error) => {
            control.tell(Report::NotStarted(errno(&error)));
            return Ok(None);
        }
    };
    drop(launch);
    // Wiped: the service has its own copy now.
    drop(message);
    control.tell(Report::Started(main.as_raw_nonzero().get()));
    let end = Watch {
        control,
        signals,
        main,
        ended: None,
        killing: false,
    }
    .until_nobody_is_left()?;
    drop(files);
    Ok(Some(end))
}

/// Has orphans of the tree come to us, and keeps our memory from other processes of the user and out of core files.
fn protect() -> io::Result<()> {
    // It was executed as /proc/self/exe, which says nothing in a list of processes. And whoever kills all that is called mira
    // shall leave the keepers to clear up.
    rustix::thread::set_name(c"keeper")?;
    set_child_subreaper(Some(getpid()))?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // The service inherits it: a core of it would hold its secrets in clear.
    Ok(setrlimit(Resource::Core, none)?)
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// The keeper while its service runs.
struct Watch {
    control: Control,
    signals: OwnedFd,
    main: Pid,
    ended: Option<Outcome>,
    killing: bool,
}

impl Watch {
    fn until_nobody_is_left(mut self) -> io::Result<Outcome> {
        loop {
            let left = self.reap();
            if let (false, Some(end)) = (left, self.ended) {
                return Ok(end);
            }
            if self.killing {
                tree::kill_children();
            }
            self.listen()?;
        }
    }

    /// Takes note of everybody who has ended; returns whether a child is left.
    fn reap(&mut self) -> bool {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.main => {
                    let end = outcome(status);
                    self.ended = Some(end);
                    self.killing = true;
                    self.control.tell(Report::Ended(end));
                }
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Waits for a child's end or an order, and follows it.
    fn listen(&mut self) -> io::Result<()> {
        let woken = {
            let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
            if let Some(control) = self.control.as_open() {
                fds.push(PollFd::from_borrowed_fd(control, PollFlags::IN));
            }
            match poll(&mut fds, self.killing.then_some(&ROUND)) {
                Err(Errno::INTR) | Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            fds.get(1).is_some_and(|fd| !fd.revents().is_empty())
        };
        sys::drain(self.signals.as_fd());
        if woken {
            for order in self.control.orders() {
                match order {
                    Order::Signal(signal) => self.signal(signal),
                    Order::Kill => self.killing = true,
                }
            }
        }
        Ok(())
    }

    /// Sends a signal to the main process's group, and has those of it that are stopped go on.
    fn signal(&self, signal: Signal) {
        // The number is still the main process's own: nobody but us takes note of its end.
        if self.ended.is_none() {
            kill_process_group(self.main, signal).ok();
            kill_process_group(self.main, Signal::CONT).ok();
        }
    }
}

fn outcome(status: WaitStatus) -> Outcome {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Outcome::Exited(code),
        (None, Some(signal)) => Outcome::Signaled(signal),
        // Without WUNTRACED there is no third way.
        (None, None) => Outcome::Signaled(libc::SIGKILL),
    }
}
