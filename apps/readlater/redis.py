"""A client of Redis, as far as this app needs one: commands and their answers in RESP2.

https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

import socket
import urllib.parse

CONNECT_SECONDS_MAX = 5
# Longer than any blocking command here waits.
ANSWER_SECONDS_MAX = 30
LINE_BYTES_MAX = 64 * 1024
BULK_BYTES_MAX = 16 * 1024 * 1024


class RedisError(Exception):
    """What Redis answered, or that it cannot be reached."""


class Redis:
    """One connection, for one thread. After an error it is of no use any more."""

    def __init__(self, url, answer_seconds=ANSWER_SECONDS_MAX):
        at = urllib.parse.urlsplit(url)
        try:
            self._socket = socket.create_connection((at.hostname, at.port or 6379), CONNECT_SECONDS_MAX)
            self._socket.settimeout(answer_seconds)
            self._reader = self._socket.makefile("rb")
        except OSError as error:
            raise RedisError(f"cannot be reached: {error.strerror or error}") from None
        if at.password:
            self.call("AUTH", urllib.parse.unquote(at.password))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._reader.close()
        self._socket.close()

    def call(self, *words):
        """Sends a command and returns its answer: a string, a number, a list or None."""
        out = [f"*{len(words)}\r\n".encode()]
        for word in words:
            word = str(word).encode()
            out.append(f"${len(word)}\r\n".encode() + word + b"\r\n")
        try:
            self._socket.sendall(b"".join(out))
        except OSError as error:
            raise RedisError(f"connection lost: {error.strerror or error}") from None
        return self.answer()

    def answer(self):
        """Reads one answer; a subscriber gets one for each message."""
        try:
            return self._answer()
        except OSError as error:
            raise RedisError(f"connection lost: {error.strerror or error}") from None

    def _answer(self):
        line = self._reader.readline(LINE_BYTES_MAX)
        if not line.endswith(b"\r\n"):
            raise RedisError("connection closed")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"+":
            return text
        if kind == b"-":
            raise RedisError(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            return None if text == "-1" else self._bulk(int(text))
        if kind == b"*":
            return None if text == "-1" else [self._answer() for _ in range(int(text))]
        raise RedisError("unknown answer")

    def _bulk(self, size):
        if size > BULK_BYTES_MAX:
            raise RedisError("answer too long")
        body = self._reader.read(size + 2)
        if len(body) != size + 2:
            raise RedisError("connection closed")
        return body[:-2].decode()
