"""Gets a page from the web: of public addresses only, unless told otherwise, and not more than is worth reading.

INVARIANT: the address that was checked is the one connected to, at each redirect too. Where a proxy is set, it connects,
and it has to check.
"""

import http.client
import ipaddress
import re
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request

REDIRECTS_MAX = 5
PAGE_BYTES_MAX = 4 * 1024 * 1024
SECONDS_MAX = 30
SOCKET_SECONDS_MAX = 10
URL_CHARS_MAX = 2_000
TYPES = ("text/html", "application/xhtml+xml", "text/plain")


class FetchError(Exception):
    """Why there is no page, for the person."""


def fetch(url, allow_private=False):
    """Returns the address at the end of the redirects, the page's type, and its text."""
    end = time.monotonic() + SECONDS_MAX
    for _ in range(REDIRECTS_MAX + 1):
        at = parsed(url)
        try:
            connection, through_proxy = connect(at, allow_private)
            # A host that sends a byte now and then keeps below each limit but this.
            timer = threading.Timer(max(end - time.monotonic(), 0), hang_up, [connection])
            timer.start()
            try:
                return receive(connection, at, url, through_proxy)
            finally:
                timer.cancel()
                connection.close()
        except Redirect as redirect:
            url = urllib.parse.urljoin(url, redirect.target)
        except ssl.SSLError:
            raise FetchError(f"{at.hostname} has no certificate that can be trusted.") from None
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            if isinstance(error, TimeoutError) or time.monotonic() >= end:
                raise FetchError(f"{at.hostname} took too long to answer.") from None
            raise FetchError(f"{at.hostname} cannot be reached.") from None
    raise FetchError(f"{at.hostname} leads from page to page without end.")


def hang_up(connection):
    """Ends a connection that another thread reads from."""
    if connection.sock:
        connection.sock.shutdown(socket.SHUT_RDWR)


class Redirect(Exception):
    """The page is elsewhere."""

    def __init__(self, target):
        super().__init__()
        self.target = target


def parsed(url):
    """Returns the parts of a web address, or says that it is none."""
    try:
        at = urllib.parse.urlsplit(url)
        valid = at.port is None or at.port > 0
    except ValueError:
        valid = False
    if not valid or at.scheme not in ("http", "https") or not at.hostname or len(url) > URL_CHARS_MAX:
        raise FetchError("That is no web address: it begins with https:// or http://.")
    if at.username is not None:
        raise FetchError("The address holds a user name or password: take it out.")
    return at


def connect(at, allow_private):
    """Returns a connection to the host or to the proxy in front of it, and whether that one has to be told the whole address."""
    kind = http.client.HTTPSConnection if at.scheme == "https" else http.client.HTTPConnection
    proxy = urllib.request.getproxies().get(at.scheme)
    if proxy and not urllib.request.proxy_bypass(at.hostname):
        proxy = urllib.parse.urlsplit(proxy)
        connection = kind(proxy.hostname, proxy.port or 80, timeout=SOCKET_SECONDS_MAX)
        if at.scheme == "https":
            connection.set_tunnel(at.hostname, at.port or 443)
        return connection, at.scheme == "http"
    port = at.port or (443 if at.scheme == "https" else 80)
    connection = kind(at.hostname, port, timeout=SOCKET_SECONDS_MAX)
    # The connection asks this for its socket; the name is used for the certificate only.
    connection._create_connection = lambda *_: connected(at.hostname, port, allow_private)
    return connection, False


def connected(host, port, allow_private):
    """Returns a socket to the first address of the host that may be used and answers."""
    problem = FetchError(f"{host} is in a private network; such pages are not fetched.")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        if not (allow_private or is_public(address[0])):
            continue
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(SOCKET_SECONDS_MAX)
        try:
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            problem = error
    raise problem


def is_public(address):
    """Whether an address is one of the public internet, also where it is written as another kind of address."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        nat64 = ipaddress.ip_network("64:ff9b::/96")
        inner = ipaddress.ip_address(int(ip) & 0xFFFFFFFF) if ip in nat64 else inner
        ip = inner or ip
    # Where a gate is the only way out, a name leads to one of these, and the gate looks at where it leads to.
    stands_for_a_name = ip in ipaddress.ip_network("198.18.0.0/15")
    return (ip.is_global or stands_for_a_name) and not ip.is_multicast


def receive(connection, at, url, through_proxy):
    """Sends the request, and reads the page."""
    path = (at.path or "/") + (f"?{at.query}" if at.query else "")
    target = url.partition("#")[0] if through_proxy else path
    target = urllib.parse.quote(target, safe="%/:=&?~#+!$,;'@()*[]")
    headers = {"Accept": "text/html, text/plain", "User-Agent": "readlater/1.0", "Connection": "close"}
    if through_proxy:
        headers["Host"] = at.netloc
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    if response.status in (301, 302, 303, 307, 308) and response.headers.get("Location"):
        raise Redirect(response.headers["Location"])
    if response.status != 200:
        raise FetchError(f"{at.hostname} answered {response.status}: {http.client.responses.get(response.status, 'unknown')}.")
    kind = response.headers.get_content_type()
    if kind not in TYPES:
        raise FetchError(f"That is no page of text but {kind[:60]}.")
    body = bytearray()
    while piece := response.read1(65536):
        body += piece
        if len(body) > PAGE_BYTES_MAX:
            raise FetchError("The page is too large.")
    # What is left of the announced length never came.
    if response.length:
        raise TimeoutError
    return url, kind, decoded(bytes(body), response.headers.get_content_charset())


def decoded(body, charset):
    """Returns the text of a page in the charset that it names, else as UTF-8."""
    declared = re.search(rb"<meta[^>]{0,200}?charset=[\"']?([\w-]{1,40})", body[:4096], re.IGNORECASE)
    for name in (charset, declared and declared[1].decode()):
        try:
            return body.decode(name, "replace") if name else body.decode("utf-8-sig")
        except (LookupError, ValueError):
            continue
    return body.decode("utf-8", "replace")
