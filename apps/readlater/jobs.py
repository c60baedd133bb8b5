"""The queue between web and worker, in Redis: which articles wait, which is worked on, and what has changed.

Redis holds ids only; the articles are in the store. An id moves from WAITING to WORKING in one step, and leaves WORKING
when it is done, so a worker that dies in between loses none.
"""

import threading
import time

from redis import Redis, RedisError

WAITING = "readlater:waiting"
WORKING = "readlater:working"
ALIVE = "readlater:worker"
CHANGED = "readlater:changed"
ALIVE_SECONDS = 15
KEEP_ALIVE_SECONDS = 15
RECONNECT_SECONDS = 1


def push(redis, id):
    """Adds an article to the queue; one that waits already is not added twice."""
    redis.call("LREM", WAITING, 0, id)
    redis.call("LPUSH", WAITING, id)


def take(redis, seconds):
    """Waits for an article and marks it as worked on; returns its id, or None after that many seconds."""
    id = redis.call("BLMOVE", WAITING, WORKING, "RIGHT", "LEFT", seconds)
    return None if id is None else int(id)


def done(redis, id):
    """Takes an article off the queue, and tells whoever watches."""
    redis.call("LREM", WORKING, 0, id)
    redis.call("PUBLISH", CHANGED, id)


def recover(redis, waiting):
    """Puts back what a worker that died had taken, and what the store knows to wait and Redis does not."""
    while redis.call("LMOVE", WORKING, WAITING, "LEFT", "RIGHT") is not None:
        pass
    known = set(redis.call("LRANGE", WAITING, 0, -1))
    for id in waiting:
        if str(id) not in known:
            push(redis, id)


def beat(redis):
    """Says that the worker is alive."""
    redis.call("SET", ALIVE, 1, "EX", ALIVE_SECONDS)


def is_alive(redis):
    """Whether a worker said so lately."""
    return redis.call("EXISTS", ALIVE) == 1


class Changes:
    """Tells watchers when an article is done. One connection serves them all, and comes back when it was lost."""

    def __init__(self, url):
        self._url = url
        self._changed = threading.Condition()
        self._version = 0
        threading.Thread(target=self._follow, daemon=True).start()

    def watch(self):
        """Returns an iterator over the changes from now on: True at each, and None where there was none for a while."""
        return self._watch(self._version)

    def _watch(self, seen):
        while True:
            with self._changed:
                changed = self._changed.wait_for(lambda: self._version != seen, KEEP_ALIVE_SECONDS)
                seen = self._version
            yield changed or None

    def _follow(self):
        while True:
            try:
                # It waits for the next message, however long that takes.
                with Redis(self._url, answer_seconds=None) as redis:
                    redis.call("SUBSCRIBE", CHANGED)
                    while True:
                        # What was missed while there was no connection counts as a change too.
                        self._tell()
                        redis.answer()
            except RedisError:
                time.sleep(RECONNECT_SECONDS)

    def _tell(self):
        with self._changed:
            self._version += 1
            self._changed.notify_all()
