//! The API: which requests there are, and what they answer. Nothing in it carries a value but the body of a start, and the answer to
//! whoever delivers events: what the instance's services know it by.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::handler::Handler;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use http_body_util::StreamBody;
use hyper::body::Frame;
use mira_host::supervisor;

use super::follow::Following;
use super::{Desk, start};
use crate::lines;
use crate::openapi::{self, About, Answer, Content, Exchange, Operation};
use crate::wire::{
    self, AnswerRequest, Event, Failure, InstanceState, RuleSpec, START_PROTOCOL, StartLine,
    StartRequest, Stopped,
};

/// The routes, and what they say of themselves.
struct Routes {
    router: Router<Arc<Desk>>,
    table: Vec<Operation>,
}

impl Routes {
    fn add<H, T>(
        mut self,
        method: &'static str,
        path: &'static str,
        does: &'static str,
        handler: H,
        exchange: Exchange,
    ) -> Self
    where
        H: Handler<T, Arc<Desk>>,
        T: 'static,
    {
        let filter = match method {
            "GET" => MethodFilter::GET,
            "PUT" => MethodFilter::PUT,
            _ => MethodFilter::POST,
        };
        self.router = self.router.route(path, on(filter, handler));
        self.table.push(Operation {
            method,
            path,
            does,
            notes: String::new(),
            exchange,
        });
        self
    }

    /// Says what else is to be known of the route that was added last.
    fn note(mut self, notes: &str) -> Self {
        if let Some(operation) = self.table.last_mut() {
            operation.notes = notes.to_owned();
        }
        self
    }
}

fn all() -> Routes {
    let done = Exchange::default;
    let answers = |content| Exchange {
        answers: Answer::Content(content),
        ..Exchange::default()
    };
    Routes {
        router: Router::new(),
        table: Vec::new(),
    }
    .add(
        "GET",
        "/v1/instances",
        "list the instances that the supervisor knows",
        instances,
        answers(Content::json::<Vec<InstanceState>>()),
    )
    .add(
        "GET",
        "/v1/instances/{id}",
        "tell how an instance fares",
        instance,
        answers(Content::json::<InstanceState>()),
    )
    .add(
        "POST",
        "/v1/instances/{id}/start",
        "start an instance",
        start,
        Exchange {
            answers: Answer::Upgrade {
                protocol: START_PROTOCOL,
                sends: openapi::schema::<StartRequest>(),
                answers: openapi::schema::<StartLine>(),
            },
            ..Exchange::default()
        },
    )
    .note(
        "It is asked with `Connection: upgrade` and `Upgrade: mira-start`. After the answer the length of the request follows as four \
         bytes, big end first; then the request as JSON; then the values' bytes, one after the other, as long as `values` says. What \
         comes of it comes back as lines of JSON. An attached instance is stopped when the connection ends.",
    )
    .add(
        "POST",
        "/v1/instances/{id}/stop",
        "stop an instance, and wait for its last snapshot",
        stop,
        answers(Content::json::<Stopped>()),
    )
    .add(
        "POST",
        "/v1/instances/{id}/discard",
        "stop an instance whose state is about to be removed",
        discard,
        answers(Content::json::<Stopped>()),
    )
    .add(
        "PUT",
        "/v1/instances/{id}/rules",
        "replace the rules of an instance's network",
        rules,
        Exchange {
            takes: Some(Content::json::<Vec<RuleSpec>>()),
            ..Exchange::default()
        },
    )
    .add(
        "POST",
        "/v1/instances/{id}/answers",
        "answer what was asked about a host that an instance called",
        answer,
        Exchange {
            takes: Some(Content::json::<AnswerRequest>()),
            ..Exchange::default()
        },
    )
    .note("What was not asked, or is answered already, is not answered again. A later answer than a minute counts for later calls.")
    .add(
        "GET",
        "/v1/instances/{id}/events",
        "tell what happens to an instance from now on, until it has stopped",
        events,
        answers(Content::lines::<Event>()),
    )
    .add(
        "GET",
        "/v1/instances/{id}/delivery-token",
        "return what an instance's services know Mira by when it posts them events",
        delivery_token,
        answers(Content::bytes()),
    )
    .note("It is 204 where the instance takes no events. The token is worth something to that instance alone, and ends with it.")
    .add(
        "GET",
        "/v1/instances/{id}/report",
        "return what an instance tells of how it fares, with markers in place of its values",
        report,
        answers(Content::bytes()),
    )
    .add(
        "POST",
        "/v1/instances/{id}/services/{service}/restart",
        "restart a service with the values that it has",
        restart,
        done(),
    )
    .add(
        "POST",
        "/v1/shutdown",
        "stop all instances, and end the supervisor",
        shut_down,
        done(),
    )
}

pub(super) fn router(desk: Arc<Desk>) -> Router {
    all().router.with_state(desk)
}

/// Returns the description of what the supervisor is asked over its socket, as OpenAPI 3.1.
#[must_use]
pub fn describe() -> serde_json::Value {
    let about = About {
        title: "Mira's supervisor",
        notes: "HTTP/1.1 over a unix socket in the run-time folder, which only processes of the same user reach. It is what \
                `mira` itself speaks: command and supervisor are of the same version, and other programs use the desk's API.",
        failure: openapi::schema::<Failure>(),
        security: None,
    };
    openapi::document(about, all().table)
}

async fn instances(State(desk): State<Arc<Desk>>) -> Json<Vec<InstanceState>> {
    let _work = desk.at_work();
    let states = desk.supervisor.states();
    Json(states.iter().map(|state| told(&desk, state)).collect())
}

async fn instance(State(desk): State<Arc<Desk>>, Path(id): Path<String>) -> Response {
    let _work = desk.at_work();
    match desk.supervisor.state(&id) {
        Some(state) => Json(told(&desk, &state)).into_response(),
        None => failed(
            StatusCode::NOT_FOUND,
            &supervisor::StopError::NotThere { id },
        ),
    }
}

/// Returns an instance's state, with that of its snapshots.
fn told(desk: &Desk, state: &supervisor::InstanceState) -> InstanceState {
    let autosave = desk.autosaves.watch(&state.id);
    InstanceState {
        autosave: autosave.map(|autosave| autosave.borrow().clone()),
        ..state.into()
    }
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

/// Answers what was asked about a host.
async fn answer(
    State(desk): State<Arc<Desk>>,
    Path(id): Path<String>,
    Json(answer): Json<AnswerRequest>,
) -> Response {
    let _work = desk.at_work();
    let AnswerRequest { host, port, allow } = answer;
    match desk.supervisor.answer(&id, &host, port, allow) {
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
