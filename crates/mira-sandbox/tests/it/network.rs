//! The network of a room: what arrives at its listeners, what is told of, and that the rest goes nowhere.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mira_sandbox::{PROXY_PORT, Step};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketType, connect, ipproto, recv, sendto, socket,
};
use rustix::process::{Pid, Signal, kill_process};

use super::house::{python, room, start};

#[test]
fn a_connection_to_any_address_arrives_and_says_what_was_meant() {
    let (room, openings) = room(&[443]);
    let [v4, v6] = openings.listeners.as_slice() else {
        panic!("two listeners: {:?}", openings.listeners)
    };
    let said = python(
        &room,
        "
attempt('v4', lambda: tcp('8.8.8.8', 443))
attempt('metadata', lambda: tcp('169.254.169.254', 443))
attempt('mapped', lambda: tcp('::ffff:1.1.1.1', 443, socket.AF_INET6))
attempt('v6', lambda: tcp('2001:4860:4860::8888', 443, socket.AF_INET6))
attempt('link', lambda: socket.socket(socket.AF_INET6).connect(('fe80::1', 443, 0, 1)))
",
    );
    assert_eq!(
        said,
        "v4 done None\nmetadata done None\nmapped done None\nv6 done None\nlink done None\n"
    );
    for meant in ["8.8.8.8", "169.254.169.254", "1.1.1.1"] {
        let (stream, _) = v4.accept().unwrap();
        assert_eq!(
            stream.local_addr().unwrap(),
            SocketAddr::new(meant.parse().unwrap(), 443)
        );
    }
    for meant in ["2001:4860:4860::8888", "fe80::1"] {
        let (stream, _) = v6.accept().unwrap();
        let local = stream.local_addr().unwrap();
        assert_eq!((local.ip(), local.port()), (meant.parse().unwrap(), 443));
    }
}

#[test]
fn what_nobody_listens_for_is_refused_and_told_of() {
    let (room, openings) = room(&[443]);
    let watch = openings.watch.unwrap();
    let said = python(
        &room,
        "
attempt('tcp', lambda: tcp('8.8.8.8', 444))
attempt('tcp6', lambda: tcp('2001:db8::1', 444, socket.AF_INET6))
attempt('listened', lambda: tcp('8.8.4.4', 443))
attempt('own', lambda: tcp('127.0.0.1', 444))
attempt('own6', lambda: tcp('::1', 444, socket.AF_INET6))
attempt('own-udp', lambda: udp('127.0.0.1', 444))
attempt('dns', lambda: udp('8.8.8.8', 53))
attempt('quic', lambda: udp('2001:db8::2', 443, socket.AF_INET6))
attempt('multicast', lambda: udp('224.0.0.251', 5353))
attempt('raw', lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt('raw6', lambda: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6))
attempt('ping', lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP))
",
    );
    let refused = "tcp ECONNREFUSED\ntcp6 ECONNREFUSED\nlistened done None\nown ECONNREFUSED\nown6 ECONNREFUSED\n";
    let sent = "own-udp done 1\ndns done 1\nquic done 1\nmulticast done 1\n";
    assert_eq!(
        said,
        format!("{refused}{sent}raw EPERM\nraw6 EPERM\nping EACCES\n")
    );
    let expect = [
        "6 8.8.8.8 444",
        "6 2001:db8::1 444",
        "6 8.8.4.4 443",
        "17 8.8.8.8 53",
        "17 2001:db8::2 443",
        "17 224.0.0.251 5353",
    ];
    // The last one shows that nothing came before it that should not have.
    assert_eq!(packets(&watch, expect.len()), expect);
    echo(&room);
    assert_eq!(packets(&watch, 1), ["1 8.8.8.8 2048"]);
}

#[test]
fn a_room_that_is_dropped_leaves_no_process() {
    let (room, _openings) = room(&[]);
    let porter = format!("/proc/{}", room.porter());
    assert!(Path::new(&porter).exists());
    drop(room);
    assert!(!Path::new(&porter).exists());
}

/// Sends an echo request, as a process inside that still has its rights.
fn echo(room: &mira_sandbox::Room) {
    let entrance = room.entrance().unwrap();
    let mut command = Command::new("true");
    #[expect(unsafe_code, reason = "the way into the room is between fork and exec")]
    // SAFETY: only system calls are made.
    unsafe {
        command.pre_exec(move || {
            entrance.enter()?;
            let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
            let request = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
            sendto(
                &raw,
                &request,
                SendFlags::empty(),
                &SocketAddr::from(([8, 8, 8, 8], 0)),
            )?;
            Ok(())
        });
    }
    assert!(command.status().unwrap().success());
}

/// Reads packets: protocol, destination, and the two bytes where a port would be.
fn packets(watch: &OwnedFd, count: usize) -> Vec<String> {
    set_socket_timeout(watch, Timeout::Recv, Some(Duration::from_secs(30))).unwrap();
    let packet = |()| {
        let mut bytes = [0; 2048];
        let (length, _) = recv(watch, &mut bytes, RecvFlags::empty()).unwrap();
        assert!(length <= 64, "content is not read: {length}");
        let number = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        if bytes[0] >> 4 == 4 {
            let to: [u8; 4] = bytes[16..20].try_into().unwrap();
            let at = usize::from(bytes[0] & 15) * 4;
            // Of ICMP the type and the code.
            let at = if bytes[9] == 1 { at } else { at + 2 };
            format!("{} {} {}", bytes[9], IpAddr::from(to), number(at))
        } else {
            let to: [u8; 16] = bytes[24..40].try_into().unwrap();
            format!("{} {} {}", bytes[6], IpAddr::from(to), number(42))
        }
    };
    std::iter::repeat_n((), count).map(packet).collect()
}

#[test]
fn a_room_has_no_device_but_loopback() {
    let (room, _openings) = room(&[]);
    let said = python(
        &room,
        "print(socket.if_nameindex()); print(open('/proc/self/net/dev').read().count(':'))",
    );
    assert_eq!(said, "[(1, 'lo')]\n1\n");
}

#[test]
fn names_are_asked_for_at_the_handed_out_sockets() {
    let (room, openings) = room(&[]);
    let (udp, tcp) = openings.dns;
    let mut child = start(
        &room,
        "
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(b'question', ('127.0.0.1', 53))
print(s.recv(99))
tcp('127.0.0.1', 53)
tcp('127.0.0.1', 3128)
",
    );
    let mut question = [0; 99];
    let (length, from) = udp.recv_from(&mut question).unwrap();
    assert_eq!(&question[..length], b"question");
    udp.send_to(b"answer", from).unwrap();
    tcp.accept().unwrap();
    openings.proxy.accept().unwrap();
    assert_eq!(openings.proxy.local_addr().unwrap().port(), PROXY_PORT);
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "b'answer'\n");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_server_inside_is_reached_through_a_socket_of_its_room_and_from_no_other_room() {
    let (room, _openings) = room(&[]);
    let mut server = start(
        &room,
        "
s = socket.create_server(('127.0.0.1', 5000))
print('ready')
c, _ = s.accept()
c.sendall(c.recv(99).upper())
c.close()
",
    );
    let mut ready = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert_eq!(ready, "ready\n");

    let (other, _other_openings) = super::house::room(&[]);
    let said = python(&other, "attempt('other', lambda: tcp('127.0.0.1', 5000))");
    assert_eq!(said, "other ECONNREFUSED\n");

    let inside = room.socket().unwrap();
    connect(&inside, &SocketAddr::from(([127, 0, 0, 1], 5000))).unwrap();
    let mut stream = TcpStream::from(inside);
    stream.write_all(b"hello").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said, "HELLO");
    assert!(server.wait().unwrap().success());
}

#[test]
fn a_port_is_listened_on_later_unless_a_program_has_it() {
    let (room, _openings) = room(&[]);
    let listeners = room.listen(8443).unwrap();
    let said = python(&room, "attempt('later', lambda: tcp('10.0.0.1', 8443))");
    assert_eq!(said, "later done None\n");
    let (stream, _) = listeners[0].accept().unwrap();
    assert_eq!(stream.local_addr().unwrap().to_string(), "10.0.0.1:8443");

    let taken = room.listen(8443).unwrap_err();
    assert_eq!(taken.step(), Step::Socket);
    assert_eq!(
        taken.error().raw_os_error(),
        Some(rustix::io::Errno::ADDRINUSE.raw_os_error())
    );
}

#[test]
fn abstract_sockets_of_the_host_are_not_reached() {
    let name = format!("mira-sandbox-test-{}", std::process::id());
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let (room, _openings) = room(&[]);
    let said = python(
        &room,
        &format!("attempt('abstract', lambda: unix('\\0{name}'))"),
    );
    assert_eq!(said, "abstract ECONNREFUSED\n");
}

#[test]
fn without_its_porter_a_room_is_closed_but_for_the_sockets_that_are_out() {
    let (room, openings) = room(&[443]);
    let porter = i32::try_from(room.porter()).unwrap();
    kill_process(Pid::from_raw(porter).unwrap(), Signal::KILL).unwrap();
    let refusal = room.listen(80).unwrap_err();
    assert_eq!(refusal.step(), Step::Talk);
    let said = python(
        &room,
        "
attempt('held', lambda: tcp('8.8.8.8', 443))
attempt('new', lambda: tcp('8.8.8.8', 80))
",
    );
    assert_eq!(said, "held done None\nnew ECONNREFUSED\n");
    let (stream, _) = openings.listeners[0].accept().unwrap();
    assert_eq!(stream.local_addr().unwrap().to_string(), "8.8.8.8:443");
}
