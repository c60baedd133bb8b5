//! The one table of routes: what is asked, which role it takes, and what answers.
//!
//! INVARIANT: a route gets into the router by the table alone, with its check in front of it; [`describe`] and the tests read the
//! same table.

mod apps;
mod keys;
mod people;

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};
use mira_server::openapi::{About, Exchange, Operation, document};
use mira_store::Role;
use serde_json::{Value, json};

use crate::access::{Needs, check};
use crate::{Desk, Handle, api, guard, observe, pages};

/// A route, as it is told to others.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    /// What it does, for people.
    pub(crate) does: &'static str,
    /// What an API route takes and answers.
    pub(crate) exchange: Option<Exchange>,
}

/// Routes being put together.
pub(crate) struct Routes {
    desk: Option<Handle>,
    router: Router<Handle>,
    table: Vec<Route>,
}

impl Routes {
    fn new(desk: Option<Handle>) -> Self {
        Self {
            desk,
            router: Router::new(),
            table: Vec::new(),
        }
    }

    pub(crate) fn add<H, T>(
        mut self,
        method: &'static str,
        path: &'static str,
        needs: Needs,
        does: &'static str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, Handle>,
        T: 'static,
    {
        if let Some(desk) = &self.desk {
            let filter = match method {
                "GET" => MethodFilter::GET,
                "PUT" => MethodFilter::PUT,
                "DELETE" => MethodFilter::DELETE,
                _ => MethodFilter::POST,
            };
            let checked =
                on(filter, handler).layer(from_fn_with_state((Arc::clone(desk), needs), check));
            self.router = self.router.route(path, checked);
        }
        self.table.push(Route {
            method,
            path,
            needs,
            does,
            exchange: None,
        });
        self
    }

    /// Says what the route that was added last takes and answers; it is one of the API then.
    pub(crate) fn with(mut self, exchange: Exchange) -> Self {
        if let Some(route) = self.table.last_mut() {
            route.exchange = Some(exchange);
        }
        self
    }
}

pub(crate) const ANYBODY: Needs = Needs::Nothing;
pub(crate) const VIEWER: Needs = Needs::Role(Role::Viewer);
pub(crate) const OPERATOR: Needs = Needs::Role(Role::Operator);
pub(crate) const ADMIN: Needs = Needs::Role(Role::Admin);

fn all(desk: Option<Handle>) -> Routes {
    let routes = people::add(Routes::new(desk));
    let routes = apps::add(keys::add(routes));
    api::add(routes)
}

/// Returns the router: every route behind its check, all behind the guard.
pub(crate) fn router(desk: &Arc<Desk>) -> Router {
    let routes = all(Some(Arc::clone(desk)));
    routes
        .router
        .fallback(pages::no_such_page)
        .method_not_allowed_fallback(pages::no_such_page)
        .layer(from_fn_with_state(Arc::clone(desk), guard::guard))
        .layer(from_fn_with_state(Arc::clone(desk), observe::observe))
        .with_state(Arc::clone(desk))
}

/// Returns the table of routes.
pub(crate) fn table() -> Vec<Route> {
    all(None).table
}

/// Returns the description of the API, as OpenAPI 3.1.
#[must_use]
pub fn describe() -> Value {
    let about = About {
        title: "Mira",
        notes: "No answer holds a secret's value.",
        failure: json!({
            "type": "object",
            "required": ["message"],
            "properties": {"message": {"type": "string"}, "hint": {"type": "string"}},
        }),
        security: Some(("token", json!({"type": "http", "scheme": "bearer"}))),
    };
    let operations = table().into_iter().filter_map(|route| {
        Some(Operation {
            method: route.method,
            path: route.path,
            does: route.does,
            notes: match route.needs {
                Needs::Nothing => "Anybody may ask.".to_owned(),
                Needs::Role(role) => format!("Takes the role {role}."),
            },
            exchange: route.exchange?,
        })
    });
    document(about, operations)
}
