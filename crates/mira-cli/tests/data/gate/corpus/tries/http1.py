"""Requests of HTTP/1 that name another host inside of an allowed connection, or that two servers read in two ways."""

from kit import Reached, attempt, dial, drained, get, judged, row, say, say_tls, wrapped

OTHER = "Host names another host"


def told(name, what, words, rule="", control=True):
    """Declares a try that says some words of HTTP to an allowed host: lines, with `\n` for the end of one."""

    def function(me):
        say(me.plain, 80, me.filled(words).replace("\n", "\r\n").replace("\v", "\n").encode("latin-1"))

    function.__name__ = name
    function.__doc__ = what
    attempt("http1", None if rule is None else row("{plain}", 80, rule), control)(function)


def posted(name, what, headers, body="0\n\nGET /contraband HTTP/1.1\nHost: {refused}\n\n", rule=""):
    """Declares a try with a body that is framed in two ways. Without a rule, the request passes, framed in one way, and what is hidden in it does not."""
    told(name, what, "POST /fine HTTP/1.1\nHost: {plain}\n" + headers + "\n\n" + body, rule)


GET = "GET /contraband HTTP/1.1\n"
told("host_other", "A forbidden name as `Host`.", GET + "Host: {refused}\n\n", OTHER)
told("host_allowed_other", "Another allowed name as `Host`.", GET + "Host: {allowed}\n\n", OTHER)
told("host_twice", "Two `Host` headers: the right one, then a forbidden one.", GET + "Host: {plain}\nHost: {refused}\n\n")
told("host_twice_reversed", "Two `Host` headers: a forbidden one, then the right one.", GET + "Host: {refused}\nHost: {plain}\n\n")
told("host_missing", "No `Host` at all.", GET + "X-A: b\n\n")
told("host_list", "Two names in one `Host`.", GET + "Host: {plain}, {refused}\n\n")
told("host_port", "The right name with another port as `Host`.", GET + "Host: {plain}:8443\n\n", OTHER)
told("host_user", "The right name as the user before a forbidden one.", GET + "Host: {plain}@{refused}\n\n")
told("host_folded", "A `Host` that goes on in the next line with a forbidden name.", GET + "Host: {plain}\n {refused}\n\n")
told("host_with_tab", "A `Host` with a tab and a forbidden name behind the right one.", GET + "Host: {plain}\t{refused}\n\n")
told("host_with_nul", "A `Host` with a NUL and a forbidden name behind the right one.", GET + "Host: {plain}\0{refused}\n\n")
told("host_with_space_before_colon", "A second `Host` with a space before its colon.", GET + "Host: {plain}\nHost : {refused}\n\n")
told("host_behind_bare_return", "A second `Host` behind half a line end.", GET + "X-A: b\rHost: {refused}\nHost: {plain}\n\n")
told("absolute_other", "A forbidden name in the target, and the right one as `Host`.", "GET http://{refused}/contraband HTTP/1.1\nHost: {plain}\n\n")
told("absolute_and_host_other", "The right name in the target, and a forbidden one as `Host`.", "GET http://{plain}/contraband HTTP/1.1\nHost: {refused}\n\n", OTHER)
told("absolute_https", "A target of https, for the next server to encrypt.", "GET https://{refused}/contraband HTTP/1.1\nHost: {plain}\n\n")
told("absolute_user", "A target with the right name as the user before a forbidden one.", "GET http://{plain}@{refused}/contraband HTTP/1.1\nHost: {plain}\n\n")
told("method_connect", "A tunnel asked for inside of a plain connection.", "CONNECT {refused}:443 HTTP/1.1\nHost: {refused}:443\n\ncontraband")
told("method_trace", "A request that makes the server repeat all headers, with those that were put in.", "TRACE /contraband HTTP/1.1\nHost: {plain}\n\n")
told("version_09", "A request of HTTP/0.9, which has no headers.", "GET /contraband\n")
told("version_10", "A forbidden name as `Host` of HTTP/1.0, which needs none.", "GET /contraband HTTP/1.0\nHost: {refused}\n\n", OTHER)
told("bare_line_feeds", "Lines that end without a carriage return, and a second `Host` among them.", "GET /contraband HTTP/1.1\vHost: {plain}\vHost: {refused}\v\v")
told("header_without_colon", "A header line that is none.", GET + "Host: {plain}\ncontraband\n\n")
told("empty_header_name", "A header without a name.", GET + "Host: {plain}\n: contraband\n\n")

posted("length_and_chunks", "A length and chunks, so that one server sees a second request in the body; it is framed anew.", "Content-Length: 60\nTransfer-Encoding: chunked", rule=None)
posted("chunks_and_length", "The same in the other order.", "Transfer-Encoding: chunked\nContent-Length: 4", rule=None)
posted("chunks_misspelled", "A transfer encoding that some servers take for chunks.", "Transfer-Encoding: xchunked")
posted("chunks_twice", "Chunks twice.", "Transfer-Encoding: chunked, chunked")
posted("chunks_not_last", "Chunks, and another encoding after them.", "Transfer-Encoding: chunked, identity")
posted("chunks_in_two_headers", "Two transfer encodings in two headers.", "Transfer-Encoding: identity\nTransfer-Encoding: chunked\nContent-Length: 4")
posted("chunks_with_space", "A transfer encoding with a space before its colon.", "Transfer-Encoding : chunked\nContent-Length: 4")
posted("chunks_folded", "A transfer encoding in the next line.", "Transfer-Encoding:\n chunked\nContent-Length: 4")
posted("lengths_differ", "Two lengths.", "Content-Length: 4\nContent-Length: 60")
posted("length_list", "Two lengths in one header.", "Content-Length: 4, 60")
posted("length_signed", "A length with a sign.", "Content-Length: +4")
posted("length_hex", "A length that some servers read as hexadecimal.", "Content-Length: 0x3c")
posted("length_overflows", "A length that overflows.", "Content-Length: 18446744073709551620")
posted("chunk_overflows", "A chunk whose length overflows.", "Transfer-Encoding: chunked", "10000000000000004\ncontraband\n0\n\n", rule=None)


@attempt("http1", row("{plain}", 80, OTHER))
def second_request(me):
    """A second request on a connection, to another host than the first."""
    with dial(me.plain, 80) as stream:
        stream.sendall(f"GET /fine HTTP/1.1\r\nHost: {me.plain}\r\n\r\n".encode())
        drained(stream)
        stream.sendall(get(me.refused))
        judged(drained(stream))


@attempt("http1", row("{plain}", 80, OTHER), control=False)
def pipelined_request(me):
    """A second request to another host, sent together with the first."""
    with dial(me.plain, 80) as stream:
        stream.sendall(f"GET /fine HTTP/1.1\r\nHost: {me.plain}\r\n\r\n".encode() + get(me.refused))
        drained(stream)
        judged(drained(stream))


@attempt("http1", row("{allowed}", 443, OTHER))
def second_request_inside_of_tls(me):
    """A second request on an encrypted connection, to another host than the first."""
    with dial(me.allowed, 443) as stream, wrapped(stream, me.allowed) as secure:
        secure.sendall(f"GET /fine HTTP/1.1\r\nHost: {me.allowed}\r\n\r\n".encode())
        drained(secure)
        secure.sendall(get(me.refused))
        judged(drained(secure))


@attempt("http1")
def length_and_chunks_inside_of_tls(me):
    """A length and chunks on an encrypted connection, where the gate puts a secret in."""
    hidden = b"0\r\n\r\nGET /contraband HTTP/1.1\r\nHost: x\r\n\r\n"
    say_tls(me.allowed, get(me.allowed, "/fine", method="POST", headers=["Content-Length: 60", "Transfer-Encoding: chunked"], body=hidden))


@attempt("http1", row("{plain}", 80, OTHER))
def websocket_other(me):
    """A WebSocket to a forbidden name on a connection to an allowed one."""
    headers = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: Y29udHJhYmFuZDEyMzQ1Ng=="]
    say(me.plain, 80, get(me.refused, headers=headers))


def without(name, what, words, headers):
    """Declares a try in which the request may pass, but for some of its headers."""

    def plain(me):
        heard(say(me.plain, 80, get(me.plain, "/fine", headers)), words)

    def secure(me):
        heard(say_tls(me.allowed, get(me.allowed, "/fine", headers)), words)

    for kind, function in [("plain", plain), ("secure", secure)]:
        function.__name__ = f"{name}_{kind}"
        function.__doc__ = f"{what}, by {'http' if kind == 'plain' else 'https where the gate puts a secret in'}."
        attempt("http1")(function)


def heard(answer, words):
    """Looks for words in what those outside repeat."""
    if words in answer.lower():
        raise Reached(f"{words} was passed on")


without("proxy_authorization", "Credentials for the proxy, which are nobody else's", b"proxy-authorization:", ["Proxy-Authorization: Basic b3V0c2lkZQ=="])
without("proxy_connection", "A header for the proxy, which is nobody else's", b"proxy-connection:", ["Proxy-Connection: keep-alive"])
without("upgrade_h2c", "A change to HTTP/2, after which nobody would look inside", b"upgrade: h2c", ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"])
without("hop_by_hop", "A header that the request declares to end here", b"x-hop:", ["Connection: X-Hop", "X-Hop: contraband"])
