"""The articles, in one SQLite file with a full-text index, which web and worker both open.

Each call opens a connection of its own, so any thread may call; WAL lets one process read while the other writes.
"""

import os
import re
import secrets
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime

SCHEMA = """
CREATE TABLE article (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    added TEXT NOT NULL,
    url TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    summary TEXT NOT NULL DEFAULT '',
    summary_by TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL CHECK (state IN ('waiting', 'ready', 'failed')),
    problem TEXT NOT NULL DEFAULT '',
    is_read INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX article_url ON article (url) WHERE url <> '';
CREATE VIRTUAL TABLE article_index USING fts5 (title, text, summary, content = article, content_rowid = id);
CREATE TRIGGER article_added AFTER INSERT ON article BEGIN
    INSERT INTO article_index (rowid, title, text, summary) VALUES (new.id, new.title, new.text, new.summary);
END;
CREATE TRIGGER article_deleted AFTER DELETE ON article BEGIN
    INSERT INTO article_index (article_index, rowid, title, text, summary)
    VALUES ('delete', old.id, old.title, old.text, old.summary);
END;
CREATE TRIGGER article_changed AFTER UPDATE OF title, text, summary ON article BEGIN
    INSERT INTO article_index (article_index, rowid, title, text, summary)
    VALUES ('delete', old.id, old.title, old.text, old.summary);
    INSERT INTO article_index (rowid, title, text, summary) VALUES (new.id, new.title, new.text, new.summary);
END;
CREATE TABLE form_token (token TEXT NOT NULL);
PRAGMA user_version = 1;
"""
LIST_MAX = 200
# Around a match in a search result; no text holds them, as `clean` removes them.
MATCH, MATCH_END = "\x02", "\x03"
COLUMNS = "id, added, url, title, summary, state, problem, is_read, length(text) AS length"


class Store:
    """The file `articles.db` in a folder."""

    def __init__(self, folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._path = os.path.join(folder, "articles.db")
        with self._open() as db:
            db.execute("PRAGMA journal_mode = WAL")
            # Web and worker start at the same time: one of them makes the tables.
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in statements(SCHEMA):
                    db.execute(statement)
                db.execute("INSERT INTO form_token VALUES (?)", [secrets.token_urlsafe(32)])
            self.form_token = db.execute("SELECT token FROM form_token").fetchone()[0]

    @contextmanager
    def _open(self):
        with closing(sqlite3.connect(self._path, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA synchronous = NORMAL")
            with db:
                yield db

    def check(self):
        """Fails where the file cannot be read."""
        with self._open() as db:
            db.execute("SELECT count(*) FROM form_token").fetchone()

    def add(self, url, title, text):
        """Adds an article that waits; returns its id. One with the same address is the same article, and waits again."""
        now = datetime.now().isoformat(" ", "minutes")
        with self._open() as db:
            row = db.execute(
                "INSERT INTO article (added, url, title, text, state) VALUES (?, ?, ?, ?, 'waiting') "
                "ON CONFLICT (url) WHERE url <> '' DO UPDATE SET state = 'waiting', is_read = 0 RETURNING id",
                [now, url, clean(title), clean(text)],
            ).fetchone()
            return row[0]

    def find(self, id):
        """Returns one article, or None."""
        with self._open() as db:
            return db.execute("SELECT *, length(text) AS length FROM article WHERE id = ?", [id]).fetchone()

    def list(self, read=False):
        """Returns the articles that are read, or that are not; the newest first."""
        with self._open() as db:
            query = f"SELECT {COLUMNS} FROM article WHERE is_read = ? ORDER BY id DESC LIMIT ?"
            return db.execute(query, [int(read), LIST_MAX]).fetchall()

    def counts(self):
        """Returns how many are not read, and how many are."""
        with self._open() as db:
            return tuple(db.execute("SELECT count(*) - total(is_read), total(is_read) FROM article").fetchone())

    def search(self, query):
        """Returns the articles that hold all of the words, or words that begin so; the best first, each with an excerpt."""
        words = re.findall(r"\w+", query)[:20]
        if not words:
            return []
        match = " ".join(f'"{word}"*' for word in words)
        columns = COLUMNS.replace("id,", "article.id,", 1).replace("title, summary", "article.title, article.summary")
        columns = columns.replace("length(text)", "length(article.text)")
        with self._open() as db:
            return db.execute(
                f"SELECT {columns}, snippet(article_index, -1, ?, ?, '…', 24) AS excerpt FROM article_index "
                "JOIN article ON article.id = article_index.rowid WHERE article_index MATCH ? "
                "ORDER BY bm25(article_index, 8, 1, 4) LIMIT ?",
                [MATCH, MATCH_END, match, LIST_MAX],
            ).fetchall()

    def waiting(self):
        """Returns the ids of those that wait, the oldest first."""
        with self._open() as db:
            return [id for (id,) in db.execute("SELECT id FROM article WHERE state = 'waiting' ORDER BY id")]

    def ready(self, id, title, text, summary, summary_by, problem=""):
        """Keeps what the worker found; a title that the person gave stays."""
        with self._open() as db:
            db.execute(
                "UPDATE article SET state = 'ready', title = CASE title WHEN '' THEN ? ELSE title END, text = ?, "
                "summary = ?, summary_by = ?, problem = ? WHERE id = ?",
                [clean(title), clean(text), clean(summary), summary_by, problem, id],
            )

    def fail(self, id, problem):
        """Keeps why there is nothing to read."""
        with self._open() as db:
            db.execute("UPDATE article SET state = 'failed', problem = ? WHERE id = ?", [problem, id])

    def again(self, id):
        """Lets an article wait again."""
        with self._open() as db:
            db.execute("UPDATE article SET state = 'waiting', problem = '' WHERE id = ?", [id])

    def mark(self, id, read):
        """Marks an article as read, or not."""
        with self._open() as db:
            db.execute("UPDATE article SET is_read = ? WHERE id = ?", [int(read), id])

    def delete(self, id):
        """Removes an article."""
        with self._open() as db:
            db.execute("PRAGMA secure_delete = ON")
            db.execute("DELETE FROM article WHERE id = ?", [id])


def clean(text):
    """Returns a text without control characters."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", text)


def statements(script):
    """Yields the statements of a script: `executescript` would commit between them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
