"""A page that counts its visits, and says whether it has its secret."""

import html
import json
import os
import pathlib
from http.server import BaseHTTPRequestHandler, HTTPServer

GREETING = os.environ.get("GREETING", "Hello")
HAS_SECRET = "DEMO_API_KEY" in os.environ
VISITS = pathlib.Path(os.environ.get("DATA", "."), "visits")


def count_visit():
    visits = int(VISITS.read_text()) + 1 if VISITS.exists() else 1
    new = VISITS.with_suffix(".new")
    new.write_text(str(visits))
    new.replace(VISITS)
    return visits


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/healthz":
            self.answer(200, "application/json", json.dumps({"ok": True, "secret": HAS_SECRET}))
        elif self.path == "/":
            secret = "here" if HAS_SECRET else "not here"
            greeting = html.escape(GREETING)
            page = f"<!doctype html><title>App</title><h1>{greeting}</h1><p>Visit {count_visit()}. DEMO_API_KEY is {secret}."
            self.answer(200, "text/html; charset=utf-8", page)
        else:
            self.answer(404, "text/plain; charset=utf-8", "There is no such page.")

    def answer(self, status, kind, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Handler)
print(f"listening on http://127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
