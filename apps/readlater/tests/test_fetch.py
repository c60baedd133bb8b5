"""Fetching: which addresses are connected to, and which pages are taken."""

import os
import socket
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import fetch
from fetch import FetchError


class Site:
    """Answers each path with what a test put there: status, headers, body."""

    def __init__(self, pages):
        outer = self
        self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, self.headers["Host"]))
                status, headers, body = pages.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


HTML = {"Content-Type": "text/html"}


class TestFetch(unittest.TestCase):
    def setUp(self):
        self.pages = {}
        self.site = Site(self.pages)
        self.addCleanup(self.site.close)
        environment = mock.patch.dict("os.environ")
        environment.start()
        self.addCleanup(environment.stop)
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
            os.environ.pop(name, None)

    def fetch(self, path="/"):
        return fetch.fetch(self.site.url + path, allow_private=True)

    def problem(self, path="/", url=None, allow_private=True):
        with self.assertRaises(FetchError) as caught:
            fetch.fetch(url or self.site.url + path, allow_private)
        return str(caught.exception)

    def test_a_page_is_read_in_its_charset(self):
        for headers, body in (
            ({"Content-Type": "text/html; charset=iso-8859-1"}, "<p>für".encode("latin-1")),
            (HTML, "<meta charset=windows-1252><p>für".encode("latin-1")),
            (HTML, "<p>für".encode()),
            ({"Content-Type": "text/plain; charset=nonsense"}, "<p>für".encode()),
        ):
            self.pages["/"] = (200, headers, body)
            self.assertTrue(self.fetch()[2].endswith("<p>für"), headers)

    def test_redirects_are_followed_and_end(self):
        self.pages["/a"] = (302, {"Location": "b"}, b"")
        self.pages["/b"] = (200, HTML, b"there")
        self.assertEqual(self.fetch("/a"), (f"{self.site.url}/b", "text/html", "there"))
        self.pages["/c"] = (301, {"Location": "/c"}, b"")
        self.assertIn("without end", self.problem("/c"))
        self.pages["/d"] = (301, {"Location": "file:///etc/passwd"}, b"")
        self.assertIn("no web address", self.problem("/d"))

    def test_private_addresses_are_not_connected_to(self):
        self.pages["/"] = (200, HTML, b"private")
        for url in (self.site.url, self.site.url.replace("127.0.0.1", "localhost"), "http://[::1]:1/", "http://169.254.169.254/",
                    "http://10.0.0.1/", "http://0.0.0.0:1/", "http://[::ffff:127.0.0.1]:1/", "http://2130706433:1/"):
            self.assertIn("private network", self.problem(url=url, allow_private=False), url)
        self.assertEqual(self.site.asked, [])

    def test_the_checked_address_is_the_one_connected_to(self):
        port = self.site.server.server_port
        self.pages["/"] = (302, {"Location": f"http://inside.example:{port}/"}, b"")
        answers = {"outside.example": "127.0.0.1", "inside.example": "10.0.0.1"}
        resolved = []

        def resolve(host, port, **_):
            resolved.append(host)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers[host], port))]

        # 127.0.0.1 stands for a public address here.
        with mock.patch("socket.getaddrinfo", resolve), mock.patch.object(fetch, "is_public", lambda at: at == "127.0.0.1"):
            self.assertIn("inside.example is in a private network", self.problem(url=f"http://outside.example:{port}/",
                                                                                 allow_private=False))
        self.assertEqual(resolved, ["outside.example", "inside.example"], "each name is resolved once")
        self.assertEqual(self.site.asked, [("/", f"outside.example:{port}")])

    def test_addresses_are_told_apart(self):
        for address in ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"):
            self.assertTrue(fetch.is_public(address), address)
        for address in ("127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "169.254.1.1", "224.0.0.1", "0.0.0.0", "::", "::1", "fe80::1%eth0",
                        "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "255.255.255.255"):
            self.assertFalse(fetch.is_public(address), address)

    def test_what_is_no_page_is_told(self):
        self.pages["/pdf"] = (200, {"Content-Type": "application/pdf"}, b"")
        self.pages["/large"] = (200, HTML, b"x" * (fetch.PAGE_BYTES_MAX + 1))
        self.pages["/short"] = (200, {**HTML, "Content-Length": "100"}, b"x")
        for path, words in (("/pdf", "application/pdf"), ("/large", "too large"), ("/short", "too long to answer"), ("/none", "404")):
            self.assertIn(words, self.problem(path), path)
        for url in ("ftp://x/", "http:///", "javascript:alert(1)", "http://user:pw@x/", "http://x:99999/", "http://[/", "https://" + "x" * 3000):
            self.assertTrue(self.problem(url=url), url)

    def test_a_site_that_sends_a_byte_now_and_then_is_left(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        # It never answers, and no single wait has a limit: only the whole has.
        with mock.patch.object(fetch, "SECONDS_MAX", 0.2), mock.patch.object(fetch, "SOCKET_SECONDS_MAX", None):
            self.assertIn("took too long", self.problem(url=url))

    def test_a_proxy_is_used_where_one_is_set(self):
        self.pages["http://far.example/x?y"] = (200, HTML, b"through the proxy")
        with mock.patch.dict("os.environ", http_proxy=self.site.url):
            self.assertEqual(fetch.fetch("http://far.example/x?y#z")[2], "through the proxy")
        self.assertEqual(self.site.asked, [("http://far.example/x?y", "far.example")])
