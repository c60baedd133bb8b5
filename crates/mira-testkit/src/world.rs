//! A world of one machine: a network namespace in which every address of the internet is the machine's own.
//!
//! What runs in it resolves and connects as outside, names to public addresses, and arrives at sockets that the test holds. INVARIANT: nothing leaves.
//! The namespace has a loopback device and no other; an address at which the test does not listen refuses, at once.
//!
//! It is made without privileges, from user, network and mount namespaces; processes in it have the user's own id. It needs the programs `unshare`,
//! `ip` and `python3`.

use std::io::{IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, Signal, chdir, getcwd, pidfd_open, pidfd_send_signal};
use rustix::thread::{
    ThreadNameSpaceType, capabilities, configure_capability_in_ambient_set,
    move_into_thread_name_spaces, set_capabilities,
};

use crate::ca::Ca;

const HELPER: &str = include_str!("world/helper.py");

// LIMIT: the helper answers within milliseconds; a minute tells a loaded machine from one where it hangs.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A world, with a certificate authority of its own. What still runs in it is killed when this is dropped.
#[derive(Debug)]
pub struct World {
    ca: Ca,
    helper: Child,
    /// The helper as a descriptor, which stands for its namespaces.
    inside: OwnedFd,
    network: PathBuf,
    requests: Mutex<UnixStream>,
    /// Kept for the files that are seen inside.
    _folder: tempfile::TempDir,
}

impl World {
    /// Makes a world in which these names lead to these addresses, and no other name to any.
    ///
    /// # Panics
    ///
    /// If the system allows no namespaces, or a program that is needed is missing.
    #[must_use]
    pub fn new(hosts: &[(&str, &str)]) -> Self {
        let lines = hosts
            .iter()
            .map(|(name, address)| format!("{address} {name}\n"));
        let lines = ["127.0.0.1 localhost\n::1 localhost\n".to_owned()]
            .into_iter()
            .chain(lines);
        let files = [
            ("/etc/hosts", lines.collect()),
            ("/etc/nsswitch.conf", "hosts: files dns\n".to_owned()),
            ("/etc/resolv.conf", "nameserver 127.0.0.1\n".to_owned()),
        ];
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (requests, theirs) = UnixStream::pair().expect("a pair of sockets");
        let mut command = Command::new("unshare");
        command
            .args([
                "--user",
                "--map-current-user",
                "--keep-caps",
                "--net",
                "--mount",
                "--",
            ])
            .args(["python3", "-I", "-c", HELPER])
            .stdin(OwnedFd::from(theirs));
        for (place, text) in files {
            let source = folder.path().join(place.replace('/', "-"));
            std::fs::write(&source, text).expect("a temporary folder can be written to");
            command.arg(source).arg(place);
        }
        let helper = command.spawn().expect("unshare starts");
        // It holds the other end of the pair of sockets: without it, the end of the helper is not seen.
        drop(command);
        requests
            .set_read_timeout(Some(WAIT_MAX))
            .expect("it is not zero");
        let (answer, _) = receive(&requests);
        assert_eq!(answer, "ready", "a world needs unprivileged namespaces");
        let pid = Pid::from_child(&helper);
        Self {
            ca: Ca::new(),
            helper,
            inside: pidfd_open(pid, PidfdFlags::empty()).expect("the helper runs"),
            network: network_of(pid).expect("the helper runs"),
            requests: Mutex::new(requests),
            _folder: folder,
        }
    }

    /// Returns the certificate authority that programs in this world trust.
    #[must_use]
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// Returns a command that runs in this world. Its environment and folder can be changed as those of any other command.
    ///
    /// It trusts the world's certificate authority where it looks at `SSL_CERT_FILE`.
    ///
    /// # Panics
    ///
    /// If there are no more descriptors.
    #[must_use]
    #[expect(unsafe_code, reason = "pre_exec")]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let inside = self.inside.try_clone().expect("a descriptor");
        let mut command = Command::new(program);
        command.env("SSL_CERT_FILE", self.ca.bundle());
        // SAFETY: the closure makes system calls, and allocates, which the C library keeps possible in the child of a fork.
        unsafe {
            command.pre_exec(move || {
                // Another mount namespace begins at its root; the folder has the same path there.
                let folder = getcwd(Vec::new())?;
                let all = ThreadNameSpaceType::USER
                    | ThreadNameSpaceType::NETWORK
                    | ThreadNameSpaceType::MOUNT;
                move_into_thread_name_spaces(inside.as_fd(), all)?;
                chdir(folder)?;
                Ok(())
            });
        }
        command
    }

    /// Returns such a command that may do everything to this world, and to nothing else: it mounts, sees packets, and reads other processes.
    ///
    /// # Panics
    ///
    /// If there are no more descriptors.
    #[must_use]
    #[expect(unsafe_code, reason = "pre_exec")]
    pub fn powerful(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = self.command(program);
        // SAFETY: the closure makes system calls only. It runs after the one that enters the world.
        unsafe {
            command.pre_exec(|| {
                let mut sets = capabilities(None)?;
                sets.inheritable = sets.permitted;
                set_capabilities(None, sets)?;
                // A user who is not root loses at exec all but these.
                for capability in sets.permitted.iter() {
                    configure_capability_in_ambient_set(capability, true)?;
                }
                Ok(())
            });
        }
        command
    }

    /// Listens inside, and is accepted from outside.
    ///
    /// # Panics
    ///
    /// If the address is no address with a port, or taken.
    #[must_use]
    #[track_caller]
    pub fn listen(&self, address: &str) -> TcpListener {
        self.socket("tcp", address).into()
    }

    /// Receives datagrams inside, to be read from outside.
    ///
    /// # Panics
    ///
    /// If the address is no address with a port, or taken.
    #[must_use]
    #[track_caller]
    pub fn datagrams(&self, address: &str) -> UdpSocket {
        self.socket("udp", address).into()
    }

    #[track_caller]
    fn socket(&self, kind: &str, address: &str) -> OwnedFd {
        let place: SocketAddr = address.parse().expect("an address with a port");
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let request = writeln!(requests, "{kind} {} {}", place.ip(), place.port());
        request.expect("the helper runs");
        let (answer, made) = receive(&requests);
        made.unwrap_or_else(|| panic!("{address}: {answer}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let own = Pid::from_child(&self.helper);
        // While the helper lives, the name of its network is nobody else's.
        while let Some(process) = processes().find(|pid| *pid != own && self.holds(*pid)) {
            if !self.kill(process) {
                break;
            }
        }
        drop(self.helper.kill());
        drop(self.helper.wait());
    }
}

impl World {
    fn holds(&self, pid: Pid) -> bool {
        network_of(pid).is_some_and(|network| network == self.network)
    }

    /// Kills a process if it is of this world; returns false if that cannot be done.
    fn kill(&self, pid: Pid) -> bool {
        let ended = |error| error == Errno::SRCH;
        let process = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => process,
            Err(error) => return ended(error),
        };
        // Looked at again: the number may have become another process's.
        if !self.holds(pid) {
            return true;
        }
        if let Err(error) = pidfd_send_signal(&process, Signal::KILL) {
            return ended(error);
        }
        let patience = Timespec::try_from(WAIT_MAX).expect("it fits");
        let mut end = [PollFd::new(&process, PollFlags::IN)];
        poll(&mut end, Some(&patience)).is_ok_and(|count| count > 0)
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// Returns the name of a process's network; nothing if it has ended.
fn network_of(pid: Pid) -> Option<PathBuf> {
    let link = format!("/proc/{}/ns/net", pid.as_raw_nonzero());
    std::fs::read_link(Path::new(&link)).ok()
}

/// Receives an answer of the helper, and the socket that comes with it.
fn receive(requests: &UnixStream) -> (String, Option<OwnedFd>) {
    let mut text = [0; 512];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut text)];
    let received = recvmsg(requests, &mut pieces, &mut beside, RecvFlags::CMSG_CLOEXEC)
        .expect("the helper answers")
        .bytes;
    let made = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    let text = text.get(..received).unwrap_or_default();
    (String::from_utf8_lossy(text).into_owned(), made)
}

#[cfg(test)]
mod tests;
