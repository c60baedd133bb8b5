//! A socket that sees what in a room tries to leave it, and nothing else: not what its processes say to each other.
//!
//! INVARIANT: no filter, no socket.

use std::os::fd::{AsFd as _, OwnedFd};

use libc::sock_filter;
use rustix::io::Result;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::network::LOOPBACK;
use crate::sys::{attach_filter, bind_to_device};

/// LIMIT: what a reader needs of a packet: the longest IPv4 header and the ports after it. Of content as little as that leaves.
const SNAP_BYTES: u32 = 64;

/// Makes the socket. What is read from it begins with the IP header.
pub(crate) fn socket() -> Result<OwnedFd> {
    // Without a protocol it gets nothing until it is bound, and then it has its filter.
    let socket = socket_with(
        AddressFamily::PACKET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    attach_filter(socket.as_fd(), &mut filter())?;
    bind_to_device(socket.as_fd(), LOOPBACK)?;
    Ok(socket)
}

const LOAD_WORD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
/// A byte behind the IPv4 header, whose length [`SKIP_HEADER`] took.
const LOAD_BYTE_BEHIND: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_IND;
const SKIP_HEADER: u32 = libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

const PACKET_OUTGOING: u32 = 4;
const IPV4: u32 = 0x0800;
const IPV6: u32 = 0x86dd;
const ICMP: u32 = 1;
const TCP: u32 = 6;
const ICMPV6: u32 = 58;
const SYN: u32 = 0x02;
const SYN_ACK: u32 = 0x12;

/// Where the parts of the filter begin.
const NEXT: u8 = u8::MAX;
const ICMP_BEHIND: u8 = 16;
const TO_IPV6: u8 = 18;
const NOT_LOOPBACK: u8 = 26;
const ICMPV6_BEHIND: u8 = 32;
const PASS: u8 = 34;
const DROP: u8 = 35;

/// The filter, in the kernel's classic language.
///
/// Loopback shows each packet twice, on its way out and on its way in: only the first counts. Then what goes to the loopback addresses is
/// dropped; of TCP everything but the first packet of a connection; of ICMP everything but echo requests, so that the kernel's own refusals are
/// not taken for tries; and later fragments. All else passes, whatever its protocol.
fn filter() -> [sock_filter; 36] {
    [
        ancillary(LOAD_WORD, libc::SKF_AD_PKTTYPE),
        jump(1, EQUAL, PACKET_OUTGOING, NEXT, DROP),
        ancillary(LOAD_HALF, libc::SKF_AD_PROTOCOL),
        jump(3, EQUAL, IPV6, TO_IPV6, NEXT),
        jump(4, EQUAL, IPV4, NEXT, DROP),
        step(LOAD_BYTE, 16),
        jump(6, EQUAL, 127, DROP, NEXT),
        step(LOAD_HALF, 6),
        jump(8, ANY_BIT, 0x1fff, DROP, NEXT),
        step(SKIP_HEADER, 0),
        step(LOAD_BYTE, 9),
        jump(11, EQUAL, ICMP, ICMP_BEHIND, NEXT),
        jump(12, EQUAL, TCP, NEXT, PASS),
        step(LOAD_BYTE_BEHIND, 13),
        step(AND, SYN_ACK),
        jump(15, EQUAL, SYN, PASS, DROP),
        // ICMP_BEHIND
        step(LOAD_BYTE_BEHIND, 0),
        jump(17, EQUAL, 8, PASS, DROP),
        // TO_IPV6
        step(LOAD_WORD, 24),
        jump(19, EQUAL, 0, NEXT, NOT_LOOPBACK),
        step(LOAD_WORD, 28),
        jump(21, EQUAL, 0, NEXT, NOT_LOOPBACK),
        step(LOAD_WORD, 32),
        jump(23, EQUAL, 0, NEXT, NOT_LOOPBACK),
        step(LOAD_WORD, 36),
        jump(25, EQUAL, 1, DROP, NEXT),
        // NOT_LOOPBACK
        step(LOAD_BYTE, 6),
        jump(27, EQUAL, ICMPV6, ICMPV6_BEHIND, NEXT),
        jump(28, EQUAL, TCP, NEXT, PASS),
        step(LOAD_BYTE, 40 + 13),
        step(AND, SYN_ACK),
        jump(31, EQUAL, SYN, PASS, DROP),
        // ICMPV6_BEHIND
        step(LOAD_BYTE, 40),
        jump(33, EQUAL, 128, PASS, DROP),
        // PASS
        step(RETURN, SNAP_BYTES),
        // DROP
        step(RETURN, 0),
    ]
}

fn step(code: u32, k: u32) -> sock_filter {
    sock_filter {
        // Classic codes have eight bits.
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    }
}

/// Loads what the kernel knows of a packet besides its bytes.
fn ancillary(code: u32, what: i32) -> sock_filter {
    step(code, (libc::SKF_AD_OFF + what).cast_unsigned())
}

/// A jump that stands at `at`. Jumps go forward, counted from the next step.
fn jump(at: u8, code: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    let distance = |to: u8| if to == NEXT { 0 } else { to - at - 1 };
    sock_filter {
        jt: distance(yes),
        jf: distance(no),
        ..step(code, k)
    }
}
