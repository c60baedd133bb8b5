//! The API of taking over a client's MCP servers: its file is named or sent; what would be taken is told, and then it is done.

use std::path::PathBuf;

use axum::Json;
use axum::body::{Body as Raw, to_bytes};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::handler::Handler;
use axum::response::Response;
use mira_server::openapi::{Content, Exchange, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers;
use super::body::Body;
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::mcp_import::{self, Done, Shown, Source, UPLOAD_BYTES_MAX, Undone};
use crate::routes::{ADMIN, Routes};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            "GET",
            "/api/v1/mcp-import",
            ADMIN,
            "list the clients' files on this machine, and those that servers were taken over from",
            list,
        )
        .with(answers(Content::json::<Files>()))
        .add(
            "POST",
            "/api/v1/mcp-import",
            ADMIN,
            "send a client's file, and be told what would be taken over; it is kept for half an hour, and nothing is taken yet",
            // It has a limit of its own, that of such files.
            Handler::<_, Handle>::layer(send, DefaultBodyLimit::disable()),
        )
        .with(Exchange {
            query: Some(schema::<Sent>()),
            takes: Some(Content::bytes()),
            ..answers(Content::json::<Look>())
        })
        .add(
            "POST",
            "/api/v1/mcp-import/file",
            ADMIN,
            "be told what would be taken over from a client's file on this machine",
            look_at,
        )
        .with(Exchange {
            takes: Some(Content::json::<OfFile>()),
            ..answers(Content::json::<Look>())
        })
        .add(
            "POST",
            "/api/v1/mcp-import/undo",
            ADMIN,
            "put the servers back into a client's file on this machine, without the values of their secrets",
            undo,
        )
        .with(Exchange {
            takes: Some(Content::json::<OfFile>()),
            ..answers(Content::json::<Undone>())
        })
        .add(
            "POST",
            "/api/v1/mcp-import/{key}/take",
            ADMIN,
            "take over what was told",
            take,
        )
        .with(answers(Content::json::<Done>()))
        .add(
            "GET",
            "/api/v1/mcp-import/{key}/file",
            ADMIN,
            "fetch the file that was sent, with Mira in the place of its servers",
            file,
        )
        .with(answers(Content::bytes()))
}

/// Files of clients on the desk's machine.
#[derive(Serialize, JsonSchema)]
struct Files {
    /// What was found in the usual places.
    found: Vec<PathBuf>,
    /// What servers were taken over from: that can be undone.
    taken: Vec<PathBuf>,
}

async fn list(State(desk): State<Handle>) -> Result<Json<Files>, DeskError> {
    let found = mcp_import::present(&desk);
    let taken = mcp_import::taken(&desk).await?;
    Ok(Json(Files { found, taken }))
}

/// What is said of a file that is sent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sent {
    /// What it is called.
    name: Option<String>,
}

/// What would be taken over: names, and no value.
#[derive(Serialize, JsonSchema)]
struct Look {
    /// What the next request calls it: only who sent it can use it.
    key: String,
    #[serde(flatten)]
    shown: Shown,
}

async fn send(
    State(desk): State<Handle>,
    Query(sent): Query<Sent>,
    identity: Identity,
    request: Request<Raw>,
) -> Result<Json<Look>, DeskError> {
    let content = to_bytes(request.into_body(), UPLOAD_BYTES_MAX).await;
    let content = content.map_err(|_| mcp_import::too_long())?;
    let source = Source::upload(content.into(), sent.name.as_deref())?;
    look(&desk, &identity, source).await
}

/// A client's file on the desk's machine.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OfFile {
    /// Its path, as it is listed.
    file: String,
}

async fn look_at(
    State(desk): State<Handle>,
    identity: Identity,
    Body(OfFile { file }): Body<OfFile>,
) -> Result<Json<Look>, DeskError> {
    let source = Source::on_this_machine(&desk, &file)?;
    look(&desk, &identity, source).await
}

async fn look(desk: &Handle, identity: &Identity, source: Source) -> Result<Json<Look>, DeskError> {
    let (key, shown) = mcp_import::look(desk, identity, source).await?;
    Ok(Json(Look { key, shown }))
}

async fn take(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
) -> Result<Json<Done>, DeskError> {
    Ok(Json(mcp_import::take(&desk, &identity, &key).await?))
}

async fn file(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
) -> Result<Response, DeskError> {
    mcp_import::give(&desk, &identity, &key)
}

async fn undo(
    State(desk): State<Handle>,
    identity: Identity,
    Body(OfFile { file }): Body<OfFile>,
) -> Result<Json<Undone>, DeskError> {
    Ok(Json(mcp_import::undo(&desk, &identity, &file).await?))
}
