"""The web server: who may ask, what a form has to be, and what is logged."""

import contextlib
import http.client
import io
import os
import tempfile
import threading
import unittest
import urllib.parse
from unittest import mock

import httpd
from httpd import Response, Server, Site

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def broken(request):
    raise ValueError("holds what somebody typed")


class TestServer(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        with open(os.path.join(folder.name, "a.css"), "w") as file:
            file.write("body {}")
        routes = [
            ("GET", "/", lambda request: Response("home " + request.query.get("q", ""))),
            ("GET", "/broken", broken),
            ("POST", "/form", lambda request: Response(request.form.get("text", ""))),
            ("GET", "/events", lambda request: Response(events=iter([("a", "x\ny"), None, ("b", 1)]))),
        ]
        self.log = io.StringIO()
        redirected = contextlib.redirect_stdout(self.log)
        redirected.__enter__()
        self.addCleanup(redirected.__exit__, None, None, None)
        self.site = Site(routes, "the-token", lambda status, text: text, folder.name)
        self.start()

    def start(self):
        self.server = server = Server(self.site, 0)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)

    def ask(self, method="GET", path="/", body=None, headers=None, host=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)
        self.addCleanup(connection.close)
        headers = {"Host": host or f"127.0.0.1:{self.server.server_port}", **(headers or {})}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read().decode(), response.headers

    def post(self, headers=None, path="/form", **fields):
        fields.setdefault("token", "the-token")
        return self.ask("POST", path, urllib.parse.urlencode(fields), {**FORM, **(headers or {})})

    def test_pages_and_files_have_strict_headers(self):
        for path, text in (("/?q=x", "home x"), ("/static/a.css", "body {}")):
            status, body, headers = self.ask(path=path)
            self.assertEqual((status, body), (200, text))
            self.assertIn("default-src 'none'", headers["Content-Security-Policy"])
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(self.ask("HEAD")[:2], (200, ""))
        for path in ("/static/", "/static/../httpd.py", "/static/%2e%2e/httpd.py", "/nothing"):
            self.assertEqual(self.ask(path=path)[0], 404)

    def test_only_local_names_are_answered(self):
        for host in ("localhost", "LOCALHOST:80", "127.0.0.1", "[::1]:9"):
            self.assertEqual(self.ask(host=host)[0], 200, host)
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "127.0.0.1:80@evil.example", " "):
            self.assertEqual(self.ask(host=host)[0], 421, host)

    def test_only_own_pages_send_forms(self):
        own = f"http://127.0.0.1:{self.server.server_port}"
        self.assertEqual(self.post(text="a & b", headers={"Origin": own, "Sec-Fetch-Site": "same-origin"})[:2], (200, "a & b"))
        self.assertEqual(self.post(text="ä")[:2], (200, "ä"))
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
                        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
            self.assertEqual(self.post(headers=headers, text="x")[0], 403, headers)
        for token in ("", "the-toke", "ü"):
            self.assertEqual(self.post(token=token)[0], 403)
        self.assertEqual(self.post(headers={"Content-Type": "text/plain"})[0], 415)
        self.assertEqual(self.post(path="/")[0], 405)

    def test_what_is_too_much_is_refused(self):
        self.assertEqual(self.post(text="x" * httpd.BODY_BYTES_MAX)[0], 413)
        self.assertEqual(self.post(**{f"f{number}": "" for number in range(30)})[0], 400)
        for length in ({"Content-Length": "-1"}, {"Content-Length": "x"}, {"Transfer-Encoding": "chunked"}):
            self.assertEqual(self.ask("POST", "/form", headers={**FORM, **length})[0], 411, length)

    def test_there_is_a_limit_to_connections(self):
        with mock.patch.object(httpd, "CONNECTIONS_MAX", 1):
            self.start()
        # The first connection stays open.
        self.assertEqual(self.ask()[0], 200)
        with self.assertRaises((http.client.HTTPException, OSError)):
            self.ask()

    def test_events_are_sent_as_json(self):
        status, body, headers = self.ask(path="/events")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/event-stream"))
        self.assertEqual(body, 'event: a\ndata: "x\\ny"\n\n: still here\n\nevent: b\ndata: 1\n\n')

    def test_the_log_holds_no_query_no_form_and_no_error_text(self):
        self.ask(path="/?q=typed-query")
        self.post(text="typed-text")
        self.post(token="typed-token")
        status, body, _ = self.ask(path="/broken")
        self.assertEqual(status, 500)
        text = self.log.getvalue() + body
        self.assertNotIn("typed", text)
        self.assertNotIn("the-token", text)
        self.assertIn("GET '/' 200", text)
        self.assertIn("error ValueError at", text)
