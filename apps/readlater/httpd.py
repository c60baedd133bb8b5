"""A small web server for one person on this machine.

It listens on 127.0.0.1 only, answers only where it is called by a local name (no other site's name can be made to lead
here), and takes a form only from its own pages. It logs paths and statuses: no query, no form, no header.

Minutes and Read later have the same copy of this file: a package is complete in itself.
"""

import hmac
import json
import os
import re
import signal
import socketserver
import sys
import threading
import traceback
import urllib.parse
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer

# A text of 400 000 characters, each of them three bytes and so nine when percent-encoded.
BODY_BYTES_MAX = 4 * 1024 * 1024
# What is read and thrown away of a body that is too large, so that the browser shows the answer.
DRAIN_BYTES_MAX = 4 * BODY_BYTES_MAX
FIELDS_MAX = 20
CONNECTIONS_MAX = 64
SOCKET_SECONDS_MAX = 30

LOCAL_NAMES = {"127.0.0.1", "localhost", "[::1]"}
TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not `no-referrer`: a form would then come with the origin `null`.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def log(text):
    """Writes a line to the log, whole and at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def log_crash(error):
    """Logs where an error came from and its kind, not its text: that may quote what somebody typed."""
    places = [f"{os.path.basename(at.filename)}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)]
    log(f"error {type(error).__name__} at {' > '.join(places)}")


class Refused(Exception):
    """A request that is not served; the text is for the person."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


@dataclass
class Request:
    """What a route is given."""

    query: dict
    form: dict


@dataclass
class Response:
    """What a route returns: a body, or server-sent events as pairs of a name and a JSON value (None: keep alive)."""

    body: str | bytes = ""
    type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict = field(default_factory=dict)
    events: object = None


def redirect(path):
    """Leads to another page after a form."""
    return Response(status=303, headers={"Location": path})


class Site:
    """Routes, the token that its forms carry, and how it shows an error."""

    def __init__(self, routes, form_token, error_page, static):
        self.routes = [(method, re.compile(pattern), action) for method, pattern, action in routes]
        self.form_token = form_token
        self.error_page = error_page
        self.files = {}
        for name in os.listdir(static):
            with open(os.path.join(static, name), "rb") as file:
                self.files[f"/static/{name}"] = (TYPES[os.path.splitext(name)[1]], file.read())

    def respond(self, method, path, request):
        """Finds the route and calls it."""
        method = "GET" if method == "HEAD" else method
        if method == "GET" and path in self.files:
            kind, body = self.files[path]
            return Response(body, kind)
        allowed = False
        for wanted, pattern, action in self.routes:
            match = pattern.fullmatch(path)
            if match and wanted == method:
                return action(request, *match.groups())
            allowed = allowed or match
        if allowed:
            raise Refused(405, "This page cannot be used that way.")
        raise Refused(404, "There is no such page.")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    timeout = SOCKET_SECONDS_MAX

    def version_string(self):
        return "local"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        try:
            self.check_host()
            form = self.read_form() if self.command == "POST" else {}
            request = Request(fields(query), form)
            response = self.server.site.respond(self.command, urllib.parse.unquote(path), request)
        except Refused as error:
            response = Response(self.server.site.error_page(error.status, str(error)), status=error.status)
        except Exception as error:
            log_crash(error)
            text = "Something went wrong here. The log says where."
            response = Response(self.server.site.error_page(500, text), status=500)
        if path != "/healthz" or response.status != 200:
            log(f"{self.command} {path[:200]!a} {int(response.status)}")
        try:
            self.send(response)
        except OSError:
            self.close_connection = True

    do_HEAD = do_POST = do_GET

    def check_host(self):
        """Refuses a name that is not local: another site may have made its own name lead here (DNS rebinding)."""
        names = self.headers.get_all("Host") or []
        name = re.sub(r":\d*$", "", names[0]).lower() if len(names) == 1 else ""
        if name not in LOCAL_NAMES:
            self.close_connection = True
            raise Refused(421, "This server answers on this machine only: use the address 127.0.0.1.")

    def read_form(self):
        """Returns the fields of a form that one of our own pages sent."""
        body = self.read_body()
        kind = self.headers.get_content_type()
        origin = self.headers.get("Origin")
        foreign = origin is not None and urllib.parse.urlsplit(origin).netloc.lower() != self.headers["Host"].lower()
        if foreign or self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise Refused(403, "Another site sent this form; it was not used.")
        if kind != "application/x-www-form-urlencoded":
            raise Refused(415, "Send this as a form.")
        form = fields(body.decode("utf-8", "replace"))
        if not hmac.compare_digest(form.pop("token", "").encode(), self.server.site.form_token.encode()):
            raise Refused(403, "This form is of another time. Go back, reload the page, and send it again.")
        return form

    def read_body(self):
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length) or self.headers.get("Transfer-Encoding"):
            self.close_connection = True
            raise Refused(411, "The length of what you send is missing.")
        if int(length) <= BODY_BYTES_MAX:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            raise Refused(400, "What you sent did not arrive whole.")
        self.close_connection = True
        left = min(int(length), DRAIN_BYTES_MAX)
        while left > 0 and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)
        raise Refused(413, "That is too long.")

    def send(self, response):
        body = response.body.encode() if isinstance(response.body, str) else response.body
        streams = response.events is not None
        if streams:
            self.close_connection = True
        self.send_response(response.status)
        kind = "text/event-stream" if streams else response.type
        for name, value in {**HEADERS, "Content-Type": kind, **response.headers}.items():
            self.send_header(name, value)
        if not streams:
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body)
        for event in response.events or ():
            text = ": still here\n\n" if event is None else f"event: {event[0]}\ndata: {json.dumps(event[1])}\n\n"
            self.wfile.write(text.encode())

    def log_request(self, code="-", size="-"):
        """Says nothing: `do_GET` logs."""

    def log_message(self, format, *args):
        log("a request that is no HTTP, or came too slowly")


def fields(text):
    """Returns the fields of a form or query, the first of each name."""
    try:
        pairs = urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Refused(400, "The form has too many fields.") from None
    return dict(reversed(pairs))


class Server(socketserver.ThreadingMixIn, HTTPServer):
    """Serves each connection in a thread, up to a number of them."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, site, port):
        self.site = site
        self.slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self):
        # Not HTTPServer's: that asks the name service for our name.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address

    def process_request(self, request, address):
        if self.slots.acquire(blocking=False):
            super().process_request(request, address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request, address):
        try:
            super().process_request_thread(request, address)
        finally:
            self.slots.release()

    def handle_error(self, request, address):
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            log_crash(error)


def serve(site, port):
    """Serves until the process is told to end (TERM or Ctrl-C)."""
    try:
        server = Server(site, port)
    except OSError as error:
        sys.exit(f"cannot listen on port {port}: {error.strerror}; is it in use?")
    stop = lambda *_: threading.Thread(target=server.shutdown).start()
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    log(f"listening on http://127.0.0.1:{server.server_port}/")
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    log("ended")
