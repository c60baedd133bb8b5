//! The API of users: who may sign in, and as what.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use mira_server::openapi::{Content, Exchange};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::body::{Body, SecretText};
use super::{answers, takes};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::routes::{ADMIN, Routes};
use crate::users::{self, Wanted};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add("GET", "/api/v1/users", ADMIN, "list the users", list)
        .with(answers(Content::json::<Vec<User>>()))
        .add("POST", "/api/v1/users", ADMIN, "add a user", add_one)
        .with(Exchange {
            takes: Some(Content::json::<AddUser>()),
            ..answers(Content::json::<User>())
        })
        .add(
            "PUT",
            "/api/v1/users/{id}/role",
            ADMIN,
            "give a user another role, and end all sessions of the user's",
            set_role,
        )
        .with(takes(Content::json::<SetRole>()))
        .add(
            "PUT",
            "/api/v1/users/{id}/password",
            ADMIN,
            "give a user another password, and end all sessions of the user's",
            set_password,
        )
        .with(takes(Content::json::<SetPassword>()))
        .add(
            "PUT",
            "/api/v1/users/{id}/disabled",
            ADMIN,
            "keep a user out and end all sessions of the user's, or let the user in again",
            set_disabled,
        )
        .with(takes(Content::json::<SetDisabled>()))
        .add(
            "DELETE",
            "/api/v1/users/{id}",
            ADMIN,
            "remove a user, with sessions and API tokens",
            remove,
        )
        .with(Exchange::default())
}

/// Somebody who may sign in.
#[derive(Serialize, JsonSchema)]
struct User {
    id: String,
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// Whether the user is kept out.
    disabled: bool,
    /// Whether there is a password; without one, the user signs in elsewhere.
    has_password: bool,
    #[schemars(with = "String")]
    created: Timestamp,
}

impl From<mira_store::User> for User {
    fn from(user: mira_store::User) -> Self {
        Self {
            id: user.id.to_string(),
            name: user.name.to_string(),
            role: user.role.to_string(),
            disabled: user.disabled,
            has_password: user.has_password,
            created: user.created,
        }
    }
}

async fn list(State(desk): State<Handle>) -> Result<Json<Vec<User>>, DeskError> {
    let users = desk.shared.users().await?;
    Ok(Json(users.into_iter().map(User::from).collect()))
}

/// Somebody who is to be let in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddUser {
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// At least 12 characters. It is in no answer, and kept as a hash.
    password: SecretText,
}

async fn add_one(
    State(desk): State<Handle>,
    identity: Identity,
    Body(body): Body<AddUser>,
) -> Result<Json<User>, DeskError> {
    let password = body.password.told(&desk, "password");
    let wanted = Wanted {
        name: &body.name,
        role: &body.role,
        password,
    };
    let added = users::add(&desk, &identity, wanted).await?;
    Ok(Json(added.into()))
}

/// What a user may do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetRole {
    /// `viewer`, `operator` or `admin`.
    role: String,
}

async fn set_role(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    Body(SetRole { role }): Body<SetRole>,
) -> Result<StatusCode, DeskError> {
    users::set_role(&desk, &identity, &id, &role).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a user signs in with.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetPassword {
    /// At least 12 characters. It is in no answer, and kept as a hash.
    password: SecretText,
}

async fn set_password(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    Body(SetPassword { password }): Body<SetPassword>,
) -> Result<StatusCode, DeskError> {
    let password = password.told(&desk, "password");
    users::set_password(&desk, &identity, &id, password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a user is kept out.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SetDisabled {
    disabled: bool,
}

async fn set_disabled(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    Body(SetDisabled { disabled }): Body<SetDisabled>,
) -> Result<StatusCode, DeskError> {
    users::set_disabled(&desk, &identity, &id, disabled).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn remove(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    users::remove(&desk, &identity, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
