//! The network of a room: a loopback device to which every address is local, and the sockets that are handed out.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily as Family, RouteNetlinkMessage};
use rustix::io::{Errno, Result};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, listen, recv, sendto,
    socket_with,
};

use crate::PROXY_PORT;
use crate::refusal::Step;
use crate::wire::{At as _, Failure};

/// The loopback device is the first of every network namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// The table that is looked up before all others.
const TABLE_LOCAL: u8 = 255;

/// LIMIT: connections that wait for the gate to accept them; more are delayed by the system.
const BACKLOG: i32 = 1024;

/// The network of a room, set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Network {
    ipv6: bool,
}

impl Network {
    /// Sets the network of the namespace up that this process is in.
    pub(crate) fn set_up() -> std::result::Result<Self, Failure> {
        let netlink = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // Of netlink's protocols the first, which is routes.
            None,
        )
        .at(Step::Loopback)?;
        ask(&netlink, loopback_up(), 0).at(Step::Loopback)?;
        ask(&netlink, all_is_local(Family::Inet), NLM_F_CREATE).at(Step::Routes)?;
        // A kernel without IPv6 needs no route for it: there is nothing to connect with.
        let ipv6 = ask(&netlink, all_is_local(Family::Inet6), NLM_F_CREATE).is_ok();
        Ok(Self { ipv6 })
    }

    /// Makes listeners for one port of every address.
    pub(crate) fn listeners(self, port: u16) -> Result<Vec<OwnedFd>> {
        let mut listeners = vec![tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))?];
        if self.ipv6 {
            listeners.push(tcp(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?);
        }
        Ok(listeners)
    }
}

/// Makes the sockets for questions about names, over UDP and TCP.
pub(crate) fn dns() -> Result<[OwnedFd; 2]> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 53));
    let udp = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&udp, &address)?;
    Ok([udp, tcp(address)?])
}

/// Makes the listener for programs that use a proxy.
pub(crate) fn proxy() -> Result<OwnedFd> {
    tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, PROXY_PORT)))
}

/// Makes a TCP socket over IPv4 that is connected to nothing.
pub(crate) fn unconnected() -> Result<OwnedFd> {
    socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
}

fn tcp(address: SocketAddr) -> Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn loopback_up() -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = LOOPBACK;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(link)
}

/// `ip route add local default dev lo table local`.
fn all_is_local(family: Family) -> RouteNetlinkMessage {
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: family,
        table: TABLE_LOCAL,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Host,
        kind: RouteType::Local,
        ..RouteHeader::default()
    };
    route.attributes.push(RouteAttribute::Oif(LOOPBACK));
    RouteNetlinkMessage::NewRoute(route)
}

/// Has the kernel do one thing, and waits until it is done.
fn ask(netlink: &OwnedFd, what: RouteNetlinkMessage, flags: u16) -> Result<()> {
    let mut message = NetlinkMessage::from(what);
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(netlink, &bytes, SendFlags::empty(), &kernel)?;
    let mut answer = [0; 1024];
    let (length, _) = recv(netlink, &mut answer, RecvFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer);
    match answer.map_err(|_| Errno::PROTO)?.payload {
        NetlinkPayload::Error(error) => match error.code {
            None => Ok(()),
            Some(code) => Err(Errno::from_raw_os_error(code.get().saturating_neg())),
        },
        _ => Err(Errno::PROTO),
    }
}
