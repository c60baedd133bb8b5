"""From a page's HTML to its title and text, and from a text to a summary of its own sentences.

It is no browser: a page that a script fills has no text here.
"""

import re
from collections import Counter
from html.parser import HTMLParser

SKIPPED = {"script", "style", "nav", "header", "footer", "aside", "form", "noscript", "svg", "template", "iframe",
           "button", "select", "figure", "dialog", "menu"}
BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "blockquote", "pre", "td", "th", "dt", "dd", "div", "section",
          "article", "main", "br", "tr", "ul", "ol", "table", "body"}
CONTENT = {"article", "main"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
# A block with fewer characters, or mostly of links, is a label or a menu.
BLOCK_CHARS_MIN = 25
LINK_SHARE_MAX = 0.5
CONTENT_CHARS_MIN = 400
TEXT_CHARS_MAX = 500_000
DEPTH_MAX = 200


class Reader(HTMLParser):
    """Collects a page's blocks of text: each with its tag, how much of it is links, and whether it is in the content."""

    def __init__(self):
        super().__init__()
        self.title, self.site_title, self.heading = "", "", ""
        self.blocks = []
        self._open, self._text, self._link_chars = [], "", 0

    def handle_starttag(self, tag, attrs):
        if tag in BLOCKS:
            self._end_block()
        if tag == "meta":
            attrs = dict(attrs)
            if attrs.get("property") in ("og:title", "twitter:title"):
                self.title = self.title or (attrs.get("content") or "").strip()
        if tag == "body":
            # Whatever the head left open has ended.
            self._open.clear()
        if tag not in VOID and len(self._open) < DEPTH_MAX:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in BLOCKS:
            self._end_block()
        if tag in self._open:
            # A tag that was not closed ends with the one around it.
            while self._open.pop() != tag:
                pass

    def handle_data(self, data):
        if "title" in self._open and "svg" not in self._open:
            self.site_title += data
        elif not SKIPPED.intersection(self._open):
            self._text += data if "pre" in self._open else re.sub(r"\s+", " ", data)
            self._link_chars += len(data.strip()) if "a" in self._open else 0

    def close(self):
        super().close()
        self._end_block()

    def _end_block(self):
        text, links = self._text.strip(), self._link_chars
        self._text, self._link_chars = "", 0
        if not text:
            return
        tag = next((tag for tag in reversed(self._open) if tag in BLOCKS), "body")
        if tag == "h1" and not self.heading:
            self.heading = text
        self.blocks.append((tag, text, links / len(text), bool(CONTENT.intersection(self._open))))


def read(html):
    """Returns the title and the text of a page; its paragraphs are apart by an empty line."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    blocks = [block for block in reader.blocks if block[3]]
    if sum(len(text) for _, text, _, _ in blocks) < CONTENT_CHARS_MIN:
        blocks = reader.blocks
    kept = []
    for tag, text, links, _ in blocks:
        if tag in HEADINGS:
            # Two in a row: the first has nothing below it.
            if kept and kept[-1].startswith("## "):
                kept.pop()
            kept.append(f"## {text}")
        elif links <= LINK_SHARE_MAX and (len(text) >= BLOCK_CHARS_MIN or tag in ("li", "p", "pre", "dd", "blockquote")):
            kept.append(f"• {text}" if tag == "li" else text)
    if kept and kept[-1].startswith("## "):
        kept.pop()
    title = reader.title or reader.site_title.strip() or reader.heading
    if kept and kept[0] in (f"## {title}", f"## {reader.heading}"):
        kept.pop(0)
    return " ".join(title.split())[:300], "\n\n".join(kept)[:TEXT_CHARS_MAX]


def sentences(text):
    """Returns the sentences of a text's paragraphs, without headings."""
    found = []
    for paragraph in text.split("\n\n"):
        if not paragraph.startswith("## "):
            found += re.split(r"(?<=[.!?。！？])[\"”»)]?\s+(?=\S)", " ".join(paragraph.removeprefix("• ").split()))
    return [sentence for sentence in found if sentence]


def own_summary(text, count=3):
    """Returns the sentences that hold most of what the text is about, in their order."""
    candidates = sentences(text)
    words = [set(re.findall(r"\w{4,}", sentence.lower())) for sentence in candidates]
    # Words that are everywhere say little, and so do those that are in one place.
    counts = Counter(word for each in words for word in each)
    weights = {word: n for word, n in counts.items() if 1 < n <= max(2, len(candidates) // 2)}

    def score(at):
        length = len(candidates[at])
        if not 40 <= length <= 400:
            return 0
        about = sum(weights.get(word, 0) for word in words[at]) / (len(words[at]) + 5)
        # Writers say early what it is about.
        return about * (1.5 if at < 3 else 1)

    best = sorted(range(min(len(candidates), 2000)), key=score, reverse=True)[:count]
    summary = " ".join(candidates[at] for at in sorted(best) if score(at) > 0)
    return summary or " ".join(candidates[:count])[:600]
