"""The worker: an article ends as ready or failed, with the model's help or without."""

import contextlib
import io
import tempfile
import unittest
from types import SimpleNamespace
from unittest import mock

import fetch
from model import ModelError
from store import Store
from worker import Worker

TEXT = "Bees make honey from the nectar of flowers. A hive of bees needs flowers to make honey."


class TestWorker(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.store = Store(folder.name)
        self.log = io.StringIO()
        redirected = contextlib.redirect_stdout(self.log)
        redirected.__enter__()
        self.addCleanup(redirected.__exit__, None, None, None)

    def work(self, ask, url="", page=None):
        """Lets the worker work on an article; returns it as it is then."""
        model = SimpleNamespace(has_key=ask is not None, name="small", ask=ask)
        id = self.store.add(url, "", "" if url else TEXT)
        with mock.patch.object(fetch, "fetch", mock.Mock(side_effect=page)):
            Worker(self.store, model, False).work(id)
        return self.store.find(id)

    def test_a_model_summarises_where_there_is_a_key(self):
        row = self.work(lambda messages: f"Of {len(messages)}\n messages.")
        self.assertEqual((row["state"], row["summary"], row["summary_by"]), ("ready", "Of 2 messages.", "small"))
        self.assertEqual(row["title"], "Bees make honey from the nectar of flowers. A hive of bees needs flowers to…")

    def test_without_a_model_the_text_has_its_own_summary(self):
        row = self.work(None)
        self.assertEqual((row["state"], row["summary_by"], row["problem"]), ("ready", "its own sentences", ""))
        self.assertIn("Bees make honey", row["summary"])
        for ask in (mock.Mock(side_effect=ModelError("key", "No such key.")), lambda messages: " "):
            row = self.work(ask)
            self.assertEqual((row["state"], row["summary_by"]), ("ready", "its own sentences"))
            self.assertTrue(row["problem"])

    def test_a_page_is_read_or_what_is_wrong_is_told(self):
        url = "https://example.org/"
        row = self.work(None, url, [(url, "text/html", f"<title>Bees</title><p>{TEXT}")])
        self.assertEqual((row["state"], row["title"], row["text"]), ("ready", "Bees", TEXT))
        row = self.work(None, url, fetch.FetchError("It is away."))
        self.assertEqual((row["state"], row["problem"], row["text"]), ("failed", "It is away.", TEXT))
        row = self.work(None, url, [(url, "text/html", "<script>fill()</script>")])
        self.assertIn("no text", row["problem"])
        row = self.work(None, url, ValueError("secret text"))
        self.assertEqual(row["state"], "failed")
        self.assertNotIn("secret text", self.log.getvalue() + row["problem"])
