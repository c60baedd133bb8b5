//! MCP servers, as the desk shows, adds, tests and removes them: what `mira mcp` does.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use jiff::Timestamp;
use mira_mcp::definition::{Definition, Definitions, Kind, Origin, ServerName, Transport};
use mira_mcp::probe::{self, Failed, Found, PATIENCE};
use mira_secret::{Scope, SecretBytes, SecretName, SecretValue};
use mira_store::AuditAction;
use mira_vault::{Listing, NewSecret, Vault};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::Desk;
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;

/// How many servers are tested at once.
// LIMIT: each is a program, of which some fetch themselves first.
const TESTS_MAX: usize = 4;

/// The variables that a server gets when it is tested: what a client on this machine would have, and none of this server's own.
const PASSED_ON: [&str; 17] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "https_proxy",
    "no_proxy",
];

/// What came of tests, since this desk runs.
#[derive(Debug)]
pub(crate) struct Tests {
    last: Mutex<BTreeMap<ServerName, Tested>>,
    turns: Semaphore,
}

impl Tests {
    pub(crate) fn new() -> Self {
        Self {
            last: Mutex::default(),
            turns: Semaphore::new(TESTS_MAX),
        }
    }

    fn last(&self) -> BTreeMap<ServerName, Tested> {
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, name: &ServerName, tested: Option<Tested>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match tested {
            Some(tested) => last.insert(name.clone(), tested),
            None => last.remove(name),
        };
    }
}

/// What came of a test.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Tested {
    /// When.
    #[schemars(with = "String")]
    pub(crate) at: Timestamp,
    /// Whether the server answered as it should.
    pub(crate) ok: bool,
    /// What it calls itself.
    pub(crate) server: String,
    /// Its version.
    pub(crate) version: String,
    /// The version of the protocol that was agreed on.
    pub(crate) protocol: String,
    /// Its tools.
    pub(crate) tools: Vec<String>,
    /// What is wrong.
    pub(crate) message: Option<String>,
    /// The end of what it said, redacted.
    pub(crate) said: Vec<String>,
}

impl From<Result<Found, Failed>> for Tested {
    fn from(outcome: Result<Found, Failed>) -> Self {
        let at = Timestamp::now();
        match outcome {
            Ok(found) => Self {
                at,
                ok: true,
                server: found.name,
                version: found.version,
                protocol: found.protocol,
                tools: found.tools,
                message: None,
                said: Vec::new(),
            },
            Err(failed) => Self {
                at,
                ok: false,
                server: String::new(),
                version: String::new(),
                protocol: String::new(),
                tools: Vec::new(),
                message: Some(failed.message),
                said: failed.said,
            },
        }
    }
}

/// A server, as far as anybody is shown it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Server {
    /// What it is called.
    pub(crate) name: String,
    /// How it is spoken to: `program`, `http` or `sse`.
    pub(crate) transport: String,
    /// What is run or called.
    pub(crate) runs: String,
    /// Its variables or headers that are secrets.
    pub(crate) secrets: Vec<ServerSecret>,
    /// Its variables or headers that are none.
    pub(crate) settings: BTreeMap<String, String>,
    /// The clients' files that it was taken from.
    pub(crate) imported_from: Vec<String>,
    /// What came of the last test since this desk runs.
    pub(crate) tested: Option<Tested>,
}

/// A variable or a header of a server that is a secret.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ServerSecret {
    /// The variable or the header.
    pub(crate) name: String,
    /// In which scope its value is.
    pub(crate) scope: String,
    /// Under which name.
    pub(crate) saved_as: String,
    /// Whether it is; nothing where the vault is locked.
    pub(crate) saved: Option<bool>,
}

/// Returns all servers.
pub(crate) async fn all(desk: &Desk) -> Result<Vec<Server>, DeskError> {
    let home = desk.custody.home().path().to_owned();
    let known = blocking(move || Ok(Definitions::read(&home)?)).await?;
    let last = desk.tests.last();
    let tested = |name: &ServerName| last.get(name).cloned();
    let servers = known.0.into_iter();
    let mut servers: Vec<Server> = servers
        .map(|(name, definition)| Server::new(&name, &definition, tested(&name)))
        .collect();
    match desk.custody.listing_if_there().await {
        Ok(listing) => {
            for secret in servers.iter_mut().flat_map(|server| &mut server.secrets) {
                secret.mark(listing.as_deref());
            }
        }
        // Names are shown all the same.
        Err(error) if error.status == StatusCode::LOCKED => {}
        Err(error) => return Err(error),
    }
    Ok(servers)
}

/// Returns one server.
pub(crate) async fn one(desk: &Desk, name: &str) -> Result<Server, DeskError> {
    let mut servers = all(desk).await?.into_iter();
    servers
        .find(|server| server.name == name)
        .ok_or_else(|| DeskError::not_found("such MCP server"))
}

impl Server {
    fn new(name: &ServerName, definition: &Definition, tested: Option<Tested>) -> Self {
        let secret = |shown: String, scope: Scope, saved_as: &SecretName| ServerSecret {
            name: shown,
            scope: scope.to_string(),
            saved_as: saved_as.to_string(),
            saved: None,
        };
        let (transport, secrets, settings) = match &definition.kind {
            Kind::Program(program) => (
                "program",
                program
                    .secrets
                    .iter()
                    .map(|(variable, origin)| match origin {
                        Origin::Own => secret(variable.to_string(), name.scope(), variable),
                        Origin::User(yours) => secret(variable.to_string(), Scope::User, yours),
                    })
                    .collect(),
                program
                    .settings
                    .iter()
                    .map(|(name, value)| (name.to_string(), value.clone()))
                    .collect(),
            ),
            Kind::Remote(remote) => (
                match remote.transport {
                    Transport::Auto => "http",
                    Transport::Sse => "sse",
                },
                remote
                    .secret_headers
                    .iter()
                    .map(|(header, saved_as)| secret(header.clone(), name.scope(), saved_as))
                    .collect(),
                remote.headers.clone(),
            ),
        };
        let sources = definition.sources.iter();
        Self {
            name: name.to_string(),
            transport: transport.to_owned(),
            runs: definition.runs(),
            secrets,
            settings,
            imported_from: sources
                .map(|source| source.file.display().to_string())
                .collect(),
            tested,
        }
    }
}

impl ServerSecret {
    fn mark(&mut self, listing: Option<&Listing>) {
        let (scope, name) = (self.scope.parse::<Scope>(), self.saved_as.parse());
        self.saved = match (listing, scope, name) {
            (Some(listing), Ok(scope), Ok(name)) => Some(listing.find(&scope, &name).is_some()),
            _ => Some(false),
        };
    }
}

/// A server that is to be added.
#[derive(Debug)]
pub(crate) struct NewServer {
    pub(crate) name: ServerName,
    pub(crate) kind: Kind,
    /// The values that came with it, by the names that they get in its scope.
    pub(crate) values: Vec<(SecretName, SecretBytes)>,
}

/// Adds a server; `replace` says whether there may be one of its name.
pub(crate) async fn put(
    desk: &Desk,
    identity: &Identity,
    new: NewServer,
    replace: bool,
) -> Result<(), DeskError> {
    let name = new.name.clone();
    let done = add(desk, new, replace).await;
    desk.tests.note(&name, None);
    desk.told(identity, AuditAction::McpSet, name.as_str(), done)
        .await
}

async fn add(desk: &Desk, new: NewServer, replace: bool) -> Result<(), DeskError> {
    let NewServer { name, kind, values } = new;
    let definition = Definition::new(kind);
    let keeps_secrets = !definition.secrets_shown().is_empty();
    let home = desk.custody.home().clone();
    let mut checked = Vec::with_capacity(values.len());
    for (secret, bytes) in values {
        let value = SecretValue::new(&secret, bytes)
            .map_err(|error| DeskError::unfit(format!("nothing was saved: {secret}: {error}")))?;
        checked.push((secret, value));
    }
    let work = move |vault: Option<&mut Vault>| {
        if !replace && Definitions::read(home.path())?.0.contains_key(&name) {
            let taken = format!("there is a server {name} already");
            return Err(DeskError::new(StatusCode::CONFLICT, taken)
                .hint("Choose another name, or remove that one first."));
        }
        if let Some(vault) = vault {
            let mut bound = definition.bound_secrets();
            if let Some(missing) = bound.find(|yours| vault.find(&Scope::User, yours).is_none()) {
                return Err(DeskError::unfit(format!("you have no secret {missing}"))
                    .hint("Write NAME=value, or save it first."));
            }
            let now = Timestamp::now();
            vault.update(|draft| {
                for (secret, value) in checked {
                    let new = NewSecret {
                        value,
                        label: None,
                        kind: None,
                        now,
                    };
                    draft.set(&name.scope(), &secret, new)?;
                }
                Ok(())
            })?;
            drop(bound);
        }
        Ok(Definitions::put(home.path(), &name, definition.clone())?)
    };
    match keeps_secrets {
        true => desk.custody.with(move |vault| work(Some(vault))).await,
        false => blocking(move || work(None)).await,
    }
}

/// Removes a server and its secrets.
pub(crate) async fn remove(desk: &Desk, identity: &Identity, name: &str) -> Result<(), DeskError> {
    let (name, _) = find(desk, name).await?;
    let (home, wanted) = (desk.custody.home().clone(), name.clone());
    let removed = desk
        .custody
        .with_if_there(move |vault| {
            let scope = wanted.scope();
            if let Some(vault) = vault
                && vault.secrets().any(|entry| *entry.scope() == scope)
            {
                vault.update(|draft| draft.remove_scope(&scope))?;
            }
            Ok(Definitions::update(home.path(), |servers| {
                servers.0.remove(&wanted);
            })?)
        })
        .await;
    desk.tests.note(&name, None);
    desk.told(identity, AuditAction::McpRemove, name.as_str(), removed)
        .await
}

async fn find(desk: &Desk, name: &str) -> Result<(ServerName, Definition), DeskError> {
    let unknown = || DeskError::not_found("such MCP server");
    let name: ServerName = name.parse().map_err(|_| unknown())?;
    let home = desk.custody.home().path().to_owned();
    let known = blocking(move || Ok(Definitions::read(&home)?)).await?;
    let definition = known.0.get(&name).cloned().ok_or_else(unknown)?;
    Ok((name, definition))
}

/// Starts a server as a client does, and asks who it is and what it can do.
pub(crate) async fn test(
    desk: &Desk,
    identity: &Identity,
    name: &str,
) -> Result<Tested, DeskError> {
    let (name, definition) = find(desk, name).await?;
    let turn = desk.tests.turns.acquire().await;
    let turn = turn.map_err(DeskError::failed)?;
    let words: [OsString; 3] = ["mcp".into(), "run".into(), name.as_str().into()];
    let home = std::path::absolute(desk.custody.home().path()).map_err(DeskError::failed)?;
    let known = desk.house.variables.iter();
    let variables = known
        .filter(|(name, _)| PASSED_ON.iter().any(|passed| name == passed))
        .cloned()
        .chain([("MIRA_HOME".into(), home.into())]);
    let started = mira_host::piped::start(desk.house.program.as_os_str(), &words, variables);
    let outcome = match started {
        Ok(child) => probe::attend(child, &name, &definition, PATIENCE).await,
        Err(error) => {
            return Err(DeskError::failed(format!(
                "{name} was not started: {error}"
            )));
        }
    };
    drop(turn);
    let tested = Tested::from(outcome);
    desk.tests.note(&name, Some(tested.clone()));
    let action = AuditAction::McpTest;
    desk.record(identity, action, name.as_str(), tested.ok.into())
        .await?;
    Ok(tested)
}

/// Returns the server that declares a secret under a name in its own scope.
pub(crate) async fn declares(
    desk: &Desk,
    name: &str,
    secret: &SecretName,
) -> Result<ServerName, DeskError> {
    let (name, definition) = find(desk, name).await?;
    let mut own = definition.own_secrets();
    match own.any(|own| own == secret) {
        true => Ok(name),
        false => Err(DeskError::unfit(format!(
            "{name} has no secret {secret} of its own"
        ))),
    }
}
