"""The proxy's own protocol: tunnels to what is not allowed, and targets that two readers read in two ways."""

import socket
import struct

from kit import LOOPBACK_PORT, MARK, PATIENCE, PROXY, UNREADABLE, attempt, connect, dial, drained, get, judged, row, through_proxy

LISTED = "not listed"


@attempt("connect", row("{refused}", 443, LISTED))
def tunnel_to_a_forbidden_name(me):
    """A tunnel to a forbidden name."""
    connect(f"{me.refused}:443", get(me.refused), sni=me.refused)


@attempt("connect", row("{allowed}", 8443, LISTED))
def tunnel_to_another_port(me):
    """A tunnel to another port of an allowed name."""
    connect(f"{me.allowed}:8443", get(me.allowed))


@attempt("connect", row("{allowed}", 25, LISTED))
def tunnel_to_mail(me):
    """A tunnel to an allowed name's mail server."""
    connect(f"{me.allowed}:25", MARK + b"\r\n")


@attempt("connect", row("169.254.169.254", 80, LISTED))
def tunnel_to_metadata(me):
    """A tunnel to the credentials that a cloud hands out."""
    connect("169.254.169.254:80", get("169.254.169.254"))


@attempt("connect", row("localhost", LOOPBACK_PORT, LISTED))
def tunnel_to_the_machine(me):
    """A tunnel to a service on the machine's loopback, by its address."""
    connect(f"127.0.0.1:{LOOPBACK_PORT}", MARK + b"\r\n")


@attempt("connect", row("localhost", LOOPBACK_PORT, LISTED))
def tunnel_to_localhost(me):
    """A tunnel to a service on the machine's loopback, by its name."""
    connect(f"localhost:{LOOPBACK_PORT}", MARK + b"\r\n")


@attempt("connect", row("localhost", 3128, LISTED))
def tunnel_to_the_proxy(me):
    """A tunnel to the proxy itself, to ask it from inside."""
    connect("127.0.0.1:3128", get("8.8.8.8", "http://8.8.8.8/contraband"))


@attempt("connect", row("{refused}", 0, ""))
def target_without_port(me):
    """A target without a port, for which one of two readers has a default."""
    connect(me.refused, get(me.refused), sni=me.refused)


@attempt("connect", row("{allowed}", 0, ""), control=False)
def port_that_overflows(me):
    """A port that is 443 again once it has overflowed."""
    connect(f"{me.allowed}:65979", get(me.allowed), sni=me.allowed)


@attempt("connect", row("{tunnel}", 0, ""), control=False)
def port_zero(me):
    """Port 0."""
    connect(f"{me.tunnel}:0", MARK)


@attempt("connect", UNREADABLE, control=False)
def target_with_line_end(me):
    """A target with a line end in it, after which another host follows."""
    connect(f"{me.allowed}:443\r\nHost: {me.refused}:443\r\nX: y", get(me.refused), sni=me.refused)


@attempt("connect", UNREADABLE)
def target_with_bare_return(me):
    """A target with half a line end in it."""
    connect(f"{me.refused}:443\rX:", get(me.refused), sni=me.refused)


@attempt("connect", UNREADABLE, control=False)
def target_with_nul(me):
    """A target with a NUL between an allowed and a forbidden name."""
    connect(f"{me.allowed}\0.{me.refused}:443", get(me.refused), sni=me.refused)


@attempt("connect", UNREADABLE, control=False)
def target_with_space(me):
    """A target with a space in it, behind which another host follows."""
    connect(f"{me.allowed}:443 {me.refused}:443", get(me.refused), sni=me.refused)


@attempt("connect", row("{tunnel}", 443, "is wanted on this port"), control=False)
def tunnel_with_plain_http(me):
    """Plain http to a forbidden host inside of a tunnel to an allowed one."""
    connect(f"{me.tunnel}:443", get(me.refused))


@attempt("connect", row("{tunnel}", 443, "is wanted on this port"), control=False)
def tunnel_in_a_tunnel(me):
    """Another request for a tunnel inside of one."""
    connect(f"{me.tunnel}:443", f"CONNECT {me.refused}:443 HTTP/1.1\r\nHost: {me.refused}:443\r\n\r\n".encode() + MARK)


@attempt("connect", row("{refused}", 80, LISTED))
def request_to_a_forbidden_name(me):
    """A plain request through the proxy to a forbidden name."""
    through_proxy(get(me.refused, f"http://{me.refused}/contraband"))


@attempt("connect", row("{plain}", 80, "Host names another host"))
def request_with_another_host(me):
    """An allowed name in the target, and a forbidden one as `Host`."""
    through_proxy(get(me.refused, f"http://{me.plain}/contraband"))


@attempt("connect", row("{refused}", 80, ""))
def request_with_an_allowed_host(me):
    """A forbidden name in the target, and an allowed one as `Host`."""
    through_proxy(get(me.plain, f"http://{me.refused}/contraband"))


@attempt("connect", row("{allowed}", 80, "CONNECT is wanted"), control=False)
def request_for_https(me):
    """A request for https that the proxy is to make by itself, past the rule that TLS is the program's own."""
    through_proxy(get(me.allowed, f"https://{me.allowed}/contraband"))


@attempt("connect", row("{plain}", 80, "CONNECT is wanted"), control=False)
def request_for_ftp(me):
    """A request of another scheme."""
    through_proxy(get(me.plain, f"ftp://{me.plain}/contraband"))


@attempt("connect", UNREADABLE, control=False)
def request_in_origin_form(me):
    """A request without a host in its target, as to a server."""
    through_proxy(get(me.refused))


@attempt("connect", row("{refused}", 80, ""))
def second_request_to_the_proxy(me):
    """A second request on the same connection to the proxy, to a forbidden name."""
    with dial(*PROXY) as stream:
        fine = f"GET http://{me.plain}/fine HTTP/1.1\r\nHost: {me.plain}\r\n\r\n"
        stream.sendall(fine.encode())
        drained(stream)
        stream.sendall(get(me.refused, f"http://{me.refused}/contraband"))
        judged(drained(stream))


@attempt("connect", UNREADABLE, control=False)
def socks5(me):
    """Another proxy's protocol at the proxy's port: SOCKS 5."""
    with dial(*PROXY) as stream:
        stream.settimeout(PATIENCE)
        name = me.refused.encode()
        stream.sendall(b"\x05\x01\x00\x05\x01\x00\x03" + bytes([len(name)]) + name + struct.pack("!H", 80) + get(me.refused))
        judged(drained(stream))


@attempt("connect", UNREADABLE, control=False)
def socks4(me):
    """Another proxy's protocol at the proxy's port: SOCKS 4."""
    with dial(*PROXY) as stream:
        stream.sendall(b"\x04\x01" + struct.pack("!H", 80) + socket.inet_aton("8.8.8.8") + MARK + b"\0" + get("8.8.8.8"))
        judged(drained(stream))
