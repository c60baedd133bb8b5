"""The model's client: what it asks, what it makes of answers, and what it tells of errors."""

import itertools
import socket
import unittest
from unittest import mock

from model import Model, ModelError, Stopped
from tests.service import Service, events

KEY = "sk-canary-0123456789abcdef"
HELLO = [{"role": "user", "content": "Hello"}]
REFUSED = {"error": {"message": "response_format is not supported"}}


class TestModel(unittest.TestCase):
    def ask(self, *answers, key=KEY, **more):
        """Asks a service with these answers; returns the text and the service."""
        with Service(*answers) as service:
            self.waits = []
            return Model(service.url, "small", key).ask(HELLO, on_wait=self.waits.append, **more), service

    def problem(self, *answers, key=KEY, **more):
        """Returns the error, which never holds the key."""
        with self.assertRaises(ModelError) as caught:
            self.ask(*answers, key=key, **more)
        self.assertNotIn(KEY, str(caught.exception))
        self.assertNotIn(KEY, repr(caught.exception.__context__))
        return caught.exception

    def test_an_answer_is_followed_as_it_comes(self):
        seen = []
        text, service = self.ask((200, events("Good", " day")), on_text=seen.append)
        self.assertEqual((text, seen), ("Good day", ["Good", "Good day"]))
        path, headers, body = service.requests[0]
        self.assertEqual((path, headers["Authorization"]), ("/v1/chat/completions", f"Bearer {KEY}"))
        self.assertEqual((body["model"], body["stream"], "response_format" in body), ("small", True, False))

    def test_a_service_that_does_not_stream_is_understood(self):
        text, _ = self.ask((200, {"choices": [{"message": {"content": "Good day"}, "finish_reason": "stop"}]}))
        self.assertEqual(text, "Good day")

    def test_a_service_without_a_key_gets_none(self):
        _, service = self.ask((200, events("x")), key="")
        self.assertIsNone(service.requests[0][1]["Authorization"])

    def test_a_schema_is_asked_for_as_strictly_as_it_is_taken(self):
        answers = [(400, REFUSED), (422, REFUSED), (200, events("{}")), (200, events("{}"))]
        with Service(*answers) as service:
            model = Model(service.url, "small", KEY)
            for _ in range(2):
                self.assertEqual(model.ask(HELLO, schema={"type": "object"}), "{}")
        formats = [body.get("response_format", {}).get("type") for _, _, body in service.requests]
        # The second question does not try again what was refused.
        self.assertEqual(formats, ["json_schema", "json_object", None, None])

    def test_a_refusal_for_another_reason_is_told(self):
        error = self.problem(*[(400, {"error": {"message": f"bad {KEY} thing"}})] * 3, schema={"type": "object"})
        self.assertIn("It says: bad [key] thing", str(error))

    def test_errors_are_told_in_words(self):
        long = {"error": {"code": "context_length_exceeded", "message": "too many tokens"}}
        quota = {"error": {"code": "insufficient_quota"}}
        for answer, kind, words in [
            ((401, {"error": {"message": f"Incorrect: {KEY}"}}), "key", "does not accept the key"),
            ((403, {}), "key", "does not let this key"),
            ((402, {}), "paid", "no credit"),
            ((429, quota), "paid", "no credit"),
            ((404, {"error": {"code": "model_not_found"}}), "model", "no model “small”"),
            ((404, {"error": {"message": "model 'small' not found"}}), "model", "no model “small”"),
            ((404, {}), "address", "OPENAI_BASE_URL"),
            ((400, long), "length", "too long"),
            ((429, {}, {"Retry-After": "90"}), "limit", "in 90 seconds"),
            ((302, {}, {"Location": "http://127.0.0.1:1/"}), "address", "moved"),
            ((200, "<html>"), "broken", "broke"),
            ((200, ["no", "object"]), "address", "OPENAI_BASE_URL"),
            ((200, events("cut off", finish="length")), "answer", "cut off"),
            ((200, events("half", finish=None, done=False)), "broken", "broke"),
            ((200, 'data: {"error": {"code": 401, "message": "x"}}\n\n'), "key", "does not accept"),
        ]:
            with self.subTest(answer=answer):
                error = self.problem(answer)
                self.assertEqual(error.kind, kind)
                self.assertIn(words, str(error))
        self.assertIn("wants a key", str(self.problem((401, {}), key="")))

    def test_a_service_that_asks_to_wait_is_asked_again(self):
        clock = mock.Mock(monotonic=mock.Mock(side_effect=itertools.count(0, 5)))
        with mock.patch("model.time", clock):
            text, service = self.ask((429, {}, {"Retry-After": "7"}), (500, {}), (200, events("x")))
            self.assertEqual((text, len(service.requests), self.waits), ("x", 3, [7, 3]))
            self.assertEqual(self.problem((500, {}), (503, {}), (500, {})).kind, "service")
        self.assertTrue(clock.sleep.called)

    def test_a_key_that_is_no_key_is_not_quoted(self):
        for key in (f"{KEY}\nX-Other: 1", f"{KEY} more", f"{KEY}…"):
            self.assertEqual(self.problem(key=key).kind, "key")

    def test_an_address_that_is_none_is_told(self):
        for url in ("api.openai.com", "ftp://x/v1", f"https://user:{KEY}@x/v1", ""):
            with self.assertRaises(ModelError) as caught:
                Model(url, "small", KEY).names()
            self.assertEqual(caught.exception.kind, "address")

    def test_a_service_that_is_not_there_is_told(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            # It is bound and does not listen: a connection is refused.
            with self.assertRaises(ModelError) as caught:
                Model(f"http://127.0.0.1:{port}/v1", "small", KEY).ask(HELLO)
        self.assertEqual(caught.exception.kind, "reach")
        self.assertIn("cannot be reached", str(caught.exception))

    def test_a_stopped_question_ends(self):
        with self.assertRaises(Stopped):
            self.ask((200, events("a", "b")), stopped=iter([False, False, True]).__next__)

    def test_models_are_listed(self):
        with Service((200, {"data": [{"id": "b"}, {"id": "a"}]}), (200, {"x": 1})) as service:
            model = Model(service.url, "small", KEY)
            self.assertEqual(model.names(), ["a", "b"])
            with self.assertRaises(ModelError):
                model.names()

    def test_the_key_is_in_no_representation(self):
        self.assertNotIn(KEY, repr(Model("http://x/v1", "small", KEY)))
