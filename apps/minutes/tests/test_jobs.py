"""Texts being worked on: each ends as done or failed, and whoever watches sees it."""

import contextlib
import io
import json
import tempfile
import threading
import unittest

import jobs
from model import ModelError, Stopped
from store import Store


class Held:
    """A model that waits until the test lets it answer, or fail."""

    def __init__(self):
        self.go, self.error = threading.Event(), None

    def ask(self, messages, schema, name, on_text, on_wait, stopped):
        on_text('{"decisions": ["A decision that is long enough to be shown')
        self.go.wait(60)
        if stopped():
            raise Stopped
        if self.error:
            raise self.error
        return json.dumps({"title": "T", "decisions": ["D"]})


class TestJobs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store, self.model = Store(folder.name), Held()
        self.jobs = jobs.Jobs(self.store, self.model, 60_000)
        self.log = io.StringIO()
        redirected = contextlib.redirect_stdout(self.log)
        redirected.__enter__()
        self.addCleanup(redirected.__exit__, None, None, None)

    def start(self):
        id = self.store.add("text", "", "small")
        self.jobs.start(id, "text", "small")
        return id, self.jobs.find(id)

    def end(self, id, job):
        """Lets the model go on, and returns what is in the store once the job has ended."""
        self.model.go.set()
        self.assertTrue([state for state in job.watch() if state][-1][2])
        self.assertIsNone(self.jobs.find(id))
        return self.store.find(id)

    def test_progress_is_seen_and_minutes_are_kept(self):
        id, job = self.start()
        states = job.watch()
        while not (state := next(states))[1]:
            pass
        self.assertEqual((state[0], state[1]["decisions"]), ("Writing", ["A decision that is long enough to be shown"]))
        row = self.end(id, job)
        self.assertEqual((row["state"], row["title"], row["minutes"]["decisions"]), ("done", "T", ["D"]))

    def test_errors_are_kept_in_words(self):
        for error, words in ((ModelError("key", "No key."), "No key."), (ValueError("secret text"), "The log says where")):
            self.model.go.clear()
            self.model.error = error
            row = self.end(*self.start())
            self.assertEqual(row["state"], "failed")
            self.assertIn(words, row["error"])
        self.assertNotIn("secret text", self.log.getvalue())

    def test_a_stopped_text_can_be_tried_again(self):
        id, job = self.start()
        self.jobs.stop(id)
        self.assertEqual(self.end(id, job)["error"], "You stopped this.")

    def test_there_is_a_limit_to_what_waits(self):
        started = [self.start() for _ in range(jobs.WAITING_MAX + jobs.WORKERS + 5)]
        self.assertTrue(self.jobs.full())
        states = [self.store.find(id)["state"] for id, _ in started]
        self.assertGreaterEqual(states.count("failed"), 5)
        self.assertEqual(states.count("done"), 0)
        self.model.go.set()
        for _, job in started:
            if job:
                list(job.watch())
