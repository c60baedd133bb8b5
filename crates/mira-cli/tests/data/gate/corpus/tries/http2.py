"""Requests of HTTP/2, written by hand: another host in the pseudo-headers, beside them, or on another stream."""

import struct

from kit import MARK, PATIENCE, Reached, attempt, dial, row, wrapped

OTHER = "names another host"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7


def frame(kind, flags, stream, body=b""):
    """Writes a frame."""
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack("!I", stream) + body


def text(words):
    """Writes a text of HPACK without compression."""
    words = words.encode("latin-1")
    assert len(words) < 127
    return bytes([len(words)]) + words


def headers(stream, fields, flags=5):
    """Writes a request without a body: each field a literal that is not indexed."""
    block = b"".join(b"\0" + text(name) + text(value) for name, value in fields)
    return frame(HEADERS, flags, stream, block)


def request(authority, *more, path="/contraband", scheme="https", method="GET"):
    """Returns the fields of a request; an authority of `None` is left out."""
    fields = [(":method", method), (":scheme", scheme), (":path", path)]
    if authority is not None:
        fields.append((":authority", authority))
    return [*fields, *more]


def converse(stream, *requests):
    """Sends requests, each after the answer to the one before; an answer of outside to the last is proof that it got there."""
    stream.settimeout(PATIENCE)
    stream.sendall(PREFACE + frame(SETTINGS, 0, 0))
    for number, fields in enumerate(requests):
        last = number == len(requests) - 1
        stream.sendall(headers(2 * number + 1, fields, flags=4 if fields[0][1] == "CONNECT" else 5))
        answer = answered(stream, 2 * number + 1)
        if last and b"outside" in answer and MARK in answer:
            raise Reached(answer[:120])


def answered(stream, number):
    """Reads frames until a stream has ended, and returns its data."""
    buffer, data = b"", b""
    while True:
        while len(buffer) >= 9 and len(buffer) >= 9 + int.from_bytes(buffer[:3], "big"):
            size, kind, flags = int.from_bytes(buffer[:3], "big"), buffer[3], buffer[4]
            of, body = int.from_bytes(buffer[5:9], "big"), buffer[9 : 9 + size]
            buffer = buffer[9 + size :]
            if kind == SETTINGS and not flags & 1:
                stream.sendall(frame(SETTINGS, 1, 0))
            if kind == DATA and of == number:
                data += body
            if kind == GOAWAY or (of == number and (kind == RESET or (kind in (DATA, HEADERS) and flags & 1))):
                return data
        piece = stream.recv(65536)
        if not piece:
            return data
        buffer += piece


def secure(me, *requests):
    """Converses by TLS with the try's own allowed host."""
    with dial(me.allowed, 443) as stream, wrapped(stream, me.allowed, ["h2"]) as inner:
        assert inner.selected_alpn_protocol() == "h2", "no HTTP/2 there"
        converse(inner, *requests)


def plain(me, *requests):
    """Converses without TLS with the try's own plain host, which is known to speak HTTP/2."""
    with dial(me.plain, 80) as stream:
        converse(stream, *requests)


SECURE = ("{allowed}", 443)
PLAIN = ("{plain}", 80)


@attempt("http2", row(*SECURE, OTHER))
def authority_other(me):
    """A forbidden name as `:authority`."""
    secure(me, request(me.refused))


@attempt("http2", row(*PLAIN, OTHER))
def authority_other_plain(me):
    """The same without TLS."""
    plain(me, request(me.refused, scheme="http"))


@attempt("http2", row(*SECURE, ""))
def host_beside_authority(me):
    """The right `:authority`, and a forbidden name as `host` beside it."""
    secure(me, request(me.allowed, ("host", me.refused)))


@attempt("http2", row(*SECURE, OTHER))
def host_without_authority(me):
    """No `:authority`, and a forbidden name as `host`."""
    secure(me, request(None, ("host", me.refused)))


@attempt("http2", row(*SECURE, ""))
def no_authority(me):
    """No host at all."""
    secure(me, request(None))


@attempt("http2", row(*SECURE, OTHER))
def authority_on_second_stream(me):
    """A second request on another stream, to a forbidden name."""
    secure(me, request(me.allowed, path="/fine"), request(me.refused))


@attempt("http2", row(*SECURE, ""))
def authority_user(me):
    """The right name as the user before a forbidden one."""
    secure(me, request(f"{me.allowed}@{me.refused}"))


@attempt("http2", row(*SECURE, OTHER))
def authority_port(me):
    """The right name with another port."""
    secure(me, request(f"{me.allowed}:8443"))


@attempt("http2", row(*SECURE, ""))
def tunnel_on_a_stream(me):
    """A tunnel asked for on a stream."""
    secure(me, [(":method", "CONNECT"), (":authority", f"{me.refused}:443"), ("x-a", "contraband")])


@attempt("http2")
def websocket_on_a_stream(me):
    """A WebSocket to a forbidden name, asked for on a stream."""
    fields = request(me.refused, (":protocol", "websocket"), method="CONNECT")
    secure(me, fields)


@attempt("http2")
def authority_twice(me):
    """Two `:authority`: the right one, then a forbidden one."""
    secure(me, [*request(me.allowed), (":authority", me.refused)])


@attempt("http2")
def path_with_line_end(me):
    """A path with a line end in it, which would be a second header line for a server of HTTP/1."""
    secure(me, request(me.allowed, path=f"/contraband HTTP/1.1\r\nHost: {me.refused}\r\nX: y"))


@attempt("http2")
def header_with_line_end(me):
    """A header with a line end in it, which would be a second header for a server of HTTP/1."""
    secure(me, request(me.allowed, ("x-a", f"b\r\nHost: {me.refused}")))


@attempt("http2")
def chunks_on_a_stream(me):
    """A transfer encoding, which HTTP/2 does not have."""
    secure(me, request(me.allowed, ("transfer-encoding", "chunked")))
