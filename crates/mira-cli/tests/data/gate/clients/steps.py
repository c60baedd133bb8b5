"""What every client does; each brings its own way to get something and to follow events."""

import os
import sys

ALLOWED, BROKERED, REFUSED = sys.argv[1:]
KEY = os.environ["KEY"]


def said(*words):
    print(*words, flush=True)


def event_of(line):
    """Returns what an event says, or None for another line."""
    text = line.decode() if isinstance(line, bytes) else line
    return text[len("data: "):].strip() if text.startswith("data: ") else None


def walk(get, follow):
    """`get(url, headers)` returns a status and a text; `follow(url)` yields the lines of a stream."""
    said("key", KEY)
    said("allowed", get(f"{ALLOWED}/echo", {})[0])
    said("brokered", get(f"{BROKERED}/echo", {"Authorization": f"Bearer {KEY}"})[0])
    for event in filter(None, map(event_of, follow(f"{BROKERED}/sse"))):
        said("event", event)
        get(f"{ALLOWED}/echo?ack={event}", {})
    try:
        said("refused", *get(f"{REFUSED}/", {}))
    except Exception as error:
        said("refused", repr(error))
