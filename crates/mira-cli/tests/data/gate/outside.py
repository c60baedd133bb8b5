"""Everybody whom a program could want to reach: listens on all addresses of a test's world, on many ports and sockets, and writes down all that it hears.

`outside.py RECORD CERTIFICATE KEY SOCKETS` writes lines of JSON to the first and answers `outside`, with what was said to it. It makes the unix sockets that
the file `SOCKETS` names, listens to packets of the whole world, serves as a careless proxy on port 3128, and prints `ready`.
"""

import json
import os
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading

RECORD, CERTIFICATE, KEY, SOCKETS = sys.argv[1:]
TCP_PORTS = [22, 25, 80, 443, 853, 2525, 8443, 8899, 31337, 31338, 31339]
UDP_PORTS = [53, 123, 443]
LOOPBACK_PORT, PROXY_PORT = 8899, 3128
PKTINFO, RECVPKTINFO6, FREEBIND6 = 8, 49, 78
SILENCE = 2
record = os.open(RECORD, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(CERTIFICATE, KEY)
context.set_alpn_protocols(["http/1.1", "h2"])


def note(how, to, heard=b"", **more):
    """Writes a line at once."""
    line = {"how": how, "to": to, "heard": heard.decode("latin-1")} | more
    os.write(record, json.dumps(line).encode() + b"\n")


def named(address):
    """Writes an address and port, without what IPv6 adds."""
    return f"{address[0].removeprefix('::ffff:')} {address[1]}"


def thread(function, *arguments):
    """Runs a function beside this one."""
    threading.Thread(target=function, args=arguments, daemon=True).start()


def accepted(listener, serve):
    """Serves each connection by itself."""
    while True:
        stream, _ = listener.accept()
        stream.settimeout(SILENCE)
        thread(quietly, serve, stream)


def quietly(serve, stream):
    """Serves a connection until it ends in whatever way."""
    with stream:
        try:
            serve(stream)
        except OSError:
            pass


def open_to_all(stream):
    """Serves whoever comes by TCP, encrypted or not."""
    to = named(stream.getsockname())
    first = stream.recv(5, socket.MSG_PEEK)
    if first[:1] == b"\x16":
        note("hello", to, stream.recv(16384, socket.MSG_PEEK))
        stream = context.wrap_socket(stream, server_side=True)
        converse(stream, to, "tls")
    else:
        converse(stream, to, "tcp")


def converse(stream, to, how):
    """Answers requests, or whatever comes."""
    while heard := request(stream):
        note(how, to, heard)
        if heard.startswith(b"PRI * HTTP/2.0"):
            return converse2(stream, to, how, heard)
        stream.sendall(answer(to, heard))
        if b"connection: close" in heard.lower():
            return None
    return None


def answer(to, heard):
    """Answers a request: with a redirect if it asks for one, else with all that it said."""
    line = heard.split(b"\r\n")[0].decode("latin-1").split(" ")
    if len(line) > 1 and "/redirect?to=" in line[1]:
        to = line[1].split("/redirect?to=")[1]
        return f"HTTP/1.1 302 Found\r\nLocation: {to}/contraband\r\nContent-Length: 0\r\n\r\n".encode()
    body = f"outside at {to} heard: ".encode() + heard
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def request(stream):
    """Reads a request with its body, or whatever else is said at once."""
    heard = b""
    while True:
        try:
            piece = stream.recv(65536)
        except TimeoutError:
            return heard
        heard += piece
        if not piece or not heard[:1].isalpha() or (heard.count(b"\n") and b"HTTP/" not in heard.split(b"\n")[0]):
            return heard
        head, found, body = heard.partition(b"\r\n\r\n")
        if b"\n\n" in heard or (found and complete(head.lower(), body)):
            return heard


def complete(head, body):
    """Whether a body is all there, for somebody who reads heads carelessly."""
    if b"chunked" in head:
        return b"0\r\n\r\n" in body
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip() == b"content-length" and value.strip().isdigit():
            return len(body) >= min(int(value), 60)
    return True


def converse2(stream, to, how, heard):
    """Answers each request of HTTP/2 with all that was said so far."""

    def frame(kind, flags, number, body=b""):
        stream.sendall(len(body).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack("!I", number) + body)

    frame(4, 0, 0)
    at = 24
    while True:
        while len(heard) >= at + 9 and len(heard) >= at + 9 + int.from_bytes(heard[at : at + 3], "big"):
            kind, number = heard[at + 3], int.from_bytes(heard[at + 5 : at + 9], "big")
            at += 9 + int.from_bytes(heard[at : at + 3], "big")
            if kind == 1:
                note(how, to, heard[24:at])
                frame(1, 4, number, b"\x88")
                frame(0, 1, number, f"outside at {to} heard: ".encode() + heard[24:at])
        piece = stream.recv(65536)
        if not piece:
            return
        heard += piece


def careless_proxy(stream):
    """Does what it is asked for, as a proxy without a policy."""
    while heard := request(stream):
        method, target = heard.replace(b"\r", b" ").split(b" ")[:2]
        target = target.decode("latin-1")
        if method == b"CONNECT":
            with socket.create_connection(careless(target, 443), SILENCE) as out:
                stream.sendall(b"HTTP/1.1 200 tunnel\r\n\r\n")
                return relay(stream, out)
        authority = target.removeprefix("http://").partition("/")[0]
        with socket.create_connection(careless(authority, 80), SILENCE) as out:
            out.sendall(heard)
            out.settimeout(SILENCE)
            stream.sendall(out.recv(65536))
    return None


def careless(authority, default):
    """Reads a host and port as one of several readers would: the last that could be meant."""
    authority = authority.rpartition("@")[2].rpartition("\\")[2]
    host, _, port = authority.rpartition(":")
    if not host or not port.isdigit():
        host, port = authority, default
    return host.strip("[]"), int(port)


def relay(one, other):
    """Copies both ways until either ends."""
    while True:
        for ready in select.select([one, other], [], [], SILENCE)[0] or [None]:
            piece = ready and ready.recv(65536)
            if not piece:
                return
            (other if ready is one else one).sendall(piece)


def datagrams(stream, family):
    """Answers datagrams from the address that they were sent to."""
    while True:
        heard, extra, _, whose = stream.recvmsg(65536, 256)
        level, kind, body = extra[0]
        meant = socket.inet_ntop(family, body[8:12] if family == socket.AF_INET else body[:16])
        note("udp", f"{meant} {stream.getsockname()[1]}", heard)
        if family == socket.AF_INET:
            body = struct.pack("=I", 0) + body[8:12] + bytes(4)
        try:
            stream.sendmsg([b"outside heard: " + heard], [(level, kind, body)], 0, whose)
        except OSError:
            continue


def datagrams_of_unix(stream, path):
    """Hears datagrams of a unix socket."""
    while True:
        note("unix", path, stream.recv(65536))


def unix(stream):
    """Answers whoever comes by a unix socket."""
    heard = stream.recv(65536)
    note("unix", str(stream.getsockname()), heard)
    stream.sendall(b"outside heard: " + heard)


def packets(sniffer):
    """Notes where the world's packets go: each destination of TCP that is called, and every other packet."""
    seen = set()
    while True:
        packet, (_, _, direction, *_) = sniffer.recvfrom(65536)
        if direction != socket.PACKET_OUTGOING or not packet:
            continue
        if packet[0] >> 4 == 4:
            protocol, to, rest = packet[9], socket.inet_ntoa(packet[16:20]), packet[(packet[0] & 15) * 4 :]
        else:
            protocol, to, rest = packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40]), packet[40:]
        if protocol == socket.IPPROTO_TCP and (rest[13] & 0x12) != 0x02:
            continue
        port = struct.unpack_from("!H", rest, 2)[0] if protocol in (6, 17, 136) else 0
        if (protocol, to, port) not in seen:
            seen.add((protocol, to, port))
            note("packet", f"{to} {port}", protocol=protocol)


def tcp(family, address, port, serve=open_to_all):
    """Listens for TCP."""
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    listener.bind((address, port))
    listener.listen(64)
    thread(accepted, listener, serve)


def udp(family, port, protocol=0):
    """Listens for datagrams."""
    stream = socket.socket(family, socket.SOCK_DGRAM, protocol)
    if family == socket.AF_INET6:
        stream.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        stream.setsockopt(socket.IPPROTO_IPV6, RECVPKTINFO6, 1)
        stream.setsockopt(socket.IPPROTO_IPV6, FREEBIND6, 1)
    else:
        stream.setsockopt(socket.IPPROTO_IP, PKTINFO, 1)
    stream.bind(("", port))
    thread(datagrams, stream, family)


sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
sniffer.bind(("lo", 0))
thread(packets, sniffer)
for port in TCP_PORTS:
    # A service of the machine's own is on loopback alone; everybody else is everywhere.
    tcp(socket.AF_INET, "127.0.0.1" if port == LOOPBACK_PORT else "", port)
    tcp(socket.AF_INET6, "::1" if port == LOOPBACK_PORT else "::", port)
tcp(socket.AF_INET, "127.0.0.1", PROXY_PORT, careless_proxy)
tcp(socket.AF_INET, "", 53)
for port in UDP_PORTS:
    udp(socket.AF_INET, port)
    udp(socket.AF_INET6, port)
udp(socket.AF_INET, 53, socket.IPPROTO_UDPLITE)
# What runs in the world finds the test's sockets in place of the machine's.
subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
with open(SOCKETS) as file:
    for name, path in json.load(file).items():
        os.makedirs(os.path.dirname(path) or "/", exist_ok=True)
        if name == "journal":
            stream = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            stream.bind(path)
            thread(datagrams_of_unix, stream, path)
            continue
        stream = socket.socket(socket.AF_UNIX)
        stream.bind("\0" + path if name == "abstract" else path)
        stream.listen(16)
        thread(accepted, stream, unix)
print("ready", flush=True)
# Until whoever started this lets go of its input.
sys.stdin.read()
