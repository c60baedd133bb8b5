//! The socket between supervisor and keeper: what is to be started, then orders one way and reports the other.
//!
//! Both ends are one build of one program, so there is no version and no negotiation. Its end is an order too: whoever held
//! the other end is gone, so everything is to be killed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use mira_sandbox::Entrance;
use mira_secret::SecretBytes;
use rustix::process::Signal;

use mira_run::Outcome;

/// The biggest launch message that is taken, in bytes.
// LIMIT: arguments and environment of one program are at most a quarter of its stack, 2 MiB by default (execve(2)); as much
// again and more is left for files.
const LAUNCH_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many orders are read at once.
const ORDERS_MAX: usize = 16;

/// The size of a report.
pub(crate) const REPORT_BYTES: usize = 8;

const KILL: u8 = 0;

/// What the keeper is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Send this signal to the main process's group.
    Signal(Signal),
    /// Kill the tree.
    Kill,
}

/// Returns the order to send a signal.
pub(crate) fn order_signal(signal: i32) -> u8 {
    u8::try_from(signal).unwrap_or(KILL)
}

/// Returns the order to kill the tree.
pub(crate) fn order_kill() -> u8 {
    KILL
}

impl Order {
    fn from_byte(byte: u8) -> Self {
        Signal::from_named_raw(byte.into()).map_or(Self::Kill, Self::Signal)
    }
}

/// What the keeper tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The service runs: this is its main process.
    Started(i32),
    /// The program could not be executed, for this `errno`.
    NotStarted(i32),
    /// The secret files could not be written, for this `errno`.
    FilesRefused(i32),
    /// The main process has ended; the rest of the tree is being killed.
    Ended(Outcome),
}

impl Report {
    fn to_bytes(self) -> [u8; REPORT_BYTES] {
        let (kind, value) = match self {
            Self::Started(pid) => (0, pid),
            Self::NotStarted(errno) => (1, errno),
            Self::FilesRefused(errno) => (2, errno),
            Self::Ended(Outcome::Exited(code)) => (3, code),
            Self::Ended(Outcome::Signaled(signal)) => (4, signal),
        };
        let mut bytes = [0; REPORT_BYTES];
        let (first, second) = bytes.split_at_mut(REPORT_BYTES / 2);
        first.copy_from_slice(&i32::to_ne_bytes(kind));
        second.copy_from_slice(&i32::to_ne_bytes(value));
        bytes
    }

    /// Reads a report; nothing if it is none.
    pub(crate) fn from_bytes(bytes: [u8; REPORT_BYTES]) -> Option<Self> {
        let ([kind, value], _) = bytes.as_chunks::<4>() else {
            return None;
        };
        let value = i32::from_ne_bytes(*value);
        match i32::from_ne_bytes(*kind) {
            0 => Some(Self::Started(value)),
            1 => Some(Self::NotStarted(value)),
            2 => Some(Self::FilesRefused(value)),
            3 => Some(Self::Ended(Outcome::Exited(value))),
            4 => Some(Self::Ended(Outcome::Signaled(value))),
            _ => None,
        }
    }
}

/// The keeper's end of the socket.
#[derive(Debug)]
pub(super) struct Control {
    socket: Option<File>,
}

impl Control {
    /// Takes standard input, which is the socket, and leaves an empty one in its place.
    pub(super) fn take() -> io::Result<Self> {
        // Not inherited by the service, which would hold it open.
        let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        rustix::stdio::dup2_stdin(super::sys::open_null()?)?;
        Ok(Self {
            socket: Some(File::from(socket)),
        })
    }

    /// Reads what is to be started: a length, with the room to start it in if there is one; then that many bytes, which may be secret.
    pub(super) fn receive_launch(&self) -> io::Result<(SecretBytes, Option<Entrance>)> {
        let mut socket = self.socket.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut len = [0; 4];
        let (bytes, room) = Entrance::receive(socket.as_fd(), &mut len)?;
        if bytes != len.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len = u32::from_ne_bytes(len) as usize;
        if len > LAUNCH_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let message = SecretBytes::try_fill(len, |bytes| socket.read_exact(bytes))?;
        Ok((message, room))
    }

    pub(super) fn tell(&self, report: Report) {
        // If nobody listens any more, we see the end of the socket next.
        if let Some(mut socket) = self.socket.as_ref() {
            socket.write_all(&report.to_bytes()).ok();
        }
    }

    /// Returns the socket unless it has ended.
    pub(super) fn as_open(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// Reads the orders that have come. The end of the socket is the order to kill.
    pub(super) fn orders(&mut self) -> Vec<Order> {
        let mut bytes = [0; ORDERS_MAX];
        let read = self
            .socket
            .as_ref()
            .map(|mut socket| socket.read(&mut bytes));
        match read {
            Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Vec::new(),
            Some(Ok(len)) if len > 0 => bytes
                .iter()
                .take(len)
                .map(|&byte| Order::from_byte(byte))
                .collect(),
            _ => {
                self.socket = None;
                vec![Order::Kill]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_orders_travel_as_bytes() {
        for report in [
            Report::Started(7),
            Report::NotStarted(2),
            Report::FilesRefused(28),
            Report::Ended(Outcome::Exited(255)),
            Report::Ended(Outcome::Signaled(9)),
        ] {
            assert_eq!(Report::from_bytes(report.to_bytes()), Some(report));
        }
        assert_eq!(Report::from_bytes([9; REPORT_BYTES]), None);
        assert_eq!(Order::from_byte(order_kill()), Order::Kill);
        let term = Order::from_byte(order_signal(libc::SIGTERM));
        assert_eq!(term, Order::Signal(Signal::TERM));
    }
}
