//! The deliveries: `POST /events` is answered 2xx once the work is done, and 503 where it should come again.
//!
//! The queue, its order and its retries are the deliverer's. What is kept here makes a repeat harmless: a lease per pull request, and a row per
//! head commit. INVARIANT: each head commit gets one review, whoever dies on the way and however often it is delivered.

mod pull;
mod push;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;

use crate::db::Db;
use crate::github::{GitHub, GitHubError};
use crate::model::Model;
use crate::review::ReviewError;
use crate::secret::Key;

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
    /// Tokens of one repository in a month; the operator's limit.
    pub(crate) month_tokens: Option<u64>,
    /// Which server this is, for leases.
    pub(crate) id: String,
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
    #[error("the event has no {0}")]
    Odd(&'static str),
}

impl EventError {
    /// Returns whether it may go better later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::GitHub(error) => error.may_pass(),
            Self::Review(ReviewError::Model(error)) => error.may_pass(),
            Self::Database(_) | Self::Busy => true,
            Self::Review(_) | Self::Odd(_) => false,
        }
    }
}

/// Returns the routes.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/events", post(events))
        .layer(DefaultBodyLimit::max(EVENT_BYTES_MAX))
        .with_state(app)
}

async fn events(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(expected) = &app.delivery_token {
        let shown = header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        if !shown.is_some_and(|shown| expected.is(shown)) {
            return (StatusCode::UNAUTHORIZED, "not a delivery\n".to_owned());
        }
    }
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "the event is no JSON\n".to_owned());
    };
    let kind = header("x-github-event").unwrap_or_default();
    let github = GitHub {
        client: app.client.clone(),
        base: header("x-mira-github-api")
            .unwrap_or(&app.github_api)
            .to_owned(),
        token: header("x-mira-github-token").map(|token| Key::new(token.to_owned())),
        repository: event["repository"]["full_name"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    match take(&app, kind, &event, &github).await {
        Ok(said) => (StatusCode::OK, format!("{said}\n")),
        Err(error) if error.may_pass() => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
        // It would fail each time: it was told where it happened, and is not to come again.
        Err(error) => (StatusCode::OK, format!("failed: {error}\n")),
    }
}

async fn take(
    app: &App,
    kind: &str,
    event: &Value,
    github: &GitHub,
) -> Result<&'static str, EventError> {
    match (kind, event["action"].as_str().unwrap_or_default()) {
        ("pull_request", "opened" | "synchronize" | "reopened" | "ready_for_review") => {
            pull::review(app, event, github).await
        }
        ("push", _) => push::update(app, event, github).await,
        ("repository", "deleted") => {
            let id = event["repository"]["id"]
                .as_i64()
                .ok_or(EventError::Odd("repository"))?;
            app.db.erase(id).await?;
            Ok("erased")
        }
        ("installation_repositories", "removed") => {
            for repository in event["repositories_removed"]
                .as_array()
                .into_iter()
                .flatten()
            {
                app.db
                    .erase(repository["id"].as_i64().unwrap_or_default())
                    .await?;
            }
            Ok("erased")
        }
        ("installation", "deleted") => {
            let id = event["installation"]["id"]
                .as_i64()
                .ok_or(EventError::Odd("installation"))?;
            for row in app
                .db
                .rows(
                    "SELECT repo FROM rv_repository WHERE installation = $1",
                    &[id.into()],
                )
                .await?
            {
                app.db.erase(row.int(0)).await?;
            }
            Ok("erased")
        }
        _ => Ok("nothing to do"),
    }
}

/// Notes which repository and installation the rows of an event belong to; returns its number.
async fn note(app: &App, event: &Value) -> Result<i64, EventError> {
    let repository = &event["repository"];
    let id = repository["id"]
        .as_i64()
        .ok_or(EventError::Odd("repository"))?;
    let installation = event["installation"]["id"].as_i64().unwrap_or_default();
    let name = repository["full_name"]
        .as_str()
        .ok_or(EventError::Odd("repository"))?;
    let private = i64::from(repository["private"].as_bool().unwrap_or(true));
    let sql = "INSERT INTO rv_repository (repo, installation, name, private, head) VALUES ($1, $2, $3, $4, '') \
               ON CONFLICT (repo) DO UPDATE SET installation = excluded.installation, name = excluded.name, private = excluded.private";
    app.db
        .execute(
            sql,
            &[id.into(), installation.into(), name.into(), private.into()],
        )
        .await?;
    Ok(id)
}

#[cfg(test)]
mod tests;
