//! What a server is: its program or its URL, its settings, and the names of its secrets. All of it may be read by anybody.
//!
//! INVARIANT: a definition holds no value of a secret; `mcp.json` is replaced whole, under its lock.

mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use mira_secret::{NameError, Scope, ScopeError, SecretName};
use mira_vault::private_file::{self, FileError};

use crate::bridge::{UrlError, check_header, check_url};
use crate::suspect::looks_secret;

/// The file's name in the home.
pub const FILE: &str = "mcp.json";

/// The longest file, in bytes.
// LIMIT: thousands of servers; keeps a wrong file from being read whole.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A server's name: what may stand behind `mcp/` in a scope.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerName(Box<str>);

impl ServerName {
    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the scope of the server's secrets.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope::Mcp(self.0.clone())
    }

    /// Makes a name of what a client calls a server: what a name cannot hold becomes `-`.
    #[must_use]
    pub fn from_key(key: &str) -> Self {
        let spelled = key
            .chars()
            .map(|c| match c {
                c if c.is_ascii_alphanumeric() || "._-".contains(c) => c,
                _ => '-',
            })
            .take(mira_secret::SCOPE_ID_BYTES_MAX)
            .collect::<String>();
        spelled
            .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
            .parse()
            .unwrap_or_else(|_| Self("server".into()))
    }

    /// Returns the name with a number behind it, for a second server of that name.
    #[must_use]
    pub fn numbered(&self, number: usize) -> Self {
        let end = format!("-{number}");
        let room = mira_secret::SCOPE_ID_BYTES_MAX - end.len();
        let begin: String = self.0.chars().take(room).collect();
        Self(format!("{begin}{end}").into())
    }
}

impl FromStr for ServerName {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        match format!("mcp/{text}").parse()? {
            Scope::Mcp(name) => Ok(Self(name)),
            _ => Err(ScopeError::Id),
        }
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// What is run or called.
    pub kind: Kind,
    /// The clients' files that it was taken from.
    pub sources: Vec<Source>,
}

/// What is run or called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program that speaks on its standard streams.
    Program(Program),
    /// A server behind a URL.
    Remote(Remote),
}

/// A program that speaks on its standard streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its name or path.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables that are no secrets.
    pub settings: BTreeMap<SecretName, String>,
    /// Variables that are secrets, and where each value is.
    pub secrets: BTreeMap<SecretName, Origin>,
}

/// A server behind a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The URL, `https` or on this machine.
    pub url: String,
    /// How it is spoken to.
    pub transport: Transport,
    /// Headers that are no secrets.
    pub headers: BTreeMap<String, String>,
    /// Headers that are secrets, by the names under which their values are in the server's scope.
    pub secret_headers: BTreeMap<String, SecretName>,
}

/// Where the value of a variable is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the server's own scope, under the variable's name.
    Own,
    /// In the person's, under this name: a binding.
    User(SecretName),
}

/// How a server behind a URL is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Streamable HTTP; the older HTTP with SSE where the server does not know it.
    #[default]
    Auto,
    /// HTTP with SSE, as of the protocol's version 2024-11-05.
    Sse,
}

/// Where in a client's file a server was taken from, and what of its entry is not in the definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// The names that lead to the entry.
    pub at: Vec<String>,
    /// What the entry's `type` said, if it had one.
    pub kind: Option<String>,
    /// What the entry called its URL or its table of headers, where that is not `url` or `headers`.
    pub names: BTreeMap<String, String>,
}

impl Definition {
    /// Returns a definition that no client's file had.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            sources: Vec::new(),
        }
    }

    /// Returns what is run or called, in one line. An argument that looks like a secret is left out, and what stands behind a
    /// URL's question mark: some servers have keys there.
    #[must_use]
    pub fn runs(&self) -> String {
        match &self.kind {
            Kind::Program(program) => {
                let args = program.args.iter().map(|arg| match looks_secret(arg) {
                    true => "[looks like a secret]",
                    false => arg,
                });
                let words = std::iter::once(program.command.as_str()).chain(args);
                words.collect::<Vec<_>>().join(" ")
            }
            Kind::Remote(remote) => remote.shown_url().to_owned(),
        }
    }

    /// Returns its secrets, each as listings call it: a variable, with whose it is, or a header.
    #[must_use]
    pub fn secrets_shown(&self) -> Vec<String> {
        match &self.kind {
            Kind::Program(program) => {
                let secrets = program.secrets.iter().map(|(name, origin)| match origin {
                    Origin::Own => name.to_string(),
                    Origin::User(yours) if yours == name => format!("{name} (yours)"),
                    Origin::User(yours) => format!("{name} (your {yours})"),
                });
                secrets.collect()
            }
            Kind::Remote(remote) => remote.secret_headers.keys().cloned().collect(),
        }
    }

    /// Returns the secrets of the person's that it is bound to.
    pub fn bound_secrets(&self) -> impl Iterator<Item = &SecretName> {
        let program = match &self.kind {
            Kind::Program(program) => Some(program),
            Kind::Remote(_) => None,
        };
        let origins = program
            .into_iter()
            .flat_map(|program| program.secrets.values());
        origins.filter_map(|origin| match origin {
            Origin::User(yours) => Some(yours),
            Origin::Own => None,
        })
    }

    /// Returns the names under which secrets are in the server's own scope.
    pub fn own_secrets(&self) -> impl Iterator<Item = &SecretName> {
        let (program, remote) = match &self.kind {
            Kind::Program(program) => (Some(program), None),
            Kind::Remote(remote) => (None, Some(remote)),
        };
        let own = |(name, origin): (_, &Origin)| (*origin == Origin::Own).then_some(name);
        let of_program = program
            .into_iter()
            .flat_map(move |program| program.secrets.iter().filter_map(own));
        of_program.chain(
            remote
                .into_iter()
                .flat_map(|remote| remote.secret_headers.values()),
        )
    }
}

/// Why something is no server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DefineError {
    /// The URL is none, or not to be called with secrets.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The header is the protocol's own, or none.
    #[error("that is no header's name, or the protocol's own header")]
    Header,
    /// The header's value could not be kept.
    #[error("that header cannot be kept: {0}")]
    HeaderName(#[from] NameError),
    /// A name is given twice.
    #[error("{0} is given twice")]
    Twice(SecretName),
}

impl Program {
    /// Adds a variable that is a secret.
    ///
    /// # Errors
    ///
    /// There is a variable of this name.
    pub fn add_secret(&mut self, name: SecretName, origin: Origin) -> Result<(), DefineError> {
        self.free(&name)?;
        self.secrets.insert(name, origin);
        Ok(())
    }

    /// Adds a variable that is no secret.
    ///
    /// # Errors
    ///
    /// There is a variable of this name.
    pub fn add_setting(&mut self, name: SecretName, value: &str) -> Result<(), DefineError> {
        self.free(&name)?;
        self.settings.insert(name, value.to_owned());
        Ok(())
    }

    fn free(&self, name: &SecretName) -> Result<(), DefineError> {
        match self.secrets.contains_key(name) || self.settings.contains_key(name) {
            true => Err(DefineError::Twice(name.clone())),
            false => Ok(()),
        }
    }
}

impl Remote {
    /// Returns a server behind a URL, with no header.
    ///
    /// # Errors
    ///
    /// The URL is none, or would send secrets in plain.
    pub fn new(url: &str, transport: Transport) -> Result<Self, DefineError> {
        Ok(Self {
            url: check_url(url)?.into(),
            transport,
            headers: BTreeMap::new(),
            secret_headers: BTreeMap::new(),
        })
    }

    /// Adds a header that is a secret, and returns the name of its value. It is kept as it was spelled, for listings; to a
    /// server it is all the same.
    ///
    /// # Errors
    ///
    /// It is no header that may be set, or is there already.
    pub fn add_secret_header(&mut self, header: &str) -> Result<SecretName, DefineError> {
        let checked = check_header(header).ok_or(DefineError::Header)?;
        let secret = header_secret(checked.as_str())?;
        if self.secret_headers.values().any(|known| *known == secret) {
            return Err(DefineError::Twice(secret));
        }
        self.secret_headers
            .insert(header.to_owned(), secret.clone());
        Ok(secret)
    }

    /// Returns the URL without what stands behind a question mark.
    #[must_use]
    pub fn shown_url(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }
}

/// The servers of a home, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definitions(pub BTreeMap<ServerName, Definition>);

/// Why the servers' file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionsError {
    /// The file is not there for us, or cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in it is not understood.
    #[error("{} is damaged: {what}; mend it, or move it away and add the servers again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// It was written by a later Mira.
    #[error("{} has version {version}, and this Mira knows version {}; use the newer one", path.display(), wire::VERSION)]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

impl Definitions {
    /// Reads the servers of a home; without a file there are none.
    ///
    /// # Errors
    ///
    /// The file is not ours alone, or is not understood.
    pub fn read(home: &Path) -> Result<Self, DefinitionsError> {
        let path = home.join(FILE);
        match private_file::read(&path, FILE_BYTES_MAX) {
            Ok(bytes) => wire::parse(&path, &bytes),
            Err(FileError::Missing { .. }) => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds a server, or replaces the one of its name; from which files that was taken is kept.
    ///
    /// # Errors
    ///
    /// The file could not be read, understood or written; it is as it was then.
    pub fn put(
        home: &Path,
        name: &ServerName,
        mut definition: Definition,
    ) -> Result<(), DefinitionsError> {
        Self::update(home, |servers| {
            if let Some(old) = servers.0.remove(name) {
                definition.sources = old.sources;
            }
            servers.0.insert(name.clone(), definition);
        })
    }

    /// Changes the servers of a home, under the file's lock.
    ///
    /// # Errors
    ///
    /// The file could not be read, understood or written; it is as it was then.
    pub fn update<T>(
        home: &Path,
        change: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, DefinitionsError> {
        let path = home.join(FILE);
        private_file::update(&path, FILE_BYTES_MAX, |old| {
            let mut definitions = match old {
                Some(bytes) => wire::parse(&path, &bytes)?,
                None => Self::default(),
            };
            let result = change(&mut definitions);
            Ok((wire::render(&definitions), result))
        })
    }
}

/// Returns the name under which a header's value is in the vault: `X-Api-Key` is `X_API_KEY`.
///
/// # Errors
///
/// Returns an error if the header's name has characters that no secret's name has.
pub fn header_secret(header: &str) -> Result<SecretName, mira_secret::NameError> {
    header.to_ascii_uppercase().replace('-', "_").parse()
}
