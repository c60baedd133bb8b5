"""From HTML to text, and from a text to its own sentences."""

import unittest

import article

PARAGRAPH = "Ownership is how the language keeps track of who frees memory, and when that happens."
PAGE = f"""<!doctype html><html><head><title>On ownership - A blog</title><meta property="og:title" content="On ownership">
<style>p {{ color: red }}</style><script>var x = "<p>not text</p>";</script></head><body>
<nav><ul><li><a href=/>Home of the site and more</a></li></ul></nav><header><p>A header that is long enough to be text.</p></header>
<main><article><h1>On ownership</h1><p>{PARAGRAPH}</p>
<p>Values&nbsp;&lt;move&gt; <em>once</em>,
   <b>and</b> once only.<p>Unclosed paragraphs <i>end.</p>
<h2>Rules</h2><ul><li>One owner</li><li>No <code>null</code></li></ul>
<div><a href=/a>A list of links, all of which lead to other pages</a></div>
{f"<p>{PARAGRAPH}</p>" * 6}<h2>Related</h2></article></main>
<aside>An aside that is long enough to be text.</aside><footer><p>A footer that is long enough to be text.</p></footer>
</body></html>"""


class TestArticle(unittest.TestCase):
    def test_the_content_is_kept_and_the_rest_is_not(self):
        title, text = article.read(PAGE)
        self.assertEqual(title, "On ownership")
        self.assertTrue(text.startswith(PARAGRAPH), text)
        for part in ("Values <move> once, and once only.\n\nUnclosed paragraphs end.", "## Rules\n\n• One owner\n\n• No null"):
            self.assertIn(part, text.replace("\xa0", " "))
        for part in ("Home", "header", "aside", "footer", "not text", "links", "Related", "color"):
            self.assertNotIn(part, text)

    def test_a_page_of_any_form_is_read(self):
        for html in ("", "plain", "<", "<p", "<!doctype", "</p></p>", "<div>" * 5000 + "x", "<a <b <c>", "&#xffffffff;", "<![CDATA[x"):
            title, text = article.read(html)
            self.assertIsInstance(text, str, html[:20])
        self.assertEqual(article.read("<title>A\n title</title><p>Short.</p>"), ("A title", "Short."))

    def test_a_summary_is_of_the_texts_own_sentences(self):
        text = (
            "## Bees\n\nBees make honey from the nectar of flowers all through summer. Some like tea. "
            "A hive of bees needs flowers within two miles to make enough honey. "
            "My uncle once lost his keys near Dover and never found them again. "
            "Without flowers near the hive the bees starve, and there is no honey at all."
        )
        summary = article.own_summary(text, 2)
        self.assertIn("hive", summary)
        self.assertNotIn("uncle", summary)
        for sentence in summary.split(". "):
            self.assertIn(sentence, text)
        self.assertEqual(article.own_summary(""), "")
        self.assertEqual(article.own_summary("Short."), "Short.")
