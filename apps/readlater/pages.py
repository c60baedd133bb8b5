"""The pages as HTML.

INVARIANT: everything that a person, a page or a model wrote passes `escape`, here and nowhere else. A page works without
scripts.
"""

import urllib.parse
from html import escape

import article as texts
from store import MATCH, MATCH_END

CHARS_PER_MINUTE = 1_100


def page(title, main, counts=(0, 0), query="", read=None):
    """Returns a whole page."""

    def link(href, label, count, here):
        return f"<li><a href={href}{' aria-current=page' if here else ''}>{label}<span class=quiet>{int(count)}</span></a>"

    return f"""<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta name=color-scheme content="light dark">
<title>{escape(title)} · Read later</title>
<link rel=icon href=/static/icon.svg>
<link rel=stylesheet href=/static/base.css>
<link rel=stylesheet href=/static/app.css>
<script src=/static/app.js defer></script>
<a class=skip href=#main>Skip to the articles</a>
<header class=bar>
  <a class=brand href=/><img src=/static/icon.svg alt="" width=24 height=24>Read later</a>
  <form class=search action=/ method=get role=search>
    <label class=hidden for=q>Search the articles</label>
    <input id=q name=q type=search value="{escape(query)}" placeholder="Search (press /)" maxlength=200>
  </form>
</header>
<div class=columns>
<nav aria-label=Lists>
  <ul class=lists>{link("/", "To read", counts[0], read is False and not query)}
  {link("/?show=read", "Read", counts[1], read is True and not query)}</ul>
</nav>
<main id=main tabindex=-1>
{main}
</main>
</div>
</html>
"""


def shelf(site, rows, read, what="", title="", error=""):
    """Returns a list of articles, that of the unread ones with the form to add one."""
    form = "" if read else add_form(site, what, title, error)
    nothing = "What you have read will be listed here." if read else "Nothing to read. Add a link, or a text."
    return f"""<h1>{"Read" if read else "To read"}</h1>
{form}<div data-live>{cards(rows) or f"<p class=quiet>{nothing}</p>"}</div>"""


def add_form(site, what, title, error):
    """Returns the form for a link or a text; after an error it still holds what was entered."""
    return f"""{problem(error)}<form class=add action=/articles method=post>
  <input type=hidden name=token value="{escape(site.form_token)}">
  <label for=what class=hidden>Link or text</label>
  <textarea id=what name=what rows=1 required placeholder="Paste a link or a text (press a)" spellcheck=false
    maxlength={texts.TEXT_CHARS_MAX}>{chr(10) + escape(what)}</textarea>
  <div class=row>
    <label for=title class=hidden>Title</label>
    <input id=title name=title value="{escape(title)}" placeholder="Title, if you want your own" maxlength=300>
    <button class=main>Add</button>
  </div>
</form>
"""


def results(site, rows, query):
    """Returns what a search found."""
    count = len(rows)
    found = f"{count} {'article holds' if count == 1 else 'articles hold'}" if rows else "Nothing holds"
    return f"<h1>Search</h1><p class=quiet>{found} “{escape(query)}”.</p>{cards(rows)}"


def cards(rows):
    """Returns articles as a list."""
    return f"<ol class=cards>{''.join(card(row) for row in rows)}</ol>" if rows else ""


def card(row):
    """Returns one article of a list."""
    about = row["summary"]
    if "excerpt" in row.keys():
        about = row["excerpt"]
    about = escape(about).replace(MATCH, "<mark>").replace(MATCH_END, "</mark>")
    if row["state"] == "waiting":
        about = "<span class=spinner></span>Being fetched and summarised…"
    if row["state"] == "failed":
        about = f"<span class=failure>{escape(row['problem'])}</span>"
    return f"""<li class=card>
<h2><a href=/articles/{row["id"]}>{escape(row["title"] or row["url"]) or "Untitled"}</a></h2>
<p class=quiet>{facts(row)}</p>
<p>{about}</p>"""


def facts(row):
    """Returns where an article is from, when it was added, and how long it takes to read."""
    minutes = f"{max(1, row['length'] // CHARS_PER_MINUTE)} min" if row["length"] else ""
    parts = [escape(site_of(row["url"])), f"<time>{escape(row['added'])}</time>", minutes]
    return " · ".join(part for part in parts if part)


def site_of(url):
    """Returns the host of an address, as people say it."""
    return (urllib.parse.urlsplit(url).hostname or "").removeprefix("www.")


def article(site, row):
    """Returns the page of one article."""
    # Only addresses that begin so are ever stored; a link to anything else would run as a script.
    is_link = row["url"].lower().startswith(("http://", "https://"))
    source = f'<a class=button href="{escape(row["url"])}" rel="noreferrer noopener">Original</a>' if is_link else ""
    actions = [("unread", "Keep as unread") if row["is_read"] else ("read", "Mark as read")]
    actions += [("again", "Fetch again" if is_link else "Summarise again"), ("delete", "Delete")]
    if row["state"] == "waiting":
        state = "<p class=stage role=status><span class=spinner></span>Being fetched and summarised…</p>"
    elif row["state"] == "failed":
        state = problem(row["problem"])
    else:
        note = f"<p class=quiet>The model could not help: {escape(row['problem'])}</p>" if row["problem"] else ""
        state = (
            f"<aside class=summary aria-label=Summary><p>{escape(row['summary'])}</p>"
            f"<p class=quiet>Summary by {escape(row['summary_by'])}</p>{note}</aside>"
        )
    return f"""<article>
<h1>{escape(row["title"] or row["url"]) or "Untitled"}</h1>
<p class=quiet>{facts(row)}</p>
<div class=row>{source}{buttons(site, row["id"], actions)}</div>
<div data-live>{state}
<div class=text>{body(row["text"])}</div></div>
</article>"""


def body(text):
    """Returns a text as paragraphs, headings and lists."""
    out, in_list = [], False
    for paragraph in text.split("\n\n"):
        if not paragraph.strip():
            continue
        is_item = paragraph.startswith("• ")
        if is_item != in_list:
            out.append("<ul>" if is_item else "</ul>")
            in_list = is_item
        if is_item:
            out.append(f"<li>{escape(paragraph[2:])}")
        elif paragraph.startswith("## "):
            out.append(f"<h2>{escape(paragraph[3:])}</h2>")
        else:
            out.append(f"<p>{escape(paragraph)}</p>")
    return "".join(out) + ("</ul>" if in_list else "")


def problem(error):
    """Returns what went wrong, as something that is read aloud."""
    return f"<p class=problem role=alert>{escape(error)}</p>" if error else ""


def buttons(site, id, names):
    """Returns buttons that do something with one article."""
    return "".join(
        f"<form class=inline action=/articles/{id}/{name} method=post>"
        f'<input type=hidden name=token value="{escape(site.form_token)}">'
        f"<button class={name}>{label}</button></form>"
        for name, label in names
    )
