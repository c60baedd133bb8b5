//! The API of MCP servers.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use mira_mcp::definition::{Kind, Origin, Program, Remote, ServerName, Transport};
use mira_server::openapi::{Content, Exchange};
use schemars::JsonSchema;
use serde::Deserialize;

use super::body::{Body, SecretText};
use super::{answers, takes};
use crate::access::Identity;
use crate::error::DeskError;
use crate::mcp::{self, NewServer, Server, Tested};
use crate::pages::mcp::variable;
use crate::routes::{ADMIN, OPERATOR, Routes, VIEWER};
use crate::{Desk, Handle};

pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            "GET",
            "/api/v1/mcp",
            VIEWER,
            "list the MCP servers, without the values of their secrets",
            list,
        )
        .with(answers(Content::json::<Vec<Server>>()))
        .add(
            "PUT",
            "/api/v1/mcp/{name}",
            ADMIN,
            "add an MCP server, or replace it",
            put,
        )
        .with(takes(Content::json::<PutServer>()))
        .add(
            "POST",
            "/api/v1/mcp/{name}/test",
            OPERATOR,
            "start an MCP server and ask who it is; answers when it has",
            test,
        )
        .with(answers(Content::json::<Tested>()))
        .add(
            "DELETE",
            "/api/v1/mcp/{name}",
            ADMIN,
            "remove an MCP server and its secrets",
            delete,
        )
        .with(Exchange::default())
}

async fn list(State(desk): State<Handle>) -> Result<Json<Vec<Server>>, DeskError> {
    Ok(Json(mcp::all(&desk).await?))
}

/// An MCP server: a command, or a URL.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PutServer {
    /// The program.
    command: Option<String>,
    /// Its arguments.
    #[serde(default)]
    args: Vec<String>,
    /// Its variables that are no secrets.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// Its variables that are secrets of its own. Their values are in no answer.
    #[serde(default)]
    secrets: BTreeMap<String, SecretText>,
    /// Its variables that are secrets of yours, by the names of these.
    #[serde(default)]
    bindings: BTreeMap<String, String>,
    /// The URL of a server that is no program.
    url: Option<String>,
    /// Headers of its requests. Their values are in no answer.
    #[serde(default)]
    headers: BTreeMap<String, SecretText>,
    /// Whether it speaks the older HTTP with SSE.
    #[serde(default)]
    sse: bool,
}

impl PutServer {
    fn server(self, desk: &Desk, name: ServerName) -> Result<NewServer, DeskError> {
        let mut values = Vec::new();
        let kind = match (self.command, self.url) {
            (Some(command), None) if self.headers.is_empty() && !self.sse => {
                let mut program = Program {
                    command,
                    args: self.args,
                    ..Program::default()
                };
                for (name, value) in &self.settings {
                    program.add_setting(variable(name)?, value)?;
                }
                for (name, yours) in &self.bindings {
                    program.add_secret(variable(name)?, Origin::User(variable(yours)?))?;
                }
                for (name, value) in self.secrets {
                    let value = value.told(desk, &name);
                    let name = variable(&name)?;
                    program.add_secret(name.clone(), Origin::Own)?;
                    values.push((name, value));
                }
                Kind::Program(program)
            }
            (None, Some(url))
                if self.args.is_empty()
                    && self.settings.is_empty()
                    && self.secrets.is_empty()
                    && self.bindings.is_empty() =>
            {
                let transport = match self.sse {
                    true => Transport::Sse,
                    false => Transport::Auto,
                };
                let mut remote = Remote::new(&url, transport)?;
                for (header, value) in self.headers {
                    let value = value.told(desk, &header);
                    values.push((remote.add_secret_header(&header)?, value));
                }
                Kind::Remote(remote)
            }
            _ => {
                return Err(DeskError::unfit(
                    "a server has either a command, with what a program has, or a URL, with headers",
                ));
            }
        };
        Ok(NewServer { name, kind, values })
    }
}

async fn put(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
    Body(body): Body<PutServer>,
) -> Result<StatusCode, DeskError> {
    let name = name
        .parse()
        .map_err(|error| DeskError::unfit(format!("that is no name: {error}")))?;
    mcp::put(&desk, &identity, body.server(&desk, name)?, true).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Json<Tested>, DeskError> {
    Ok(Json(mcp::test(&desk, &identity, &name).await?))
}

async fn delete(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<StatusCode, DeskError> {
    mcp::remove(&desk, &identity, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}
