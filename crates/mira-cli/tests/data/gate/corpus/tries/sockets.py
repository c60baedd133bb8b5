"""Sockets that lead out without a network: those of the machine's programs, and families that know no namespaces."""

import os
import socket
import struct

from kit import LOOPBACK_PORT, MARK, Reached, attempt, say_unix, target


def knocks(name, what, kind=socket.SOCK_STREAM):
    """Declares a try of a socket that the test has set up under this name."""

    def function(me):
        say_unix(target("sockets", name), MARK, kind)

    function.__name__ = "socket_" + name
    function.__doc__ = what
    attempt("sockets")(function)


knocks("tmp", "A socket in the folder for temporary files.")
knocks("run", "A socket in the folder for what runs.")
knocks("home", "A socket in the person's home.")
knocks("shm", "A socket in the folder for shared memory.")
knocks("docker", "The container engine's socket, which is as good as being root.")
knocks("bus", "The system's message bus, which starts programs for whoever asks.")
knocks("session_bus", "The session's message bus, by which the keyring is read.")
knocks("keyring", "The keyring's own socket.")
knocks("agent", "The agent's socket that signs with the person's ssh keys.")
knocks("resolver", "The resolver's socket, which makes look-ups for others.")
knocks("journal", "The journal's socket, which takes datagrams.", socket.SOCK_DGRAM)


@attempt("sockets")
def socket_supervisor(me):
    """The supervisor's socket, which starts and ends instances."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(target("sockets", "supervisor"))
        raise Reached("connected")


@attempt("sockets")
def socket_abstract(me):
    """A socket without a path, which a view of the files does not hide."""
    say_unix("\0" + target("sockets", "abstract"))


@attempt("sockets")
def socket_abstract_found(me):
    """Any socket without a path that the system lists."""
    names = {line.rsplit(" ", 1)[-1][1:].strip() for line in open("/proc/net/unix") if " @" in line}
    for name in names:
        try:
            with socket.socket(socket.AF_UNIX) as stream:
                stream.settimeout(1)
                stream.connect("\0" + name)
        except OSError:
            continue
        raise Reached(name)


@attempt("sockets")
def sockets_listed(me):
    """The list of the machine's sockets and connections."""
    ours = f":{LOOPBACK_PORT:04X} "
    for table in ["tcp", "tcp6", "udp", "unix"]:
        for line in open(f"/proc/net/{table}"):
            if ours in line or target("sockets", "abstract") in line:
                raise Reached(line)


def family(name, what, number, kind=socket.SOCK_RAW, protocol=0, control=True):
    """Declares a try of making a socket of a family."""

    def function(me):
        with socket.socket(number, kind, protocol):
            raise Reached("it was made")

    function.__name__ = "family_" + name
    function.__doc__ = what
    attempt("sockets", control=control)(function)


family("packet", "A socket of frames, below all addresses.", 17, protocol=socket.htons(3))
family("packet_datagram", "A socket of packets, below all addresses.", 17, socket.SOCK_DGRAM, socket.htons(3))
family("vsock", "A socket to the machine that this one is a guest of.", 40, socket.SOCK_STREAM)
family("alg", "A socket to the kernel's ciphers, an old way into the kernel.", 38, socket.SOCK_SEQPACKET, control=False)
family("xdp", "A socket to a network card's queue.", 44)
family("bluetooth", "A socket to radios nearby.", 31, control=False)
family("can", "A socket to a vehicle's bus.", 29, control=False)
family("tipc", "A socket to a cluster.", 30, socket.SOCK_STREAM, control=False)
family("smc", "A socket that goes around TCP.", 43, socket.SOCK_STREAM, control=False)
family("rds", "A socket of reliable datagrams.", 21, socket.SOCK_SEQPACKET, control=False)


def netlink(kind, body, flags=0x605):
    """Sends a request to the kernel's own network configuration, and raises what it says."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as stream:
        stream.settimeout(2)
        stream.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = stream.recv(65536)
    error = -struct.unpack_from("=i", answer, 16)[0]
    if error:
        raise OSError(error, os.strerror(error))
    raise Reached("the kernel did so")


@attempt("sockets")
def netlink_route(me):
    """Another route, so that packets go another way."""
    loopback = struct.pack("=HHI", 8, 4, socket.if_nametoindex("lo"))
    destination = struct.pack("=HH", 8, 1) + socket.inet_aton("203.0.113.7")
    netlink(24, struct.pack("=8BI", socket.AF_INET, 32, 0, 0, 254, 4, 253, 1, 0) + destination + loopback)


@attempt("sockets")
def netlink_address(me):
    """Another address for the loopback device."""
    body = struct.pack("=4BI", socket.AF_INET, 32, 0, 0, socket.if_nametoindex("lo"))
    netlink(20, body + struct.pack("=HH", 8, 2) + socket.inet_aton("203.0.113.8"))


@attempt("sockets", control=False)
def netlink_link(me):
    """A network device of its own, such as one end of a pair."""
    kind = struct.pack("=HH", 8, 1) + b"veth"
    netlink(16, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0) + struct.pack("=HH", 4 + len(kind), 18) + kind)


@attempt("sockets", control=False)
def tun_device(me):
    """A network device that the program itself speaks for."""
    with open("/dev/net/tun", "r+b", buffering=0):
        raise Reached("it was opened")
