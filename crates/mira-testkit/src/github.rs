//! GitHub as an App and a reviewer meet it: the REST API and a little GraphQL, over a real socket, with real signatures and real git.
//!
//! It checks an App's tokens with its public key, mints installation tokens that are narrow and end, and says what GitHub says when something is
//! wrong: with its status, its body, its headers. Repositories are git repositories, so diffs are git's. Everything that is asked is recorded.
//!
//! `/api/v3` in front of a path, and `/api/graphql`, are understood too: that is where GitHub Enterprise Server has its API.
//!
//! INVARIANT: nothing here waits for time to pass: clocks are set.

mod app;
mod events;
mod files;
mod git;
mod graphql;
mod issues;
mod pulls;
mod repository;
mod reviews;
mod serve;
mod state;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use crate::server::{Arrivals, Server, lock};
use state::State;

pub use crate::rsa::RsaKey as AppKey;
pub use repository::{PullSpec, Repo};

/// The App that exists on a fake GitHub.
#[derive(Clone, Debug)]
pub struct App {
    /// Its number.
    pub id: u64,
    /// Its name in addresses; what it writes is by `<slug>[bot]`.
    pub slug: String,
    /// Its key.
    pub key: AppKey,
}

/// A request that arrived, and what became of it. It holds what was sent, so a failing test may print it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its path and query, as they were sent.
    pub target: String,
    /// Its headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// The status that it got.
    pub status: u16,
}

impl Asked {
    /// Returns the first header of that name, which is given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(key, value)| (key == name).then_some(&**value))
    }

    /// Returns whether it is this method, on a path that ends like this.
    #[must_use]
    pub fn is(&self, method: &str, path_end: &str) -> bool {
        let path = self.target.split('?').next().unwrap_or_default();
        self.method == method && path.ends_with(path_end)
    }
}

/// What is answered instead of what was asked for.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The secondary rate limit: 403 with `Retry-After` in seconds.
    SecondaryRateLimit {
        /// The seconds.
        retry_after_s: u64,
    },
    /// The same as 429.
    TooManyRequests {
        /// The seconds.
        retry_after_s: u64,
    },
    /// An error with that status and message.
    Error {
        /// The status.
        status: u16,
        /// The message.
        message: String,
    },
    /// Sends elsewhere.
    Redirect {
        /// Where.
        to: String,
    },
}

/// What the server's thread and the test share.
struct Shared {
    state: Mutex<State>,
    asked: Arrivals<Asked>,
}

/// A running GitHub, ended on drop together with its connections.
pub struct GitHub {
    address: SocketAddr,
    shared: Arc<Shared>,
    app: App,
    _server: Server,
}

impl std::fmt::Debug for GitHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitHub")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl GitHub {
    /// Starts one on a loopback port, without TLS, with one App and nothing else.
    ///
    /// # Panics
    ///
    /// If no loopback port can be had, or there is no `openssl` on this machine.
    #[must_use]
    pub fn start() -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port can be had");
        Self::start_on(listener, None)
    }

    /// Starts one behind a listener, with TLS where a configuration for it is given.
    ///
    /// # Panics
    ///
    /// As [`GitHub::start`].
    #[must_use]
    pub fn start_on(listener: TcpListener, tls: Option<Arc<ServerConfig>>) -> Self {
        let address = listener.local_addr().expect("a bound socket has one");
        let scheme = if tls.is_some() { "https" } else { "http" };
        let app = App {
            id: 4711,
            slug: "mira-test".to_owned(),
            key: AppKey::make(),
        };
        let state = State::new(app.clone(), format!("{scheme}://{address}"));
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            asked: Arrivals::default(),
        });
        let server = Server::start("github", listener, {
            let shared = Arc::clone(&shared);
            async move |listener| {
                serve::accept(&listener, tls.map(TlsAcceptor::from), &shared).await
            }
        });
        Self {
            address,
            shared,
            app,
            _server: server,
        }
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the base of its API, for `MIRA_GITHUB_API_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.state().url.clone()
    }

    /// Sets the base that addresses in its answers begin with: for one that is reached by a name.
    pub fn set_url(&self, url: &str) {
        self.state().url = url.to_owned();
    }

    /// Returns the App.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Installs the App on an account, for all its repositories and with the usual permissions; returns the installation.
    #[must_use]
    pub fn install(&self, account: &str) -> u64 {
        self.state().install(account)
    }

    /// Selects the repositories that an installation is for, by full names; nothing for all.
    ///
    /// # Panics
    ///
    /// If there is no such installation.
    pub fn select(&self, installation: u64, repositories: Option<&[&str]>) {
        let selected = repositories.map(|names| names.iter().map(|name| (*name).into()).collect());
        let mut state = self.state();
        let found = state.installations.get_mut(&installation);
        found.expect("it is installed").selected = selected;
        state.narrow_tokens();
    }

    /// Sets what an installation grants: pairs such as `("contents", "read")`.
    ///
    /// # Panics
    ///
    /// If there is no such installation.
    pub fn grant(&self, installation: u64, permissions: &[(&str, &str)]) {
        let granted = permissions.iter();
        let granted = granted.map(|(name, access)| ((*name).into(), (*access).into()));
        let mut state = self.state();
        let found = state.installations.get_mut(&installation);
        found.expect("it is installed").permissions = granted.collect();
    }

    /// Suspends an installation, or lets it go on.
    ///
    /// # Panics
    ///
    /// If there is no such installation.
    pub fn suspend(&self, installation: u64, suspended: bool) {
        let mut state = self.state();
        let found = state.installations.get_mut(&installation);
        found.expect("it is installed").suspended = suspended;
    }

    /// Removes an installation, and with it its tokens.
    pub fn uninstall(&self, installation: u64) {
        let mut state = self.state();
        state.installations.remove(&installation);
        state
            .tokens
            .retain(|token| token.installation != installation);
    }

    /// Makes a repository, with a first commit on `main`; the name is the full one.
    #[must_use]
    pub fn repository(&self, full_name: &str, private: bool) -> Repo {
        self.state().add_repository(full_name, private);
        let repo = Repo::new(Arc::clone(&self.shared), full_name);
        let readme = format!("# {full_name}\n");
        repo.commit("main", "The first commit", &[("README.md", Some(&readme))]);
        repo
    }

    /// Sets its clock ahead by that many seconds, or back.
    pub fn set_clock(&self, ahead_s: i64) {
        self.state().ahead_s = ahead_s;
    }

    /// Sets how long tokens that are minted from now on last.
    pub fn set_token_lifetime(&self, seconds: i64) {
        self.state().token_lifetime_s = seconds;
    }

    /// Ends all tokens that were minted so far.
    pub fn expire_tokens(&self) {
        for token in &mut self.state().tokens {
            token.expires_s = 0;
        }
    }

    /// Returns all tokens that were ever minted and whose installation is still there: canaries, for sweeps.
    #[must_use]
    pub fn tokens(&self) -> Vec<String> {
        self.state()
            .tokens
            .iter()
            .map(|token| token.text.clone())
            .collect()
    }

    /// Returns a token as if it had been minted, for repositories by their full names and with all that the installation grants.
    ///
    /// # Panics
    ///
    /// If there is no such installation.
    #[must_use]
    pub fn token(&self, installation: u64, repositories: &[&str]) -> String {
        let mut state = self.state();
        let found = state.installations.get(&installation);
        let permissions = found.expect("it is installed").permissions.clone();
        let repositories = repositories.iter().map(|name| (*name).to_owned());
        state.add_token(installation, permissions, repositories.collect())
    }

    /// Returns how many tokens were asked for and minted.
    #[must_use]
    pub fn mints(&self) -> usize {
        let asked = self.asked().into_iter();
        let minted =
            asked.filter(|asked| asked.is("POST", "/access_tokens") && asked.status == 201);
        minted.count()
    }

    /// Answers the next request of this method, whose path holds this text, otherwise; may be called several times.
    pub fn refuse_next(&self, method: &str, path_part: &str, refusal: Refusal) {
        let refusal = (method.to_owned(), path_part.to_owned(), refusal);
        self.state().refusals.push_back(refusal);
    }

    /// Sets how many requests are left until the primary rate limit.
    pub fn set_remaining(&self, remaining: u64) {
        self.state().remaining = remaining;
    }

    /// Sets from how many lines on a diff is refused with 406, and a file has no `patch`.
    pub fn set_diff_limits(&self, diff_lines_max: usize, patch_lines_max: usize) {
        let mut state = self.state();
        state.diff_lines_max = diff_lines_max;
        state.patch_lines_max = patch_lines_max;
    }

    /// Returns what was asked so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.all()
    }

    /// Returns what was asked once that many requests came.
    ///
    /// # Panics
    ///
    /// If they do not come within a minute.
    #[track_caller]
    #[must_use]
    pub fn wait_for_asked(&self, count: usize) -> Vec<Asked> {
        self.shared.asked.wait_for(count)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }
}

impl State {
    /// Takes from tokens what their installation is not for any more.
    fn narrow_tokens(&mut self) {
        let mut tokens = std::mem::take(&mut self.tokens);
        for token in &mut tokens {
            let installation = self.installations.get(&token.installation);
            let left = installation.map(|installation| self.repositories_of(installation));
            let left: BTreeSet<String> = left.unwrap_or_default();
            token.repositories.retain(|name| left.contains(name));
        }
        self.tokens = tokens;
    }
}

#[cfg(test)]
mod tests;
