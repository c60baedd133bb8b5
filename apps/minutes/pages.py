"""The pages as HTML, and minutes as Markdown.

INVARIANT: everything that a person or a model wrote passes `escape`, here and nowhere else. A page works without scripts.
"""

from html import escape

from draft import TEXT_CHARS_MAX

MARKS = {"working": "…", "failed": "!", "done": ""}


def page(site, title, main, entries=(), query="", current=0, refresh=False):
    """Returns a whole page: the history, and what it is about."""
    items = "".join(entry(each, current) for each in entries)
    nothing = f"<p class=quiet>{'Nothing holds that.' if query else 'Your minutes will be listed here.'}</p>"
    refreshing = "<noscript><meta http-equiv=refresh content=3></noscript>" if refresh else ""
    return f"""<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<meta name=color-scheme content="light dark">
{refreshing}<title>{escape(title)} · Minutes</title>
<link rel=icon href=/static/icon.svg>
<link rel=stylesheet href=/static/base.css>
<link rel=stylesheet href=/static/app.css>
<script src=/static/app.js defer></script>
<a class=skip href=#main>Skip to the minutes</a>
<header class=bar>
  <a class=brand href=/><img src=/static/icon.svg alt="" width=24 height=24>Minutes</a>
  <span class=quiet title="The model service">{escape(site.service)}</span>
  <a class=button href=/ accesskey=n>New</a>
</header>
<div class=columns>
<main id=main tabindex=-1>
{main}
</main>
<nav aria-label=History>
  <form class=search action=/ method=get role=search>
    <label class=hidden for=q>Search the history</label>
    <input id=q name=q type=search value="{escape(query)}" placeholder="Search (press /)" maxlength=200>
  </form>
  {f"<ol class=history>{items}</ol>" if items else nothing}
</nav>
</div>
</html>
"""


def entry(row, current):
    """Returns one line of the history."""
    here = " aria-current=page" if row["id"] == current else ""
    mark = f"<span class=mark title={row['state']}>{MARKS[row['state']]}</span>" if MARKS[row["state"]] else ""
    title = escape(row["title"]) or "Untitled"
    return f"<li><a href=/minutes/{row['id']}{here}>{title}{mark}<time>{escape(row['created'])}</time></a></li>"


def new(site, text="", title="", model="", error=""):
    """Returns the page for a new text; after an error it still holds what was entered."""
    hint = (
        "<p class=note>There is no key: the model service will probably refuse. "
        "Set <code>OPENAI_API_KEY</code> and start the app again.</p>"
        if site.wants_key
        else ""
    )
    form = text_form(site, "/minutes", text, title, model, "Write the minutes", "autofocus")
    return f"<h1>What was said?</h1>{problem(error)}{hint}{form}"


def text_form(site, action, text, title, model, label, focus=""):
    """Returns the form with a text and what belongs to it."""
    return f"""<form class=new action={action} method=post>
  <input type=hidden name=token value="{escape(site.form_token)}">
  <label for=text>Transcript or notes</label>
  <textarea id=text name=text rows=14 required {focus} maxlength={TEXT_CHARS_MAX} spellcheck=false
    aria-describedby=about placeholder="Anna: Shall we move the release to Friday?&#10;Ben: Yes. I tell the customers…"
    >{chr(10) + escape(text)}</textarea>
  <p id=about class=quiet>Paste it as it is. Drop a text file here, if you like. The text goes to {escape(site.service)} and
    nowhere else; it and the minutes are kept on this machine.</p>
  <div class=row>
    <p><label for=title>Title <span class=quiet>(else the model finds one)</span></label>
      <input id=title name=title value="{escape(title)}" maxlength=200></p>
    <p><label for=model>Model</label>
      <input id=model name=model value="{escape(model or site.model)}" maxlength=200 list=models spellcheck=false
        autocomplete=off aria-describedby=models-note><datalist id=models></datalist></p>
  </div>
  <p id=models-note class=quiet role=status></p>
  <p><button class=main>{label}</button> <kbd class=quiet>Ctrl+Enter</kbd></p>
</form>"""


def problem(error):
    """Returns what went wrong, as something that is read aloud."""
    return f"<p class=problem role=alert>{escape(error)}</p>" if error else ""


def working(site, row, stage):
    """Returns the page of a text that is being worked on; the script fills it while the model writes."""
    return f"""<h1>{escape(row["title"]) or "Writing the minutes"}</h1>
<section data-events=/minutes/{row["id"]}/events>
  <p class=stage role=status><span class=spinner></span><span data-stage>{escape(stage)}</span>…</p>
  <div data-minutes aria-busy=true></div>
</section>
{buttons(site, row["id"], [("stop", "Stop")])}"""


def failed(site, row):
    """Returns the page of a text without minutes: why, and the text and model to change before another try."""
    form = text_form(site, f"/minutes/{row['id']}/again", row["text"], row["title"], row["model"], "Try again")
    return f"""<h1>{escape(row["title"]) or "No minutes yet"}</h1>
{problem(row["error"] or "This is not being worked on any more. Try again.")}
{form}
{buttons(site, row["id"], [("delete", "Delete")])}"""


def done(site, row):
    """Returns the page of finished minutes."""
    actions = action_items(row["minutes"]["actions"], row["done"], row["id"], site.form_token)
    return f"""<h1>{escape(row["title"]) or "Minutes"}</h1>
<p class=quiet><time>{escape(row["created"])}</time> · {escape(row["model"])}</p>
{body(row["minutes"], actions)}
<div class=row>
  <p><a class=button href=/minutes/{row["id"]}.md download>Markdown</a>
  <button type=button data-copy=/minutes/{row["id"]}.md hidden>Copy</button></p>
  {buttons(site, row["id"], [("delete", "Delete")])}
</div>
<details><summary>The text, {len(row["text"]):,} characters</summary><pre>{escape(row["text"])}</pre></details>"""


def buttons(site, id, names):
    """Returns buttons that do something with one text."""
    return "".join(
        f"<form class=inline action=/minutes/{id}/{name} method=post>"
        f'<input type=hidden name=token value="{escape(site.form_token)}">'
        f"<button class={name}>{label}</button></form>"
        for name, label in names
    )


def body(minutes, actions=None):
    """Returns minutes, whole or as far as they are written."""
    if actions is None:
        actions = action_items(minutes["actions"])
    topics = "".join(
        f"<h3>{escape(topic['heading'])}</h3>{bullets(topic['points'])}" for topic in minutes["topics"]
    )
    summary = f"<p class=summary>{escape(minutes['summary'])}</p>" if minutes["summary"] else ""
    return (
        summary
        + section("Actions", actions)
        + section("Decisions", bullets(minutes["decisions"]))
        + section("Open questions", bullets(minutes["questions"]))
        + section("What was discussed", topics)
    )


def section(title, content):
    """Returns a part of the minutes, or nothing where it is empty."""
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def bullets(lines):
    """Returns a list, or nothing."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def action_items(actions, done=(), id=0, token=""):
    """Returns the actions; those of finished minutes have a button that marks them as done."""
    items = ""
    for number, action in enumerate(actions):
        ticked = number in done
        who = f" <b class=who>{escape(action['who'])}</b>" if action["who"] else ""
        due = f" <span class=due>{escape(action['due'])}</span>" if action["due"] else ""
        box = (
            f"<button name=number value={number} class=box role=checkbox aria-checked={str(ticked).lower()} "
            f'aria-labelledby="action-{number}"></button>'
            if id
            else "<span class=box></span>"
        )
        what = f"<span class=what id=action-{number}>{escape(action['what'])}</span>"
        items += f"<li{' class=ticked' if ticked else ''}>{box}<span>{what}{who}{due}</span>"
    if not items or not id:
        return items and f"<ul class=actions>{items}</ul>"
    return (
        f"<form action=/minutes/{id}/action method=post>"
        f'<input type=hidden name=token value="{escape(token)}"><ul class=actions>{items}</ul></form>'
    )


def markdown(row):
    """Returns minutes as Markdown."""
    minutes = row["minutes"]
    out = [f"# {row['title'] or 'Minutes'}", row["created"], minutes["summary"]]
    actions = []
    for number, action in enumerate(minutes["actions"]):
        more = ", ".join(part for part in (action["who"], action["due"]) if part)
        actions.append(f"- [{'x' if number in row['done'] else ' '}] {action['what']}{f' ({more})' if more else ''}")
    for title, lines in (
        ("Actions", actions),
        ("Decisions", [f"- {line}" for line in minutes["decisions"]]),
        ("Open questions", [f"- {line}" for line in minutes["questions"]]),
    ):
        if lines:
            out += [f"## {title}", "\n".join(lines)]
    for topic in minutes["topics"]:
        out += [f"## {topic['heading']}", "\n".join(f"- {point}" for point in topic["points"])]
    return "\n\n".join(part for part in out if part) + "\n"
