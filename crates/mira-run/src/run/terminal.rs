//! Terminals: the one we were started from, and the ones made for the program.
//!
//! INVARIANT: the settings of the outer terminal are changed only while our process group is its foreground group, and
//! put back on every way out, panics included ([`OuterTerminal`]'s drop).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Weak;

use rustix::pty::{OpenptFlags, grantpt, openpt, unlockpt};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Termios, isatty, tcgetattr, tcgetpgrp,
    tcgetsid, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use super::streams::Stream;

/// A pair of pseudo-terminal ends.
#[derive(Debug)]
pub(super) struct Pty {
    /// Our end: what the program writes is read here.
    pub(super) master: OwnedFd,
    /// The program's end.
    pub(super) slave: OwnedFd,
}

impl Pty {
    /// Makes a pair; neither end becomes our controlling terminal or survives an exec.
    pub(super) fn open() -> io::Result<Self> {
        let master = open_master()?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let slave = open_slave(&master)?;
        Ok(Self { master, slave })
    }

    /// Makes a pair that only carries output to `outer`, which goes on doing the output processing.
    pub(super) fn for_output(outer: BorrowedFd<'_>) -> io::Result<Self> {
        let pty = Self::open()?;
        let mut attributes = tcgetattr(outer)?;
        attributes.output_modes -= OutputModes::OPOST;
        tcsetattr(&pty.slave, OptionalActions::Now, &attributes)?;
        follow_size(outer, &pty.master)?;
        Ok(pty)
    }
}

#[cfg(target_os = "linux")]
const FLAGS: OpenptFlags = OpenptFlags::RDWR
    .union(OpenptFlags::NOCTTY)
    .union(OpenptFlags::CLOEXEC);

#[cfg(target_os = "linux")]
fn open_master() -> io::Result<OwnedFd> {
    Ok(openpt(FLAGS)?)
}

#[cfg(target_os = "linux")]
fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    // Needs no /dev/pts, which a container may lack or show another instance of.
    Ok(rustix::pty::ioctl_tiocgptpeer(master, FLAGS)?)
}

#[cfg(not(target_os = "linux"))]
fn open_master() -> io::Result<OwnedFd> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC)?;
    Ok(master)
}

#[cfg(not(target_os = "linux"))]
fn open_slave(master: &OwnedFd) -> io::Result<OwnedFd> {
    use rustix::fs::{Mode, OFlags, open};
    let name = rustix::pty::ptsname(master, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(open(name.as_c_str(), flags, Mode::empty())?)
}

/// Gives an inner terminal the window size of the outer one; returns whether that changed it.
///
/// The system tells the inner terminal's foreground group of the change, if it has one.
pub(super) fn follow_size(outer: impl AsFd, inner: impl AsFd) -> io::Result<bool> {
    let wanted = tcgetwinsize(outer)?;
    let present = tcgetwinsize(&inner)?;
    let key = |size: &rustix::termios::Winsize| {
        (size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel)
    };
    if key(&wanted) == key(&present) {
        return Ok(false);
    }
    tcsetwinsize(inner, wanted)?;
    Ok(true)
}

/// Terminals made for the program, by the stream whose size they follow.
///
/// Held weakly: whoever pumps one closes it by letting go of it.
pub(super) type Windows = Vec<(Stream, Weak<OwnedFd>)>;

/// Has each follow the size of its stream's terminal; returns whether that changed one.
pub(super) fn follow_sizes(windows: &Windows) -> bool {
    let mut changed = false;
    for (stream, window) in windows {
        if let Some(window) = window.upgrade() {
            // A terminal that is gone has no size.
            changed |= follow_size(stream.descriptor(), &*window).unwrap_or_default();
        }
    }
    changed
}

/// Returns whether a stream is the terminal that controls our session, however it was opened.
pub(super) fn is_controlling(stream: impl AsFd) -> bool {
    isatty(&stream) && tcgetsid(stream).is_ok()
}

/// Returns whether our process group is the terminal's foreground group.
pub(super) fn is_foreground(terminal: impl AsFd) -> bool {
    tcgetpgrp(terminal).is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Returns whether the terminal edits lines, as every shell leaves it for the programs it starts.
///
/// One that does not is in use by somebody else in our group, perhaps another Mira.
pub(super) fn edits_lines(terminal: impl AsFd) -> bool {
    tcgetattr(terminal).is_ok_and(|attributes| attributes.local_modes.contains(LocalModes::ICANON))
}

/// The terminal that Mira was started from, while a session's inner terminal stands in front of it.
pub(super) struct OuterTerminal {
    keys: BorrowedFd<'static>,
    /// The settings it had when we first were in its foreground.
    saved: Option<Termios>,
    raw: bool,
}

impl OuterTerminal {
    /// Takes standard input as that terminal, and changes nothing yet.
    pub(super) fn new() -> Self {
        Self {
            keys: rustix::stdio::stdin(),
            saved: None,
            raw: false,
        }
    }

    /// Returns whether our process group is its foreground group.
    pub(super) fn is_foreground(&self) -> bool {
        is_foreground(self.keys)
    }

    /// Gives the inner terminal the settings found, and remembers them.
    pub(super) fn lend(&mut self, inner: impl AsFd) -> io::Result<Termios> {
        let found = tcgetattr(self.keys)?;
        tcsetattr(inner, OptionalActions::Now, &found)?;
        Ok(self.saved.insert(found).clone())
    }

    /// Has every key passed on as it is, to be interpreted by the inner terminal.
    ///
    /// If that has no settings yet, it is lent ours. Does nothing while we are in the background.
    pub(super) fn enter_raw(&mut self, inner: impl AsFd) -> io::Result<()> {
        if !self.is_foreground() {
            return Ok(());
        }
        let saved = match &self.saved {
            Some(saved) => saved.clone(),
            None => self.lend(inner)?,
        };
        let mut raw = saved;
        raw.make_raw();
        // Kept as it was: whether input is UTF-8 matters to whoever edits lines next.
        #[cfg(any(target_os = "linux", target_os = "macos"))]
        if self
            .saved
            .as_ref()
            .is_some_and(|saved| saved.input_modes.contains(InputModes::IUTF8))
        {
            raw.input_modes |= InputModes::IUTF8;
        }
        self.raw = true;
        Ok(tcsetattr(self.keys, OptionalActions::Now, &raw)?)
    }

    /// Puts the settings back that were found.
    pub(super) fn restore(&mut self) {
        if let Some(saved) = self.saved.clone() {
            self.leave(&saved);
        }
    }

    /// Leaves the terminal with the settings that the program gave the inner one: it meant this terminal.
    pub(super) fn adopt(&mut self, inner: impl AsFd) {
        if self.raw
            && let Ok(attributes) = tcgetattr(inner)
        {
            self.leave(&attributes);
        }
    }

    fn leave(&mut self, attributes: &Termios) {
        // In the background the call would stop us, and the terminal is somebody else's.
        if std::mem::take(&mut self.raw) && self.is_foreground() {
            // A terminal that is gone needs no settings.
            tcsetattr(self.keys, OptionalActions::Now, attributes).ok();
        }
    }
}

impl AsFd for OuterTerminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.keys
    }
}

impl Drop for OuterTerminal {
    fn drop(&mut self) {
        self.restore();
    }
}
