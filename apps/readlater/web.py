"""The pages of Read later: add a link or a text, and list, read and search what is there.

Reads from the environment: PORT (0: any), DATA (the folder of the articles), QUEUE (redis://host:port). It holds no key.
"""

import os
import re
import sys

import article
import jobs
import pages
from fetch import FetchError, parsed
from httpd import Refused, Response, Site, log, redirect, serve
from redis import Redis, RedisError
from store import Store


class App:
    """The routes, and what they work with."""

    def __init__(self, store, queue):
        self.store, self.queue = store, queue
        self.form_token = store.form_token
        self.changes = jobs.Changes(queue)

    def site(self):
        """Returns the site to serve."""
        one = r"/articles/([0-9]{1,15})"
        routes = [
            ("GET", "/", self.home),
            ("GET", "/healthz", self.health),
            ("GET", "/events", self.events),
            ("POST", "/articles", self.add),
            ("GET", one, self.show),
            ("POST", one + "/(read|unread)", self.mark),
            ("POST", one + "/again", self.again),
            ("POST", one + "/delete", self.delete),
        ]
        static = os.path.join(os.path.dirname(os.path.abspath(__file__)), "static")
        return Site(routes, self.form_token, self.error_page, static)

    def error_page(self, status, text):
        return pages.page("Sorry", f"<h1>Sorry</h1>{pages.problem(text)}<p><a href=/>Back to the list</a></p>")

    def health(self, request):
        self.store.check()
        return Response("ok\n", "text/plain; charset=utf-8")

    def home(self, request):
        query = request.query.get("q", "")[:200].strip()
        read = request.query.get("show") == "read"
        if query:
            main = pages.results(self, self.store.search(query), query)
        else:
            main = pages.shelf(self, self.store.list(read), read)
        return Response(pages.page("Search" if query else "List", main, self.store.counts(), query, read))

    def add(self, request):
        what = request.form.get("what", "").replace("\r\n", "\n").strip()
        title = " ".join(request.form.get("title", "").split())[:300]
        error = ""
        is_link = re.fullmatch(r"https?://\S+", what, re.IGNORECASE)
        if not what:
            error = "There is nothing yet: paste a link, or a text."
        elif len(what) > article.TEXT_CHARS_MAX:
            error = f"That is longer than {article.TEXT_CHARS_MAX:,} characters."
        elif is_link:
            try:
                parsed(what)
            except FetchError as problem:
                error = str(problem)
        elif re.fullmatch(r"[^\s/]+\.[^\s/]{2,}(/\S*)?", what):
            error = "To add a link, begin it with https://"
        if error:
            main = pages.shelf(self, self.store.list(), False, what, title, error)
            return Response(pages.page("List", main, self.store.counts()), status=400)
        id = self.store.add(what if is_link else "", title, "" if is_link else what)
        self.push(id)
        return redirect("/")

    def push(self, id):
        """Hands an article to the worker; where Redis is away, the worker finds it in the store once it is back."""
        try:
            with Redis(self.queue) as redis:
                jobs.push(redis, id)
        except RedisError as error:
            log(f"the queue: {error}")

    def show(self, request, id):
        row = self.row(id)
        return Response(pages.page(row["title"] or row["url"], pages.article(self, row), self.store.counts()))

    def mark(self, request, id, how):
        self.store.mark(self.row(id)["id"], how == "read")
        return redirect("/")

    def again(self, request, id):
        row = self.row(id)
        self.store.again(row["id"])
        self.push(row["id"])
        return redirect(f"/articles/{row['id']}")

    def delete(self, request, id):
        self.store.delete(self.row(id)["id"])
        return redirect("/")

    def events(self, request):
        return Response(events=(change and ("changed", True) for change in self.changes.watch()))

    def row(self, id):
        """Returns one article."""
        if (row := self.store.find(int(id))) is None:
            raise Refused(404, "This article is not here. It may have been deleted.")
        return row


def main():
    """Starts the pages from the environment."""
    os.umask(0o077)
    env = os.environ
    try:
        port = int(env.get("PORT") or 8472)
    except ValueError:
        sys.exit("PORT has to be a number")
    app = App(Store(env.get("DATA") or "data"), env.get("QUEUE") or "redis://127.0.0.1:6379")
    serve(app.site(), port)


if __name__ == "__main__":
    main()
