//! The API: what the desk shows and does, as JSON, for scripts.

mod custody;
mod mcp;

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::{Json, body};
use jiff::Timestamp;
use mira_gate::Row;
use mira_secret::{Scope, SecretBytes};
use mira_server::ServiceState;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::Handle;
use crate::access::{Identity, Needs};
use crate::error::DeskError;
use crate::house::Known;
use crate::launch::Password;
use crate::pages::instance::{bring_down, bring_up};
use crate::pages::network;
use crate::pages::secrets::{self, NewValue, Secret};
use crate::report::{self, Report};
use crate::routes::Routes;

/// The longest body of a request, in bytes.
// LIMIT: a value of 128 KiB in which every byte is escaped.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Adds the API's routes.
pub(crate) fn add(routes: Routes, viewer: Needs, operator: Needs, admin: Needs) -> Routes {
    let routes = routes
        .add(
            "GET",
            "/api/v1/openapi.json",
            Needs::Nothing,
            "this description",
            describe,
        )
        .with(None, Some(serde_json::json!({"type": "object"})))
        .add(
            "GET",
            "/api/v1/secrets",
            viewer,
            "list the secrets, without their values",
            list_secrets,
        )
        .with(None, schema::<Vec<Secret>>())
        .add(
            "PUT",
            "/api/v1/secrets/{name}",
            operator,
            "save a secret, or replace its value",
            put_secret,
        )
        .with(schema::<PutSecret>(), schema::<Saved>())
        .add(
            "DELETE",
            "/api/v1/secrets/{name}",
            operator,
            "remove a secret and its ciphertext",
            delete_secret,
        )
        .with(None, None)
        .add(
            "GET",
            "/api/v1/instances",
            viewer,
            "list the instances of apps",
            list_instances,
        )
        .with(None, schema::<Vec<Instance>>())
        .add(
            "POST",
            "/api/v1/instances/{id}/start",
            operator,
            "start an instance; answers when all of it is up",
            start_instance,
        )
        .with(None, None)
        .add(
            "POST",
            "/api/v1/instances/{id}/stop",
            operator,
            "stop an instance",
            stop_instance,
        )
        .with(None, None)
        .add(
            "GET",
            "/api/v1/instances/{id}/report",
            viewer,
            "what an app tells of how it fares; its secrets were taken out",
            report_of_instance,
        )
        .with(None, schema::<Report>())
        .add(
            "GET",
            "/api/v1/network",
            viewer,
            "list what was called",
            list_calls,
        )
        .with(
            schema_of_query::<network::Wanted>(),
            Some(serde_json::json!({"type": "array", "items": {"type": "object"}})),
        )
        .add("GET", "/api/v1/users", admin, "list the users", list_users)
        .with(None, schema::<Vec<User>>());
    let routes = mcp::add(routes, viewer, operator, admin);
    custody::add(routes, viewer, operator, admin)
}

fn schema<T: JsonSchema>() -> Option<Value> {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let settings = settings.with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    Some(
        settings
            .into_generator()
            .into_root_schema_for::<T>()
            .to_value(),
    )
}

/// What a GET takes stands in its address, and is described by its route.
fn schema_of_query<T: JsonSchema>() -> Option<Value> {
    let _: fn() -> Option<Value> = schema::<T>;
    None
}

async fn describe() -> Json<Value> {
    Json(crate::routes::describe())
}

/// A body of JSON: whatever of it is a secret is in memory that is wiped, as is what was received.
struct Body<T>(T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = DeskError;

    async fn from_request(request: Request, _: &S) -> Result<Self, DeskError> {
        let received = body::to_bytes(request.into_body(), BODY_BYTES_MAX).await;
        let received = received.map_err(|_| {
            DeskError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a body has at most {BODY_BYTES_MAX} bytes, and has to come whole"),
            )
        })?;
        // The error's words are of our own: a parser's may repeat what it read.
        serde_json::from_slice(&received)
            .map(Self)
            .map_err(|error| DeskError::unfit(format!("the body does not fit what `/api/v1/openapi.json` describes, at line {}, column {}", error.line(), error.column())))
    }
}

/// A secret value in a body.
struct SecretText(SecretBytes);

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Ok(Self(SecretBytes::copy_from(text.as_bytes())))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "writeOnly": true, "minLength": 1})
    }
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
    let PutSecret {
        value: SecretText(value),
        label,
        kind,
    } = body;
    // EXPOSE: to the log, which is kept free of it.
    desk.opened.tell("value", value.expose());
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

/// An instance of an app.
#[derive(Serialize, JsonSchema)]
struct Instance {
    id: String,
    name: String,
    app: String,
    version: String,
    /// In one word: the worst of its services'.
    state: String,
    #[schemars(with = "Vec<Value>")]
    services: Vec<ServiceState>,
}

impl From<Known> for Instance {
    fn from(known: Known) -> Self {
        Self {
            state: known.phase().to_owned(),
            id: known.instance.id.to_string(),
            name: known.instance.name.to_string(),
            app: known.instance.app_id,
            version: known.instance.package.app_version,
            services: known.state.map(|state| state.services).unwrap_or_default(),
        }
    }
}

async fn list_instances(State(desk): State<Handle>) -> Result<Json<Vec<Instance>>, DeskError> {
    Ok(Json(
        desk.house
            .all()
            .await?
            .into_iter()
            .map(Instance::from)
            .collect(),
    ))
}

async fn start_instance(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    bring_up(&desk, &id, &identity, Password(None)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stop_instance(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    bring_down(&desk, &id, &identity).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn report_of_instance(
    State(desk): State<Handle>,
    Path(id): Path<String>,
) -> Result<Json<Report>, DeskError> {
    let known = desk.house.find(&id).await?;
    Ok(Json(report::ask(&desk.house, &known).await?))
}

async fn list_calls(
    State(desk): State<Handle>,
    Query(wanted): Query<network::Wanted>,
) -> Result<Json<Vec<Row>>, DeskError> {
    Ok(Json(network::rows(&desk, &wanted).await?))
}

/// Somebody who may sign in.
#[derive(Serialize, JsonSchema)]
struct User {
    id: String,
    name: String,
    role: String,
    disabled: bool,
    #[schemars(with = "String")]
    created: Timestamp,
}

async fn list_users(State(desk): State<Handle>) -> Result<Json<Vec<User>>, DeskError> {
    let users = desk.shared.users().await?.into_iter().map(|user| User {
        id: user.id.to_string(),
        name: user.name.to_string(),
        role: user.role.to_string(),
        disabled: user.disabled,
        created: user.created,
    });
    Ok(Json(users.collect()))
}
