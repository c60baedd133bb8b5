"""What the tries share: how one is declared, ways to talk to somebody, and what counts as having reached them.

Whoever is outside answers with the word `outside` and repeats what was said to them. What must not get there holds the word `contraband`.
An answer that has both is proof that it got there.
"""

import json
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

# How long somebody may be silent. Those who refuse say so at once; this bounds what neither answers nor refuses.
PATIENCE = 5
MARK = b"contraband"
# What was open when this program began, but for the folder that lists it.
STARTED_WITH = {int(name): os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}
# Where a service of the machine listens on its loopback.
LOOPBACK_PORT = 8899
PROXY = ("127.0.0.1", 3128)
# Paths, process ids and ports that the test has set up; none where the tries are only listed.
SET_UP = Path(__file__).with_name("targets.json")
TARGETS = json.loads(SET_UP.read_text()) if SET_UP.exists() else {}


class Reached(Exception):
    """It got out, or in."""


@dataclass
class Try:
    """A way out that is tried."""

    name: str
    category: str
    what: str
    run: object
    row: dict | None
    control: bool

    @property
    def allowed(self):
        """A name of its own that may be called by https, with the brokered secret."""
        return f"{self.name}.allowed.test"

    @property
    def tunnel(self):
        """A name of its own that may be called by https and on port 2525, without a secret."""
        return f"{self.name}.tunnel.test"

    @property
    def plain(self):
        """A name of its own that may be called by http, without a secret."""
        return f"{self.name}.plain.test"

    @property
    def refused(self):
        """A name of its own that may not be called."""
        return f"{self.name}.refused.test"

    def filled(self, text):
        """Puts the try's own names into a text."""
        return text.format(allowed=self.allowed, tunnel=self.tunnel, plain=self.plain, refused=self.refused)


TRIES: list[Try] = []


def attempt(category, row=None, control=True):
    """Declares a try: its category, the refused row that the record has of it, and whether it is tried where nobody refuses, and gets through."""

    def declare(function):
        name = function.__name__.replace("_", "-")
        assert all(known.name != name for known in TRIES), name
        what = " ".join(function.__doc__.split())
        known = Try(name, category, what, function, None, control)
        if row is not None:
            known.row = {key: known.filled(value) if isinstance(value, str) else value for key, value in row.items()}
        TRIES.append(known)
        return function

    return declare


def row(host, port, rule, how=None):
    """A refused row: its host and port exactly, its rule and how by a part of them."""
    return {"host": host, "port": port, "rule": rule} | ({"how": how} if how else {})


# What the record has of a request to the proxy of which nobody can say where it was to go.
UNREADABLE = row("localhost", PROXY[1], "malformed request to the proxy")


def judged(answer):
    """Tells from an answer whether it is one of somebody outside who has heard what they must not."""
    if b"outside" in answer and MARK in answer:
        raise Reached(answer[:120])
    return answer


def drained(stream, patience=PATIENCE):
    """Reads until the end, until silence, or until an answer of HTTP is whole."""
    stream.settimeout(patience)
    heard = b""
    while not whole(heard):
        try:
            piece = stream.recv(65536)
        except (TimeoutError, ConnectionError, ssl.SSLError):
            break
        if not piece:
            break
        heard += piece
    return heard


def whole(heard):
    """Whether this is an answer of HTTP with as much body as it says."""
    head, found, body = heard.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n") if found else []:
        name, _, value = line.partition(b":")
        if name == b"content-length" and value.strip().isdigit():
            return len(body) >= int(value)
    return bool(found) and head.startswith((b"HTTP/1.1 200 tunnel", b"HTTP/1.1 101"))


def dial(host, port):
    """Connects."""
    return socket.create_connection((host, port), timeout=PATIENCE)


def say(host, port, words):
    """Connects, says something, and returns the answer."""
    with dial(host, port) as stream:
        stream.sendall(words)
        return judged(drained(stream))


def say_datagram(family, address, words, kind=socket.SOCK_DGRAM, protocol=0):
    """Sends a datagram, and returns the answer."""
    with socket.socket(family, kind, protocol) as stream:
        stream.settimeout(2)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        stream.connect(address)
        stream.send(words)
        return judged(stream.recv(65536))


def say_unix(path, words=MARK, kind=socket.SOCK_STREAM):
    """Talks to a unix socket."""
    with socket.socket(socket.AF_UNIX, kind) as stream:
        stream.settimeout(PATIENCE)
        stream.connect(path)
        stream.sendall(words)
        if kind == socket.SOCK_DGRAM:
            raise Reached(path)
        return judged(drained(stream))


def wrapped(stream, sni, alpn=None, verify=False):
    """Begins TLS on a connection."""
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context.wrap_socket(stream, server_hostname=sni)


def say_tls(host, words, sni=None, port=443, alpn=None):
    """Connects by TLS, says something, and returns the answer."""
    with dial(host, port) as stream, wrapped(stream, host if sni is None else sni or None, alpn) as secure:
        secure.sendall(words)
        return judged(drained(secure))


def get(host, path="/contraband", headers=(), method="GET", body=b"", version="1.1"):
    """Writes a request of HTTP; a host of `None` is left out."""
    lines = [f"{method} {path} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [*headers, "Connection: close"]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def through_proxy(head, then=None, sni=None):
    """Says something to the proxy; where it opens a tunnel, goes on inside of it, by TLS if a name for that is given."""
    with dial(*PROXY) as stream:
        stream.sendall(head)
        answer = drained(stream)
        if not answer.startswith(b"HTTP/1.1 200") or then is None:
            return judged(answer)
        if sni is not None:
            with wrapped(stream, sni or None) as secure:
                secure.sendall(then)
                return judged(drained(secure))
        stream.sendall(then)
        return judged(drained(stream))


def connect(target, then=None, sni=None, headers=()):
    """Asks the proxy for a tunnel, and goes on inside of it."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *headers, "", ""]
    return through_proxy("\r\n".join(lines).encode("latin-1"), then, sni)


def readable(path):
    """Tries to read a file."""
    with open(path, "rb") as file:
        if piece := file.read(64):
            raise Reached(f"{path}: {len(piece)} bytes")


def target(*keys):
    """A target that the test has set up."""
    found = TARGETS
    for key in keys:
        found = found[key]
    return found
