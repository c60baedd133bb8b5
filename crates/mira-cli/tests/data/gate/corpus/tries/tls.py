"""TLS that says another name than the one that was called, or hides which, and what is no TLS at all."""

import os
import struct

from kit import MARK, PATIENCE, Reached, attempt, connect, dial, get, row, say, say_tls

MISMATCH = "SNI names another host"
WANTED = "is wanted on this port"
SNI, ECH, PADDING = 0, 0xFE0D, 21


def extension(number, body):
    """Writes an extension of a ClientHello."""
    return struct.pack("!2H", number, len(body)) + body


def server_name(*names):
    """Writes the extension that says which names are meant."""
    entries = b"".join(b"\0" + struct.pack("!H", len(name)) + name.encode() for name in names)
    return extension(SNI, struct.pack("!H", len(entries)) + entries)


def hello(*extensions):
    """Writes a ClientHello of TLS 1.2, so that the answer shows the certificate in plain."""
    ciphers = struct.pack("!6H", 0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8)
    common = [
        extension(10, struct.pack("!3H", 4, 0x001D, 0x0017)),
        extension(11, b"\x01\x00"),
        extension(13, struct.pack("!6H", 10, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805)),
        extension(23, b""),
        extension(0xFF01, b"\0"),
    ]
    body = b"".join([*extensions, *common])
    session = MARK.ljust(32, b".")
    body = b"\x03\x03" + os.urandom(32) + b"\x20" + session + struct.pack("!H", len(ciphers)) + ciphers + b"\x01\0" + struct.pack("!H", len(body)) + body
    return b"\x01" + len(body).to_bytes(3, "big") + body


def records(handshake, cut=16384):
    """Puts a handshake message into records of this many bytes at most."""
    pieces = [handshake[at : at + cut] for at in range(0, len(handshake), cut)]
    return b"".join(b"\x16\x03\x01" + struct.pack("!H", len(piece)) + piece for piece in pieces)


def greet(host, words, port=443):
    """Sends a ClientHello; an answer with the certificate of those outside is proof that it got there."""
    heard = b""
    with dial(host, port) as stream:
        stream.sendall(words)
        stream.settimeout(PATIENCE)
        while b"\x0e\0\0\0" not in heard and (piece := stream.recv(65536)):
            heard += piece
            if b"outside.test" in heard:
                raise Reached("the certificate of outside")
    return heard


@attempt("tls", row("{allowed}", 443, MISMATCH))
def sni_other(me):
    """A forbidden name as SNI, where the gate would put a secret in."""
    say_tls(me.allowed, get(me.refused), sni=me.refused)


@attempt("tls", row("{tunnel}", 443, MISMATCH))
def sni_other_in_tunnel(me):
    """A forbidden name as SNI, where the gate would not look inside."""
    say_tls(me.tunnel, get(me.refused), sni=me.refused)


@attempt("tls", row("{tunnel}", 443, MISMATCH))
def sni_other_allowed(me):
    """Another allowed name as SNI."""
    say_tls(me.tunnel, get(me.allowed), sni=me.allowed)


@attempt("tls", row("{tunnel}", 443, "SNI"))
def sni_none(me):
    """No SNI, so that the server chooses."""
    say_tls(me.tunnel, get(me.tunnel), sni="")


@attempt("tls", row("{allowed}", 443, "SNI"))
def sni_none_brokered(me):
    """No SNI, where the gate would put a secret in."""
    say_tls(me.allowed, get(me.allowed), sni="")


@attempt("tls", row("{tunnel}", 443, ""))
def sni_dot(me):
    """The right name with a dot at its end, which some servers take for another one."""
    greet(me.tunnel, records(hello(server_name(me.tunnel + "."))))


@attempt("tls", row("{tunnel}", 443, ""), control=False)
def sni_nul(me):
    """A forbidden name after the right one and a NUL."""
    greet(me.tunnel, records(hello(server_name(me.tunnel + "\0" + me.refused))))


@attempt("tls", row("{tunnel}", 443, ""))
def sni_address(me):
    """An address as SNI."""
    greet(me.tunnel, records(hello(server_name("8.8.8.8"))))


@attempt("tls", row("{tunnel}", 443, ""), control=False)
def sni_two(me):
    """Two names in one list: the right one, then a forbidden one."""
    greet(me.tunnel, records(hello(server_name(me.tunnel, me.refused))))


@attempt("tls", row("{tunnel}", 443, ""), control=False)
def sni_twice(me):
    """The list of names twice: the right one, then a forbidden one."""
    greet(me.tunnel, records(hello(server_name(me.tunnel), server_name(me.refused))))


@attempt("tls", row("{tunnel}", 443, ""))
def sni_in_pieces(me):
    """A forbidden name in a ClientHello that is cut into records of 24 bytes."""
    greet(me.tunnel, records(hello(server_name(me.refused)), 24))


@attempt("tls", row("{tunnel}", 443, ""))
def sni_behind_padding(me):
    """A ClientHello so long that the name stands behind what is looked at."""
    greet(me.tunnel, records(hello(extension(PADDING, bytes(20000)), server_name(me.refused))))


@attempt("tls", row("{tunnel}", 443, ""))
def ech(me):
    """An encrypted ClientHello, whose inner name nobody can see."""
    inner = b"\0" + struct.pack("!2H", 1, 1) + b"\x07" + struct.pack("!H", 32) + os.urandom(32) + struct.pack("!H", 128) + os.urandom(128)
    greet(me.tunnel, records(hello(extension(ECH, inner), server_name(me.tunnel))))


@attempt("tls", row("{tunnel}", 443, WANTED), control=False)
def http_instead_of_tls(me):
    """Plain http on the port of https."""
    say(me.tunnel, 443, get(me.tunnel))


@attempt("tls", row("{tunnel}", 443, WANTED), control=False)
def ssh_instead_of_tls(me):
    """Another protocol on the port of https."""
    say(me.tunnel, 443, b"SSH-2.0-contraband\r\n")


@attempt("tls", row("{plain}", 80, WANTED), control=False)
def tls_instead_of_http(me):
    """TLS on the port of http, where nobody would look inside."""
    say_tls(me.plain, get(me.plain), port=80)


@attempt("tls", row("{plain}", 80, WANTED), control=False)
def bytes_instead_of_http(me):
    """Bytes of no protocol on the port of http."""
    say(me.plain, 80, b"\x00\x01\x02" + MARK + b"\r\n\r\n")


@attempt("tls", row("{tunnel}", 2525, MISMATCH))
def sni_other_on_another_port(me):
    """A forbidden name as SNI on a port where anything may be spoken."""
    say_tls(me.tunnel, get(me.refused), sni=me.refused, port=2525)


@attempt("tls", row("{allowed}", 443, "Host names another host"))
def host_inside_of_tls(me):
    """The right SNI, and a forbidden name in the request inside."""
    say_tls(me.allowed, get(me.refused))


@attempt("tls", row("{tunnel}", 443, MISMATCH))
def tls_inside_of_a_tunnel(me):
    """An allowed name for the proxy, and a forbidden one as SNI inside of its tunnel."""
    connect(f"{me.tunnel}:443", get(me.refused), sni=me.refused)
