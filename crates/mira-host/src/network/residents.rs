//! Which service of an instance a connection or a packet in its room is from: the system's tables of sockets say which one has an
//! address (proc_pid_net(5)), and a service's processes show which of them has it open (proc_pid_fd(5)).
//!
//! It is for the record alone: nothing is allowed or refused by it. A program that closes its socket at once, or hands it to
//! another service, is recorded without a service, or under the other's name. So is a try to connect that failed: the system forgets its address.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mira_gate::{Owner, Transport};

/// How many processes of a service are looked at.
// LIMIT: a row waits for that look; a service with more is recorded without its name.
const PROCESSES_MAX: usize = 1000;

/// The services that live in a room.
#[derive(Debug, Default)]
pub(crate) struct Residents {
    /// The keeper of each that runs.
    keepers: Mutex<BTreeMap<Box<str>, u32>>,
}

/// A service that runs; when this is dropped, it does not any more.
#[derive(Debug)]
pub(crate) struct Resident {
    residents: Arc<Residents>,
    service: Box<str>,
}

impl Residents {
    /// Notes that a service runs, under this keeper.
    pub(crate) fn moved_in(self: &Arc<Self>, service: &str, keeper: u32) -> Resident {
        let service: Box<str> = service.into();
        self.keepers().insert(service.clone(), keeper);
        Resident {
            residents: Arc::clone(self),
            service,
        }
    }

    /// Returns who says which of these services has connected.
    pub(crate) fn owner(self: &Arc<Self>, services: &[&str]) -> Owner {
        match services {
            [] => Owner::Unknown,
            [only] => Owner::Only((*only).into()),
            _ => {
                let residents = Arc::clone(self);
                Owner::LookedFor(Arc::new(move |by, from| residents.find(by, from)))
            }
        }
    }

    fn find(&self, by: Transport, from: SocketAddr) -> Option<Box<str>> {
        let keepers = self.keepers().clone();
        let processes: Vec<(Box<str>, Vec<u32>)> = keepers
            .into_iter()
            .map(|(service, keeper)| (service, descendants(keeper)))
            .collect();
        // All of them live in one room, and see the same table.
        let anybody = *processes.iter().find_map(|(_, all)| all.last())?;
        let socket = format!("socket:[{}]", inode(anybody, by, from)?);
        let (service, _) = processes
            .into_iter()
            .find(|(_, all)| all.iter().any(|process| has_open(*process, &socket)))?;
        Some(service)
    }

    fn keepers(&self) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, u32>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.residents.keepers().remove(&self.service);
    }
}

/// Returns the processes that a process has started.
pub(crate) fn children(process: u32) -> Option<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
    let numbers = list.split_ascii_whitespace();
    numbers.map(|number| number.parse().ok()).collect()
}

/// Returns the processes below a keeper, which has one thread. Others may start a process from any of theirs.
fn descendants(keeper: u32) -> Vec<u32> {
    let mut all = children(keeper).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = all.get(next).copied() {
        next += 1;
        if all.len() >= PROCESSES_MAX {
            break;
        }
        let threads = fs::read_dir(format!("/proc/{process}/task"));
        for thread in threads.into_iter().flatten().flatten() {
            let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let numbers = list.split_ascii_whitespace();
            all.extend(numbers.filter_map(|number| number.parse::<u32>().ok()));
        }
    }
    all
}

/// Returns the socket that has an address, where this process lives.
fn inode(process: u32, by: Transport, from: SocketAddr) -> Option<u64> {
    // A socket of IPv6 may speak IPv4, and is in the table of its own kind.
    let tables = match by {
        Transport::Tcp => ["tcp", "tcp6"],
        Transport::Udp => ["udp", "udp6"],
    };
    tables.iter().find_map(|table| {
        let table = fs::read_to_string(format!("/proc/{process}/net/{table}")).ok()?;
        table.lines().skip(1).find_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            let local = address(fields.nth(1)?)?;
            let ip = local.ip().to_canonical();
            // A socket that sends packets to anybody has no address of its own, but a port that no other has.
            let is_bound = by == Transport::Tcp || !ip.is_unspecified();
            let is_it =
                local.port() == from.port() && (ip == from.ip().to_canonical() || !is_bound);
            // After the local address: the other, state, queues, timer, retransmissions, user, time-out.
            is_it.then(|| fields.nth(7)?.parse().ok()).flatten()
        })
    })
}

/// Reads an address as those tables have it: words of four bytes in the machine's order, in hex, and the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let hex = ip.get(8 * at..8 * at + 8)?;
        Some(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes())
    };
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let mut bytes = [0; 16];
            bytes
                .iter_mut()
                .zip(words.as_flattened())
                .for_each(|(to, from)| *to = *from);
            IpAddr::from(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn has_open(process: u32, socket: &str) -> bool {
    let open = fs::read_dir(format!("/proc/{process}/fd"));
    open.into_iter()
        .flatten()
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == socket))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    /// What the table says of this process's own sockets, by both families.
    #[test]
    fn a_socket_is_found_by_the_address_that_it_was_connected_from() {
        for listen in ["127.0.0.1:0", "[::1]:0", "[::ffff:127.0.0.1]:0"] {
            let Ok(listener) = TcpListener::bind(listen) else {
                // A machine without IPv6 has nothing to find.
                assert!(listen.starts_with('['), "{listen}");
                continue;
            };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let from = stream.local_addr().unwrap();
            let me = std::process::id();
            let socket = format!("socket:[{}]", inode(me, Transport::Tcp, from).unwrap());
            assert!(has_open(me, &socket), "{listen}");
            drop(stream);
            assert!(!has_open(me, &socket), "{listen}");
        }
    }

    #[test]
    fn a_socket_that_sends_packets_is_found_by_its_port_whether_it_is_connected_or_not() {
        for (bound, connected) in [
            ("127.0.0.1:0", true),
            ("0.0.0.0:0", false),
            ("[::]:0", false),
        ] {
            let Ok(sender) = UdpSocket::bind(bound) else {
                // A machine without IPv6 has nothing to find.
                assert!(bound.starts_with('['), "{bound}");
                continue;
            };
            if connected {
                sender.connect("127.0.0.1:9").unwrap();
            }
            let from = SocketAddr::from(([127, 0, 0, 1], sender.local_addr().unwrap().port()));
            let me = std::process::id();
            let socket = format!("socket:[{}]", inode(me, Transport::Udp, from).unwrap());
            assert!(has_open(me, &socket), "{bound}");
            drop(sender);
            assert!(!has_open(me, &socket), "{bound}");
        }
    }
}
