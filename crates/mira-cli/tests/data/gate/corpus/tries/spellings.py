"""Loopback and forbidden names in every spelling that some resolver or proxy understands."""

from kit import UNREADABLE, attempt, connect, get, row, say, through_proxy

NOT_A_HOST = "not a host"
NOT_LISTED = "not listed"
# All of loopback is called so in the record.
LOOPBACK = row("localhost", 80, NOT_LISTED)


def spelled(name, what, host, recorded, control=True):
    """Declares two tries of a spelling, as a tunnel and as a request to the proxy.

    The record has it as it is written if it is no host, else as this host, else these two rows.
    """

    def tunnel(me):
        host_here = me.filled(host)
        connect(f"{host_here}:443", get(host_here), sni="")

    def request(me):
        host_here = me.filled(host)
        through_proxy(get(host_here, f"http://{host_here}/contraband"))

    if recorded is None:
        recorded = row(host, 443, NOT_A_HOST), row(host, 80, NOT_A_HOST)
    elif isinstance(recorded, str):
        recorded = row(recorded, 443, NOT_LISTED), row(recorded, 80, NOT_LISTED)
    for kind, function, refused in [("tunnel", tunnel, recorded[0]), ("request", request, recorded[1])]:
        function.__name__ = f"{kind}_to_{name}"
        function.__doc__ = f"{what}, as a {kind} through the proxy."
        attempt("spellings", refused, control)(function)


def direct(name, what, host):
    """Declares a try of a spelling that the program's own resolver reads."""

    def function(me):
        say(host, 80, get(host))

    function.__name__ = f"direct_to_{name}"
    function.__doc__ = f"{what}, read by the program's own resolver."
    attempt("spellings", LOOPBACK)(function)


for name, what, host in [
    ("short", "Loopback as `127.1`", "127.1"),
    ("hex", "Loopback as `0x7f.1`", "0x7f.1"),
    ("octal", "Loopback as `0177.0.0.1`", "0177.0.0.1"),
    ("decimal", "Loopback as `2130706433`", "2130706433"),
]:
    direct(name, what, host)
    spelled(name, what, host, None)


@attempt("spellings", LOOPBACK)
def direct_to_another_loopback(me):
    """The gate's own listener by another address of loopback."""
    say("127.0.0.2", 80, get("127.0.0.2"))


@attempt("spellings", LOOPBACK)
def direct_to_zero(me):
    """The gate's own listener by `0.0.0.0`, which the system takes for loopback."""
    say("0.0.0.0", 80, get("0.0.0.0"))


@attempt("spellings", LOOPBACK)
def direct_to_loopback6(me):
    """The gate's own listener by `::1`."""
    say("::1", 80, get("[::1]"))


@attempt("spellings", LOOPBACK)
def direct_to_mapped(me):
    """Loopback as `::ffff:127.0.0.1`."""
    say("::ffff:127.0.0.1", 80, get("[::ffff:127.0.0.1]"))


for name, what, host, recorded in [
    ("loopback6", "Loopback as `[::1]`", "[::1]", "localhost"),
    ("mapped", "Loopback as `[::ffff:127.0.0.1]`", "[::ffff:127.0.0.1]", None),
    ("mapped-hex", "Loopback as `[::ffff:7f00:1]`", "[::ffff:7f00:1]", None),
    ("nat64", "Loopback through the prefix of NAT64", "[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
    ("6to4", "Loopback through the prefix of 6to4", "[2002:7f00:1::]", "2002:7f00:1::"),
    ("dot", "A forbidden name with a dot at its end", "{refused}.", "{refused}"),
    ("upper", "A forbidden name in upper case", "UPPER.REFUSED.TEST", "upper.refused.test"),
    ("percent", "A forbidden name with a letter percent-encoded", "%72efused.test", (UNREADABLE, UNREADABLE)),
    ("user", "An allowed name as the user before a forbidden one", "{allowed}@{refused}", (row("{refused}", 443, "malformed target"), row("{refused}", 0, "malformed target"))),
    ("fragment", "An allowed name and a `#` before a forbidden one", "{allowed}#@{refused}", (UNREADABLE, row("{allowed}", 80, NOT_LISTED))),
    ("backslash", "A forbidden name and a backslash before an allowed one", "{refused}\\@{allowed}", (UNREADABLE, UNREADABLE)),
    ("look-alike", "A name that looks like an allowed one, in its `xn--` form", "xn--80ak6aa92e.test", "xn--80ak6aa92e.test"),
    ("suffix", "A name that ends like an allowed one, without the dot", "xallowed.test", "xallowed.test"),
    ("prefix", "A name that begins with an allowed one", "api.allowed.test.refused.test", "api.allowed.test.refused.test"),
    ("parent", "The name itself below which all are allowed", "allowed.test", "allowed.test"),
    ("two-dots", "A name with two dots at its end", "{refused}..", None),
    ("empty-label", "A name with an empty part", "api..allowed.test", None),
]:
    spelled(name.replace("-", "_"), what, host, recorded, control=name not in {"dot", "percent", "two-dots", "empty-label"})
