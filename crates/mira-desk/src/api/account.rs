//! The API of one's own account. A token is made in a browser alone: no answer of the API holds one.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use mira_server::openapi::Content;
use mira_store::ApiTokenEntry;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Body, SecretText};
use super::{Exchange, answers, takes};
use crate::access::Identity;
use crate::error::DeskError;
use crate::guard::Origin;
use crate::routes::{Routes, VIEWER};
use crate::{Handle, account};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            "GET",
            "/api/v1/account/sessions",
            VIEWER,
            "list one's own sessions",
            list_sessions,
        )
        .with(answers(Content::json::<Vec<Session>>()))
        .add(
            "DELETE",
            "/api/v1/account/sessions/{id}",
            VIEWER,
            "end one of one's own sessions",
            end_session,
        )
        .with(Exchange::default())
        .add(
            "GET",
            "/api/v1/account/tokens",
            VIEWER,
            "list one's own API tokens, without what is secret of them",
            list_tokens,
        )
        .with(answers(Content::json::<Vec<Token>>()))
        .add(
            "DELETE",
            "/api/v1/account/tokens/{id}",
            VIEWER,
            "revoke one of one's own API tokens",
            revoke_token,
        )
        .with(Exchange::default())
        .add(
            "PUT",
            "/api/v1/account/password",
            VIEWER,
            "change one's own password, and end all one's sessions",
            set_password,
        )
        .with(takes(Content::json::<ChangePassword>()))
}

/// A session of one's own.
#[derive(Serialize, JsonSchema)]
struct Session {
    id: String,
    /// Whether the request came by it.
    is_this: bool,
    /// By what it began.
    kind: String,
    /// From where it began.
    address: Option<String>,
    user_agent: String,
    #[schemars(with = "String")]
    created: Timestamp,
    #[schemars(with = "String")]
    last_seen: Timestamp,
}

async fn list_sessions(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Json<Vec<Session>>, DeskError> {
    let sessions = account::sessions(&desk, &identity).await?;
    let shown = sessions.into_iter().map(|session| Session {
        is_this: identity.session_id() == Some(&session.id),
        id: session.id.to_string(),
        kind: session.kind.to_string(),
        address: session.address,
        user_agent: session.user_agent,
        created: session.created,
        last_seen: session.last_seen,
    });
    Ok(Json(shown.collect()))
}

async fn end_session(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    account::end_session(&desk, &identity, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An API token of one's own.
#[derive(Serialize, JsonSchema)]
struct Token {
    id: String,
    name: String,
    /// `read`, `operate` or `admin`.
    scope: String,
    #[schemars(with = "String")]
    created: Timestamp,
    #[schemars(with = "Option<String>")]
    last_used: Option<Timestamp>,
    #[schemars(with = "Option<String>")]
    expires: Option<Timestamp>,
}

impl From<ApiTokenEntry> for Token {
    fn from(token: ApiTokenEntry) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name,
            scope: token.scope.to_string(),
            created: token.created,
            last_used: token.last_used,
            expires: token.expires,
        }
    }
}

async fn list_tokens(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Json<Vec<Token>>, DeskError> {
    let tokens = account::tokens(&desk, &identity).await?;
    Ok(Json(tokens.into_iter().map(Token::from).collect()))
}

async fn revoke_token(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    account::revoke_token(&desk, &identity, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What one signs in with from now on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChangePassword {
    /// The present one. It is in no answer.
    present: SecretText,
    /// At least 12 characters. It is in no answer, and kept as a hash.
    password: SecretText,
}

async fn set_password(
    State(desk): State<Handle>,
    identity: Identity,
    origin: Origin,
    Body(ChangePassword { present, password }): Body<ChangePassword>,
) -> Result<StatusCode, DeskError> {
    let present = present.told(&desk, "present password");
    let passwords = (present, password.told(&desk, "password"));
    account::set_password(&desk, &identity, &origin, passwords).await?;
    Ok(StatusCode::NO_CONTENT)
}
