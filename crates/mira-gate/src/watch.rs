//! The watcher of a room: it records the packets that go nowhere, so that a try to leave past the gate is seen, though it was without hope.
//!
//! It reads a packet socket whose filter passes only what begins a try to leave. INVARIANT: a flood is a few lines: of the packets to one
//! destination, the first of a second has a line, and all others of that second have one together.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use etherparse::{IpNumber, LaxIpSlice};
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::audit::{Attempt, Audit, How};
use crate::names::Names;
use crate::owner::{Owner, Transport};
use crate::policy::{Reason, Verdict};

/// How much of a packet is looked at, in bytes.
// LIMIT: the longest header of IPv4 and that of TCP, with all options.
const PACKET_BYTES_MAX: usize = 120;

/// How often what was counted is written.
const COUNT_OVER: Duration = Duration::from_secs(1);

/// How many destinations are told apart at once; all others are counted together.
// LIMIT: with two lines each, a scan of all ports fills no more than 2 MiB of the record in a second.
const DESTINATIONS_MAX: usize = 4096;

/// Of how many destinations of a second it is looked for who sends there.
// LIMIT: each look takes milliseconds, while packets wait in the socket's buffer; a scan goes to more, and its first rows tell whose it is.
const LOOKED_FOR_MAX: usize = 32;

/// What the record calls the destinations that are counted together.
const OTHERS: &str = "(others)";

/// Records the packets of a room.
#[derive(Debug)]
pub(crate) struct Watcher {
    names: Arc<Names>,
    audit: Audit,
    owner: Owner,
    /// Packets of this second.
    counted: HashMap<Destination, Counted>,
}

/// The packets to one destination.
#[derive(Debug, Default)]
struct Counted {
    /// Who sent the first one, where that is known.
    service: Option<Box<str>>,
    /// How many have no line yet.
    packets: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Destination {
    protocol: Box<str>,
    /// None for those that are counted together.
    address: Option<IpAddr>,
    port: u16,
}

impl Watcher {
    /// Makes one that knows these names.
    pub(crate) fn new(names: Arc<Names>, audit: Audit, owner: Owner) -> Self {
        Self {
            names,
            audit,
            owner,
            counted: HashMap::new(),
        }
    }

    /// Reads a packet socket until it is dropped, or fails. Connections to ports that `listening` knows are recorded where they are accepted.
    ///
    /// # Errors
    ///
    /// Returns the system's error if the socket cannot be read any more.
    pub(crate) async fn run(
        mut self,
        socket: OwnedFd,
        listening: impl Fn(u16) -> bool + Send,
    ) -> io::Result<Infallible> {
        let socket = registered(socket)?;
        let mut seconds = tokio::time::interval(COUNT_OVER);
        loop {
            tokio::select! {
                _ = seconds.tick() => self.write_counted(),
                packet = receive(&socket) => {
                    if let Some(Seen { to, from }) = seen(&packet?)
                        && !(&*to.protocol == "tcp" && listening(to.port))
                    {
                        self.count(to, from).await;
                    }
                }
            }
        }
    }

    async fn count(&mut self, mut to: Destination, from: Option<(Transport, SocketAddr)>) {
        if self.counted.len() >= DESTINATIONS_MAX && !self.counted.contains_key(&to) {
            to.address = None;
            to.port = 0;
        }
        if let Some(counted) = self.counted.get_mut(&to) {
            counted.packets += 1;
            return;
        }
        let service = match from {
            Some((by, from)) if self.counted.len() < LOOKED_FOR_MAX => {
                self.owner.of(by, from).await
            }
            _ => self.owner.only().map(Into::into),
        };
        self.write(&to, service.as_deref(), 1);
        let counted = Counted {
            service,
            packets: 0,
        };
        self.counted.insert(to, counted);
    }

    fn write_counted(&mut self) {
        for (to, mut counted) in std::mem::take(&mut self.counted) {
            if counted.packets > 0 {
                self.write(&to, counted.service.as_deref(), counted.packets);
                // It goes on: what comes in the next second is counted again.
                counted.packets = 0;
                self.counted.insert(to, counted);
            }
        }
    }

    fn write(&self, to: &Destination, service: Option<&str>, packets: u64) {
        let name = match to.address {
            Some(IpAddr::V4(address)) => self.names.name(address),
            _ => None,
        };
        let host = match (&name, to.address) {
            (Some(name), _) => name.to_string(),
            (None, Some(address)) => address.to_string(),
            (None, None) => OTHERS.to_owned(),
        };
        let attempt = Attempt {
            service,
            host: &host,
            address: to.address.filter(|_| name.is_none()),
            port: to.port,
            how: How::Packet {
                protocol: &to.protocol,
                packets,
            },
            verdict: &Verdict::Refused(Reason::NoWay),
        };
        // It went nowhere, whether it is recorded or not.
        self.audit.refused(&attempt).ok();
    }
}

/// Has a socket tell when it can be read.
fn registered(socket: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and the same descriptor for as long as it lives.
    #[allow(unsafe_code)]
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    Ok(registered?)
}

/// Returns the beginning of the next packet.
async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<Vec<u8>> {
    loop {
        let mut ready = socket.readable().await?;
        let received = ready.try_io(|socket| {
            let mut packet = vec![0; PACKET_BYTES_MAX];
            let (len, _) = recv(socket, &mut packet, RecvFlags::DONTWAIT)?;
            packet.truncate(len);
            Ok(packet)
        });
        match received {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(received) => return received,
            Err(_not_ready) => {}
        }
    }
}

/// What is seen of a packet.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    to: Destination,
    /// By what it was sent and from where, if that has ports.
    from: Option<(Transport, SocketAddr)>,
}

/// Returns where a packet goes, and where it is from.
fn seen(packet: &[u8]) -> Option<Seen> {
    let (ip, _) = LaxIpSlice::from_slice(packet).ok()?;
    let payload = ip.payload();
    let (protocol, has_ports): (Box<str>, _) = match payload.ip_number {
        IpNumber::TCP => ("tcp".into(), true),
        IpNumber::UDP => ("udp".into(), true),
        IpNumber::ICMP | IpNumber::IPV6_ICMP => ("icmp".into(), false),
        other => match other.keyword_str() {
            Some(word) => (word.to_ascii_lowercase().into(), false),
            None => (other.0.to_string().into(), false),
        },
    };
    // Both protocols begin with the ports; the rest of the header may be cut off. A fragment may have none.
    let (source, port) = match payload.payload {
        [high, low, to_high, to_low, ..] if has_ports && !payload.fragmented => (
            Some(u16::from_be_bytes([*high, *low])),
            u16::from_be_bytes([*to_high, *to_low]),
        ),
        _ => (None, 0),
    };
    let by = match payload.ip_number {
        IpNumber::TCP => Transport::Tcp,
        _ => Transport::Udp,
    };
    let to = Destination {
        protocol,
        address: Some(ip.destination_addr()),
        port,
    };
    Some(Seen {
        to,
        from: source.map(|source| (by, SocketAddr::new(ip.source_addr(), source))),
    })
}

#[cfg(test)]
mod tests;
