//! The API: what the desk shows and does, as JSON, for scripts.

mod account;
mod body;
mod custody;
mod instances;
mod mcp;
mod mcp_import;
mod packages;
mod snapshots;
mod users;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use mira_gate::Row;
use mira_secret::Scope;
use mira_server::openapi::{Answer, Content, Exchange, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use body::{Body, SecretText};

use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::pages::network;
use crate::pages::secrets::{self, NewValue, Secret};
use crate::routes::{ANYBODY, OPERATOR, Routes, VIEWER};

/// Adds the API's routes.
pub(crate) fn add(routes: Routes) -> Routes {
    let objects = json!({"type": "array", "items": {"type": "object"}});
    let routes = routes
        .add(
            "GET",
            "/api/v1/openapi.json",
            ANYBODY,
            "this description",
            describe,
        )
        .with(answers(Content::of_schema(json!({"type": "object"}))))
        .add(
            "GET",
            "/api/v1/secrets",
            VIEWER,
            "list the secrets, without their values",
            list_secrets,
        )
        .with(answers(Content::json::<Vec<Secret>>()))
        .add(
            "PUT",
            "/api/v1/secrets/{name}",
            OPERATOR,
            "save a secret, or replace its value",
            put_secret,
        )
        .with(Exchange {
            takes: Some(Content::json::<PutSecret>()),
            ..answers(Content::json::<Saved>())
        })
        .add(
            "DELETE",
            "/api/v1/secrets/{name}",
            OPERATOR,
            "remove a secret and its ciphertext",
            delete_secret,
        )
        .with(Exchange::default())
        .add(
            "GET",
            "/api/v1/network",
            VIEWER,
            "list what was called",
            list_calls,
        )
        .with(Exchange {
            query: Some(schema::<network::Wanted>()),
            ..answers(Content::of_schema(objects))
        });
    let routes = snapshots::add(packages::add(instances::add(routes)));
    let routes = mcp_import::add(mcp::add(routes));
    account::add(users::add(custody::add(routes)))
}

/// What takes no body, and answers with something.
fn answers(content: Content) -> Exchange {
    Exchange {
        answers: Answer::Content(content),
        ..Exchange::default()
    }
}

/// What takes a body, and answers that it was done.
fn takes(content: Content) -> Exchange {
    Exchange {
        takes: Some(content),
        ..Exchange::default()
    }
}

async fn describe() -> Json<Value> {
    Json(crate::routes::describe())
}

async fn list_secrets(State(desk): State<Handle>) -> Result<Json<Vec<Secret>>, DeskError> {
    Ok(Json(secrets::all(&desk).await?))
}

/// A secret to be saved.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PutSecret {
    /// Its value. It is in no answer.
    value: SecretText,
    /// What people call it; an old label stays without.
    label: Option<String>,
    /// `token`, `password`, `private-key` or `url`.
    kind: Option<String>,
}

/// What came of saving a secret.
#[derive(Serialize, JsonSchema)]
struct Saved {
    /// How many values it has had.
    version: u64,
}

async fn put_secret(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
    Body(body): Body<PutSecret>,
) -> Result<Json<Saved>, DeskError> {
    let PutSecret { value, label, kind } = body;
    let value = value.told(&desk, "value");
    let new = NewValue::check(&name, Some(value), label.as_deref(), kind.as_deref())?;
    let version = secrets::put(&desk, &identity, Scope::User, new, true).await?;
    Ok(Json(Saved { version }))
}

async fn delete_secret(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    secrets::delete(&desk, &identity, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list_calls(
    State(desk): State<Handle>,
    Query(wanted): Query<network::Wanted>,
) -> Result<Json<Vec<Row>>, DeskError> {
    Ok(Json(network::rows(&desk, &wanted).await?))
}
