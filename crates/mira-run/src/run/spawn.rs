//! Starts the program: from our process to its first instruction.
//!
//! What it gets is what we got, apart from its variables and output streams: the same signal mask and ignored signals,
//! working folder, inherited descriptors (in a room: none but the three streams), limits. Two things are added: its soft limit on core files is 0, because a
//! core would hold its secrets in clear, and on Linux it is killed when we are.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, WaitOptions, getpid, waitpid};

use super::environment::Environment;
use super::monitor::{self, Monitor};
use super::program::Program;
use super::signals::Watch;
use super::sys::{self, Image, SignalSet, forbid_core};
use super::{RunError, RunRoom, streams};

/// The shell's code for a program that could not be started; seen by nobody, since the reason travels by pipe.
const NOT_STARTED: i32 = 127;

/// A program ready to be started.
pub(super) struct Launch<'a> {
    pub(super) program: &'a Program,
    pub(super) environment: &'a Environment,
    pub(super) watch: &'a Watch,
    pub(super) room: Option<&'a RunRoom>,
    pub(super) stdio: [BorrowedFd<'a>; 3],
}

impl Launch<'_> {
    /// Starts the program in our session and process group, beside us.
    #[expect(unsafe_code, reason = "vfork")]
    pub(super) fn beside(self) -> Result<Pid, RunError> {
        let (reasons, reason) = streams::pipe()?;
        let mut image = self.image();
        let mask = SignalSet::all().block();
        let birth = Birth {
            stdio: self.stdio,
            watch: self.watch,
            room: self.room,
            mask: &mask,
            reason: reason.as_fd(),
            parent: getpid(),
        };
        // SAFETY: `become` makes system calls only; the image was built before, and nobody else has it.
        let forked = unsafe { sys::vfork(|| birth.become_program(&mut image)) };
        mask.restore();
        let child = forked?;
        drop(reason);
        self.started(&reasons).inspect_err(|_| {
            // It has said why, and ends by itself.
            rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty())).ok();
        })?;
        Ok(child)
    }

    /// Starts the program in a session of its own, whose controlling terminal is `terminal`.
    #[expect(unsafe_code, reason = "fork")]
    pub(super) fn in_session(
        self,
        terminal: BorrowedFd<'_>,
        foreground: bool,
    ) -> Result<Monitor, RunError> {
        let (reasons, reason) = streams::pipe()?;
        let (news, newsletter) = streams::pipe()?;
        let null = streams::open_null().ok_or_else(io::Error::last_os_error)?;
        let mut image = self.image();
        let mask = SignalSet::all().block();
        let session = monitor::Session {
            terminal,
            foreground,
            news: newsletter.as_fd(),
            null: null.as_fd(),
            parent: getpid(),
        };
        // SAFETY: `session.lead` and `become` make system calls only; the image was built before.
        let forked = unsafe {
            sys::fork(|| {
                session.lead(|parent| {
                    let birth = Birth {
                        stdio: self.stdio,
                        watch: self.watch,
                        room: self.room,
                        mask: &mask,
                        reason: reason.as_fd(),
                        parent,
                    };
                    birth.become_program(&mut image)
                })
            })
        };
        mask.restore();
        let process = forked?;
        drop((reason, newsletter));
        let monitor = Monitor::new(process, news);
        self.started(&reasons)?;
        Ok(monitor)
    }

    fn image(&self) -> Image<'_> {
        Image::new(
            &self.program.candidates,
            self.program.searched,
            &self.program.argv,
            self.environment.lines(),
        )
    }

    /// Waits until the program runs: the pipe for reasons, which does not survive an exec, has ended.
    fn started(&self, reasons: &OwnedFd) -> Result<(), RunError> {
        let mut errno = [0; size_of::<c_int>()];
        match rustix::io::retry_on_intr(|| rustix::io::read(reasons, &mut errno)) {
            Ok(0) => Ok(()),
            Ok(_) => {
                let errno = c_int::from_ne_bytes(errno);
                Err(self.program.refused(io::Error::from_raw_os_error(errno)))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The child of a fork on its way to be the program.
struct Birth<'a> {
    stdio: [BorrowedFd<'a>; 3],
    watch: &'a Watch,
    room: Option<&'a RunRoom>,
    mask: &'a SignalSet,
    reason: BorrowedFd<'a>,
    parent: Pid,
}

impl Birth<'_> {
    /// Becomes the program; returns only if that failed, after it was said why.
    fn become_program(&self, image: &mut Image<'_>) -> i32 {
        let errno = match self.prepare() {
            Ok(()) => image.execute(),
            Err(error) => error.raw_os_error(),
        };
        // If the parent is gone there is nobody to tell.
        rustix::io::write(self.reason, &errno.to_ne_bytes()).ok();
        NOT_STARTED
    }

    fn prepare(&self) -> rustix::io::Result<()> {
        if let Some(room) = self.room {
            // First: the new rights that come with it undo what is asked for next.
            room.enter()?;
        }
        die_with(self.parent)?;
        forbid_core()?;
        let [stdin, stdout, stderr] = self.stdio;
        let own = |fd: BorrowedFd<'_>| fd.as_raw_fd() <= 2;
        if !own(stdin) {
            rustix::stdio::dup2_stdin(stdin)?;
        }
        if !own(stdout) {
            rustix::stdio::dup2_stdout(stdout)?;
        }
        if !own(stderr) {
            rustix::stdio::dup2_stderr(stderr)?;
        }
        if self.room.is_some() {
            // Here, not at the exec: this process has entered.
            sys::close_all_but([self.reason.as_raw_fd()]);
        }
        self.watch.undo_in_child();
        self.mask.restore();
        // Last: what is given up here may be needed before.
        self.room.map_or(Ok(()), RunRoom::confine)
    }
}

/// Has the system kill this process when `parent` dies, where the system can.
pub(super) fn die_with(parent: Pid) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, getppid, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // It may have died before.
        if getppid() != Some(parent) {
            return Err(rustix::io::Errno::SRCH);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = parent;
    Ok(())
}
