"""The texts that are being worked on, in two threads; whoever looks at one sees how far it is.

INVARIANT: a job that was accepted ends in the store as done or failed, whatever happens in between.
"""

import queue
import threading

import draft
from httpd import log, log_crash
from model import ModelError, Stopped

WORKERS = 2
WAITING_MAX = 20
KEEP_ALIVE_SECONDS = 15


class Job:
    """How far one text is. Watchers wait for the next change, and miss nothing but what is out of date already."""

    def __init__(self, id, text, model):
        self.id, self.text, self.model = id, text, model
        self.stopped = threading.Event()
        self._changed = threading.Condition()
        self._version = 0
        self._stage, self._minutes, self._ended = "Waiting for its turn", None, False

    def tell(self, stage=None, minutes=None, ended=False):
        """Changes how far it is, and wakes the watchers."""
        with self._changed:
            self._stage = stage or self._stage
            self._minutes = minutes or self._minutes
            self._ended = self._ended or ended
            self._version += 1
            self._changed.notify_all()

    def watch(self):
        """Yields `(stage, minutes so far, ended)` at each change, and None where there was none for a while."""
        seen = -1
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._version != seen, KEEP_ALIVE_SECONDS):
                    seen = self._version
                    state = (self._stage, self._minutes, self._ended)
                else:
                    state = None
            yield state
            if state and state[2]:
                return


class Jobs:
    """The queue and its threads."""

    def __init__(self, store, model, part_chars):
        self._store, self._model, self._part_chars = store, model, part_chars
        self._waiting = queue.Queue(WAITING_MAX)
        self._jobs = {}
        self._lock = threading.Lock()
        for _ in range(WORKERS):
            threading.Thread(target=self._work, daemon=True).start()

    def full(self):
        """Whether no more texts are taken for now."""
        return self._waiting.full()

    def start(self, id, text, model):
        """Lets a text be worked on. The store has it already."""
        job = Job(id, text, model)
        with self._lock:
            self._jobs[id] = job
        try:
            self._waiting.put_nowait(job)
        except queue.Full:
            self._end(job, lambda: self._store.fail(id, "Too many texts are waiting. Try again once some are done."))

    def find(self, id):
        """Returns the job of a text, or None where it is not being worked on."""
        with self._lock:
            return self._jobs.get(id)

    def stop(self, id):
        """Lets the work on a text end soon."""
        if job := self.find(id):
            job.stopped.set()
            job.tell(stage="Stopping")

    def _work(self):
        while True:
            job = self._waiting.get()
            try:
                minutes = draft.write(
                    self._model,
                    job.text,
                    job.model,
                    self._part_chars,
                    on_stage=lambda stage: job.tell(stage=stage),
                    on_minutes=lambda minutes: job.tell(stage="Writing", minutes=minutes),
                    stopped=job.stopped.is_set,
                )
                end = lambda: self._store.finish(job.id, minutes)
            except Stopped:
                end = lambda: self._store.fail(job.id, "You stopped this.")
            except ModelError as error:
                log(f"minutes {job.id}: the model failed ({error.kind})")
                end = lambda text=str(error): self._store.fail(job.id, text)
            except Exception as error:
                log_crash(error)
                end = lambda: self._store.fail(job.id, "Something went wrong here. The log says where.")
            self._end(job, end)

    def _end(self, job, end):
        try:
            end()
        except Exception as error:
            log_crash(error)
        with self._lock:
            self._jobs.pop(job.id, None)
        job.tell(ended=True)
