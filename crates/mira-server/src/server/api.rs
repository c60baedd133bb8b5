//! The API: which requests there are, and what they answer. Nothing in it carries a value but the body of a start, and the answer to
//! whoever delivers events: what the instance's services know it by.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http_body_util::StreamBody;
use hyper::body::Frame;
use mira_host::supervisor;

use super::follow::Following;
use super::{Desk, start};
use crate::lines;
use crate::wire::{self, Failure, InstanceState, RuleSpec, Stopped};

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/instances", get(instances))
        .route("/v1/instances/{id}/start", post(start))
        .route("/v1/instances/{id}/stop", post(stop))
        .route("/v1/instances/{id}/discard", post(discard))
        .route("/v1/instances/{id}/rules", put(rules))
        .route("/v1/instances/{id}/events", get(events))
        .route("/v1/instances/{id}/delivery-token", get(delivery_token))
        .route("/v1/instances/{id}/report", get(report))
        .route(
            "/v1/instances/{id}/services/{service}/restart",
            post(restart),
        )
        .route("/v1/shutdown", post(shut_down))
        .with_state(desk)
}

async fn instances(State(desk): State<Arc<Desk>>) -> Json<Vec<InstanceState>> {
    let _work = desk.at_work();
    let mut states: Vec<InstanceState> = desk.supervisor.states().iter().map(Into::into).collect();
    for state in &mut states {
        let autosave = desk.autosaves.watch(&state.id);
        state.autosave = autosave.map(|autosave| autosave.borrow().clone());
    }
    Json(states)
}

async fn start(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    start::answer(desk, id, request)
}

async fn stop(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    let _work = desk.at_work();
    match desk.stop(&id).await {
        Ok(autosave) => Json(Stopped { autosave }).into_response(),
        Err(error @ supervisor::StopError::NotThere { .. }) => {
            failed(StatusCode::NOT_FOUND, &error)
        }
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

/// Stops an instance whose state is about to be removed: nothing of it is saved any more.
async fn discard(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    desk.autosaves.discard(&id);
    stop(State(desk), Path(id)).await
}

async fn restart(
    State(desk): State<Arc<Desk>>,
    Path((id, service)): Path<(String, String)>,
) -> Response {
    let _work = desk.at_work();
    match desk.supervisor.restart(&id, Some(&service)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error @ supervisor::StartError::NotThere { .. }) => {
            failed(StatusCode::NOT_FOUND, &error)
        }
        Err(error) => failed(StatusCode::CONFLICT, &error),
    }
}

/// Replaces the rules of an instance's network.
async fn rules(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    Json(rules): Json<Vec<RuleSpec>>,
) -> Response {
    let _work = desk.at_work();
    let rules = match wire::rules(rules) {
        Ok(rules) => rules,
        Err(error) => return failed(StatusCode::BAD_REQUEST, &error),
    };
    match desk.supervisor.replace_rules(&id, &rules) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error @ supervisor::RulesError::NotThere(_)) => failed(StatusCode::NOT_FOUND, &error),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

async fn delivery_token(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    let _work = desk.at_work();
    match desk.supervisor.delivery_token(&id) {
        // EXPOSE: over a socket that only this user's processes reach.
        Ok(Some(token)) => token.expose().to_vec().into_response(),
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(StatusCode::NOT_FOUND, &error),
    }
}

/// Answers with what the instance tells of how it fares, redacted.
async fn report(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    let _work = desk.at_work();
    match desk.supervisor.report(&id).await {
        Ok(report) => report.into_response(),
        Err(error @ supervisor::ReportError::NotThere { .. }) => {
            failed(StatusCode::NOT_FOUND, &error)
        }
        Err(error) => failed(StatusCode::BAD_GATEWAY, &error),
    }
}

async fn shut_down(State(desk): State<Arc<Desk>>) -> Response {
    let stopped = desk.shut_down().await;
    desk.leave.notify_one();
    match stopped {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

/// Answers with one line per event, until the instance has stopped.
async fn events(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    let Some(events) = desk.supervisor.subscribe(&id) else {
        let error = supervisor::StopError::NotThere { id };
        return failed(StatusCode::NOT_FOUND, &error);
    };
    let events = Following::new(events, desk.autosaves.watch(&id));
    let stream = futures_util::stream::unfold(events, next_frame);
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::new(StreamBody::new(stream))).into_response()
}

async fn next_frame(
    mut events: Following,
) -> Option<(Result<Frame<Bytes>, Infallible>, Following)> {
    let event = events.next().await?;
    // A line that could not be written as JSON is none; there is no such line.
    let line = lines::encode(&event).ok()?;
    Some((Ok(Frame::data(line.into())), events))
}

pub(super) fn failed(status: StatusCode, error: &impl std::error::Error) -> Response {
    let message = error.to_string();
    (status, Json(Failure { message })).into_response()
}
