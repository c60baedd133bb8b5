//! What a room and its porter say to each other: one datagram per request and per answer, over a pair of sockets.
//!
//! Both ends are the same build, so there is no version and nothing is negotiated; what does not parse ends the conversation.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::{Errno, IoSliceMut, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::refusal::Step;

/// LIMIT: a tag and a path, which the system bounds by 4096 bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 1 + 4096;
/// LIMIT: an answer carries five namespaces and four sockets at the most.
const DESCRIPTORS_MAX: usize = 9;

/// What the porter is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request<'a> {
    /// To be hidden when the room is made. No answer.
    Hide(&'a Path),
    /// To be shown when the room is made. No answer.
    Show { path: &'a Path, writable: bool },
    /// To be put in place when the room is made; the content comes as a descriptor. No answer.
    File(&'a Path),
    /// To have devices of its own when the room is made. No answer.
    Devices,
    /// Makes the room. The answer carries the namespaces, in the order of `Entrance`, and the sockets of `Openings`.
    Make,
    /// Makes listeners for a port of every address.
    Listen(u16),
    /// Makes a TCP socket over IPv4.
    Socket,
}

const HIDE: u8 = 1;
const SHOW: u8 = 2;
const SHOW_WRITABLE: u8 = 3;
const FILE: u8 = 4;
const DEVICES: u8 = 5;
const MAKE: u8 = 6;
const LISTEN: u8 = 7;
const SOCKET: u8 = 8;

impl<'a> Request<'a> {
    fn encode(&self) -> Vec<u8> {
        let (tag, body) = match self {
            Self::Hide(path) => (HIDE, path.as_os_str().as_bytes().to_vec()),
            Self::Show { path, writable } => (
                if *writable { SHOW_WRITABLE } else { SHOW },
                path.as_os_str().as_bytes().to_vec(),
            ),
            Self::File(path) => (FILE, path.as_os_str().as_bytes().to_vec()),
            Self::Devices => (DEVICES, Vec::new()),
            Self::Make => (MAKE, Vec::new()),
            Self::Listen(port) => (LISTEN, port.to_le_bytes().to_vec()),
            Self::Socket => (SOCKET, Vec::new()),
        };
        [&[tag], body.as_slice()].concat()
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&tag, body) = bytes.split_first()?;
        let path = Path::new(std::ffi::OsStr::from_bytes(body));
        Some(match tag {
            HIDE => Self::Hide(path),
            SHOW | SHOW_WRITABLE => Self::Show {
                path,
                writable: tag == SHOW_WRITABLE,
            },
            FILE => Self::File(path),
            DEVICES => Self::Devices,
            MAKE => Self::Make,
            LISTEN => Self::Listen(u16::from_le_bytes(body.try_into().ok()?)),
            SOCKET => Self::Socket,
            _ => return None,
        })
    }

    pub(crate) fn send(&self, line: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        send(line, &self.encode(), descriptors)
    }

    /// Waits for a request; none when the other end is closed.
    pub(crate) fn receive(
        line: BorrowedFd<'_>,
        buffer: &'a mut [u8],
    ) -> Result<Option<(Self, Vec<OwnedFd>)>> {
        let (bytes, descriptors) = receive(line, buffer)?;
        if bytes == 0 {
            return Ok(None);
        }
        let request = buffer
            .get(..bytes)
            .and_then(Request::decode)
            .ok_or(Errno::PROTO)?;
        Ok(Some((request, descriptors)))
    }
}

/// A step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) step: Step,
    pub(crate) errno: Errno,
    /// Which path of the view it was, counted over all of them in the order in which they were sent.
    pub(crate) item: Option<u32>,
}

/// What the porter answers: what it made, or why it did not.
pub(crate) type Answer = std::result::Result<Vec<OwnedFd>, Failure>;

/// Says where a system call stood that failed.
pub(crate) trait At<T> {
    fn at(self, step: Step) -> std::result::Result<T, Failure>;
    fn at_item(self, step: Step, item: u32) -> std::result::Result<T, Failure>;
}

impl<T, E: Into<std::io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, step: Step) -> std::result::Result<T, Failure> {
        self.map_err(|error| Failure {
            step,
            errno: Errno::from_io_error(&error.into()).unwrap_or(Errno::IO),
            item: None,
        })
    }

    fn at_item(self, step: Step, item: u32) -> std::result::Result<T, Failure> {
        self.at(step).map_err(|failure| Failure {
            item: Some(item),
            ..failure
        })
    }
}

/// A step's number in an answer to which nothing failed.
const FINE: u8 = u8::MAX;
const NO_ITEM: u32 = u32::MAX;
const ANSWER_BYTES: usize = 1 + 4 + 4;

/// Sends an answer, with its descriptors.
pub(crate) fn answer(line: BorrowedFd<'_>, answer: &Answer) -> Result<()> {
    let (step, errno, item, descriptors) = match answer {
        Ok(descriptors) => (FINE, 0, NO_ITEM, descriptors.as_slice()),
        Err(failure) => (
            failure.step as u8,
            failure.errno.raw_os_error(),
            failure.item.unwrap_or(NO_ITEM),
            [].as_slice(),
        ),
    };
    let mut bytes = vec![step];
    bytes.extend(errno.to_le_bytes());
    bytes.extend(item.to_le_bytes());
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    send(line, &bytes, &descriptors)
}

/// Waits for an answer.
pub(crate) fn receive_answer(line: BorrowedFd<'_>) -> Result<Answer> {
    let mut buffer = [0; ANSWER_BYTES];
    let (bytes, descriptors) = receive(line, &mut buffer)?;
    if bytes == 0 {
        return Err(Errno::PIPE);
    }
    if bytes != ANSWER_BYTES {
        return Err(Errno::PROTO);
    }
    let [step, e0, e1, e2, e3, item @ ..] = buffer;
    if step == FINE {
        return Ok(Ok(descriptors));
    }
    let item = u32::from_le_bytes(item);
    Ok(Err(Failure {
        step: Step::from_number(step).ok_or(Errno::PROTO)?,
        errno: Errno::from_raw_os_error(i32::from_le_bytes([e0, e1, e2, e3])),
        item: (item != NO_ITEM).then_some(item),
    }))
}

/// Sends bytes, and descriptors with them.
pub(crate) fn send(
    line: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::TOOBIG);
    }
    rustix::io::retry_on_intr(|| {
        sendmsg(
            line,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        )
    })?;
    Ok(())
}

/// Receives bytes, and the descriptors that came with them.
pub(crate) fn receive(line: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = rustix::io::retry_on_intr(|| {
        recvmsg(
            line,
            &mut [IoSliceMut::new(buffer)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
    })?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((message.bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_was_sent() {
        let check = |request: Request<'_>| {
            let bytes = request.encode();
            assert_eq!(Request::decode(&bytes), Some(request));
        };
        check(Request::Hide(Path::new("/run")));
        check(Request::Show {
            path: Path::new("/a b"),
            writable: true,
        });
        check(Request::Show {
            path: Path::new("/a"),
            writable: false,
        });
        check(Request::File(Path::new("/etc/hosts")));
        check(Request::Devices);
        check(Request::Make);
        check(Request::Listen(443));
        check(Request::Socket);
        assert_eq!(Request::decode(&[]), None);
        assert_eq!(Request::decode(&[99]), None);
        assert_eq!(Request::decode(&[LISTEN, 1]), None);
    }
}
