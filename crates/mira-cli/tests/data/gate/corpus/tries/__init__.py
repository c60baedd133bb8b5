"""The tries, by category; importing them declares them."""

from . import addresses, connect, http1, http2, names, placeholders, processes, rebinding, sockets, spellings, system, tls  # noqa: F401
