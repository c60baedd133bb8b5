//! The steps of taking servers over, each whole or not done.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use mira_redact::{NeedleSet, Redactor};
use mira_secret::{SecretBytes, SecretName, SecretValue};
use mira_vault::home::Home;
use mira_vault::{NewSecret, Vault};

use super::{ImportError, Move};
use crate::config::{self, Config, ConfigError, Handover};
use crate::definition::{Definition, Definitions, DefinitionsError};

/// Saves the values, all together; one that is saved already is left as it is. Returns those that were not.
///
/// # Errors
///
/// The vault cannot be read or written; nothing is saved then.
pub fn save<'a>(
    vault: &mut Vault,
    moves: &'a [Move],
) -> Result<Vec<(&'a SecretName, &'a SecretValue)>, ImportError> {
    let mut new = Vec::new();
    for entry in moves {
        for (secret, value) in &entry.values {
            let scope = entry.name.scope();
            let saved = vault
                .find(&scope, secret)
                .map(|entry| vault.value(entry))
                .transpose()?;
            if saved.as_ref() != Some(value) {
                new.push((scope, secret, value));
            }
        }
    }
    let now = Timestamp::now();
    let mut drafts = Vec::with_capacity(new.len());
    for (scope, secret, value) in &new {
        // EXPOSE: to the vault, which takes a copy of its own.
        let copy = SecretBytes::copy_from(value.expose());
        let value = SecretValue::new(secret, copy).map_err(|source| ImportError::Value {
            name: (*secret).clone(),
            source,
        })?;
        let new = NewSecret {
            value,
            label: None,
            kind: None,
            now,
        };
        drafts.push((scope, *secret, new));
    }
    vault.update(|draft| {
        for (scope, secret, new) in drafts {
            draft.set(scope, secret, new)?;
        }
        Ok(())
    })?;
    Ok(new
        .into_iter()
        .map(|(_, secret, value)| (secret, value))
        .collect())
}

/// Adds the servers to those of the home; one that is there already gets a second source.
///
/// # Errors
///
/// `mcp.json` cannot be read or written; it is as it was then.
pub fn define(home: &Home, moves: &[Move]) -> Result<(), DefinitionsError> {
    Definitions::update(home.path(), |servers| {
        for Move {
            name, definition, ..
        } in moves
        {
            let server = servers
                .0
                .entry(name.clone())
                .or_insert_with(|| Definition::new(definition.kind.clone()));
            for source in &definition.sources {
                server
                    .sources
                    .retain(|known| (&known.file, &known.at) != (&source.file, &source.at));
                server.sources.push(source.clone());
            }
        }
    })
}

/// What becomes of a client's text.
pub struct Rewritten<'a> {
    /// The text as it is to be. It may hold values that were not taken.
    pub text: String,
    /// The values that stand in it still, in another place than they were taken from, each with its line.
    pub left: Vec<(&'a SecretName, usize)>,
}

impl std::fmt::Debug for Rewritten<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Rewritten").field(&self.left).finish()
    }
}

/// Has a client's text run Mira in the place of the servers.
#[must_use]
pub fn rewrite<'a>(
    config: &mut Config,
    moves: &'a [Move],
    mira: &str,
    home: Option<&str>,
) -> Rewritten<'a> {
    for Move {
        entry, name, taken, ..
    } in moves
    {
        let with = Handover {
            mira,
            name,
            home,
            taken,
        };
        config.hand_over(entry, &with);
    }
    let text = config.texts().0;
    let left = left(moves, &text);
    Rewritten { text, left }
}

/// Has the client run Mira in the place of the servers: its file is replaced. Returns the values that stand in it still, in
/// another place than they were taken from, each with its line.
///
/// # Errors
///
/// The file was changed meanwhile, or cannot be written; it is as it was then. A text without a file has none to be replaced.
pub fn hand_over<'a>(
    mut config: Config,
    moves: &'a [Move],
    mira: &str,
    home: Option<&str>,
) -> Result<Vec<(&'a SecretName, usize)>, ConfigError> {
    let Rewritten { text, left } = rewrite(&mut config, moves, mira, home);
    if let Some(path) = config.path() {
        config::replace(path, config.texts().1, &text)?;
    }
    Ok(left)
}

/// Returns a text without the values that were taken: in the place of each is its name.
#[must_use]
pub fn without_values(moves: &[Move], text: &str) -> Vec<u8> {
    let mut redactor = Redactor::new(Arc::new(needles(moves)));
    let mut clean = redactor.push(text.as_bytes(), Instant::now()).to_vec();
    clean.extend_from_slice(redactor.finish());
    clean
}

fn needles(moves: &[Move]) -> NeedleSet {
    let mut needles = NeedleSet::builder();
    for (name, value) in moves.iter().flat_map(|entry| &entry.values) {
        // EXPOSE: to the scanner, which looks for it in the new text.
        needles.add(name.as_str(), value.expose());
    }
    needles.build()
}

fn left<'a>(moves: &'a [Move], text: &str) -> Vec<(&'a SecretName, usize)> {
    let values = || moves.iter().flat_map(|entry| &entry.values);
    let findings = needles(moves).find(text.as_bytes());
    let places = findings.into_iter().filter_map(|finding| {
        let (name, _) = values().find(|(name, _)| *name.as_str() == *finding.name)?;
        let offset = usize::try_from(finding.offset).unwrap_or(0);
        let before = text.as_bytes().iter().take(offset);
        Some((name, before.filter(|&&byte| byte == b'\n').count() + 1))
    });
    places.collect()
}
