"""The history, in one SQLite file: texts, their minutes, and which actions are done.

Each call opens a connection of its own, so any thread may call; WAL lets readers go on while one writes.
"""

import json
import os
import secrets
import sqlite3
from contextlib import closing, contextmanager
from datetime import datetime

SCHEMA = """
CREATE TABLE minutes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    created TEXT NOT NULL,
    title TEXT NOT NULL,
    text TEXT NOT NULL,
    model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('working', 'done', 'failed')),
    error TEXT NOT NULL DEFAULT '',
    minutes TEXT NOT NULL DEFAULT '{}'
);
CREATE TABLE done_action (
    minutes_id INTEGER NOT NULL REFERENCES minutes (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    PRIMARY KEY (minutes_id, number)
);
CREATE TABLE form_token (token TEXT NOT NULL);
PRAGMA user_version = 1;
"""
INTERRUPTED = "The app was stopped while this was being written. Try again."
LIST_MAX = 200


class Store:
    """The file `minutes.db` in a folder."""

    def __init__(self, folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self._path = os.path.join(folder, "minutes.db")
        with self._open() as db:
            db.execute("PRAGMA journal_mode = WAL")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
                db.execute("INSERT INTO form_token VALUES (?)", [secrets.token_urlsafe(32)])
            self.form_token = db.execute("SELECT token FROM form_token").fetchone()[0]
            # Nobody works on these any more.
            db.execute("UPDATE minutes SET state = 'failed', error = ? WHERE state = 'working'", [INTERRUPTED])

    @contextmanager
    def _open(self):
        with closing(sqlite3.connect(self._path, timeout=10)) as db:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA synchronous = NORMAL")
            with db:
                yield db

    def check(self):
        """Fails where the file cannot be read."""
        with self._open() as db:
            db.execute("SELECT count(*) FROM form_token").fetchone()

    def add(self, text, title, model):
        """Adds a text that is going to be worked on; returns its id."""
        now = datetime.now().isoformat(" ", "minutes")
        with self._open() as db:
            values = [now, title, text, model]
            added = db.execute(
                "INSERT INTO minutes (created, title, text, model, state) VALUES (?, ?, ?, ?, 'working')", values
            )
            return added.lastrowid

    def again(self, id, text, title, model):
        """Marks one without minutes as worked on again; returns whether there is such a one."""
        with self._open() as db:
            change = (
                "UPDATE minutes SET state = 'working', error = '', text = ?, title = ?, model = ? "
                "WHERE id = ? AND state <> 'done'"
            )
            return db.execute(change, [text, title, model, id]).rowcount == 1

    def finish(self, id, minutes):
        """Keeps the minutes; a title that the person gave stays."""
        with self._open() as db:
            db.execute(
                "UPDATE minutes SET state = 'done', minutes = ?, title = CASE title WHEN '' THEN ? ELSE title END "
                "WHERE id = ?",
                [json.dumps(minutes, ensure_ascii=False), minutes["title"], id],
            )

    def fail(self, id, error):
        """Keeps why there are no minutes."""
        with self._open() as db:
            db.execute("UPDATE minutes SET state = 'failed', error = ? WHERE id = ?", [error, id])

    def find(self, id):
        """Returns one as a dictionary, with `done`, the numbers of the actions that are done; or None."""
        with self._open() as db:
            row = db.execute("SELECT * FROM minutes WHERE id = ?", [id]).fetchone()
            done = db.execute("SELECT number FROM done_action WHERE minutes_id = ?", [id]).fetchall()
        if row is None:
            return None
        return {**dict(row), "minutes": json.loads(row["minutes"]), "done": {number for (number,) in done}}

    def list(self, query=""):
        """Returns ids, times, titles and states, the newest first; with a query, those that hold it anywhere."""
        pattern = "%" + query.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"
        with self._open() as db:
            return db.execute(
                "SELECT id, created, title, state FROM minutes "
                "WHERE title LIKE ?1 ESCAPE '\\' OR text LIKE ?1 ESCAPE '\\' OR minutes LIKE ?1 ESCAPE '\\' "
                "ORDER BY id DESC LIMIT ?2",
                [pattern, LIST_MAX],
            ).fetchall()

    def toggle_action(self, id, number):
        """Marks an action as done, or not done again."""
        with self._open() as db:
            key = [id, number]
            if db.execute("DELETE FROM done_action WHERE minutes_id = ? AND number = ?", key).rowcount == 0:
                db.execute("INSERT INTO done_action SELECT id, ?2 FROM minutes WHERE id = ?1", key)

    def delete(self, id):
        """Removes one and all that belongs to it."""
        with self._open() as db:
            db.execute("PRAGMA secure_delete = ON")
            db.execute("DELETE FROM minutes WHERE id = ?", [id])
