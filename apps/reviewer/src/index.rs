//! What a repository defines, and where that is used: files, symbols, references and imports, without a model or a network.
//!
//! References are by name: the index does not know types, so two symbols of one name share their users. It says so where it is shown.
//! INVARIANT: the rows are a function of the files' contents, and an update costs what changed.

mod language;
mod parse;
mod walk;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::db::{Db, Sql, Value, from_json};
use crate::output::plain;
pub(crate) use language::Language;
pub(crate) use parse::{Parsed, parse};
pub(crate) use walk::{FILE_BYTES_MAX, files};

/// How many rows one statement brings.
// LIMIT: the statement's JSON stays below some MiB.
const ROWS_MAX: usize = 20_000;

/// How far users of users are followed.
// LIMIT: further ones have hardly to do with the change.
const DEPTH_MAX: u32 = 4;

/// How many users are told.
// LIMIT: a model or a person reads no more.
pub(crate) const USERS_MAX: usize = 200;

const FORGET: [Sql; 4] = [
    from_json!(
        "DELETE FROM rv_file WHERE repo = $1 AND path IN (SELECT v.value ->> 0 FROM",
        ")"
    ),
    from_json!(
        "DELETE FROM rv_symbol WHERE repo = $1 AND path IN (SELECT v.value ->> 0 FROM",
        ")"
    ),
    from_json!(
        "DELETE FROM rv_reference WHERE repo = $1 AND path IN (SELECT v.value ->> 0 FROM",
        ")"
    ),
    from_json!(
        "DELETE FROM rv_import WHERE repo = $1 AND path IN (SELECT v.value ->> 0 FROM",
        ")"
    ),
];
const FILES: Sql = from_json!(
    "INSERT INTO rv_file (repo, path, blob, language) SELECT CAST($1 AS BIGINT), v.value ->> 0, v.value ->> 1, v.value ->> 2 FROM",
    ""
);
const SYMBOLS: Sql = from_json!(
    "INSERT INTO rv_symbol (repo, path, name, kind, line, end_line) SELECT CAST($1 AS BIGINT), v.value ->> 0, v.value ->> 1, v.value ->> 2, CAST(v.value ->> 3 AS BIGINT), CAST(v.value ->> 4 AS BIGINT) FROM",
    ""
);
const REFERENCES: Sql = from_json!(
    "INSERT INTO rv_reference (repo, path, name, places) SELECT CAST($1 AS BIGINT), v.value ->> 0, v.value ->> 1, v.value ->> 2 FROM",
    ""
);
const IMPORTS: Sql = from_json!(
    "INSERT INTO rv_import (repo, path, what, line) SELECT CAST($1 AS BIGINT), v.value ->> 0, v.value ->> 1, CAST(v.value ->> 2 AS BIGINT) FROM",
    ""
);
const USERS: Sql = from_json!(
    "SELECT path, name, places FROM rv_reference WHERE repo = $1 AND name IN (SELECT v.value ->> 0 FROM",
    ") ORDER BY path, name LIMIT 200"
);

/// A file to index: its path, the id of its content, and the content.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) blob: String,
    pub(crate) bytes: Vec<u8>,
}

/// Where a name is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct User {
    pub(crate) path: String,
    pub(crate) line: i64,
    pub(crate) name: String,
    /// The symbol around it, if any.
    pub(crate) inside: String,
    /// 1 for a user of the symbol itself, 2 for a user of that one, and so on.
    pub(crate) depth: u32,
}

/// The index of one repository.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    pub(crate) db: Db,
    pub(crate) repo: i64,
}

impl Index {
    /// Returns which content of each file is indexed.
    pub(crate) async fn blobs(&self) -> Result<BTreeMap<String, String>, sqlx::Error> {
        let rows = self
            .db
            .rows(
                "SELECT path, blob FROM rv_file WHERE repo = $1",
                &[self.repo.into()],
            )
            .await?;
        Ok(rows
            .iter()
            .map(|row| (row.text(0).to_owned(), row.text(1).to_owned()))
            .collect())
    }

    /// Takes changed files in and gone ones out, all or nothing.
    pub(crate) async fn update(
        &self,
        changed: Vec<Source>,
        gone: &[String],
    ) -> Result<(), sqlx::Error> {
        let parsed = tokio::task::spawn_blocking(move || parse_all(&changed))
            .await
            .unwrap_or_default();
        let mut statements = Statements {
            repo: self.repo,
            all: Vec::new(),
        };
        let changed = parsed.iter().map(|(path, ..)| [path.as_str()]);
        let gone = gone.iter().map(|path| [path.as_str()]);
        let paths: Vec<_> = changed.chain(gone).collect();
        for sql in FORGET {
            statements.add(sql, &paths);
        }
        let (mut files, mut symbols, mut references, mut imports) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (path, blob, parsed) in &parsed {
            files.push((path, blob, parsed.language.map_or("", Language::name)));
            let found = parsed.symbols.iter();
            symbols.extend(found.map(|one| (path, &one.name, one.kind, one.line, one.end_line)));
            let found = parsed.references.iter();
            references.extend(found.map(|(name, places)| (path, name, places)));
            let found = parsed.imports.iter();
            imports.extend(found.map(|(what, line)| (path, what, line)));
        }
        statements.add(FILES, &files);
        statements.add(SYMBOLS, &symbols);
        statements.add(REFERENCES, &references);
        statements.add(IMPORTS, &imports);
        self.db.all(&statements.all).await?;
        Ok(())
    }

    /// Returns symbols whose names contain a text: name, kind, path, line.
    pub(crate) async fn search(
        &self,
        text: &str,
    ) -> Result<Vec<(String, String, String, i64)>, sqlx::Error> {
        let sql = "SELECT name, kind, path, line FROM rv_symbol WHERE repo = $1 AND lower(name) LIKE $2 ESCAPE '!' ORDER BY name, path, line LIMIT 200";
        let escaped = text
            .to_lowercase()
            .replace('!', "!!")
            .replace('%', "!%")
            .replace('_', "!_");
        let rows = self
            .db
            .rows(sql, &[self.repo.into(), format!("%{escaped}%").into()])
            .await?;
        Ok(rows
            .iter()
            .map(|row| {
                (
                    row.text(0).to_owned(),
                    row.text(1).to_owned(),
                    row.text(2).to_owned(),
                    row.int(3),
                )
            })
            .collect())
    }

    /// Returns the symbols of a file that have any of these lines.
    pub(crate) async fn symbols_at(
        &self,
        path: &str,
        lines: &[u32],
    ) -> Result<BTreeSet<String>, sqlx::Error> {
        let sql = "SELECT name, line, end_line FROM rv_symbol WHERE repo = $1 AND path = $2";
        let rows = self.db.rows(sql, &[self.repo.into(), path.into()]).await?;
        let touched = |row: &&crate::db::Row| {
            lines
                .iter()
                .any(|line| (row.int(1)..=row.int(2)).contains(&i64::from(*line)))
        };
        Ok(rows
            .iter()
            .filter(touched)
            .map(|row| row.text(0).to_owned())
            .collect())
    }

    /// Returns who uses these names, and who uses those, nearest first; at most [`USERS_MAX`].
    pub(crate) async fn users(&self, names: BTreeSet<String>) -> Result<Vec<User>, sqlx::Error> {
        let mut seen = names.clone();
        let mut next = names;
        let mut users = Vec::new();
        for depth in 1..=DEPTH_MAX {
            if next.is_empty() || users.len() >= USERS_MAX {
                break;
            }
            let list: Vec<[&String; 1]> = next.iter().map(|name| [name]).collect();
            let list = serde_json::to_string(&list).unwrap_or_default();
            next = BTreeSet::new();
            let rows = self
                .db
                .rows(USERS, &[self.repo.into(), list.into()])
                .await?;
            let first = users.len();
            for row in &rows {
                let places = row.text(2).lines();
                for (line, inside) in places.filter_map(|place| place.split_once(' ')) {
                    if !inside.is_empty() && seen.insert(inside.to_owned()) {
                        next.insert(inside.to_owned());
                    }
                    users.push(User {
                        path: row.text(0).to_owned(),
                        line: line.parse().unwrap_or_default(),
                        name: row.text(1).to_owned(),
                        inside: inside.to_owned(),
                        depth,
                    });
                }
            }
            if let Some(found) = users.get_mut(first..) {
                found.sort();
            }
        }
        users.truncate(USERS_MAX);
        Ok(users)
    }
}

/// What is to be done to the rows of a repository.
struct Statements {
    repo: i64,
    all: Vec<(Sql, Vec<Value>)>,
}

impl Statements {
    fn add(&mut self, sql: Sql, rows: &[impl Serialize]) {
        for rows in rows.chunks(ROWS_MAX) {
            let list = serde_json::to_string(rows).unwrap_or_default();
            self.all.push((sql, vec![self.repo.into(), list.into()]));
        }
    }
}

/// Writes users one a line.
pub(crate) fn lines(users: &[User]) -> String {
    let inside = |one: &User| match one.inside.is_empty() {
        true => String::new(),
        false => format!(" in {}", one.inside),
    };
    users
        .iter()
        .map(|one| {
            let line = format!(
                "{}:{}: {}{} (depth {})",
                one.path,
                one.line,
                one.name,
                inside(one),
                one.depth
            );
            plain(&line) + "\n"
        })
        .collect()
}

/// Parses files on all processors.
fn parse_all(sources: &[Source]) -> Vec<(String, String, Parsed)> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut parsers = parse::Parsers::default();
        let mut out = Vec::new();
        while let Some(source) =
            sources.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
        {
            let parsed = parse(&mut parsers, &source.path, &source.bytes);
            out.push((source.path.clone(), source.blob.clone(), parsed));
        }
        out
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    })
}

#[cfg(test)]
mod tests;
