//! What is recorded of packets. A pair of datagram sockets stands for the packet socket, which only a room has: what is read from both is a
//! packet from its IP header on.

use std::os::unix::net::UnixDatagram;

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};
use tempfile::TempDir;

use super::*;
use crate::audit::{Filter, Keep, Reader};
use crate::names::Standing;

struct Room {
    folder: TempDir,
    names: Arc<Names>,
    wire: UnixDatagram,
}

fn room() -> Room {
    room_of(Owner::Unknown)
}

fn room_of(owner: Owner) -> Room {
    let folder = tempfile::tempdir().unwrap();
    let names = Arc::new(Names::default());
    let audit = Audit::open(&folder.path().join("net"), "app", Keep::default()).unwrap();
    let (wire, socket) = UnixDatagram::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    let watcher = Watcher::new(Arc::clone(&names), audit, owner);
    tokio::spawn(watcher.run(socket.into(), |port| port == 443));
    Room {
        folder,
        names,
        wire,
    }
}

impl Room {
    fn send(&self, packet: &[u8]) {
        self.wire.send(packet).unwrap();
    }

    fn recorded(&self) -> Vec<String> {
        let mut reader = Reader::new(&self.folder.path().join("net"), Filter::default());
        let rows = reader.read().unwrap().into_iter();
        rows.map(|row| {
            assert_eq!((&*row.how, &*row.rule), ("packet", "no way there"));
            let times = row.packets.unwrap();
            format!("{} {} {} x{times}", row.what.unwrap(), row.host, row.port)
        })
        .collect()
    }

    /// Waits until this many lines are in the record.
    async fn recorded_at_least(&self, lines: usize) -> Vec<String> {
        loop {
            let recorded = self.recorded();
            if recorded.len() >= lines {
                return recorded;
            }
            tokio::task::yield_now().await;
        }
    }
}

fn v4(to: &str, protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    let to: std::net::Ipv4Addr = to.parse().unwrap();
    let len = u16::try_from(payload.len()).unwrap();
    let header = Ipv4Header::new(len, 64, protocol, [127, 0, 0, 1], to.octets()).unwrap();
    [&*header.to_bytes(), payload].concat()
}

fn v6(to: &str, protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    let to: std::net::Ipv6Addr = to.parse().unwrap();
    let header = Ipv6Header {
        payload_length: u16::try_from(payload.len()).unwrap(),
        next_header: protocol,
        destination: to.octets(),
        ..Ipv6Header::default()
    };
    [&header.to_bytes()[..], payload].concat()
}

fn tcp(port: u16) -> Vec<u8> {
    let mut header = TcpHeader::new(40000, port, 1, 1000);
    header.syn = true;
    header.to_bytes().to_vec()
}

fn udp(port: u16) -> Vec<u8> {
    UdpHeader {
        source_port: 40000,
        destination_port: port,
        length: 8,
        checksum: 0,
    }
    .to_bytes()
    .to_vec()
}

#[tokio::test]
async fn tries_to_leave_are_recorded_by_protocol_destination_and_name() {
    let room = room();
    let known = room
        .names
        .address("other.test", Standing::Unlisted)
        .unwrap();
    room.send(&v4("192.0.2.1", IpNumber::TCP, &tcp(443)));
    room.send(&v4("192.0.2.1", IpNumber::TCP, &tcp(25)));
    room.send(&v4("192.0.2.1", IpNumber::UDP, &udp(443)));
    room.send(&v4(&known.to_string(), IpNumber::TCP, &tcp(6379)));
    room.send(&v4("192.0.2.1", IpNumber::ICMP, &[8, 0, 0, 0, 0, 0, 0, 0]));
    room.send(&v4("192.0.2.1", IpNumber::SCTP, &[0; 12]));
    room.send(&v4("192.0.2.1", IpNumber(200), &[]));
    room.send(&v6("2001:db8::1", IpNumber::TCP, &tcp(443)));
    room.send(&v6("2001:db8::1", IpNumber::UDP, &udp(53)));
    room.send(&v6(
        "2001:db8::1",
        IpNumber::IPV6_ICMP,
        &[128, 0, 0, 0, 0, 0, 0, 0],
    ));
    let expect = [
        "tcp 192.0.2.1 25 x1",
        "udp 192.0.2.1 443 x1",
        "tcp other.test 6379 x1",
        "icmp 192.0.2.1 0 x1",
        "sctp 192.0.2.1 0 x1",
        "200 192.0.2.1 0 x1",
        "udp 2001:db8::1 53 x1",
        "icmp 2001:db8::1 0 x1",
    ];
    assert_eq!(room.recorded_at_least(expect.len()).await, expect);
}

#[tokio::test]
async fn a_packet_is_of_the_service_that_its_ports_socket_is_of() {
    let room = room_of(Owner::LookedFor(Arc::new(|by, from| {
        let is_asked = from == "127.0.0.1:40000".parse().unwrap();
        (by == Transport::Udp && is_asked).then(|| "worker".into())
    })));
    room.send(&v4("192.0.2.1", IpNumber::UDP, &udp(53)));
    room.send(&v4("192.0.2.1", IpNumber::TCP, &tcp(25)));
    room.send(&v4("192.0.2.1", IpNumber::ICMP, &[8, 0, 0, 0, 0, 0, 0, 0]));
    room.recorded_at_least(3).await;
    let mut reader = Reader::new(&room.folder.path().join("net"), Filter::default());
    let rows = reader.read().unwrap().into_iter();
    let services: Vec<_> = rows.map(|row| row.service).collect();
    assert_eq!(services, [Some("worker".to_owned()), None, None]);
}

#[tokio::test]
async fn what_is_cut_off_or_no_packet_stops_nothing() {
    let room = room();
    for garbage in [&b""[..], b"x", &[0xff; 60], &[0x45; 10]] {
        room.send(garbage);
    }
    let whole = v4("192.0.2.1", IpNumber::TCP, &tcp(25));
    let (cut, _) = whole.split_at(24);
    room.send(cut);
    let whole = v4("192.0.2.2", IpNumber::UDP, &udp(25));
    let (cut, _) = whole.split_at(22);
    room.send(cut);
    let expect = ["tcp 192.0.2.1 25 x1", "udp 192.0.2.2 0 x1"];
    assert_eq!(room.recorded_at_least(2).await, expect);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_two_lines_a_second() {
    let room = room();
    let packet = v4("192.0.2.1", IpNumber::UDP, &udp(53));
    for _ in 0..100 {
        room.send(&packet);
        tokio::task::yield_now().await;
    }
    // The time goes on only when all is read.
    let expect = ["udp 192.0.2.1 53 x1", "udp 192.0.2.1 53 x99"];
    tokio::time::timeout(COUNT_OVER * 3, std::future::pending::<()>())
        .await
        .unwrap_err();
    assert_eq!(room.recorded(), expect);
    room.send(&packet);
    assert_eq!(room.recorded_at_least(3).await.last().unwrap(), expect[0]);
}

#[tokio::test]
async fn a_scan_is_bounded_and_what_is_beyond_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let audit = Audit::open(&folder.path().join("net"), "app", Keep::default()).unwrap();
    let mut watcher = Watcher::new(Arc::default(), audit, Owner::Unknown);
    for port in 0..u16::MAX {
        let to = Destination {
            protocol: "tcp".into(),
            address: Some("192.0.2.1".parse().unwrap()),
            port,
        };
        watcher.count(to, None).await;
    }
    watcher.write_counted();
    let rows = Reader::new(&folder.path().join("net"), Filter::default())
        .read()
        .unwrap();
    assert_eq!(rows.len(), DESTINATIONS_MAX + 2);
    let packets: u64 = rows.iter().filter_map(|row| row.packets).sum();
    assert_eq!(packets, u64::from(u16::MAX));
    assert_eq!(rows.last().unwrap().host, OTHERS);
}
