//! Against a GitHub that checks signatures and ends tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use mira_secret::SecretBytes;
use mira_testkit::github::{AppKey, GitHub};

use crate::{ApiBase, App, Clock, GitHubError, Permissions, Scope, Tokens};

mod minting;
mod placeholders;
mod signing;

pub(super) fn pem(key: &AppKey) -> SecretBytes {
    SecretBytes::copy_from(key.pem().as_bytes())
}

pub(super) fn app(github: &GitHub) -> App {
    let base = github.url().parse().unwrap();
    App::new(
        github.app().id.to_string().parse().unwrap(),
        &pem(&github.app().key),
        base,
    )
    .unwrap()
}

/// An App of any number and key, at an API that may be anything.
pub(super) fn app_at(url: &str, key: &AppKey) -> App {
    let base: ApiBase = url.parse().unwrap();
    App::new("4711".parse().unwrap(), &pem(key), base).unwrap()
}

pub(super) fn permissions() -> Permissions {
    BTreeMap::from([
        ("contents".to_owned(), "read".to_owned()),
        ("pull_requests".to_owned(), "write".to_owned()),
    ])
}

pub(super) fn scope(installation: u64, repository: &str) -> Scope {
    Scope {
        installation,
        repository: repository.parse().unwrap(),
        permissions: permissions(),
    }
}

/// A clock that stands still until it is set.
#[derive(Clone)]
pub(super) struct Set(Arc<Mutex<(Instant, Timestamp)>>);

impl Set {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new((Instant::now(), Timestamp::now()))))
    }

    pub(super) fn clock(&self) -> Clock {
        let both = Arc::clone(&self.0);
        Clock::new(move || *both.lock().unwrap())
    }

    /// Lets time pass, for both clocks.
    pub(super) fn pass(&self, seconds: u64) {
        let mut both = self.0.lock().unwrap();
        both.0 += Duration::from_secs(seconds);
        both.1 += SignedDuration::from_secs(seconds.try_into().unwrap());
    }

    /// Sets the clock on the wall alone.
    pub(super) fn set_wall(&self, ahead_s: i64) {
        self.0.lock().unwrap().1 += SignedDuration::from_secs(ahead_s);
    }
}

/// A GitHub with one installation and a repository `octo-org/app`.
pub(super) fn github() -> (GitHub, u64) {
    let github = GitHub::start();
    let _repo = github.repository("octo-org/app", true);
    let installation = github.install("octo-org");
    (github, installation)
}

pub(super) async fn text(tokens: &Tokens, scope: &Scope) -> Result<String, GitHubError> {
    let token = tokens.get(scope).await?;
    Ok(String::from_utf8(token.text().expose().to_vec()).unwrap())
}
