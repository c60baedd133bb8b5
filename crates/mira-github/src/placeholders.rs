//! Placeholders: what an app has in the place of a token, and what a request that holds one may carry.
//!
//! INVARIANT: a placeholder is worth a token of its own installation, for its own repository, to its own instance, in requests to the API of the App's
//! GitHub; and nothing anywhere else, nor after its installation or its instance went.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mira_secret::SecretBytes;
use percent_encoding::percent_decode_str;

use crate::error::GitHubError;
use crate::scope::{Permissions, Repository, Scope};
use crate::tokens::{Token, Tokens};

/// What every placeholder begins with.
pub const PLACEHOLDER_PREFIX: &str = "mira_ght_";

/// How many random letters and digits follow: more than 200 bits.
pub const PLACEHOLDER_CHARACTERS: usize = 40;

/// How many random letters and digits make the secret of a webhook: more than 256 bits.
const WEBHOOK_SECRET_CHARACTERS: usize = 48;

/// How long a placeholder lives without being used.
// LIMIT: a review that waits for its model comes back within the hour; an event that waits in a queue gets a new one with each try.
const IDLE_MAX: Duration = Duration::from_secs(2 * 60 * 60);

/// How long it lives however much it is used.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How many there are at once.
// LIMIT: each is the work of one event; the one that was not used for the longest time goes first.
const PLACEHOLDERS_MAX: usize = 8192;

const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The placeholders that are out.
pub struct Placeholders {
    tokens: Arc<Tokens>,
    table: Mutex<HashMap<Box<str>, Issued>>,
}

struct Issued {
    instance: Box<str>,
    scope: Scope,
    since: Instant,
    used: Instant,
}

impl Issued {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) < AGE_MAX
            && now.saturating_duration_since(self.used) < IDLE_MAX
    }
}

/// A request that holds a placeholder.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The instance that sends it.
    pub instance: &'a str,
    /// The host that it is for, in lower case.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// Whether it goes over TLS.
    pub secure: bool,
    /// Its path, without a query, as it was sent.
    pub path: &'a str,
}

/// Why a request gets no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody has this placeholder: it ended, or was never given out, or is another instance's.
    #[error("the placeholder of a GitHub token is not known, or has ended")]
    Unknown,
    /// The host is not the installation's own.
    #[error("a GitHub token goes to {0} alone")]
    Host(Box<str>),
    /// The path is not of the placeholder's repository.
    #[error("the GitHub token is for the repository {0} alone")]
    Path(Box<str>),
    /// GitHub gives none.
    #[error(transparent)]
    GitHub(#[from] GitHubError),
}

impl Placeholders {
    /// Begins with none.
    #[must_use]
    pub fn new(tokens: Arc<Tokens>) -> Self {
        Self {
            tokens,
            table: Mutex::default(),
        }
    }

    /// Returns the tokens that they stand for.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Makes a placeholder for the work of one event. It is no secret outside of the instance's own gate.
    ///
    /// # Panics
    ///
    /// If the system gives no random bytes, as it does on no system that has started.
    #[must_use]
    pub fn issue(
        &self,
        instance: &str,
        installation: u64,
        repository: &Repository,
        permissions: &Permissions,
    ) -> Box<str> {
        let placeholder: Box<str> =
            format!("{PLACEHOLDER_PREFIX}{}", random(PLACEHOLDER_CHARACTERS)).into();
        let (now, _) = self.tokens.clock().now();
        let issued = Issued {
            instance: instance.into(),
            scope: Scope {
                installation,
                repository: repository.clone(),
                permissions: permissions.clone(),
            },
            since: now,
            used: now,
        };
        let mut table = self.table();
        if table.len() >= PLACEHOLDERS_MAX {
            table.retain(|_, issued| issued.is_alive(now));
        }
        if table.len() >= PLACEHOLDERS_MAX {
            let oldest = table.iter().min_by_key(|(_, issued)| issued.used);
            if let Some(oldest) = oldest.map(|(placeholder, _)| placeholder.clone()) {
                table.remove(&oldest);
            }
        }
        table.insert(placeholder.clone(), issued);
        placeholder
    }

    /// Returns the installation that a placeholder is for, if there is such a placeholder.
    #[must_use]
    pub fn installation(&self, placeholder: &str) -> Option<u64> {
        let table = self.table();
        table
            .get(placeholder)
            .map(|issued| issued.scope.installation)
    }

    /// Returns the token that a request may carry in the place of its placeholder.
    ///
    /// # Errors
    ///
    /// Why it may carry none: then it is not to be sent.
    pub async fn token_for(
        &self,
        placeholder: &str,
        wanted: Wanted<'_>,
    ) -> Result<Arc<Token>, Refusal> {
        let scope = self.used(placeholder, wanted)?;
        let token = self.tokens.get(&scope).await?;
        // The installation may have gone while GitHub was asked.
        match self.table().contains_key(placeholder) {
            true => Ok(token),
            false => Err(Refusal::Unknown),
        }
    }

    fn used(&self, placeholder: &str, wanted: Wanted<'_>) -> Result<Scope, Refusal> {
        let (now, _) = self.tokens.clock().now();
        let mut table = self.table();
        let issued = table.get_mut(placeholder).ok_or(Refusal::Unknown)?;
        if !issued.is_alive(now) {
            table.remove(placeholder);
            return Err(Refusal::Unknown);
        }
        if *issued.instance != *wanted.instance {
            return Err(Refusal::Unknown);
        }
        let base = self.tokens.app().base();
        let path = Path::of(wanted.path);
        let repository = &issued.scope.repository;
        let is_to = |host: &str| {
            (wanted.host, wanted.port, wanted.secure) == (host, base.port(), base.is_secure())
        };
        let (is_api, is_git) = (is_to(base.host()), is_to(base.git_host()));
        let allowed = is_api && path.is_of_api(base.prefix(), &base.graphql(), repository)
            || is_git && path.is_of_git(repository);
        match (allowed, is_api || is_git) {
            (true, _) => {
                issued.used = now;
                Ok(issued.scope.clone())
            }
            (_, true) => Err(Refusal::Path(repository.to_string().into())),
            _ => Err(Refusal::Host(base.host().into())),
        }
    }

    /// Ends a placeholder: the work that it was for is done.
    pub fn end(&self, placeholder: &str) {
        self.table().remove(placeholder);
    }

    /// Ends all placeholders of an instance, which has stopped.
    pub fn end_instance(&self, instance: &str) {
        self.table()
            .retain(|_, issued| *issued.instance != *instance);
    }

    /// Forgets an installation, or some of its repositories: placeholders and tokens.
    pub fn forget(&self, installation: u64, repositories: Option<&[Repository]>) {
        // Placeholders first: nobody comes anew while the tokens go.
        self.table().retain(|_, issued| {
            issued.scope.installation != installation
                || repositories.is_some_and(|some| !some.contains(&issued.scope.repository))
        });
        self.tokens.forget(installation, repositories);
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Box<str>, Issued>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placeholders({})", self.table().len())
    }
}

/// The path of a request, which everybody reads the same way, or none.
struct Path<'a>(Option<&'a str>);

impl<'a> Path<'a> {
    /// A path with a segment that leads up is none, however that is written: what comes after it is not below what comes before.
    fn of(path: &'a str) -> Self {
        let leads_up = path.split('/').any(|segment| {
            let decoded = percent_decode_str(segment).decode_utf8_lossy();
            decoded
                .split(['/', '\\'])
                .any(|part| matches!(part, "." | ".."))
        });
        Self((!leads_up).then_some(path))
    }

    fn is_of_api(&self, prefix: &str, graphql: &str, repository: &Repository) -> bool {
        let Some(path) = self.0 else { return false };
        if path == graphql {
            return true;
        }
        let Some(path) = path.strip_prefix(prefix) else {
            return false;
        };
        if matches!(path, "/rate_limit" | "/installation/repositories") {
            return true;
        }
        path.strip_prefix("/repos/")
            .is_some_and(|rest| is_below(rest, repository, ""))
    }

    /// What git asks when it clones over HTTPS: `owner/name.git/info/refs` and so on.
    fn is_of_git(&self, repository: &Repository) -> bool {
        let rest = self.0.and_then(|path| path.strip_prefix('/'));
        rest.is_some_and(|rest| {
            let asks = ["/info/refs", "/git-upload-pack", "/git-receive-pack"];
            let is_git = asks.iter().any(|end| rest.ends_with(end));
            is_git && (is_below(rest, repository, ".git") || is_below(rest, repository, ""))
        })
    }
}

/// Returns whether a path begins with the owner and the name of a repository, as plain text.
fn is_below(path: &str, repository: &Repository, end: &str) -> bool {
    let mut parts = path.splitn(3, '/');
    let (owner, name) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let name = name.strip_suffix(end).unwrap_or_default();
    owner.eq_ignore_ascii_case(repository.owner()) && name.eq_ignore_ascii_case(repository.name())
}

/// Makes a secret for a webhook: letters and digits, so that nothing changes it on the way to GitHub's form.
///
/// # Panics
///
/// If the system gives no random bytes, as it does on no system that has started.
#[must_use]
pub fn make_webhook_secret() -> SecretBytes {
    SecretBytes::from_vec(random(WEBHOOK_SECRET_CHARACTERS).into_bytes())
}

/// Makes a random text, each of its characters as likely as every other.
fn random(count: usize) -> String {
    let mut text = String::with_capacity(count);
    let mut bytes = [0; 64];
    // A byte beyond the last whole repetition of the alphabet would make its first characters likelier.
    let usable = 256 - 256 % ALPHABET.len();
    while text.len() < count {
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        let bytes = bytes.iter().map(|byte| usize::from(*byte));
        let characters = bytes
            .filter(|byte| *byte < usable)
            .filter_map(|byte| ALPHABET.get(byte % ALPHABET.len()));
        let left = count - text.len();
        text.extend(characters.take(left).map(|byte| char::from(*byte)));
    }
    text
}
