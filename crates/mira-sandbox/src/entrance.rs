//! The way into a room, for a process that was just forked.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::wire;

/// The namespaces of a room, as open descriptors. They keep the room, closed as it is, also after its [`Room`](crate::Room) is gone.
#[derive(Debug)]
pub struct Entrance {
    namespaces: [OwnedFd; NAMESPACES],
}

/// How many descriptors an [`Entrance`] is.
pub(crate) const NAMESPACES: usize = 5;

/// The user namespace comes first: it gives the rights to enter the others, which belong to it.
pub(crate) const ORDER: [LinkNameSpaceType; NAMESPACES] = [
    LinkNameSpaceType::User,
    LinkNameSpaceType::Mount,
    LinkNameSpaceType::Network,
    LinkNameSpaceType::InterProcessCommunication,
    LinkNameSpaceType::HostNameAndNISDomainName,
];

impl Entrance {
    /// Takes descriptors that came from [`fds`](Self::fds), in the same order.
    pub fn from_fds(fds: [OwnedFd; 5]) -> Self {
        Self { namespaces: fds }
    }

    /// Returns the descriptors, to be handed to another process.
    pub fn fds(&self) -> [BorrowedFd<'_>; 5] {
        self.namespaces
            .each_ref()
            .map(|namespace| namespace.as_fd())
    }

    /// Sends bytes over a unix socket, and the way into a room with them, if there is one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn send(
        entrance: Option<&Self>,
        socket: BorrowedFd<'_>,
        bytes: &[u8],
    ) -> rustix::io::Result<()> {
        let fds = entrance.map(Self::fds);
        wire::send(socket, bytes, fds.as_ref().map_or(&[], |fds| fds))
    }

    /// Receives what [`send`](Self::send) sent: the bytes into `buffer`, and the way into a room, if it came with them. Returns how many bytes came too.
    ///
    /// # Errors
    ///
    /// The system's; or the descriptors are not those of a room.
    pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<(usize, Option<Self>)> {
        let (bytes, fds) = wire::receive(socket, buffer)?;
        if fds.is_empty() {
            return Ok((bytes, None));
        }
        let fds = fds.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
        Ok((bytes, Some(Self::from_fds(fds))))
    }

    /// Duplicates the descriptors.
    ///
    /// # Errors
    ///
    /// The system's, where this process may open no more.
    pub fn try_clone(&self) -> io::Result<Self> {
        let [user, mount, network, ipc, uts] = &self.namespaces;
        Ok(Self {
            namespaces: [
                user.try_clone()?,
                mount.try_clone()?,
                network.try_clone()?,
                ipc.try_clone()?,
                uts.try_clone()?,
            ],
        })
    }

    /// Brings this process into the room: it must have one thread only.
    ///
    /// System calls only. Afterwards the process has every capability inside, until [`Confinement::apply`](crate::Confinement::apply), and the current folder
    /// is the root.
    ///
    /// # Errors
    ///
    /// The system's. The process is then neither here nor there, and has to end.
    pub fn enter(&self) -> rustix::io::Result<()> {
        for (namespace, kind) in self.namespaces.iter().zip(ORDER) {
            move_into_link_name_space(namespace.as_fd(), Some(kind))?;
        }
        Ok(())
    }
}
