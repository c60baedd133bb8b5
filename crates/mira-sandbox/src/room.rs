//! A room as its owner holds it, and the conversation with its porter.

use std::io::{self, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};

use crate::entrance::NAMESPACES;
use crate::wire::{self, Answer, Failure, Request};
use crate::{Entrance, Helper, Refusal, Step, View};

/// LIMIT: how long the porter may take for an answer. It takes milliseconds; whoever waits longer has a machine that stands still.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// What a room is to be.
#[derive(Clone, Debug, Default)]
pub struct RoomSpec {
    /// The TCP ports at which connections to any address are accepted. A program inside cannot listen on one of these
    /// itself. Not 53 and [`PROXY_PORT`](crate::PROXY_PORT), which are taken.
    pub ports: Vec<u16>,
    /// What its processes see of the file system.
    pub view: View,
}

/// The sockets that were made inside of a room. All of them block until they are told not to.
#[derive(Debug)]
pub struct Openings {
    /// Per port one for 0.0.0.0 and, where the kernel has IPv6, one for `[::]`. The own address of an accepted connection is the one that was meant.
    pub listeners: Vec<TcpListener>,
    /// Port 53 of 127.0.0.1.
    pub dns: (UdpSocket, TcpListener),
    /// [`PROXY_PORT`](crate::PROXY_PORT) of 127.0.0.1.
    pub proxy: TcpListener,
    /// A packet socket that tells of tries to leave: first packets of connections to other than loopback addresses (also to ports that are listened on), UDP,
    /// echo requests, and other protocols. What is read begins with the IP header. None where the kernel has no packet sockets.
    pub watch: Option<OwnedFd>,
}

/// A room. Dropping it ends its porter: what runs inside goes on, and the room can only be entered through what is left of it.
#[derive(Debug)]
pub struct Room {
    porter: Child,
    line: Mutex<OwnedFd>,
    entrance: Entrance,
}

impl Room {
    /// Makes a room.
    ///
    /// # Errors
    ///
    /// The step that failed. There is no room then.
    pub fn make(helper: &Helper, spec: &RoomSpec) -> Result<(Self, Openings), Refusal> {
        let start = |error| Refusal::new(Step::Start, error);
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(|error| start(error.into()))?;
        for timeout in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&ours, timeout, Some(ANSWER_TIME_MAX))
                .map_err(|error| start(error.into()))?;
        }
        let porter = Command::new(&helper.program)
            .args(&helper.arguments)
            .env_clear()
            .current_dir("/")
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(start)?;
        let porter = Ending(Some(porter));

        let talk = |error: io::Error| Refusal::new(Step::Talk, error);
        send_view(&ours, &spec.view).map_err(talk)?;
        let made = ask(&ours, Request::Make)
            .map_err(talk)?
            .map_err(|failure| refusal(failure, &spec.view))?;
        let mut made = made.into_iter();
        let mut next = || made.next().ok_or_else(too_few);
        let namespaces: [OwnedFd; NAMESPACES] = [next()?, next()?, next()?, next()?, next()?];
        let mut openings = Openings {
            listeners: Vec::new(),
            dns: (next()?.into(), next()?.into()),
            proxy: next()?.into(),
            watch: made.next(),
        };
        let room = Self {
            porter: porter.keep(),
            line: Mutex::new(ours),
            entrance: Entrance::from_fds(namespaces),
        };
        for port in &spec.ports {
            openings.listeners.extend(room.listen(*port)?);
        }
        Ok((room, openings))
    }

    /// Listens on one more port of every address.
    ///
    /// # Errors
    ///
    /// [`Step::Socket`] where a program inside has the port already; [`Step::Talk`] when the porter is gone.
    pub fn listen(&self, port: u16) -> Result<Vec<TcpListener>, Refusal> {
        let listeners = self.ask(Request::Listen(port))?;
        Ok(listeners.into_iter().map(TcpListener::from).collect())
    }

    /// Makes a TCP socket over IPv4 inside of the room. It reaches what listens there, on 127.0.0.1, and nothing else.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn socket(&self) -> Result<OwnedFd, Refusal> {
        let made = self.ask(Request::Socket)?;
        made.into_iter().next().ok_or_else(too_few)
    }

    /// Returns a way in, which may be handed to another process, and outlives the room.
    ///
    /// # Errors
    ///
    /// The system's, where this process may open no more.
    pub fn entrance(&self) -> io::Result<Entrance> {
        self.entrance.try_clone()
    }

    /// Returns the process id of the room's porter.
    pub fn porter(&self) -> u32 {
        self.porter.id()
    }

    fn ask(&self, request: Request<'_>) -> Result<Vec<OwnedFd>, Refusal> {
        let line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        match ask(&line, request) {
            Ok(answer) => answer.map_err(|failure| refusal(failure, &View::default())),
            Err(error) => {
                // An answer that comes too late must not be taken for the next one.
                shutdown(&*line, Shutdown::Both).ok();
                Err(Refusal::new(Step::Talk, error))
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        end(&mut self.porter);
    }
}

/// A porter that is ended, unless it is kept.
struct Ending(Option<Child>);

impl Ending {
    fn keep(mut self) -> Child {
        self.0.take().expect("it is taken here only")
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(porter) = &mut self.0 {
            end(porter);
        }
    }
}

fn end(porter: &mut Child) {
    // Both fail only when it has ended and somebody has waited for it.
    porter.kill().ok();
    porter.wait().ok();
}

fn send_view(line: &OwnedFd, view: &View) -> io::Result<()> {
    if view.own_devices {
        Request::Devices.send(line.as_fd(), &[])?;
    }
    for path in &view.hide {
        Request::Hide(path).send(line.as_fd(), &[])?;
    }
    for shown in &view.show {
        Request::Show {
            path: &shown.path,
            writable: shown.writable,
        }
        .send(line.as_fd(), &[])?;
    }
    for (path, bytes) in &view.files {
        let mut content = std::fs::File::from(memfd_create(c"file", MemfdFlags::CLOEXEC)?);
        content.write_all(bytes)?;
        Request::File(path).send(line.as_fd(), &[content.as_fd()])?;
    }
    Ok(())
}

fn ask(line: &OwnedFd, request: Request<'_>) -> io::Result<Answer> {
    request.send(line.as_fd(), &[])?;
    Ok(wire::receive_answer(line.as_fd())?)
}

fn too_few() -> Refusal {
    Refusal::new(Step::Talk, io::ErrorKind::UnexpectedEof)
}

fn refusal(failure: Failure, view: &View) -> Refusal {
    let path = failure
        .item
        .and_then(|item| view.paths().nth(usize::try_from(item).ok()?));
    Refusal::new(failure.step, failure.errno).with_path(path.map(ToOwned::to_owned))
}
