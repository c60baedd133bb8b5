//! The process between us and a program that has a session of its own.
//!
//! The program must not lead that session: its process group would be orphaned, and the system then ignores Ctrl-Z. So
//! a fork of ours leads it, with the program as its child in a group of its own; it tells us how the program fares and
//! puts it into the foreground or background of the inner terminal.
//!
//! It is a fork without an exec: nothing has to be found and started again, and no variable is handed on twice.
//!
//! INVARIANT: it lives until it is dismissed. The end of a session's leader hangs its terminal up, which would throw
//! away what the program wrote last.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, ioctl_tiocsctty, setpgid, setsid, waitpid};
use rustix::termios::tcsetpgrp;

use super::spawn::die_with;
use super::sys::{self, SignalSet};

/// The monitor as we see it.
#[derive(Debug)]
pub(super) struct Monitor {
    process: Pid,
    news: OwnedFd,
}

/// What the monitor tells of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is this process, the leader of its group.
    Started(Pid),
    /// It has the place in its terminal that was asked for last.
    Placed,
    /// It was stopped by this signal.
    Stopped(i32),
    /// It ended with this code.
    Exited(i32),
    /// It died by this signal.
    Signaled(i32),
}

/// Where the program is to run in its terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ground {
    Fore,
    Back,
}

const NEWS_BYTES: usize = 8;

impl News {
    fn to_bytes(self) -> [u8; NEWS_BYTES] {
        let (kind, value) = match self {
            Self::Started(program) => (0, program.as_raw_nonzero().get()),
            Self::Stopped(signal) => (1, signal),
            Self::Exited(code) => (2, code),
            Self::Signaled(signal) => (3, signal),
            Self::Placed => (4, 0),
        };
        let (kind, value) = (i32::to_ne_bytes(kind), i32::to_ne_bytes(value));
        let mut bytes = [0; NEWS_BYTES];
        let (first, second) = bytes.split_at_mut(NEWS_BYTES / 2);
        first.copy_from_slice(&kind);
        second.copy_from_slice(&value);
        bytes
    }

    fn from_bytes(bytes: [u8; NEWS_BYTES]) -> Option<Self> {
        let ([kind, value], _) = bytes.as_chunks::<4>() else {
            return None;
        };
        let value = i32::from_ne_bytes(*value);
        match i32::from_ne_bytes(*kind) {
            0 => Pid::from_raw(value).map(Self::Started),
            1 => Some(Self::Stopped(value)),
            2 => Some(Self::Exited(value)),
            3 => Some(Self::Signaled(value)),
            4 => Some(Self::Placed),
            _ => None,
        }
    }
}

impl Monitor {
    pub(super) fn new(process: Pid, news: OwnedFd) -> Self {
        Self { process, news }
    }

    /// Returns the next news, waiting for it; `None` if the monitor is dead.
    pub(super) fn news(&self) -> Option<News> {
        let mut bytes = [0; NEWS_BYTES];
        // The writer writes so little at once that a pipe never cuts it.
        match rustix::io::retry_on_intr(|| rustix::io::read(&self.news, &mut bytes)) {
            Ok(NEWS_BYTES) => News::from_bytes(bytes),
            _ => None,
        }
    }

    /// Asks for the program's group to be put into the foreground or background of its terminal.
    pub(super) fn place(&self, ground: Ground) {
        // If the monitor is dead, its news says so.
        sys::send(self.process, order(ground)).ok();
    }
}

impl Drop for Monitor {
    /// Ends the monitor, and with it the session.
    fn drop(&mut self) {
        sys::send(self.process, libc::SIGKILL).ok();
        rustix::io::retry_on_intr(|| waitpid(Some(self.process), WaitOptions::empty())).ok();
    }
}

impl AsFd for Monitor {
    /// Readable when there is news.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.news.as_fd()
    }
}

/// Returns the signal by which the monitor is asked. Real-time ones, which nobody sends to all processes of a name.
fn order(ground: Ground) -> i32 {
    #[cfg(target_os = "linux")]
    let base = libc::SIGRTMIN() + 2;
    #[cfg(not(target_os = "linux"))]
    let base = libc::SIGUSR1;
    match ground {
        Ground::Fore => base,
        Ground::Back => base + 1,
    }
}

/// What the fork needs to become the leader of a session; all descriptors are above 2.
pub(super) struct Session<'a> {
    pub(super) terminal: BorrowedFd<'a>,
    pub(super) foreground: bool,
    pub(super) news: BorrowedFd<'a>,
    pub(super) null: BorrowedFd<'a>,
    pub(super) parent: Pid,
}

impl Session<'_> {
    /// Leads the session, in the fork: starts the program and attends to it until it is dismissed.
    ///
    /// INVARIANT: all signals are blocked, and it makes system calls only; see [`sys::fork`].
    #[expect(unsafe_code, reason = "fork")]
    pub(super) fn lead(&self, program: impl FnOnce(Pid) -> i32) -> i32 {
        if let Err(error) = self.begin() {
            return error.raw_os_error();
        }
        let leader = getpid();
        // SAFETY: `program` becomes the program; like this fork it makes system calls only.
        let forked = unsafe {
            sys::fork(|| {
                if self.take_ground().is_err() {
                    return libc::EIO;
                }
                program(leader)
            })
        };
        let Ok(program) = forked else {
            return libc::EAGAIN;
        };
        self.tell(News::Started(program));
        self.let_go();
        self.attend(program)
    }

    fn begin(&self) -> rustix::io::Result<()> {
        die_with(self.parent)?;
        setsid()?;
        ioctl_tiocsctty(self.terminal)
    }

    /// Puts the calling process into a group of its own, and that where it is to begin.
    fn take_ground(&self) -> rustix::io::Result<()> {
        setpgid(None, None)?;
        if self.foreground {
            tcsetpgrp(self.terminal, getpid())?;
        }
        Ok(())
    }

    /// Keeps nothing of ours open that is not needed, locks and the other ends of pipes among it.
    fn let_go(&self) {
        rustix::stdio::dup2_stdin(self.null).ok();
        rustix::stdio::dup2_stdout(self.null).ok();
        rustix::stdio::dup2_stderr(self.null).ok();
        let mut keep = [self.terminal.as_raw_fd(), self.news.as_raw_fd()];
        keep.sort_unstable();
        sys::close_all_but(keep);
    }

    fn attend(&self, program: Pid) -> ! {
        let all = SignalSet::all();
        loop {
            let signal = all.wait();
            // If the program is gone, the news of it is on the way.
            if signal == libc::SIGCHLD {
                self.look_after(program);
            } else if signal == order(Ground::Fore) {
                tcsetpgrp(self.terminal, program).ok();
                self.tell(News::Placed);
            } else if signal == order(Ground::Back) {
                tcsetpgrp(self.terminal, getpid()).ok();
                self.tell(News::Placed);
            }
        }
    }

    /// Tells everything that has happened to the program since the last time.
    fn look_after(&self, program: Pid) {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED;
        loop {
            let status = match waitpid(Some(program), options) {
                Ok(Some((_, status))) => status,
                Err(Errno::INTR) => continue,
                // Nothing more, or it has been told before that the program ended.
                Ok(None) | Err(_) => return,
            };
            if let Some(signal) = status.stopping_signal() {
                self.tell(News::Stopped(signal));
                continue;
            }
            // What the program left behind is not to be hung up by our end.
            tcsetpgrp(self.terminal, getpid()).ok();
            // Closed before the news, so that whoever reads the terminal to its end finds one.
            sys::close_all_but([self.news.as_raw_fd()]);
            if let Some(code) = status.exit_status() {
                self.tell(News::Exited(code));
            } else if let Some(signal) = status.terminating_signal() {
                self.tell(News::Signaled(signal));
            }
        }
    }

    fn tell(&self, news: News) {
        // If nobody reads any more we are about to be killed.
        rustix::io::retry_on_intr(|| rustix::io::write(self.news, &news.to_bytes())).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_travels_as_bytes() {
        for news in [
            News::Started(Pid::INIT),
            News::Stopped(20),
            News::Exited(255),
            News::Signaled(9),
            News::Placed,
        ] {
            assert_eq!(News::from_bytes(news.to_bytes()), Some(news));
        }
        assert_eq!(News::from_bytes([9; NEWS_BYTES]), None);
    }
}
