//! The API: which requests there are, and what they answer. Nothing in it carries a value but the body of a start.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::StreamBody;
use hyper::body::Frame;
use mira_host::supervisor::{self, Events};

use super::{Desk, start};
use crate::lines;
use crate::wire::{Event, Failure, InstanceState};

pub(super) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/v1/instances", get(instances))
        .route("/v1/instances/{id}/start", post(start))
        .route("/v1/instances/{id}/stop", post(stop))
        .route("/v1/instances/{id}/events", get(events))
        .route(
            "/v1/instances/{id}/services/{service}/restart",
            post(restart),
        )
        .route("/v1/shutdown", post(shut_down))
        .with_state(desk)
}

async fn instances(State(desk): State<Arc<Desk>>) -> Json<Vec<InstanceState>> {
    let _work = desk.at_work();
    Json(desk.supervisor.states().iter().map(Into::into).collect())
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
    match desk.supervisor.stop(&id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error @ supervisor::StopError::NotThere { .. }) => {
            failed(StatusCode::NOT_FOUND, &error)
        }
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
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

async fn shut_down(State(desk): State<Arc<Desk>>) -> Response {
    let stopped = desk.supervisor.shutdown().await;
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
    let stream = futures_util::stream::unfold(events, next_frame);
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::new(StreamBody::new(stream))).into_response()
}

async fn next_frame(mut events: Events) -> Option<(Result<Frame<Bytes>, Infallible>, Events)> {
    let event = Event::from(events.next().await?);
    // A line that could not be written as JSON is none; there is no such line.
    let line = lines::encode(&event).ok()?;
    Some((Ok(Frame::data(line.into())), events))
}

pub(super) fn failed(status: StatusCode, error: &impl std::error::Error) -> Response {
    let message = error.to_string();
    (status, Json(Failure { message })).into_response()
}
