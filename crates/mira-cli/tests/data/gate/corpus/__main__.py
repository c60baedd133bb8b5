"""Tries to get out of where it runs, in every way that is known, and says what became of each.

`run FILE` writes a line of JSON for each try, and goes on until it is stopped; `control FILE` tries what gets through where nobody refuses, and ends. `list` says what is tried and what the record
must have of it; `document` says so for people.
"""

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path

import kit
import tries
from tries.rebinding import LEADS

# No try waits this long by itself.
TRY_SECONDS = 20
ABOUT = {
    "addresses": "Addresses that are called without asking anybody.",
    "spellings": "Loopback and forbidden names in every spelling that some resolver or proxy understands.",
    "names": "Names as a way out: what is asked for, and of whom, carries the data.",
    "tls": "TLS that says another name than the one that was called, or hides which, and what is no TLS at all.",
    "connect": "The proxy's own protocol: what is not allowed, and targets that two readers read in two ways.",
    "http1": "Requests of HTTP/1 that name another host inside of an allowed connection, or that two servers read in two ways.",
    "http2": "Requests of HTTP/2 with another host in the pseudo-headers, beside them, or on another stream.",
    "rebinding": "Allowed names that lead where they must not.",
    "redirects": "Allowed hosts that send the program on to somebody else.",
    "placeholders": "The placeholder of a brokered secret where the secret must not go.",
    "sockets": "Sockets that lead out without a network.",
    "processes": "Other processes: reading them, tracing them, ending them.",
    "files": "The person's files, and the machine's.",
    "system": "Calls of the system that change what a program can see or do.",
}


def outcome(known):
    """Tries in this process, and returns what became of it."""
    signal.alarm(TRY_SECONDS)
    try:
        known.run(known)
    except kit.Reached as how:
        return "reached", str(how)
    except (OSError, EOFError) as error:
        return "refused", f"{type(error).__name__}: {error}"
    except Exception as error:
        return "error", f"{type(error).__name__}: {error}"
    return "refused", "no answer from outside"


def tried(known):
    """Tries in a process of its own, whose changes of itself end with it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, json.dumps(outcome(known)).encode()[:4096])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    word, detail = json.loads(said) if said else ("refused", f"ended with {status:#x}")
    if not said and os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        word, detail = "error", "it took too long"
    return {"try": known.name, "category": known.category, "outcome": word, "detail": detail}


def fine():
    """Does what an app is for: calls its host with what it has for the secret, and returns the answer."""
    request = urllib.request.Request("https://api.allowed.test/fine", headers={"Authorization": f"Bearer {os.environ['KEY']}"})
    try:
        with urllib.request.urlopen(request, timeout=TRY_SECONDS) as answer:
            return {"fine": answer.read(65536).decode()}
    except urllib.error.HTTPError as refusal:
        sys.exit(f"{refusal}: {refusal.read().decode()}")


def run(path, every=True):
    """Tries everything, or what gets through where nobody refuses, and writes a line for each."""
    with open(path + ".new", "w") as file:
        if every:
            file.write(json.dumps(fine()) + "\n")
        for known in [known for known in kit.TRIES if every or known.control]:
            file.write(json.dumps(tried(known)) + "\n")
            file.flush()
    os.rename(path + ".new", path)


def listing():
    """Returns what is tried, with the names that it needs and where they lead."""
    for known in kit.TRIES:
        leads = {name: ["93.184.216.34"] for name in (known.allowed, known.tunnel, known.plain, known.refused)}
        if known.name in LEADS:
            leads[known.tunnel] = LEADS[known.name]
        yield {"try": known.name, "category": known.category, "row": known.row, "control": known.control, "leads": leads}


def document():
    """Writes the page."""
    print(HEAD.format(count=len(kit.TRIES)).rstrip())
    for category, about in ABOUT.items():
        print(f"\n## {category.capitalize()}\n\n{about}\n\n| try | what it does | what is recorded |\n|---|---|---|")
        for known in kit.TRIES:
            if known.category == category:
                print(f"| `{known.name}` | {known.what} | {recorded(known.row)} |".replace("\\", "\\\\"))


def recorded(row):
    """Says which row the record has."""
    if row is None:
        return ""
    host = f"[{row['host']}]" if ":" in row["host"] and not row["host"].startswith("[") else row["host"]
    what = f"`{host}:{row['port']}`" if row["port"] else f"`{host}`"
    return what + (f", {row['rule']}" if row["rule"] else "")


HEAD = """# Ways out that are tried

What a program inside of an instance tries in order to get out past the gate, or at what it must not see: {count} tries. A test runs all of them inside of a real instance,
and checks that each is refused, that nothing of it arrived anywhere, and that the record has the row named here. The same tries are made outside of any
instance, where most get through: that shows that they would notice. A way out that is found missing here becomes a line, with the change that closes it.

This page is written from the tries themselves, by `python3 crates/mira-cli/tests/data/gate/corpus document`; a test fails where they differ.
"""

match sys.argv[1:]:
    case ["run", path]:
        run(path)
        signal.pause()
    case ["control", path]:
        run(path, every=False)
    case ["list"]:
        print(json.dumps(list(listing())))
    case ["document"]:
        document()
    case _:
        sys.exit(__doc__)
assert tries
