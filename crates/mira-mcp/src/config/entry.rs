//! A server as a client's file has it, and the two changes that are made to it: handed over to Mira, and taken back.
//!
//! Clients differ in names: Windsurf's URL is `serverUrl`, Codex's headers `http_headers`, and older files of Zed have the
//! program in a table of its own, `command.path`.

use std::collections::BTreeMap;

use super::{Config, Tree};
use crate::definition::{Kind, ServerName, Source};

/// What a URL is called.
const URLS: [&str; 3] = ["url", "serverUrl", "httpUrl"];

/// What the table of headers is called.
const HEADERS: [&str; 2] = ["headers", "http_headers"];

/// The variable by which Mira's home is found.
const MIRA_HOME: &str = "MIRA_HOME";

/// A server in a client's file.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The names that lead to it.
    pub at: Vec<String>,
    /// What it is.
    pub what: What,
    /// What its `type` says, if it has one.
    pub kind: Option<String>,
    /// What it calls its URL or headers, where that is not the usual.
    pub names: BTreeMap<String, String>,
}

/// What an entry is. It may hold values of secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    /// A program, with its arguments and variables; of those that are no texts there is no value.
    Program {
        /// Its name or path.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its variables.
        env: Vec<(String, Option<String>)>,
    },
    /// A server behind a URL, with its headers.
    Remote {
        /// The URL.
        url: String,
        /// The headers.
        headers: Vec<(String, Option<String>)>,
    },
    /// Mira already, which runs this server.
    Mira(String),
    /// Something that is not understood.
    Unknown,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Entry").field(&self.at).finish()
    }
}

impl std::fmt::Debug for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Program { .. } => "Program",
            Self::Remote { .. } => "Remote",
            Self::Mira(_) => "Mira",
            Self::Unknown => "Unknown",
        })
    }
}

/// What a client is to run in the place of a server.
#[derive(Clone, Debug)]
pub struct Handover<'a> {
    /// The path of `mira`.
    pub mira: &'a str,
    /// The server's name.
    pub name: &'a ServerName,
    /// `MIRA_HOME`, if it is not where it usually is.
    pub home: Option<&'a str>,
    /// Variables or headers that leave the file.
    pub taken: &'a [String],
}

impl Entry {
    pub(super) fn read(tree: &dyn Tree, at: Vec<String>) -> Self {
        let (place, program) = place(tree, &at);
        let command = tree.text(&place, program);
        let args = tree.texts(&place, "args").unwrap_or_default();
        let pairs = |table: &[String], name: &str| {
            let inside = below(table, name);
            let keys = tree.keys(&inside).into_iter();
            let pairs = keys.map(|key| {
                let value = tree.text(&inside, &key);
                (key, value)
            });
            pairs.collect::<Vec<_>>()
        };
        let url_name = URLS.into_iter().find(|name| tree.text(&at, name).is_some());
        let headers_name = HEADERS
            .into_iter()
            .find(|name| !tree.keys(&below(&at, name)).is_empty());
        let mut names = BTreeMap::new();
        let what = match (command, url_name) {
            (Some(command), None) => match runs_mira(&command, &args) {
                Some(name) => What::Mira(name),
                None => What::Program {
                    command,
                    args,
                    env: pairs(&place, "env"),
                },
            },
            (None, Some(url)) => {
                let unusual = [
                    (url, URLS[0]),
                    (headers_name.unwrap_or(HEADERS[0]), HEADERS[0]),
                ];
                for (found, usual) in unusual.into_iter().filter(|(found, usual)| found != usual) {
                    names.insert(usual.to_owned(), found.to_owned());
                }
                What::Remote {
                    url: tree.text(&at, url).unwrap_or_default(),
                    headers: headers_name
                        .map(|name| pairs(&at, name))
                        .unwrap_or_default(),
                }
            }
            _ => What::Unknown,
        };
        let kind = tree.text(&at, "type");
        Self {
            at,
            what,
            kind,
            names,
        }
    }

    /// Returns what the client calls the server.
    #[must_use]
    pub fn key(&self) -> &str {
        self.at.last().map_or("", String::as_str)
    }

    /// Returns whether the client was told to use the older transport.
    #[must_use]
    pub fn is_sse(&self) -> bool {
        self.kind.as_deref() == Some("sse")
    }
}

impl Config {
    /// Has the client run `mira mcp run NAME` in the place of an entry.
    pub fn hand_over(&mut self, entry: &Entry, with: &Handover<'_>) {
        let tree = &mut *self.tree;
        let (place, program) = place(tree, &entry.at);
        let variables = below(&place, "env");
        if let What::Remote { .. } = entry.what {
            for name in URLS.iter().chain(&HEADERS) {
                tree.remove(&entry.at, name);
            }
        }
        for name in with.taken {
            tree.remove(&variables, name);
        }
        if tree.keys(&variables).is_empty() {
            tree.remove(&place, "env");
        }
        if entry.kind.is_some() {
            tree.set_text(&entry.at, "type", "stdio");
        }
        tree.set_text(&place, program, with.mira);
        let args = ["mcp", "run", with.name.as_str()].map(ToOwned::to_owned);
        tree.set_texts(&place, "args", &args);
        if let Some(home) = with.home {
            tree.set_text(&variables, MIRA_HOME, home);
        }
    }

    /// Puts an entry back to what it was; `value` gives the value of a secret variable or header.
    pub fn take_back<'v>(&mut self, source: &Source, kind: &Kind, value: &dyn Fn(&str) -> &'v str) {
        let tree = &mut *self.tree;
        let (place, program) = place(tree, &source.at);
        let variables = below(&place, "env");
        tree.remove(&variables, MIRA_HOME);
        let called = |usual: &str| {
            source
                .names
                .get(usual)
                .map_or(usual, String::as_str)
                .to_owned()
        };
        match kind {
            Kind::Program(server) => {
                tree.set_text(&place, program, &server.command);
                tree.set_texts(&place, "args", &server.args);
                for (name, setting) in &server.settings {
                    tree.set_text(&variables, name.as_str(), setting);
                }
                for name in server.secrets.keys() {
                    tree.set_text(&variables, name.as_str(), value(name.as_str()));
                }
            }
            Kind::Remote(server) => {
                tree.remove(&place, program);
                tree.remove(&place, "args");
                tree.set_text(&source.at, &called(URLS[0]), &server.url);
                let headers = below(&source.at, &called(HEADERS[0]));
                for (name, text) in &server.headers {
                    tree.set_text(&headers, name, text);
                }
                for name in server.secret_headers.keys() {
                    tree.set_text(&headers, name, value(name));
                }
            }
        }
        if tree.keys(&variables).is_empty() {
            tree.remove(&place, "env");
        }
        if let Some(kind) = &source.kind {
            tree.set_text(&source.at, "type", kind);
        }
    }
}

/// Returns the table that has the program's name, and what it is called there.
fn place(tree: &dyn Tree, at: &[String]) -> (Vec<String>, &'static str) {
    let inside = below(at, "command");
    match tree.text(&inside, "path").is_some() {
        true => (inside, "path"),
        false => (at.to_vec(), "command"),
    }
}

fn below(at: &[String], name: &str) -> Vec<String> {
    [at, &[name.to_owned()]].concat()
}

fn runs_mira(command: &str, args: &[String]) -> Option<String> {
    let file = command.rsplit(['/', '\\']).next()?;
    match args {
        [mcp, run, name]
            if mcp == "mcp" && run == "run" && file.trim_end_matches(".exe") == "mira" =>
        {
            Some(name.clone())
        }
        _ => None,
    }
}
