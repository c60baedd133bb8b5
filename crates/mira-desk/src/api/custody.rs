//! The API of providers and of AWS.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mira_server::openapi::{Content, Exchange};
use mira_vault::AwsCredentials;
use mira_vault::settings::Region;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers;
use super::body::{Body, SecretText};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::providers::{self, All, Tried};
use crate::routes::{ADMIN, OPERATOR, Routes, VIEWER};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            "GET",
            "/api/v1/providers",
            VIEWER,
            "list the providers of models and what is saved of AWS, without keys",
            list,
        )
        .with(answers(Content::json::<All>()))
        .add(
            "POST",
            "/api/v1/providers/{name}/test",
            OPERATOR,
            "try the key of a provider; `bedrock` tries the credentials of AWS",
            test,
        )
        .with(answers(Content::json::<Tried>()))
        .add(
            "PUT",
            "/api/v1/aws",
            ADMIN,
            "try credentials of AWS, and save them if they work",
            put_aws,
        )
        .with(Exchange {
            takes: Some(Content::json::<PutAws>()),
            ..answers(Content::json::<SetAws>())
        })
        .add(
            "DELETE",
            "/api/v1/aws",
            ADMIN,
            "remove the credentials of AWS and the region",
            delete_aws,
        )
        .with(Exchange::default())
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
    /// When that ends: a time such as `2026-11-24T07:05:09Z`, or how long from now, such as `12h`.
    expires: Option<String>,
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
    let told = |value: SecretText, name: &str| value.told(&desk, name);
    let id = told(body.access_key_id, "AWS_ACCESS_KEY_ID");
    let key = told(body.secret_access_key, "AWS_SECRET_ACCESS_KEY");
    let token = body.session_token;
    let token = token.map(|token| told(token, "AWS_SESSION_TOKEN"));
    let credentials = AwsCredentials::new(id, key, token, None);
    let credentials = credentials.map_err(|error| DeskError::unfit(error.to_string()))?;
    let credentials = providers::ending(credentials, body.expires.as_deref())?;
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
