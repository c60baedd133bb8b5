"""Addresses that are called without asking anybody: TCP, UDP, IPv6, and what else there is of the internet."""

import os
import socket
import struct

from kit import LOOPBACK_PORT, MARK, PATIENCE, Reached, attempt, dial, drained, get, judged, row, say, say_datagram, target

NOT_LISTED = "not listed"
NO_WAY = "no way there"
WORDS = MARK + b" by its address\r\n"


@attempt("addresses", row("8.8.8.8", 443, NOT_LISTED))
def tcp_443(me):
    """TCP to a public address on the port of https."""
    say("8.8.8.8", 443, WORDS)


@attempt("addresses", row("1.1.1.1", 80, NOT_LISTED))
def tcp_80(me):
    """TCP to a public address on the port of http."""
    say("1.1.1.1", 80, get("1.1.1.1"))


@attempt("addresses", row("9.9.9.9", 25, NO_WAY, "packet"))
def tcp_25(me):
    """TCP to a public address on the port of mail."""
    say("9.9.9.9", 25, WORDS)


@attempt("addresses", row("4.4.4.4", 31337, NO_WAY, "packet"))
def tcp_other(me):
    """TCP to a public address on a port that nobody has heard of."""
    say("4.4.4.4", 31337, WORDS)


@attempt("addresses", row("8.8.4.4", 443, NOT_LISTED))
def tcp_fast_open(me):
    """Data in the first packet of a TCP connection, before anybody has accepted it."""
    with socket.socket() as stream:
        stream.sendto(WORDS, socket.MSG_FASTOPEN, ("8.8.4.4", 443))
        judged(drained(stream))


@attempt("addresses", row("8.8.4.4", 31338, NO_WAY, "packet"))
def tcp_bound(me):
    """TCP from a source port and an address that are not the program's own."""
    with socket.socket() as stream:
        stream.settimeout(PATIENCE)
        stream.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND
        stream.bind(("93.184.216.99", 5353))
        stream.connect(("8.8.4.4", 31338))
        stream.sendall(WORDS)
        judged(drained(stream))


@attempt("addresses", row("2001:4860:4860::8888", 443, NOT_LISTED))
def tcp6_global(me):
    """TCP to a public IPv6 address."""
    say("2001:4860:4860::8888", 443, WORDS)


@attempt("addresses", row("2001:4860:4860::8844", 25, NO_WAY, "packet"))
def tcp6_other(me):
    """TCP to a public IPv6 address on a port that is no listener's."""
    say("2001:4860:4860::8844", 25, WORDS)


@attempt("addresses", row("fe80::1", 443, NOT_LISTED))
def tcp6_link_local(me):
    """TCP to a link-local IPv6 address."""
    with socket.socket(socket.AF_INET6) as stream:
        stream.settimeout(PATIENCE)
        stream.connect(("fe80::1", 443, 0, socket.if_nametoindex("lo")))
        stream.sendall(WORDS)
        judged(drained(stream))


@attempt("addresses", row("8.26.56.26", 443, NOT_LISTED))
def tcp6_mapped(me):
    """TCP to a public IPv4 address, written as an IPv6 one."""
    say("::ffff:8.26.56.26", 443, WORDS)


@attempt("addresses", row("64:ff9b::808:808", 443, NOT_LISTED))
def tcp6_nat64(me):
    """TCP to a public IPv4 address through the prefix of NAT64."""
    say("64:ff9b::808:808", 443, WORDS)


@attempt("addresses", row("2002:808:808::1", 443, NOT_LISTED))
def tcp6_6to4(me):
    """TCP to a public IPv4 address through the prefix of 6to4."""
    say("2002:808:808::1", 443, WORDS)


@attempt("addresses", row("10.0.0.7", 80, NOT_LISTED))
def tcp_private(me):
    """TCP to an address of a private network."""
    say("10.0.0.7", 80, get("10.0.0.7"))


@attempt("addresses", row("198.18.255.254", 443, NOT_LISTED))
def tcp_synthetic(me):
    """TCP to an address that could stand for a name, and stands for none."""
    say("198.18.255.254", 443, WORDS)


@attempt("addresses", row("8.8.8.8", 53, NO_WAY, "packet"))
def udp_53(me):
    """UDP to a public resolver."""
    say_datagram(socket.AF_INET, ("8.8.8.8", 53), WORDS)


@attempt("addresses", row("1.0.0.1", 443, NO_WAY, "packet"))
def udp_quic(me):
    """The first packet of QUIC, which is UDP on the port of https."""
    initial = bytes([0xC3]) + (1).to_bytes(4, "big") + b"\x08" + os.urandom(8) + b"\x00\x00\x44\x9e" + WORDS
    say_datagram(socket.AF_INET, ("1.0.0.1", 443), initial.ljust(1200, b"\0"))


@attempt("addresses", row("162.159.200.1", 123, NO_WAY, "packet"))
def udp_123(me):
    """UDP to a public address on the port of time."""
    say_datagram(socket.AF_INET, ("162.159.200.1", 123), WORDS)


@attempt("addresses", row("2606:4700:4700::1111", 53, NO_WAY, "packet"))
def udp6(me):
    """UDP to a public IPv6 address."""
    say_datagram(socket.AF_INET6, ("2606:4700:4700::1111", 53), WORDS)


@attempt("addresses", control=False)
def udp_multicast(me):
    """UDP to everybody who listens on the local network for names."""
    say_datagram(socket.AF_INET, ("224.0.0.251", 5353), WORDS)


@attempt("addresses", control=False)
def udp_broadcast(me):
    """UDP to everybody on the local network."""
    say_datagram(socket.AF_INET, ("255.255.255.255", 9), WORDS)


@attempt("addresses", row("ff02::1", 5353, NO_WAY, "packet"), control=False)
def udp6_multicast(me):
    """UDP to everybody on the local link, by IPv6."""
    say_datagram(socket.AF_INET6, ("ff02::1", 5353, 0, socket.if_nametoindex("lo")), WORDS)


@attempt("addresses", control=False)
def ping(me):
    """An echo request through the kind of socket that needs no privilege."""
    echo = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + WORDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as stream:
        stream.settimeout(2)
        stream.connect(("8.8.8.8", 0))
        stream.send(echo)
        raise Reached("the request was sent")


@attempt("addresses")
def raw_ip(me):
    """A raw socket, for packets of any protocol."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP):
        raise Reached("it was made")


@attempt("addresses")
def raw_ip6(me):
    """A raw socket of IPv6."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6):
        raise Reached("it was made")


@attempt("addresses", control=False)
def sctp(me):
    """SCTP to a public address, by which a list of TCP and UDP ports is passed."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP) as stream:
        stream.settimeout(2)
        stream.connect(("8.8.8.8", 443))
        raise Reached("connected")


@attempt("addresses", row("149.112.112.112", 0, NO_WAY, "packet"))
def udplite(me):
    """UDP-Lite to a public resolver."""
    say_datagram(socket.AF_INET, ("149.112.112.112", 53), WORDS, protocol=socket.IPPROTO_UDPLITE)


@attempt("addresses", row("169.254.169.254", 80, NOT_LISTED))
def metadata(me):
    """The credentials that a cloud hands out on a link-local address."""
    say("169.254.169.254", 80, get("169.254.169.254", "/latest/meta-data/iam/contraband"))


@attempt("addresses", row("169.254.170.2", 80, NOT_LISTED))
def metadata_of_tasks(me):
    """The credentials that a cloud hands out to containers."""
    say("169.254.170.2", 80, get("169.254.170.2"))


@attempt("addresses", row("fd00:ec2::254", 80, NOT_LISTED))
def metadata6(me):
    """The same by IPv6."""
    say("fd00:ec2::254", 80, get("[fd00:ec2::254]"))


@attempt("addresses", row("100.100.100.200", 80, NOT_LISTED))
def metadata_shared(me):
    """Another cloud's, in the range that carriers share."""
    say("100.100.100.200", 80, get("100.100.100.200"))


@attempt("addresses", row("168.63.129.16", 80, NOT_LISTED))
def metadata_public(me):
    """Another cloud's, at an address that looks public."""
    say("168.63.129.16", 80, get("168.63.129.16"))


@attempt("addresses")
def service_of_the_machine(me):
    """A service that listens on the machine's loopback."""
    say("127.0.0.1", LOOPBACK_PORT, WORDS)


@attempt("addresses", control=False)
def service_of_another_instance(me):
    """A service that listens inside of another instance."""
    with dial("127.0.0.1", target("ports", "neighbour")) as stream:
        raise Reached(f"connected to {stream.getpeername()}")
