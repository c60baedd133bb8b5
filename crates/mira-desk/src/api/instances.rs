//! The API of instances: how they fare, started, stopped, given secrets.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mira_server::ServiceState;
use mira_server::openapi::{Content, Exchange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Body, SecretText};
use super::{answers, takes};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::house::Known;
use crate::launch::{Password, bring_down, bring_up};
use crate::opening::save_own;
use crate::pages::binding;
use crate::pages::secrets::NewValue;
use crate::report::{self, Report};
use crate::routes::{ADMIN, OPERATOR, Routes, VIEWER};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            "GET",
            "/api/v1/instances",
            VIEWER,
            "list the instances of apps",
            list,
        )
        .with(answers(Content::json::<Vec<Instance>>()))
        .add(
            "POST",
            "/api/v1/instances/{id}/start",
            OPERATOR,
            "start an instance; answers when all of it is up",
            start,
        )
        .with(takes(Content::json::<Start>()))
        .add(
            "POST",
            "/api/v1/instances/{id}/stop",
            OPERATOR,
            "stop an instance",
            stop,
        )
        .with(Exchange::default())
        .add(
            "GET",
            "/api/v1/instances/{id}/report",
            VIEWER,
            "return what an app tells of how it fares; its secrets were taken out",
            tell,
        )
        .with(answers(Content::json::<Report>()))
        .add(
            "PUT",
            "/api/v1/instances/{id}/secrets/{name}",
            OPERATOR,
            "save a secret that an instance declares, for it alone",
            put_secret,
        )
        .with(takes(Content::json::<PutOwn>()))
        .add(
            "PUT",
            "/api/v1/instances/{id}/bindings/{name}",
            ADMIN,
            "bind a declared secret of an instance to one of yours",
            bind,
        )
        .with(takes(Content::json::<Bind>()))
        .add(
            "DELETE",
            "/api/v1/instances/{id}/bindings/{name}",
            ADMIN,
            "take a binding back",
            unbind,
        )
        .with(Exchange::default())
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

async fn list(State(desk): State<Handle>) -> Result<Json<Vec<Instance>>, DeskError> {
    let all = desk.house.all().await?.into_iter();
    Ok(Json(all.map(Instance::from).collect()))
}

async fn tell(
    State(desk): State<Handle>,
    Path(id): Path<String>,
) -> Result<Json<Report>, DeskError> {
    let instance = desk.house.named(&id).await?;
    Ok(Json(report::ask(&desk.house, &instance).await?))
}

/// How an instance is started.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Start {
    /// The password of its package, or of what is sealed in it. It is in no answer, and kept nowhere.
    password: Option<SecretText>,
}

async fn start(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    Body(Start { password }): Body<Start>,
) -> Result<StatusCode, DeskError> {
    let password = password.map(|password| password.told(&desk, "password"));
    bring_up(&desk, &id, &identity, Password::given(password)).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stop(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    bring_down(&desk, &id, &identity).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A secret of an instance's own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PutOwn {
    /// Its value. It is in no answer.
    value: SecretText,
}

async fn put_secret(
    State(desk): State<Handle>,
    Path((id, name)): Path<(String, String)>,
    identity: Identity,
    Body(PutOwn { value }): Body<PutOwn>,
) -> Result<StatusCode, DeskError> {
    let value = value.told(&desk, "value");
    let instance = desk.house.named(&id).await?;
    let new = NewValue::check(&name, Some(value), None, None)?;
    save_own(&desk, &identity, &instance, new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a declared secret is bound to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Bind {
    /// The name of one of your secrets.
    secret: String,
}

async fn bind(
    State(desk): State<Handle>,
    Path((id, name)): Path<(String, String)>,
    identity: Identity,
    Body(body): Body<Bind>,
) -> Result<StatusCode, DeskError> {
    binding::bind(&desk, &identity, &id, &name, &body.secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn unbind(
    State(desk): State<Handle>,
    Path((id, name)): Path<(String, String)>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    binding::unbind(&desk, &identity, &id, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
