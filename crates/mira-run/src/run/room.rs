//! A room for a program in the foreground.
//!
//! INVARIANT: what was open before the room was entered, and leads out of it, is not the program's: it gets its three streams alone, and none of
//! them may be a folder or a socket of a network.

#[cfg(target_os = "linux")]
pub use linux::{RoomError, RunRoom};

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::io;
    use std::os::fd::BorrowedFd;

    use mira_sandbox::{Confinement, Entrance};
    use rustix::fs::{FileType, fstat};
    use rustix::net::AddressFamily;
    use rustix::net::sockopt::socket_domain;
    use rustix::process::chdir;

    /// A room for a program, and what it may not do in it.
    #[derive(Debug)]
    pub struct RunRoom {
        entrance: Entrance,
        confinement: Confinement,
        /// The folder to begin in: entering a room leaves the one that we are in.
        folder: CString,
    }

    /// Why a program cannot be run in a room.
    #[derive(Debug, thiserror::Error)]
    #[non_exhaustive]
    pub enum RoomError {
        /// One of our standard streams, which are the program's too, leads out of the room.
        #[error("{stream} is {what}, by which a program would get out of its room")]
        Stream {
            /// The stream.
            stream: &'static str,
            /// What it is.
            what: &'static str,
            /// What a shell writes to have another one.
            instead: &'static str,
        },
        /// The folder is gone, or the system has no filter for what a program may do.
        #[error(transparent)]
        System(#[from] io::Error),
    }

    impl RunRoom {
        /// Prepares the way into a room, in the folder that we are in.
        ///
        /// # Errors
        ///
        /// See [`RoomError`].
        pub fn new(entrance: Entrance) -> Result<Self, RoomError> {
            let streams = [
                (rustix::stdio::stdin(), "standard input", "</dev/null"),
                (rustix::stdio::stdout(), "standard output", ">/dev/null"),
                (rustix::stdio::stderr(), "standard error", "2>/dev/null"),
            ];
            for (descriptor, stream, instead) in streams {
                if let Some(what) = leads_out(descriptor).map_err(io::Error::from)? {
                    return Err(RoomError::Stream {
                        stream,
                        what,
                        instead,
                    });
                }
            }
            let folder = std::env::current_dir()?.into_os_string();
            Ok(Self {
                entrance,
                confinement: Confinement::new().map_err(io::Error::other)?,
                folder: CString::new(folder.into_encoded_bytes()).map_err(io::Error::from)?,
            })
        }

        /// Enters the room. System calls only.
        pub(in crate::run) fn enter(&self) -> rustix::io::Result<()> {
            self.entrance.enter()?;
            chdir(&self.folder)
        }

        /// Gives up what is not needed in it. System calls only.
        pub(in crate::run) fn confine(&self) -> rustix::io::Result<()> {
            self.confinement.apply()
        }
    }

    /// Returns what a stream is, if that leads to more than itself: a folder belongs to the mounts outside, and sees below what covers them.
    fn leads_out(stream: BorrowedFd<'_>) -> rustix::io::Result<Option<&'static str>> {
        Ok(match FileType::from_raw_mode(fstat(stream)?.st_mode) {
            FileType::RegularFile
            | FileType::Fifo
            | FileType::CharacterDevice
            | FileType::BlockDevice => None,
            FileType::Socket if socket_domain(stream)? == AddressFamily::UNIX => None,
            FileType::Socket => Some("a socket of a network"),
            FileType::Directory => Some("a folder"),
            _ => Some("neither a file, a pipe nor a terminal"),
        })
    }
}

/// There are no rooms on this system.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub enum RunRoom {}

#[cfg(not(target_os = "linux"))]
impl RunRoom {
    pub(super) fn enter(&self) -> rustix::io::Result<()> {
        match *self {}
    }

    pub(super) fn confine(&self) -> rustix::io::Result<()> {
        match *self {}
    }
}
