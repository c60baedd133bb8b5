//! Configuration files of clients: read for their servers, and changed in place of these.
//!
//! INVARIANT: what is not changed stays as it was written, comments and blanks included; a file is replaced whole, keeps its
//! mode, and only if it still is what was read.

mod entry;
mod json;
mod toml;
mod write;

use std::path::{Path, PathBuf};

pub use entry::{Entry, Handover, What};
pub use write::replace;

/// The longest file, in bytes.
// LIMIT: Claude Code keeps histories in its file, some of them tens of megabytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why a file is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is a symbolic link.
    #[error("{} is a symbolic link to {}; name that file, if it is the one to change", path.display(), target.display())]
    Symlink {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// The file may not be written.
    #[error("{} is read-only, and nothing was changed; allow it with: chmod u+w, or ask whoever manages it", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else changed the file meanwhile.
    #[error("{} was changed by another program just now, and is as that left it; quit the client and try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is not understood. The text of the line is not told: a value may stand in it.
    #[error("{} is not understood: line {line}, column {column}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// The column, counted from 1.
        column: usize,
    },
    /// The file is no text, or too long, or no regular file.
    #[error("{} is {what}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: &'static str,
    },
}

/// A document as a tree of tables, whatever its syntax; `at` are the names that lead to a table.
trait Tree {
    /// Returns the names in a table; none if there is no such table.
    fn keys(&self, at: &[String]) -> Vec<String>;
    /// Returns a text.
    fn text(&self, at: &[String], key: &str) -> Option<String>;
    /// Returns a list of texts.
    fn texts(&self, at: &[String], key: &str) -> Option<Vec<String>>;
    /// Sets a text; the table is made if it is not there.
    fn set_text(&mut self, at: &[String], key: &str, value: &str);
    /// Sets a list of texts in a table that is there.
    fn set_texts(&mut self, at: &[String], key: &str, values: &[String]);
    /// Removes what has this name.
    fn remove(&mut self, at: &[String], key: &str);
    /// Returns the document's text.
    fn render(&self) -> String;
}

/// A client's file.
pub struct Config {
    /// Its file; none for a text that came by another way.
    path: Option<PathBuf>,
    original: String,
    is_toml: bool,
    tree: Box<dyn Tree>,
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Config").field(&self.path).finish()
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It is not there, a link, not readable or not understood.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let original = write::read(path, FILE_BYTES_MAX)?;
        let is_toml = path
            .extension()
            .is_some_and(|end| end.eq_ignore_ascii_case("toml"));
        let parsed = Self::parse(path, original, is_toml)?;
        Ok(Self {
            path: Some(path.to_owned()),
            ..parsed
        })
    }

    /// Takes the text of a file that is somewhere else: JSON, or else TOML.
    ///
    /// # Errors
    ///
    /// It is not understood.
    pub fn of_text(text: String) -> Result<Self, ConfigError> {
        let is_json = text.trim_start_matches('\u{feff}').trim_start();
        let is_toml = !is_json.starts_with(['{', '/']);
        Self::parse(Path::new("this text"), text, is_toml)
    }

    fn parse(path: &Path, original: String, is_toml: bool) -> Result<Self, ConfigError> {
        let text = original.strip_prefix('\u{feff}').unwrap_or(&original);
        let at = |offset: usize| {
            let before = text.get(..offset).unwrap_or(text);
            let line = before.rsplit('\n').next().unwrap_or_default();
            ConfigError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: line.chars().count() + 1,
            }
        };
        let tree: Box<dyn Tree> = match is_toml {
            true => Box::new(toml::Toml::parse(text).map_err(at)?),
            false => Box::new(json::Json::parse(text).map_err(at)?),
        };
        Ok(Self {
            path: None,
            original,
            is_toml,
            tree,
        })
    }

    /// Returns the file's path, where there is a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns whether it is TOML, rather than JSON.
    #[must_use]
    pub fn is_toml(&self) -> bool {
        self.is_toml
    }

    /// Returns the servers in the file, each as it is configured.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let tables = self.tables();
        let entries = tables.iter().flat_map(|table| {
            let keys = self.tree.keys(table).into_iter();
            keys.map(|key| [table.as_slice(), &[key]].concat())
        });
        entries.map(|at| Entry::read(&*self.tree, at)).collect()
    }

    /// Returns the entry at a place, if there is one.
    #[must_use]
    pub fn entry(&self, at: &[String]) -> Option<Entry> {
        (!self.tree.keys(at).is_empty()).then(|| Entry::read(&*self.tree, at.to_vec()))
    }

    /// Returns the tables in which servers stand.
    fn tables(&self) -> Vec<Vec<String>> {
        let named = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let mut tables = vec![
            named(&["mcpServers"]),
            named(&["servers"]),
            named(&["mcp", "servers"]),
            named(&["context_servers"]),
            named(&["mcp_servers"]),
        ];
        // Claude Code has servers for each project.
        let projects = self.tree.keys(&named(&["projects"])).into_iter();
        tables.extend(projects.map(|project| named(&["projects", &project, "mcpServers"])));
        tables
    }

    /// Returns the file's text as it is to be, and as it was.
    #[must_use]
    pub fn texts(&self) -> (String, &str) {
        let mark = if self.original.starts_with('\u{feff}') {
            "\u{feff}"
        } else {
            ""
        };
        (format!("{mark}{}", self.tree.render()), &self.original)
    }
}

#[cfg(test)]
mod tests;
