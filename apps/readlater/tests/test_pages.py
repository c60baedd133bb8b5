"""The pages and the store: what others wrote is shown as text, and what is kept is found."""

import os
import sqlite3
import tempfile
import unittest
from contextlib import closing
from html.parser import HTMLParser
from types import SimpleNamespace

import pages
from store import Store

EVIL = '<script>alert("1")</script>\'"><img src=x onerror=alert(1)> &amp;'
SITE = SimpleNamespace(form_token="t")


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs).get("src")))
        self.attributes += attrs


class TestPages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.store = Store(folder.name)

    def check(self, main):
        html = pages.page(EVIL, main, (1, 2), EVIL)
        page = Tags(html)
        self.assertNotIn(("img", "x"), page.tags)
        self.assertEqual([src for tag, src in page.tags if tag == "script"], ["/static/app.js"])
        self.assertFalse([name for name, _ in page.attributes if name.startswith("on") or name == "style"])
        self.assertFalse([value for name, value in page.attributes if name == "href" and "script:" in (value or "")])
        return html

    def test_what_others_wrote_is_shown_as_text(self):
        self.check(pages.shelf(SITE, [], False, EVIL, EVIL, EVIL))
        for url in ("", f"https://example.org/{EVIL}", "javascript:alert(1)"):
            id = self.store.add(url, EVIL, f"{EVIL}\n\n## {EVIL}\n\n• {EVIL}")
            for step in (lambda: None, lambda: self.store.fail(id, EVIL), lambda: self.store.ready(id, EVIL, EVIL, EVIL, EVIL, EVIL)):
                step()
                self.check(pages.article(SITE, self.store.find(id)))
                self.check(pages.shelf(SITE, self.store.list(), False))
            html = self.check(pages.results(SITE, self.store.search("alert"), EVIL))
            self.assertIn("<mark>alert</mark>", html)

    def test_a_text_has_its_paragraphs(self):
        self.assertEqual(pages.body("One\n\n## Two\n\n• a\n\n• b\n\nThree"),
                         "<p>One</p><h2>Two</h2><ul><li>a<li>b</ul><p>Three</p>")

    def test_articles_are_kept_and_found(self):
        link = self.store.add("https://example.org/a", "", "")
        text = self.store.add("", "My own title", "About bees and honey")
        self.assertEqual(self.store.waiting(), [link, text])
        self.store.ready(link, "Fetched", "Compilers find errors", "They do.", "small")
        self.store.ready(text, "Bees", "About bees and honey", "Honey.", "small")
        found = lambda query: [row["id"] for row in self.store.search(query)]
        self.assertEqual((found("compil err"), found("honey"), found("own"), found("They"), found("none")),
                         ([link], [text], [text], [link], []))
        for query in ('"', "*", "AND", "a AND (", "title:x", "-", "'; --", "NEAR(a"):
            found(query)
        self.assertEqual([row["title"] for row in self.store.list()], ["My own title", "Fetched"])
        self.assertEqual(self.store.add("https://example.org/a", "", ""), link, "the same address is the same article")
        self.store.mark(link, True)
        self.assertEqual(self.store.counts(), (1, 1))
        self.store.delete(text)
        self.assertEqual((found("honey"), self.store.find(text)), ([], None))
        # The index holds what the articles hold, and nothing of those that are gone.
        with closing(sqlite3.connect(os.path.join(self.folder, "articles.db"))) as db:
            db.execute("INSERT INTO article_index (article_index, rank) VALUES ('integrity-check', 1)")
        self.assertEqual(Store(self.folder).form_token, self.store.form_token)
