"""Allowed names that lead where they must not: to private addresses, to metadata, or by a redirect to somebody else."""

import ssl
import urllib.request

from kit import LOOPBACK_PORT, attempt, get, judged, row, say_tls

NOT_PUBLIC = "which is not public"
# Where the test's own table of hosts leads these names.
LEADS = {}


def leads(name, what, *addresses):
    """Declares a try of a name that leads to these addresses."""

    def function(me):
        say_tls(me.tunnel, get(me.tunnel))

    function.__name__ = name
    function.__doc__ = what
    attempt("rebinding", row("{tunnel}", 443, NOT_PUBLIC))(function)
    LEADS[name.replace("_", "-")] = addresses


leads("to_loopback", "A name that leads to loopback.", "127.0.0.1")
leads("to_another_loopback", "A name that leads to another address of loopback.", "127.9.9.9")
leads("to_loopback6", "A name that leads to loopback of IPv6.", "::1")
leads("to_private", "A name that leads into a private network.", "10.0.0.7")
leads("to_private_and_public", "A name that leads to a public and a private address.", "93.184.216.34", "192.168.1.7")
leads("to_public_and_metadata", "A name that leads to a public address and to metadata.", "93.184.216.34", "169.254.169.254")
leads("to_metadata", "A name that leads to metadata.", "169.254.169.254")
leads("to_metadata6", "A name that leads to metadata by IPv6.", "fd00:ec2::254")
leads("to_mapped", "A name that leads to a private address, written as an IPv6 one.", "::ffff:10.0.0.7")
leads("to_nat64", "A name that leads to a private address through the prefix of NAT64.", "64:ff9b::a00:7")
leads("to_6to4", "A name that leads to a private address through the prefix of 6to4.", "2002:a00:7::1")
leads("to_shared", "A name that leads to the range that carriers share.", "100.64.0.1")
leads("to_zero", "A name that leads to `0.0.0.0`.", "0.0.0.0")
leads("to_synthetic", "A name that leads to an address of the kind that stands for names.", "198.18.0.1")


@attempt("rebinding", row("named-metadata.test", 443, NOT_PUBLIC))
def named_to_metadata(me):
    """A name that the manifest lists by itself, and that leads to metadata."""
    say_tls("named-metadata.test", get("named-metadata.test"))


def follow(me, to):
    """Calls an allowed host that answers with a redirect, and follows it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    with opener.open(f"https://{me.allowed}/redirect?to={to}", timeout=10) as answer:
        judged(answer.read(65536))


@attempt("redirects", row("{refused}", 443, "not listed"))
def redirect_to_a_forbidden_name(me):
    """An allowed host that sends the program on to a forbidden one."""
    follow(me, f"https://{me.refused}")


@attempt("redirects", row("169.254.169.254", 80, "not listed"))
def redirect_to_metadata(me):
    """An allowed host that sends the program on to metadata."""
    follow(me, "http://169.254.169.254")


@attempt("redirects", row("localhost", 80, "not listed"))
def redirect_to_loopback(me):
    """An allowed host that sends the program on to loopback."""
    follow(me, "http://127.0.0.1")


@attempt("redirects", control=False)
def redirect_to_the_machine(me):
    """An allowed host that sends the program on to a service on the machine's loopback."""
    follow(me, f"http://127.0.0.1:{LOOPBACK_PORT}")


@attempt("redirects", row("{refused}", 80, "not listed"))
def redirect_to_plain(me):
    """An allowed host that sends the program on to a forbidden one without encryption."""
    follow(me, f"http://{me.refused}")
