//! The deliveries: `POST /events` is answered 2xx once the work is done, and 503 where it should come again.
//!
//! The queue, its order and its retries are the deliverer's. What is kept here makes a repeat harmless: a lease per pull request, and a row per
//! review. INVARIANT: each head commit gets one review, and each command one more, whoever dies on the way and however often it is delivered.

mod change;
mod command;
mod mention;
mod post;
mod pull;
mod push;
mod report;
mod turns;
mod wanted;
mod words;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use crate::budget::Limits;
use crate::db::Db;
use crate::github::{GitHub, GitHubError, Memory};
use crate::model::{Model, ModelError};
use crate::review::ReviewError;
use crate::secret::Key;
use change::Scope;
pub(crate) use turns::Turns;
use wanted::{About, Wanted, about, wanted};
use work::Work;

/// The longest event, in bytes.
// LIMIT: GitHub's own.
const EVENT_BYTES_MAX: usize = 25 * 1024 * 1024;

/// What a server needs.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) model: Model,
    pub(crate) client: reqwest::Client,
    /// What deliveries have to show.
    pub(crate) delivery_token: Option<Key>,
    /// The API of deliveries that name none.
    pub(crate) github_api: String,
    /// The operator's limits.
    pub(crate) limits: Limits,
    /// The name that people call it by.
    pub(crate) bot: String,
    pub(crate) memory: Arc<Memory>,
    /// What lets the model service be called, for the log.
    pub(crate) advice: Option<String>,
    /// Which server this is, for leases.
    pub(crate) id: String,
    pub(crate) turns: Turns,
}

/// Why a delivery is not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EventError {
    #[error(transparent)]
    GitHub(#[from] GitHubError),
    #[error(transparent)]
    Review(#[from] ReviewError),
    #[error("the database refused: {0}")]
    Database(#[from] sqlx::Error),
    #[error("another server works on this pull request")]
    Busy,
    #[error("not all repositories have an index yet")]
    Unfinished,
    #[error("the event has no {0}")]
    Odd(&'static str),
}

impl EventError {
    /// Returns whether it may go better later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::GitHub(error) => error.may_pass(),
            Self::Review(ReviewError::Model(error)) => error.may_pass(),
            Self::Database(_) | Self::Busy | Self::Unfinished => true,
            Self::Review(_) | Self::Odd(_) => false,
        }
    }
}

/// Returns the routes.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/events", post(events))
        .route("/report", get(panels))
        .layer(DefaultBodyLimit::max(EVENT_BYTES_MAX))
        .with_state(app)
}

fn is_the_deliverer(app: &App, headers: &HeaderMap) -> bool {
    let Some(expected) = &app.delivery_token else {
        return true;
    };
    let shown = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    shown.is_some_and(|shown| expected.is(shown))
}

/// Reports to the one who delivers, and to nobody else.
async fn panels(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<Value>, (StatusCode, String)> {
    if !is_the_deliverer(&app, &headers) {
        return Err((StatusCode::UNAUTHORIZED, "not the deliverer\n".to_owned()));
    }
    report::report(&app).await.map(Json).map_err(|error| {
        crate::say(&format!("the report: {error}"));
        let text = "the database cannot be read\n".to_owned();
        (StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

async fn events(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if !is_the_deliverer(&app, &headers) {
        return (StatusCode::UNAUTHORIZED, "not a delivery\n".to_owned());
    }
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "the event is no JSON\n".to_owned());
    };
    let kind = header("x-github-event").unwrap_or_default();
    let by = header("x-github-hook-installation-target-id").and_then(|id| id.parse().ok());
    let about = about(&event);
    let github = GitHub {
        client: app.client.clone(),
        base: header("x-mira-github-api")
            .unwrap_or(&app.github_api)
            .to_owned(),
        token: header("x-mira-github-token").map(|token| Key::new(token.to_owned())),
        repository: about
            .as_ref()
            .map(|about| about.name.clone())
            .unwrap_or_default(),
        memory: Arc::clone(&app.memory),
    };
    let wanted = wanted(kind, &event, by);
    let tokens = tokens(header("x-mira-github-tokens").unwrap_or_default());
    let name = about.as_ref().map_or("-", |about| about.name.as_str());
    match take(&app, about.as_ref(), (&github, &tokens), wanted, by).await {
        Ok(said) => (StatusCode::OK, format!("{said}\n")),
        Err(error) if error.may_pass() => {
            // Comments are no place for it: who reads them need not run this.
            if let EventError::Review(ReviewError::Model(ModelError::Unreached(_))) = &error {
                let advice = app.advice.iter().map(|advice| format!("; {advice}"));
                let advice: String = advice.collect();
                crate::say(&format!("{kind} of {name} waits: {error}{advice}"));
            }
            (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))
        }
        // It would fail each time, and is not to come again.
        Err(error) => {
            crate::say(&format!("{kind} of {name} failed: {error}"));
            (StatusCode::OK, format!("failed: {error}\n"))
        }
    }
}

/// Reads the tokens of the repositories that an event lists: `owner/name=token`, with commas between.
fn tokens(header: &str) -> BTreeMap<&str, Key> {
    let pairs = header.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, token)| (name.trim(), Key::new(token.to_owned())))
        .collect()
}

async fn take(
    app: &App,
    about: Option<&About>,
    (github, tokens): (&GitHub, &BTreeMap<&str, Key>),
    wanted: Wanted,
    by: Option<i64>,
) -> Result<&'static str, EventError> {
    let about = || about.ok_or(EventError::Odd("repository"));
    match wanted {
        Wanted::Nothing => Ok("nothing to do"),
        Wanted::Review { number, new } => {
            let _first = app.turns.first();
            let work = Work::open(app, github, about()?, by, number).await?;
            if work.text("/state") != "open" {
                // It was closed while this waited.
                work.give_up().await?;
                return Ok("closed");
            }
            work.alone(work.review("", Scope::Since { new })).await
        }
        Wanted::Comment(number, comment) => {
            let Some(command) = mention::read(&comment.body, &app.bot) else {
                return Ok("nothing to do");
            };
            let _first = app.turns.first();
            let work = Work::open(app, github, about()?, by, number).await?;
            work.command(&comment, &command).await
        }
        Wanted::Close(number) => {
            let about = about()?;
            // Also where the code host does not answer: what waits is cancelled.
            match Work::open(app, github, about, by, number).await {
                Ok(work) => work.give_up().await?,
                Err(_) => pull::close(app, about.repo, number).await?,
            }
            Ok("closed")
        }
        Wanted::Index(after) => push::update(app, about()?, github, &after).await,
        Wanted::IndexAll(all) => push::make_all(app, &all, github, tokens).await,
        Wanted::EraseRepositories(repositories) => erase(app, &repositories).await,
        Wanted::EraseInstallation(installation) => {
            let sql = "SELECT repo FROM rv_repository WHERE installation = $1";
            let rows = app.db.rows(sql, &[installation.into()]).await?;
            let repositories: Vec<i64> = rows.iter().map(|row| row.int(0)).collect();
            erase(app, &repositories).await
        }
    }
}

async fn erase(app: &App, repositories: &[i64]) -> Result<&'static str, EventError> {
    for repo in repositories {
        app.db.erase(*repo).await?;
    }
    app.memory.forget();
    Ok("erased")
}

/// Notes which installation the rows of a repository belong to, and what it is called now. What is known already costs no write.
async fn note(app: &App, about: &About) -> Result<(), EventError> {
    let sql = "INSERT INTO rv_repository (repo, installation, name, private, head, indexed) VALUES ($1, $2, $3, $4, '', 0) \
               ON CONFLICT (repo) DO UPDATE SET installation = excluded.installation, name = excluded.name, private = excluded.private \
               WHERE rv_repository.installation <> excluded.installation OR rv_repository.name <> excluded.name OR rv_repository.private <> excluded.private";
    let values = [
        about.repo.into(),
        about.installation.into(),
        about.name.as_str().into(),
        i64::from(about.private).into(),
    ];
    app.db.execute(sql, &values).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
