"""A model service that says what a test scripted, for the client's own tests."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def events(*contents, finish="stop", done=True):
    """Returns the body of a streamed answer."""
    choices = [{"delta": {"content": content}} for content in contents]
    if finish:
        choices.append({"delta": {}, "finish_reason": finish})
    lines = [f"data: {json.dumps({'choices': [choice]})}\n\n" for choice in choices]
    return ": a comment\n\n" + "".join(lines) + ("data: [DONE]\n\n" if done else "")


class Service:
    """Answers each request with the next of `answers`: status, body, and more headers."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.requests.append((self.path, self.headers, json.loads(body) if body else None))
                status, answer, headers = (*outer.answers.pop(0), {})[:3]
                streams = isinstance(answer, str)
                self.send_response(status)
                kind = "text/event-stream" if streams else "application/json"
                for name, value in {"Content-Type": kind, **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.encode() if streams else json.dumps(answer).encode())

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
