//! The API of providers, of AWS, and of bindings.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mira_provider::settings::Region;
use mira_vault::AwsCredentials;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Body, SecretText, schema};
use crate::Handle;
use crate::access::{Identity, Needs};
use crate::error::DeskError;
use crate::pages::binding;
use crate::providers::{self, All, Tried};
use crate::routes::Routes;

pub(super) fn add(routes: Routes, viewer: Needs, operator: Needs, admin: Needs) -> Routes {
    routes
        .add(
            "GET",
            "/api/v1/providers",
            viewer,
            "list the providers of models and what is saved of AWS, without keys",
            list,
        )
        .with(None, schema::<All>())
        .add(
            "POST",
            "/api/v1/providers/{name}/test",
            operator,
            "try the key of a provider; `bedrock` tries the credentials of AWS",
            test,
        )
        .with(None, schema::<Tried>())
        .add(
            "PUT",
            "/api/v1/aws",
            admin,
            "try credentials of AWS, and save them if they work",
            put_aws,
        )
        .with(schema::<PutAws>(), schema::<SetAws>())
        .add(
            "DELETE",
            "/api/v1/aws",
            admin,
            "remove the credentials of AWS and the region",
            delete_aws,
        )
        .with(None, None)
        .add(
            "PUT",
            "/api/v1/instances/{id}/bindings/{name}",
            admin,
            "bind a declared secret of an instance to one of yours",
            bind,
        )
        .with(schema::<Bind>(), None)
        .add(
            "DELETE",
            "/api/v1/instances/{id}/bindings/{name}",
            admin,
            "take a binding back",
            unbind,
        )
        .with(None, None)
}

async fn list(State(desk): State<Handle>) -> Result<Json<All>, DeskError> {
    Ok(Json(providers::all(&desk).await?))
}

async fn test(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Json<Tried>, DeskError> {
    Ok(Json(providers::test(&desk, &identity, &name).await?))
}

/// Credentials of AWS. They are in no answer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PutAws {
    /// The access key's id.
    access_key_id: SecretText,
    /// The secret access key.
    secret_access_key: SecretText,
    /// The session token of temporary keys.
    session_token: Option<SecretText>,
    /// Where they are used; what is set is kept without.
    region: Option<String>,
    /// Whether to save them although AWS refuses them.
    #[serde(default)]
    anyway: bool,
}

/// What came of credentials.
#[derive(Serialize, JsonSchema)]
struct SetAws {
    /// Whether they were saved.
    saved: bool,
    /// What came of the try.
    tried: Tried,
}

async fn put_aws(
    State(desk): State<Handle>,
    identity: Identity,
    Body(body): Body<PutAws>,
) -> Result<Json<SetAws>, DeskError> {
    let region = body.region.as_deref().map(str::parse::<Region>).transpose();
    let region = region.map_err(|error| DeskError::unfit(error.to_string()))?;
    let token = body.session_token.map(|SecretText(token)| token);
    let (SecretText(id), SecretText(key)) = (body.access_key_id, body.secret_access_key);
    let credentials = AwsCredentials::new(id, key, token, None);
    let credentials = credentials.map_err(|error| DeskError::unfit(error.to_string()))?;
    let set = providers::set_aws(&desk, &identity, credentials, region, body.anyway);
    let (tried, saved) = set.await?;
    Ok(Json(SetAws { saved, tried }))
}

async fn delete_aws(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    providers::remove_aws(&desk, &identity).await?;
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
