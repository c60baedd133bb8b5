//! Taking servers over from a client's configuration: which of them go to Mira, under which names, which of their values are
//! secrets; and doing it, step by step.
//!
//! The steps are in an order by which a crash loses nothing: the values are in the vault ([`save`]) before the server is in
//! `mcp.json` ([`define`]), and there before the file is replaced ([`hand_over`]). What was done is done again by the next
//! import, with the same result.
//!
//! INVARIANT: what is told of a server are names; a value is only ever handed on to the vault.

mod steps;
mod undo;

use std::collections::BTreeMap;
use std::io;

use mira_secret::{SecretBytes, SecretName, SecretValue};
use mira_vault::{Vault, VaultError};

use crate::bridge::{check_header, check_url};
use crate::clients::Client;
use crate::config::{Config, Entry, What};
use crate::definition::{
    Definition, Definitions, Kind, Origin, Program, Remote, ServerName, Source, Transport,
    header_secret,
};
use crate::suspect::{is_reference, is_secret, looks_secret};

pub use steps::{Rewritten, define, hand_over, rewrite, save, without_values};
pub use undo::{Undo, files};

/// Why nothing is taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// A path cannot be made a whole one.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The vault refused.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The vault takes no such value.
    #[error("{name} cannot be saved: {source}")]
    Value {
        /// The secret.
        name: SecretName,
        /// What is wrong with its value.
        source: mira_secret::ValueError,
    },
}

/// Variables or headers; there is no value of what is no text.
type Pairs = [(String, Option<String>)];

/// What the person said of some variables and headers, whatever they look like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes<'a> {
    /// These are secrets.
    pub secrets: &'a [String],
    /// These are none.
    pub settings: &'a [String],
}

/// A server that goes to Mira.
#[derive(Debug)]
pub struct Move {
    /// How the client has it.
    pub entry: Entry,
    /// What it is called from then on.
    pub name: ServerName,
    /// What it is from then on.
    pub definition: Definition,
    /// The values, by the names that they get in the server's scope.
    pub values: Vec<(SecretName, SecretValue)>,
    /// The variables and headers that leave the file.
    pub taken: Vec<String>,
}

/// What is to be done with a file, and what the person should know of it.
#[derive(Debug, Default)]
pub struct Plan {
    /// The servers that have something to be taken.
    pub moves: Vec<Move>,
    /// What stays as it is, and why.
    pub notes: Vec<String>,
}

impl Plan {
    /// Looks at every server of a file; `only` names those that are meant, where not all are.
    ///
    /// # Errors
    ///
    /// The vault cannot be read.
    pub fn of(
        config: &Config,
        only: &[String],
        wishes: &Wishes<'_>,
        known: &Definitions,
        vault: &Vault,
    ) -> Result<Self, ImportError> {
        let mut plan = Self::default();
        let mut known = known.clone();
        for entry in config.entries() {
            let is_wanted = only.is_empty() || only.iter().any(|key| key == entry.key());
            if !is_wanted {
                continue;
            }
            let Some((mut definition, found)) = plan.definition(&entry, wishes) else {
                continue;
            };
            if found.values.is_empty() {
                continue;
            }
            if let Some(file) = config.path() {
                definition.sources.push(Source {
                    file: std::path::absolute(file)?,
                    at: entry.at.clone(),
                    kind: entry.kind.clone(),
                    names: entry.names.clone(),
                });
            }
            let name = free_name(&entry, &definition, &found.values, &known, vault)?;
            known.0.insert(name.clone(), definition.clone());
            plan.moves.push(Move {
                entry,
                name,
                definition,
                values: found.values,
                taken: found.taken,
            });
        }
        Ok(plan)
    }

    /// Returns how many values are taken.
    #[must_use]
    pub fn secrets(&self) -> usize {
        self.moves.iter().map(|entry| entry.values.len()).sum()
    }

    /// Returns the client whose file it is.
    #[must_use]
    pub fn client(&self, config: &Config) -> Client {
        let table = self
            .moves
            .first()
            .and_then(|entry| entry.entry.at.split_last());
        match (config.path(), table) {
            (Some(file), Some((_, table))) => Client::of(file, table),
            _ => Client::Other,
        }
    }

    /// Returns what a server is, unless it is none that Mira can run.
    fn definition(&mut self, entry: &Entry, wishes: &Wishes<'_>) -> Option<(Definition, Found)> {
        let mut found = Found::default();
        let kind = match &entry.what {
            What::Program { command, args, env } => {
                Kind::Program(self.program(entry.key(), (command, args, env), wishes, &mut found))
            }
            What::Remote { url, headers } => {
                let remote = self.remote(entry, (url, headers), wishes, &mut found);
                Kind::Remote(remote.map_err(|why| self.leave(entry.key(), &why)).ok()?)
            }
            What::Mira(_) | What::Unknown => return None,
        };
        Some((Definition::new(kind), found))
    }

    fn program(
        &mut self,
        key: &str,
        (command, args, env): (&str, &[String], &Pairs),
        wishes: &Wishes<'_>,
        found: &mut Found,
    ) -> Program {
        let mut program = Program {
            command: command.to_owned(),
            args: args.to_vec(),
            ..Program::default()
        };
        for (index, _) in args
            .iter()
            .enumerate()
            .filter(|(_, arg)| looks_secret(arg) && !is_reference(arg))
        {
            self.notes.push(format!(
                "{key}: argument {} looks like a secret and stays in plain; move it to a variable, if the server has one for it",
                index + 1
            ));
        }
        for (variable, value) in env {
            let name = variable.parse::<SecretName>();
            match (value, name) {
                // Numbers and the like are the client's to pass on, as it does now.
                (None, _) => {}
                (Some(value), _) if is_reference(value) => self.notes.push(format!(
                    "{key}: {variable} refers to something that only the client knows, and stays in the file"
                )),
                (Some(value), Ok(name)) if wishes.is_secret(variable, value) => {
                    match found.take(&name, variable, value) {
                        Ok(()) => drop(program.secrets.insert(name, Origin::Own)),
                        Err(why) => self.notes.push(format!("{key}: {variable} stays in the file: {why}")),
                    }
                }
                (Some(value), Ok(name)) => {
                    found.taken.push(variable.clone());
                    program.settings.insert(name, value.clone());
                }
                (Some(value), Err(_)) if is_secret(variable, value) => self.notes.push(format!(
                    "{key}: {variable} looks like a secret and stays in the file: it is no name of a variable"
                )),
                (Some(_), Err(_)) => {}
            }
        }
        program
    }

    fn remote(
        &mut self,
        entry: &Entry,
        (url, headers): (&str, &Pairs),
        wishes: &Wishes<'_>,
        found: &mut Found,
    ) -> Result<Remote, String> {
        let checked = check_url(url).map_err(|error| error.to_string())?;
        if looks_secret(url) {
            return Err("its URL looks as if it had a secret in it; if the server takes that in a header, add it with `mira mcp add NAME --url URL --header NAME`".to_owned());
        }
        let mut remote = Remote {
            url: checked.into(),
            transport: if entry.is_sse() {
                Transport::Sse
            } else {
                Transport::Auto
            },
            headers: BTreeMap::new(),
            secret_headers: BTreeMap::new(),
        };
        for (header, value) in headers {
            let value = value
                .as_deref()
                .ok_or_else(|| format!("its header {header} is no text"))?;
            if is_reference(value) {
                return Err(format!(
                    "its header {header} refers to something that only the client knows"
                ));
            }
            if check_header(header).is_none() {
                return Err(format!("its header {header} is the protocol's own"));
            }
            if wishes.is_secret(header, value) {
                let name = header_secret(header)
                    .map_err(|error| format!("its header {header}: {error}"))?;
                found.take(&name, header, value)?;
                remote.secret_headers.insert(header.clone(), name);
            } else {
                remote.headers.insert(header.clone(), value.to_owned());
            }
        }
        Ok(remote)
    }

    fn leave(&mut self, key: &str, why: &str) {
        self.notes.push(format!("{key} is left as it is: {why}"));
    }
}

impl Wishes<'_> {
    fn is_secret(&self, name: &str, value: &str) -> bool {
        let is_named = |names: &[String]| names.iter().any(|known| known == name);
        !is_named(self.settings)
            && !value.is_empty()
            && (is_named(self.secrets) || is_secret(name, value))
    }
}

/// What is found in an entry on the way.
#[derive(Default)]
struct Found {
    values: Vec<(SecretName, SecretValue)>,
    taken: Vec<String>,
}

impl Found {
    fn take(&mut self, name: &SecretName, shown: &str, value: &str) -> Result<(), String> {
        if self.values.iter().any(|(known, _)| known == name) {
            return Err(format!("two of its names are {name} in the vault"));
        }
        let value = SecretValue::new(name, SecretBytes::copy_from(value.as_bytes()));
        self.values
            .push((name.clone(), value.map_err(|error| error.to_string())?));
        self.taken.push(shown.to_owned());
        Ok(())
    }
}

/// Returns the name of a server: that of the client, that of the same server taken from another client, or one with a number.
fn free_name(
    entry: &Entry,
    definition: &Definition,
    values: &[(SecretName, SecretValue)],
    known: &Definitions,
    vault: &Vault,
) -> Result<ServerName, ImportError> {
    let wanted = ServerName::from_key(entry.key());
    let mut name = wanted.clone();
    let mut number = 1;
    while let Some(other) = known.0.get(&name) {
        if other.kind == definition.kind && has_values(vault, &name, values)? {
            break;
        }
        number += 1;
        name = wanted.numbered(number);
    }
    Ok(name)
}

/// Returns whether the vault has these values for a server.
fn has_values(
    vault: &Vault,
    name: &ServerName,
    values: &[(SecretName, SecretValue)],
) -> Result<bool, ImportError> {
    for (secret, value) in values {
        match vault.find(&name.scope(), secret) {
            Some(entry) if vault.value(entry)? == *value => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}
