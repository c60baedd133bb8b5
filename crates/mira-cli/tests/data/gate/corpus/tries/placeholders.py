"""The placeholder of a brokered secret where the secret must not go: it must be refused, and never replaced there."""

import base64
import os
import urllib.parse

from kit import attempt, get, row, say, say_tls

WRONG = "the placeholder of KEY"


def placeholder():
    """Returns what the program has instead of the secret."""
    return os.environ["KEY"]


def brokered(name, what, words):
    """Declares a try towards a host that the secret is for."""

    def function(me):
        say_tls(me.allowed, words(me.allowed, placeholder()))

    function.__name__ = name
    function.__doc__ = what
    attempt("placeholders", row("{allowed}", 443, WRONG))(function)


def elsewhere(name, what, words):
    """Declares a try towards a host that may be called, and that the secret is not for."""

    def function(me):
        say(me.plain, 80, words(me.plain, placeholder()))

    function.__name__ = name
    function.__doc__ = what
    attempt("placeholders", row("{plain}", 80, WRONG))(function)


def form(host, body, *headers):
    """Writes a request with a body."""
    body = body.encode()
    return get(host, "/fine", method="POST", headers=[f"Content-Length: {len(body)}", *headers], body=body)


def in_chunks(host, *pieces):
    """Writes a request whose body comes in chunks."""
    body = b"".join(f"{len(piece):x}\r\n{piece}\r\n".encode() for piece in [*pieces, ""])
    return get(host, "/fine", method="POST", headers=["Transfer-Encoding: chunked"], body=body)


def halves(key):
    """Cuts a placeholder in two."""
    return key[: len(key) // 2], key[len(key) // 2 :]


def basic(key):
    """Writes it as a password."""
    return "Authorization: Basic " + base64.b64encode(f"user:{key}".encode()).decode()


brokered("placeholder_in_path", "In the path.", lambda host, key: get(host, f"/contraband/{key}"))
brokered("placeholder_in_query", "In a query that the manifest does not name.", lambda host, key: get(host, f"/contraband?stolen={key}"))
brokered("placeholder_in_encoded_query", "In a query, with a letter percent-encoded.", lambda host, key: get(host, f"/contraband?stolen=%{ord(key[0]):02x}{urllib.parse.quote(key[1:])}"))
brokered("placeholder_in_body", "In the body.", lambda host, key: form(host, f"stolen={key}&contraband"))
brokered("placeholder_in_chunks", "In a body of chunks, cut in two.", lambda host, key: in_chunks(host, "stolen=", *halves(key), "contraband"))
brokered("placeholder_in_header_name", "In a header's name.", lambda host, key: get(host, headers=[f"X-{key}: a"]))
elsewhere("placeholder_to_another_host", "As a bearer token for another host.", lambda host, key: get(host, headers=[f"Authorization: Bearer {key}"]))
elsewhere("placeholder_as_password", "Inside of a password for another host, in base64.", lambda host, key: get(host, headers=[basic(key)]))
elsewhere("placeholder_as_cookie", "In a cookie for another host.", lambda host, key: get(host, headers=[f"Cookie: a=b; session={key}"]))
elsewhere("placeholder_in_foreign_path", "In the path of another host.", lambda host, key: get(host, f"/contraband/{key}"))
elsewhere("placeholder_in_foreign_query", "In the query of another host.", lambda host, key: get(host, f"/contraband?key={key}"))
elsewhere("placeholder_in_foreign_body", "In a body for another host.", lambda host, key: form(host, f"stolen={key}&contraband"))
elsewhere("placeholder_as_referer", "In an address that the request says to come from.", lambda host, key: get(host, headers=[f"Referer: https://x.test/?k={key}"]))


@attempt("placeholders", row("{allowed}", 80, "not listed"))
def placeholder_to_another_port(me):
    """To the right host, but unencrypted."""
    say(me.allowed, 80, get(me.allowed, headers=[f"Authorization: Bearer {placeholder()}"]))


@attempt("placeholders", row("{allowed}", 443, "Host names another host"))
def placeholder_with_another_host(me):
    """To the right host, with another one as `Host`."""
    say_tls(me.allowed, get(me.plain, headers=[f"Authorization: Bearer {placeholder()}"]))


@attempt("placeholders", row("{refused}", 443, "not listed"))
def placeholder_to_a_forbidden_host(me):
    """To a forbidden host."""
    say_tls(me.refused, get(me.refused, headers=[f"Authorization: Bearer {placeholder()}"]))
