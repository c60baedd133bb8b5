//! What is noticed of every request, by those who run the server: a number for the monitor and a line for the log.
//!
//! INVARIANT: a line has the pattern of the route, and no path, query, header or body.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use mira_store::Who;

use crate::Handle;

/// What a request has that has no route.
const NO_ROUTE: &str = "none";

/// Who asked, on the way from the check to the log.
#[derive(Clone, Debug)]
pub(crate) struct Asked(String);

impl Asked {
    pub(crate) fn by(who: &Who) -> Self {
        Self(match who {
            Who::LocalOwner => "local".to_owned(),
            Who::User(user) => user.name.to_string(),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a request through, and tells of it.
pub(crate) async fn observe(State(desk): State<Handle>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let method = word(request.method());
    let id = make_id();
    let mut response = next.run(request).await;
    let taken = begun.elapsed();
    let status = response.status().as_u16();
    let who = response.extensions_mut().remove::<Asked>();
    desk.metrics
        .answered(method, &route, status, taken.as_secs_f64());
    tracing::info!(
        target: "mira::request",
        method,
        route,
        status,
        ms = taken.as_secs_f64() * 1000.0,
        who = who.as_ref().map_or("nobody", Asked::as_str),
        id,
    );
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

/// Returns a method's word; of those that no route has, one for all.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Makes what a request is known by, in the log and in its answer.
fn make_id() -> String {
    let mut id = [0; 8];
    match getrandom::fill(&mut id) {
        Ok(()) => format!("{:016x}", u64::from_be_bytes(id)),
        // It is answered all the same.
        Err(_) => "unknown".to_owned(),
    }
}
