"""The pages: everything that somebody wrote is shown as text, and the store and its pages go together."""

import os
import tempfile
import unittest
from html.parser import HTMLParser
from types import SimpleNamespace

import draft
import pages
from store import Store

EVIL = '<script>alert("1")</script>\'"><img src=x onerror=alert(1)> &amp;'
SITE = SimpleNamespace(form_token="t", service=EVIL, model=EVIL, wants_key=True)
MINUTES = {
    "title": EVIL,
    "summary": EVIL,
    "topics": [{"heading": EVIL, "points": [EVIL]}],
    "decisions": [EVIL],
    "actions": [{"what": EVIL, "who": EVIL, "due": EVIL}],
    "questions": [EVIL],
}


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs).get("src")))
        self.attributes += attrs

    def handle_data(self, data):
        self.text += data


class TestPages(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.store = Store(folder.name)

    def check(self, main):
        """A page with that content has no tags of others, and shows what they wrote."""
        page = Tags(pages.page(SITE, EVIL, main, self.store.list(), EVIL))
        self.assertNotIn(("img", "x"), page.tags)
        self.assertEqual([src for tag, src in page.tags if tag == "script"], ["/static/app.js"])
        self.assertFalse([name for name, _ in page.attributes if name.startswith("on") or name == "style"])
        return page

    def test_what_others_wrote_is_shown_as_text(self):
        id = self.store.add(EVIL, EVIL, EVIL)
        row = self.store.find(id)
        self.check(pages.new(SITE, EVIL, EVIL, EVIL, EVIL))
        self.check(pages.working(SITE, row, EVIL))
        self.check(pages.failed(SITE, {**row, "error": EVIL}))
        self.store.finish(id, MINUTES)
        page = self.check(pages.done(SITE, self.store.find(id)))
        self.assertGreaterEqual(page.text.count(EVIL), 9)
        self.assertNotIn("<script>alert", pages.body(MINUTES))

    def test_markdown_has_all_parts(self):
        id = self.store.add("text", "", "small")
        self.store.finish(id, draft.shaped({"title": "T", "summary": "S.", "decisions": ["D"], "questions": ["Q"],
                                            "actions": [{"what": "A", "who": "Ben", "due": "Friday"}, {"what": "B"}],
                                            "topics": [{"heading": "H", "points": ["P"]}]}))
        self.store.toggle_action(id, 1)
        text = pages.markdown(self.store.find(id))
        for line in ("# T", "S.", "- [ ] A (Ben, Friday)", "- [x] B", "## Decisions", "- D", "- Q", "## H", "- P"):
            self.assertIn(line + "\n", text)

    def test_the_history_is_searched_and_kept(self):
        first = self.store.add("100% of a_b", "One", "small")
        second = self.store.add("another aXb", "Two", "small")
        self.store.finish(second, draft.shaped({"title": "Model's", "decisions": ["hidden treasure"]}))
        found = lambda query: [row["id"] for row in self.store.list(query)]
        self.assertEqual(found(""), [second, first])
        self.assertEqual((found("100%"), found("a_b"), found("a%b"), found("TREASURE")), ([first], [first], [], [second]))
        self.assertEqual(self.store.find(second)["title"], "Two", "a title of one's own stays")
        self.store.toggle_action(second, 0)
        token = self.store.form_token
        # A new start: what was being worked on has failed, and can be tried again.
        self.store = Store(self.folder)
        self.assertEqual(self.store.form_token, token)
        self.assertEqual((self.store.find(first)["state"], self.store.find(second)["done"]), ("failed", {0}))
        self.assertTrue(self.store.again(first, "changed", "", "large"))
        self.assertFalse(self.store.again(second, "x", "", "y"))
        self.assertEqual((self.store.find(first)["text"], self.store.find(second)["text"]), ("changed", "another aXb"))
        self.store.delete(second)
        self.assertIsNone(self.store.find(second))
        self.assertEqual(os.stat(os.path.join(self.folder, "minutes.db")).st_size > 0, True)
