"""Minutes: paste what was said in a meeting; get minutes with decisions and action items.

Reads from the environment: PORT (0: any), DATA (the folder of the history), OPENAI_API_KEY, OPENAI_BASE_URL,
OPENAI_MODEL, PART_CHARS.
"""

import json
import os
import sys

import draft
import pages
from httpd import Refused, Response, Site, log, redirect, serve
from jobs import Jobs
from model import Model, ModelError
from store import Store

PART_CHARS_MIN = 2_000


class App:
    """The routes, and what they work with."""

    def __init__(self, store, model, part_chars):
        self.store, self.client = store, model
        self.jobs = Jobs(store, model, part_chars)
        # What pages show.
        self.service, self.model = model.host, model.name
        self.form_token = store.form_token
        self.wants_key = not model.has_key and model.host == "api.openai.com"

    def site(self):
        """Returns the site to serve."""
        one = r"/minutes/([0-9]{1,15})"
        routes = [
            ("GET", "/", self.home),
            ("GET", "/healthz", self.health),
            ("GET", "/models", self.models),
            ("POST", "/minutes", self.create),
            ("GET", one, self.show),
            ("GET", one + r"\.md", self.markdown),
            ("GET", one + "/events", self.events),
            ("POST", one + "/again", self.again),
            ("POST", one + "/stop", self.stop),
            ("POST", one + "/delete", self.delete),
            ("POST", one + "/action", self.action),
        ]
        static = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
        return Site(routes, self.form_token, self.error_page, static)

    def error_page(self, status, text):
        return pages.page(self, "Sorry", f"<h1>Sorry</h1>{pages.problem(text)}<p><a href=/>Back to the start</a></p>")

    def health(self, request):
        self.store.check()
        return Response("ok\n", "text/plain; charset=utf-8")

    def home(self, request):
        query = request.query.get("q", "")[:200].strip()
        return Response(pages.page(self, "New", pages.new(self), self.store.list(query), query))

    def models(self, request):
        try:
            answer = {"models": self.client.names()[:1000]}
        except ModelError as error:
            answer = {"problem": str(error)}
        return Response(json.dumps(answer), "application/json")

    def create(self, request):
        text, title, model = self.entered(request)
        if problem := self.problem(text):
            form = pages.new(self, text, title, model, problem)
            return Response(pages.page(self, "New", form, self.store.list()), status=400)
        id = self.store.add(text, title, model)
        self.jobs.start(id, text, model)
        return redirect(f"/minutes/{id}")

    def entered(self, request):
        """Returns the text, title and model in a form."""
        # Browsers send line ends as CR LF.
        text = request.form.get("text", "").replace("\r\n", "\n").replace("\0", "").strip()
        title = " ".join(request.form.get("title", "").split())[:200]
        return text, title, request.form.get("model", "").strip()[:200] or self.model

    def problem(self, text):
        """Returns why a text is not taken, or nothing."""
        if not text:
            return "There is no text yet: paste what was said."
        if len(text) > draft.TEXT_CHARS_MAX:
            return f"The text is longer than {draft.TEXT_CHARS_MAX:,} characters. Paste a part of it."
        return "Too many texts are waiting. Send this again once some are done." if self.jobs.full() else ""

    def show(self, request, id):
        row = self.row(id)
        job = self.jobs.find(row["id"]) if row["state"] == "working" else None
        if row["state"] == "done":
            main = pages.done(self, row)
        elif job:
            main = pages.working(self, row, next(job.watch())[0])
        else:
            # It may have ended since it was read.
            row = self.row(id)
            main = pages.done(self, row) if row["state"] == "done" else pages.failed(self, row)
        title = row["title"] or "Minutes"
        return Response(pages.page(self, title, main, self.store.list(), current=row["id"], refresh=bool(job)))

    def markdown(self, request, id):
        row = self.row(id)
        if row["state"] != "done":
            raise Refused(404, "There are no minutes yet.")
        headers = {"Content-Disposition": f'attachment; filename="minutes-{row["id"]}.md"'}
        return Response(pages.markdown(row), "text/markdown; charset=utf-8", headers=headers)

    def events(self, request, id):
        job = self.jobs.find(self.row(id)["id"])
        return Response(events=progress(job))

    def again(self, request, id):
        row = self.row(id)
        text, title, model = self.entered(request)
        if problem := self.problem(text):
            main = pages.failed(self, {**row, "text": text, "title": title, "model": model, "error": problem})
            return Response(pages.page(self, "Minutes", main, self.store.list(), current=row["id"]), status=400)
        if self.jobs.find(row["id"]) is None and self.store.again(row["id"], text, title, model):
            self.jobs.start(row["id"], text, model)
        return redirect(f"/minutes/{row['id']}")

    def stop(self, request, id):
        self.jobs.stop(self.row(id)["id"])
        return redirect(f"/minutes/{id}")

    def delete(self, request, id):
        row = self.row(id)
        self.jobs.stop(row["id"])
        self.store.delete(row["id"])
        return redirect("/")

    def action(self, request, id):
        number = request.form.get("number", "")
        row = self.row(id)
        if not number.isascii() or not number.isdigit() or int(number[:6]) >= len(row["minutes"].get("actions", [])):
            raise Refused(400, "There is no such action.")
        self.store.toggle_action(row["id"], int(number))
        return redirect(f"/minutes/{id}")

    def row(self, id):
        """Returns one of the history."""
        if (row := self.store.find(int(id))) is None:
            raise Refused(404, "These minutes are not here. They may have been deleted.")
        return row


def progress(job):
    """Yields the events of a text being worked on; the last is `ended`, after which the page loads its last state."""
    shown = None
    for state in job.watch() if job else ():
        if state is None:
            yield None
            continue
        stage, minutes, _ = state
        yield "stage", stage
        if minutes is not shown:
            shown = minutes
            yield "minutes", pages.body(minutes)
    yield "ended", True


def main():
    """Starts the app from its environment."""
    os.umask(0o077)
    env = os.environ
    try:
        port, part_chars = int(env.get("PORT") or 8471), int(env.get("PART_CHARS") or 60_000)
    except ValueError:
        sys.exit("PORT and PART_CHARS have to be numbers")
    if part_chars < PART_CHARS_MIN:
        sys.exit(f"PART_CHARS has to be at least {PART_CHARS_MIN}")
    base_url = env.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    model = Model(base_url, env.get("OPENAI_MODEL") or "gpt-4.1-mini", env.get("OPENAI_API_KEY") or "")
    app = App(Store(env.get("DATA") or "data"), model, part_chars)
    log(f"minutes by {model.host}, {'with a key' if model.has_key else 'without a key'}")
    serve(app.site(), port)


if __name__ == "__main__":
    main()
