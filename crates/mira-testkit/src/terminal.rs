//! A program driven through a real terminal.
//!
//! Waiting is on what the program writes, never on time: [`Terminal::expect`] returns as soon as the text is there, and
//! its limit only turns a hang into a failure that shows the transcript. What the system tells nobody of, such as a new
//! foreground group, is looked at again and again until it is so.

use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{ioctl_tiocsctty, setsid};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};

/// How long an expectation may take on a machine that is busy with everything else.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often something is looked at that is no event of the terminal.
const LOOK: Duration = Duration::from_millis(10);

/// A key that a terminal turns into a signal or an editing command.
pub mod key {
    /// Interrupts.
    pub const CTRL_C: &[u8] = b"\x03";
    /// Ends the input.
    pub const CTRL_D: &[u8] = b"\x04";
    /// Stops.
    pub const CTRL_Z: &[u8] = b"\x1a";
    /// Quits.
    pub const CTRL_BACKSLASH: &[u8] = b"\x1c";
    /// Leaves a mode.
    pub const ESCAPE: &[u8] = b"\x1b";
}

/// A terminal of 24 rows and 80 columns with a program in it, which leads a session there as a login shell does.
///
/// The program is killed when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    master: std::fs::File,
    /// Kept, so that the terminal's settings can be read after the program's end.
    slave: OwnedFd,
    child: Child,
    transcript: Vec<u8>,
    expected_to: usize,
    settings_at_start: String,
}

impl Terminal {
    /// Starts a program with the terminal on all three streams.
    #[must_use]
    pub fn start(command: Command) -> Self {
        Self::start_with(command, [None, None, None])
    }

    /// Starts a program with something else than the terminal on those streams that are given.
    ///
    /// # Panics
    ///
    /// If the system has no terminal for us, or the program is not there.
    #[must_use]
    #[expect(unsafe_code, reason = "pre_exec")]
    pub fn start_with(mut command: Command, streams: [Option<Stdio>; 3]) -> Self {
        let (master, slave) = open_pair();
        let duplicate = || slave.try_clone().expect("a descriptor can be duplicated");
        let [stdin, stdout, stderr] =
            streams.map(|stream| stream.unwrap_or_else(|| duplicate().into()));
        command.stdin(stdin).stdout(stdout).stderr(stderr);
        let terminal = duplicate();
        // SAFETY: the closure makes system calls only.
        unsafe {
            command.pre_exec(move || {
                setsid()?;
                ioctl_tiocsctty(&terminal)?;
                Ok(())
            });
        }
        let settings_at_start = settings(&slave);
        let child = command.spawn().expect("the program under test starts");
        Self {
            master: master.into(),
            slave,
            child,
            transcript: Vec::new(),
            expected_to: 0,
            settings_at_start,
        }
    }

    /// Returns the program, for its pipes and process id.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Types.
    ///
    /// # Panics
    ///
    /// If the terminal is gone.
    pub fn send(&mut self, keys: impl AsRef<[u8]>) {
        self.master
            .write_all(keys.as_ref())
            .expect("the terminal takes keys");
    }

    /// Waits until `text` is shown after what was expected before; returns everything shown since, `text` included.
    ///
    /// # Panics
    ///
    /// If the text does not come; the message holds the transcript.
    pub fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let new = self.transcript.get(self.expected_to..).unwrap_or_default();
            let found = new
                .windows(text.len())
                .position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let from = self.expected_to;
                self.expected_to += at + text.len();
                let shown = self.transcript.get(from..self.expected_to);
                return String::from_utf8_lossy(shown.unwrap_or_default()).into_owned();
            }
            assert!(
                self.read_more(deadline),
                "{text:?} was not shown; the transcript:\n{}",
                self.transcript()
            );
        }
    }

    /// Returns everything shown so far, as far as it has been waited for.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.transcript).into_owned()
    }

    /// Changes the size of the window.
    ///
    /// # Panics
    ///
    /// If the terminal is gone.
    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).expect("a terminal can be resized");
    }

    /// Returns all settings of the terminal, in a form that can be compared and read.
    ///
    /// # Panics
    ///
    /// If the terminal is gone.
    #[must_use]
    pub fn settings(&self) -> String {
        settings(&self.slave)
    }

    /// Returns the settings that the terminal had before the program was started.
    #[must_use]
    pub fn settings_at_start(&self) -> &str {
        &self.settings_at_start
    }

    /// Returns the terminal's foreground process group.
    #[must_use]
    pub fn foreground(&self) -> Option<u32> {
        let group = tcgetpgrp(&self.master).ok()?;
        Some(group.as_raw_nonzero().get().unsigned_abs())
    }

    /// Waits until a job of the shell in this terminal has it, so that keys that mean signals reach the job.
    ///
    /// A shell shows the line of `fg` before it gives the terminal away; keys pressed in between are its own.
    ///
    /// # Panics
    ///
    /// If the shell keeps the terminal; the message holds the transcript.
    pub fn await_job(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        let shell = self.child.id();
        while self.foreground().is_none_or(|group| group == shell) {
            self.read_more(Instant::now() + LOOK);
            assert!(
                Instant::now() < deadline,
                "no job got the terminal; the transcript:\n{}",
                self.transcript()
            );
        }
    }

    /// Takes the terminal away, as a closed window or a lost connection does.
    pub fn hang_up(&mut self) {
        // A fresh one in its place, in which nothing happens any more.
        let (master, slave) = open_pair();
        self.master = master.into();
        self.slave = slave;
    }

    /// Waits for the program's end, taking in what it shows until then.
    ///
    /// # Panics
    ///
    /// If it does not end; the message holds the transcript.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the program is our child") {
                while self.read_more(Instant::now()) {}
                return status;
            }
            // A short wait: the end of the program is no event of the terminal while we hold it open ourselves.
            self.read_more(Instant::now() + LOOK);
            assert!(
                Instant::now() < deadline,
                "the program did not end; the transcript:\n{}",
                self.transcript()
            );
        }
    }

    /// Takes in what is shown next; returns false if nothing was until the deadline.
    fn read_more(&mut self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).expect("the patience fits a timespec");
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&left)).unwrap_or_default() == 0 {
            return false;
        }
        let mut piece = [0; 4096];
        match self.master.read(&mut piece) {
            Ok(count @ 1..) => {
                self.transcript
                    .extend_from_slice(piece.get(..count).unwrap_or_default());
                true
            }
            _ => false,
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Most programs have ended by now.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn open_pair() -> (OwnedFd, OwnedFd) {
    use rustix::fs::{Mode, OFlags, open};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the system has terminals");
    fcntl_setfd(&master, FdFlags::CLOEXEC).expect("a descriptor has flags");
    grantpt(&master).expect("the terminal is ours");
    unlockpt(&master).expect("the terminal is ours");
    let name = ptsname(&master, Vec::new()).expect("the terminal has a name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = open(name.as_c_str(), flags, Mode::empty()).expect("the terminal opens");
    tcsetwinsize(&master, size(24, 80)).expect("a terminal has a size");
    debug_assert!(slave.as_fd().as_raw_fd() > 2);
    (master, slave)
}

fn settings(terminal: &OwnedFd) -> String {
    format!(
        "{:?}",
        tcgetattr(terminal).expect("a terminal has settings")
    )
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_reach_the_program_and_its_output_and_size_are_seen() {
        let mut command = Command::new("sh");
        command.args(["-c", "stty size; read line; echo \"got $line\"; exit 3"]);
        let mut terminal = Terminal::start(command);
        terminal.expect("24 80");
        terminal.send("hello\r");
        terminal.expect("got hello");
        assert_eq!(terminal.wait().code(), Some(3));
    }

    #[test]
    fn a_job_is_awaited_until_the_shell_gives_it_the_terminal() {
        let mut command = Command::new("bash");
        command
            .args(["--norc", "--noprofile", "-i"])
            .env("PS1", "PROMPT> ");
        let mut terminal = Terminal::start(command);
        terminal.expect("PROMPT> ");
        assert_eq!(terminal.foreground(), Some(terminal.child.id()));
        // Until it says so, the job is still the shell, which takes the key for itself.
        terminal.send("sh -c 'printf be%s gun; exec sleep 1000' &\r");
        terminal.expect("begun");
        terminal.send("fg\r");
        terminal.await_job();
        terminal.send(key::CTRL_C);
        terminal.expect("^C");
        terminal.expect("PROMPT> ");
        assert_eq!(terminal.foreground(), Some(terminal.child.id()));
    }
}
