//! The API of snapshots.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mira_server::openapi::{Answer, Content, Exchange};
use schemars::JsonSchema;
use serde::Deserialize;

use super::answers;
use super::body::{Body, SecretText};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::launch::Password;
use crate::routes::{ADMIN, OPERATOR, Routes, VIEWER};
use crate::snapshots::{self, Snapshot, Wanted};

pub(super) fn add(routes: Routes) -> Routes {
    let snapshot = |takes| Exchange {
        takes: Some(takes),
        answers: Answer::Content(Content::json::<Snapshot>()),
        ..Exchange::default()
    };
    routes
        .add(
            "GET",
            "/api/v1/instances/{id}/snapshots",
            VIEWER,
            "list the snapshots of an instance, the oldest first",
            list,
        )
        .with(answers(Content::json::<Vec<Snapshot>>()))
        .add(
            "POST",
            "/api/v1/instances/{id}/snapshots",
            OPERATOR,
            "take a snapshot of an instance's state; none is taken that would hold a secret",
            create,
        )
        .with(snapshot(Content::json::<Create>()))
        .add(
            "POST",
            "/api/v1/instances/{id}/snapshots/{snapshot}/restore",
            OPERATOR,
            "put the state of a stopped instance back; answers with the snapshot of the one that is replaced",
            restore,
        )
        .with(snapshot(Content::json::<Restore>()))
        .add(
            "DELETE",
            "/api/v1/instances/{id}/snapshots/{snapshot}",
            ADMIN,
            "remove a snapshot",
            remove,
        )
        .with(Exchange::default())
}

async fn list(
    State(desk): State<Handle>,
    Path(id): Path<String>,
) -> Result<Json<Vec<Snapshot>>, DeskError> {
    let instance = desk.house.named(&id).await?;
    Ok(Json(snapshots::all(&desk, &instance).await?))
}

/// How a snapshot is taken.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Create {
    /// What people call it.
    #[serde(default)]
    label: String,
    /// Whether files that hold a secret are left out, instead of keeping it from being taken.
    #[serde(default)]
    leave_out: bool,
    /// The password of the instance's package, or of what is sealed in it. It is in no answer.
    password: Option<SecretText>,
}

async fn create(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    Body(body): Body<Create>,
) -> Result<Json<Snapshot>, DeskError> {
    let password = body.password.map(|given| given.told(&desk, "password"));
    let wanted = Wanted {
        label: body.label,
        leave_out: body.leave_out,
        password: Password::given(password),
    };
    let (_, taken) = snapshots::take(&desk, &identity, &id, wanted).await?;
    Ok(Json(taken))
}

/// How a snapshot is restored.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Restore {
    /// The password of the instance's package, or of what is sealed in it. It is in no answer.
    password: Option<SecretText>,
}

async fn restore(
    State(desk): State<Handle>,
    Path((id, snapshot)): Path<(String, String)>,
    identity: Identity,
    Body(Restore { password }): Body<Restore>,
) -> Result<Json<Snapshot>, DeskError> {
    let password = Password::given(password.map(|given| given.told(&desk, "password")));
    let restored = snapshots::restore(&desk, &identity, &id, &snapshot, password).await?;
    Ok(Json(restored.1))
}

async fn remove(
    State(desk): State<Handle>,
    Path((id, snapshot)): Path<(String, String)>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    snapshots::remove(&desk, &identity, &id, &snapshot).await?;
    Ok(StatusCode::NO_CONTENT)
}
