//! Putting the servers that were taken over back into a client's file.
//!
//! What there was is kept in the servers' definitions, without a value; whoever undoes says what stands in the place of these. The
//! servers and their secrets stay with Mira.

use std::path::{Path, PathBuf};

use mira_vault::home::Home;

use crate::config::{self, Config, ConfigError, What};
use crate::definition::{Definition, Definitions, DefinitionsError, Kind, ServerName, Source};

/// A server of a file, and where it stood.
type Place = (ServerName, Definition, Source);

/// Returns the files that servers were taken over from.
#[must_use]
pub fn files(known: &Definitions) -> Vec<PathBuf> {
    let sources = known.0.values().flat_map(|server| &server.sources);
    let mut files: Vec<PathBuf> = sources.map(|source| source.file.clone()).collect();
    files.sort();
    files.dedup();
    files
}

/// A client's file, and what is put back into it.
pub struct Undo {
    file: PathBuf,
    config: Config,
    ours: Vec<Place>,
    gone: Vec<Place>,
}

impl std::fmt::Debug for Undo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Undo").field(&self.file).finish()
    }
}

impl Undo {
    /// Reads a file, and finds what is put back; nothing is changed yet.
    ///
    /// # Errors
    ///
    /// It is not there, a link, not readable or not understood.
    pub fn of(file: &Path, known: &Definitions) -> Result<Self, ConfigError> {
        let config = Config::read(file)?;
        let places = known.0.iter().flat_map(|(name, server)| {
            let sources = server.sources.iter().filter(|source| source.file == file);
            sources.map(|source| (name.clone(), server.clone(), source.clone()))
        });
        // What somebody has changed meanwhile is theirs.
        let (ours, gone) = places.partition(|(name, _, source)| {
            config.entry(&source.at).is_some_and(
                |entry| matches!(entry.what, What::Mira(runs) if runs == name.as_str()),
            )
        });
        Ok(Self {
            file: file.to_owned(),
            config,
            ours,
            gone,
        })
    }

    /// Returns the file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the servers that are put back.
    pub fn servers(&self) -> impl Iterator<Item = (&ServerName, &Kind)> {
        self.ours
            .iter()
            .map(|(name, server, _)| (name, &server.kind))
    }

    /// Returns the servers that Mira does not run there any more; they are left as they are.
    pub fn gone(&self) -> impl Iterator<Item = &ServerName> {
        self.gone.iter().map(|(name, ..)| name)
    }

    /// Puts the servers back; `value` says what stands there for a server's secret variable or header.
    ///
    /// # Errors
    ///
    /// The file was changed meanwhile, or cannot be written; it is as it was then.
    pub fn put_back<'v>(
        &mut self,
        value: &dyn Fn(&ServerName, &str) -> &'v str,
    ) -> Result<(), ConfigError> {
        for (name, definition, source) in &self.ours {
            let value = |wanted: &str| value(name, wanted);
            self.config.take_back(source, &definition.kind, &value);
        }
        let (new, old) = self.config.texts();
        config::replace(&self.file, old, &new)
    }

    /// Forgets that the servers were taken from this file.
    ///
    /// # Errors
    ///
    /// `mcp.json` cannot be read or written; it is as it was then.
    pub fn forget(&self, home: &Home) -> Result<(), DefinitionsError> {
        Definitions::update(home.path(), |servers| {
            for (name, _, source) in self.ours.iter().chain(&self.gone) {
                if let Some(server) = servers.0.get_mut(name) {
                    server
                        .sources
                        .retain(|known| (&known.file, &known.at) != (&source.file, &source.at));
                }
            }
        })
    }
}
