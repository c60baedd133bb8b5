//! The one table of routes: what is asked, which role it takes, and what answers.
//!
//! INVARIANT: a route gets into the router by the table alone, with its check in front of it; [`describe`] and the tests read the
//! same table.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};
use mira_store::Role;
use serde_json::{Value, json};

use crate::access::{Needs, check, login, oidc};
use crate::{Desk, Handle, api, assets, guard, metrics, observe, pages};

/// A route, as it is told to others.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
    /// What it does, for people.
    pub(crate) does: &'static str,
    /// What an API route takes and answers, as JSON Schemas.
    pub(crate) schemas: Option<Schemas>,
}

/// What an API route takes and answers.
#[derive(Clone, Debug)]
pub(crate) struct Schemas {
    pub(crate) takes: Option<Value>,
    pub(crate) answers: Option<Value>,
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
            schemas: None,
        });
        self
    }

    /// Says what the route that was added last takes and answers.
    pub(crate) fn with(mut self, takes: Option<Value>, answers: Option<Value>) -> Self {
        if let Some(route) = self.table.last_mut() {
            route.schemas = Some(Schemas { takes, answers });
        }
        self
    }
}

fn all(desk: Option<Handle>) -> Routes {
    const ANYBODY: Needs = Needs::Nothing;
    const VIEWER: Needs = Needs::Role(Role::Viewer);
    const OPERATOR: Needs = Needs::Role(Role::Operator);
    const ADMIN: Needs = Needs::Role(Role::Admin);
    let routes = Routes::new(desk)
        .add(
            "GET",
            "/assets/{digest}/{name}",
            ANYBODY,
            "a style sheet or script",
            assets::file,
        )
        .add(
            "GET",
            "/healthz",
            ANYBODY,
            "whether the process serves",
            pages::health::alive,
        )
        .add(
            "GET",
            "/readyz",
            ANYBODY,
            "whether it can do its work",
            pages::health::ready,
        )
        .add(
            "GET",
            "/metrics",
            VIEWER,
            "what a monitor asks for: numbers of requests, sessions, instances",
            metrics::show,
        )
        .add("GET", "/login", ANYBODY, "where one signs in", login::show)
        .add(
            "POST",
            "/login",
            ANYBODY,
            "sign in by name and password",
            login::by_password,
        )
        .add(
            "GET",
            "/login/oidc",
            ANYBODY,
            "sign in through the provider of OpenID Connect",
            oidc::begin_there,
        )
        .add(
            "GET",
            "/login/oidc/callback",
            ANYBODY,
            "where the provider leads back to",
            oidc::come_back,
        )
        .add(
            "GET",
            "/enter/{token}",
            ANYBODY,
            "sign in by a link that works once",
            login::by_link,
        )
        .add("POST", "/logout", VIEWER, "sign out", login::out)
        .add("GET", "/", VIEWER, "the API tokens", pages::secrets::show)
        .add(
            "POST",
            "/secrets",
            OPERATOR,
            "save a secret",
            pages::secrets::save,
        )
        .add(
            "GET",
            "/secrets/{name}",
            VIEWER,
            "one secret: who holds it, and how to rotate it",
            pages::secrets::one,
        )
        .add(
            "POST",
            "/secrets/{name}",
            OPERATOR,
            "rotate a secret",
            pages::secrets::rotate,
        )
        .add(
            "POST",
            "/secrets/{name}/remove",
            OPERATOR,
            "remove a secret",
            pages::secrets::remove,
        )
        .add(
            "POST",
            "/unlock",
            ADMIN,
            "unlock the vault by its passphrase",
            pages::secrets::unlock,
        )
        .add(
            "GET",
            "/instances",
            VIEWER,
            "apps and their instances",
            pages::instances::list,
        )
        .add(
            "GET",
            "/instances/{id}",
            VIEWER,
            "one instance",
            pages::instance::show,
        )
        .add(
            "GET",
            "/instances/{id}/state",
            VIEWER,
            "how its services fare",
            pages::instance::state,
        )
        .add(
            "GET",
            "/instances/{id}/live",
            VIEWER,
            "its log as it is written",
            pages::instance::live,
        )
        .add(
            "POST",
            "/instances/{id}/start",
            OPERATOR,
            "start it",
            pages::instance::start,
        )
        .add(
            "POST",
            "/instances/{id}/stop",
            OPERATOR,
            "stop it",
            pages::instance::stop,
        )
        .add(
            "POST",
            "/instances/{id}/secrets",
            OPERATOR,
            "save a secret that it declares",
            pages::instance::save_secret,
        )
        .add(
            "POST",
            "/instances/{id}/hosts",
            OPERATOR,
            "decide whether it may call a host",
            pages::instance::decide,
        )
        .add("GET", "/mcp", VIEWER, "the MCP servers", pages::mcp::list)
        .add("POST", "/mcp", ADMIN, "add an MCP server", pages::mcp::add)
        .add(
            "GET",
            "/mcp/{name}",
            VIEWER,
            "one MCP server",
            pages::mcp::one,
        )
        .add(
            "POST",
            "/mcp/{name}/test",
            OPERATOR,
            "start an MCP server and ask who it is",
            pages::mcp::test,
        )
        .add(
            "POST",
            "/mcp/{name}/secrets",
            OPERATOR,
            "save a secret of an MCP server",
            pages::mcp::save_secret,
        )
        .add(
            "POST",
            "/mcp/{name}/remove",
            ADMIN,
            "remove an MCP server and its secrets",
            pages::mcp::remove,
        )
        .add(
            "GET",
            "/mcp-import",
            ADMIN,
            "choose a client whose MCP servers are taken over",
            pages::mcp_import::choose,
        )
        .add(
            "POST",
            "/mcp-import",
            ADMIN,
            "show what would be taken over",
            pages::mcp_import::preview,
        )
        .add(
            "POST",
            "/mcp-import/{key}",
            ADMIN,
            "take MCP servers over",
            pages::mcp_import::take,
        )
        .add(
            "GET",
            "/providers",
            VIEWER,
            "the providers of models, and AWS",
            pages::providers::list,
        )
        .add(
            "POST",
            "/providers/{name}/test",
            OPERATOR,
            "try the key of a provider",
            pages::providers::test,
        )
        .add(
            "POST",
            "/aws",
            ADMIN,
            "try credentials of AWS, and save them",
            pages::providers::set_aws,
        )
        .add(
            "POST",
            "/aws/remove",
            ADMIN,
            "remove the credentials of AWS",
            pages::providers::remove_aws,
        )
        .add(
            "POST",
            "/instances/{id}/bindings",
            ADMIN,
            "bind a declared secret to one of yours",
            pages::binding::set_one,
        )
        .add(
            "POST",
            "/instances/{id}/bindings/{name}/remove",
            ADMIN,
            "take a binding back",
            pages::binding::remove_one,
        )
        .add(
            "GET",
            "/open",
            ADMIN,
            "choose a package to open",
            pages::open::choose,
        )
        .add(
            "POST",
            "/open",
            ADMIN,
            "upload a package, and show what it asks for",
            // It has a limit of its own, that of packages.
            Handler::<_, Handle>::layer(pages::open::upload, DefaultBodyLimit::disable()),
        )
        .add(
            "POST",
            "/open/path",
            ADMIN,
            "show what a package on this machine asks for",
            pages::open::path,
        )
        .add(
            "POST",
            "/open/{key}/password",
            ADMIN,
            "give the password of an encrypted package",
            pages::open::password,
        )
        .add(
            "POST",
            "/open/{key}",
            ADMIN,
            "open the package that was shown",
            pages::open::open,
        )
        .add(
            "GET",
            "/instances/{id}/report",
            VIEWER,
            "what an app tells of how it fares",
            pages::report::show,
        )
        .add(
            "GET",
            "/instances/{id}/snapshots",
            VIEWER,
            "the snapshots of an instance",
            pages::snapshots::list,
        )
        .add(
            "POST",
            "/instances/{id}/snapshots",
            OPERATOR,
            "take a snapshot",
            pages::snapshots::create,
        )
        .add(
            "POST",
            "/instances/{id}/snapshots/{snapshot}/restore",
            OPERATOR,
            "restore a snapshot, and save the state that it replaces",
            pages::snapshots::restore,
        )
        .add(
            "POST",
            "/instances/{id}/snapshots/{snapshot}/remove",
            ADMIN,
            "remove a snapshot",
            pages::snapshots::remove,
        )
        .add(
            "GET",
            "/network",
            VIEWER,
            "what was called, by whom, allowed or not",
            pages::network::show,
        )
        .add("GET", "/audit", ADMIN, "who did what", pages::audit::show)
        .add(
            "GET",
            "/users",
            ADMIN,
            "who may sign in",
            pages::users::list,
        )
        .add("POST", "/users", ADMIN, "add a user", pages::users::add)
        .add(
            "POST",
            "/users/{id}/role",
            ADMIN,
            "change a user's role",
            pages::users::set_role,
        )
        .add(
            "POST",
            "/users/{id}/password",
            ADMIN,
            "give a user another password",
            pages::users::set_password,
        )
        .add(
            "POST",
            "/users/{id}/disabled",
            ADMIN,
            "let a user in or not",
            pages::users::set_disabled,
        )
        .add(
            "POST",
            "/users/{id}/remove",
            ADMIN,
            "remove a user",
            pages::users::remove,
        )
        .add(
            "GET",
            "/account",
            VIEWER,
            "one's own password, sessions and tokens",
            pages::account::show,
        )
        .add(
            "POST",
            "/account/password",
            VIEWER,
            "change one's own password",
            pages::account::set_password,
        )
        .add(
            "POST",
            "/account/sessions/{id}/end",
            VIEWER,
            "end one of one's own sessions",
            pages::account::end_session,
        )
        .add(
            "POST",
            "/account/tokens",
            VIEWER,
            "make an API token",
            pages::account::make_token,
        )
        .add(
            "POST",
            "/account/tokens/{id}/revoke",
            VIEWER,
            "revoke one of one's own API tokens",
            pages::account::revoke_token,
        )
        .add(
            "POST",
            "/webhooks/github",
            ANYBODY,
            "a webhook, let in by its signature alone",
            pages::webhooks::take,
        )
        .add(
            "GET",
            "/webhooks",
            VIEWER,
            "how webhooks fare",
            pages::webhooks::show,
        )
        .add(
            "POST",
            "/webhooks/{id}/replay",
            OPERATOR,
            "deliver a failed event again",
            pages::webhooks::replay,
        )
        .add(
            "GET",
            "/health",
            VIEWER,
            "what this machine and this server are like",
            pages::health::show,
        );
    api::add(routes, VIEWER, OPERATOR, ADMIN)
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
    let mut paths = serde_json::Map::new();
    for route in table() {
        let Some(Schemas { takes, answers }) = route.schemas else {
            continue;
        };
        let parameters: Vec<Value> = route
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let role = match route.needs {
            Needs::Nothing => "Anybody may ask.".to_owned(),
            Needs::Role(role) => format!("Takes the role {role}."),
        };
        let content = |schema: Value| json!({"application/json": {"schema": schema}});
        let failure = json!({"description": "it was not done", "content": content(json!({"$ref": "#/components/schemas/Failure"}))});
        let mut operation = json!({
            "summary": route.does,
            "description": role,
            "parameters": parameters,
            "responses": {"default": failure},
        });
        match answers {
            Some(schema) => {
                operation["responses"]["200"] =
                    json!({"description": "done", "content": content(schema)})
            }
            None => operation["responses"]["204"] = json!({"description": "done"}),
        }
        if let Some(schema) = takes {
            operation["requestBody"] = json!({"required": true, "content": content(schema)});
        }
        let methods = paths.entry(route.path).or_insert_with(|| json!({}));
        methods[route.method.to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Mira", "version": "v1", "description": "No answer holds a secret's value."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Failure": {
                "type": "object",
                "required": ["message"],
                "properties": {"message": {"type": "string"}, "hint": {"type": "string"}},
            }},
        },
    })
}
