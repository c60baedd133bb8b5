//! Rooms: places for processes whose only ways out are sockets that were made inside and handed out.
//!
//! A room is a user, a network, a mount, an IPC and a UTS namespace, made without any privilege by a small process of its own, the
//! **porter** ([`main`]). Its network has a loopback device and nothing else; two routes make *every* address local to it. So a connection to
//! any address ends at a listener of the room, and the listener's owner, who stays outside, learns from the accepted socket's own address
//! what was meant. What nobody listens for is refused at once, and told by [`Openings::watch`].
//!
//! | what | is enforced by |
//! |---|---|
//! | no packet leaves, over any protocol; another room is not reached | the network namespace: no device but loopback |
//! | abstract unix sockets of the host are not reached | the network namespace |
//! | path sockets of the host are not reached | the [`View`]: hidden folders, and a mask over each socket that the host listed when the room was made, and over those beside it |
//! | files that tell of the user's other keys are not seen | the [`View`], and that nobody inside can unmount anything |
//! | memory and environment of processes outside are not read | the user namespace; the keeper's PID namespace hides them as well |
//! | shared memory and message queues of the host are not reached | the IPC namespace |
//! | nothing of this is undone from inside | [`Confinement`]: no capability, none to be had by `exec`, no new namespaces, mounts or keyrings |
//! | root inside of a room of root's is nobody special | no capabilities, also none by being root; the kernel's settings are read-only |
//!
//! What is not enforced: a unix socket that is bound in a visible folder after the room was made is reached by its path, as is one that was moved there
//! from another folder, or bound by a container that has the folder at another path: hide the folders where such sockets are. Without
//! [`View::own_devices`] the devices are the host's, disks and other terminals among them as far as the user may open them. The files that the view leaves are
//! the user's: what is written to them may be run outside, later. The kernel is the same.
//!
//! INVARIANT: a room whose set-up failed at any step is not handed out, and never entered. A room that lost its porter or its owner has fewer
//! ways out, not more. Nothing is unshared in a process with threads, and only system calls run between `fork` and `exec`.

#[cfg(target_os = "linux")]
mod confinement;
#[cfg(target_os = "linux")]
mod entrance;
#[cfg(target_os = "linux")]
mod namespaces;
#[cfg(target_os = "linux")]
mod network;
#[cfg(target_os = "linux")]
mod porter;
mod refusal;
#[cfg(target_os = "linux")]
mod room;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod view;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(target_os = "linux")]
mod wire;

use std::ffi::OsString;
use std::path::PathBuf;

pub use refusal::{Refusal, Step};
#[cfg(target_os = "linux")]
pub use {
    confinement::{Confinement, ConfinementError},
    entrance::Entrance,
    porter::main,
    room::{Openings, Room, RoomSpec},
    view::{Shown, View, mount_proc},
};

/// The port of [`Openings::proxy`] on 127.0.0.1 inside of every room.
pub const PROXY_PORT: u16 = 3128;

/// A program that does something for this one in a process of its own, such as [`main`]: usually this one again, with a hidden word.
#[derive(Clone, Debug)]
pub struct Helper {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments, up to and with the hidden word.
    pub arguments: Vec<OsString>,
}

impl Helper {
    /// Names this very program, called with a hidden word, whatever became of its file since it was started.
    #[must_use]
    pub fn this_program(word: &str) -> Self {
        Self {
            program: "/proc/self/exe".into(),
            arguments: vec![word.into()],
        }
    }
}

/// Makes a real room, the smallest, and drops it: can this machine, and this user on it, have rooms?
///
/// # Errors
///
/// The step that failed, with the system's reason.
pub fn probe(helper: &Helper) -> Result<(), Refusal> {
    #[cfg(target_os = "linux")]
    return Room::make(helper, &RoomSpec::default()).map(drop);
    #[cfg(not(target_os = "linux"))]
    {
        let Helper { .. } = helper;
        Err(Refusal::platform())
    }
}
