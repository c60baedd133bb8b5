//! MCP servers: what they run or call, which of their secrets are saved, whether they answer; added, tested and removed.

use axum::extract::{Path, State};
use axum::response::Redirect;
use maud::{Markup, html};
use mira_mcp::definition::{Kind, Origin, Program, Remote, ServerName, Transport};
use mira_secret::{SecretBytes, SecretName};
use mira_store::Role;

use super::secrets::{self, NewValue};
use super::{Page, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::mcp::{self, NewServer, Server, Tested};

/// Shows all.
pub(crate) async fn list(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let servers = mcp::all(&desk).await?;
    let body = html! {
        h1 { "MCP servers" }
        p { "A client, such as an editor, starts " code { "mira mcp run NAME" } " instead of the server. The server gets its secrets from the vault, and the client never sees them." }
        @if servers.is_empty() {
            p class="empty" { "There is no MCP server yet." }
        } @else {
            (table("MCP servers", &["Server", "Runs or calls", "Secrets", "Tools"], &html! {
                @for server in &servers {
                    tr {
                        th scope="row" { a href={ "/mcp/" (server.name) } { (server.name) } br; small { (transport(server)) } }
                        td { code { (server.runs) } }
                        td { (secrets_of(server)) }
                        td { (tools(server.tested.as_ref())) }
                    }
                }
            }))
        }
        @if identity.may(Role::Admin) {
            p { a href="/mcp-import" { "Take over the servers of a client" } ", such as Claude, Cursor, VS Code or Codex, with their keys." }
            (add_forms())
        }
    };
    Ok(page(&identity, "/mcp", "MCP servers", &body))
}

fn transport(server: &Server) -> &'static str {
    match server.transport.as_str() {
        "program" => "a program",
        "sse" => "a URL, HTTP with SSE",
        _ => "a URL",
    }
}

fn secrets_of(server: &Server) -> Markup {
    html! {
        @if server.secrets.is_empty() { "none" }
        @for secret in &server.secrets {
            div { code { (secret.name) } @if secret.saved == Some(false) { " " (badge("missing")) } }
        }
    }
}

fn tools(tested: Option<&Tested>) -> Markup {
    html! {
        @match tested {
            None => "not tested",
            Some(tested) if tested.ok => (super::count(tested.tools.len(), "tool")),
            Some(_) => (badge("failed")),
        }
    }
}

fn add_forms() -> Markup {
    html! {
        section aria-labelledby="add-program" {
            h2 id="add-program" { "Add a program" }
            form method="post" action="/mcp" autocomplete="off" {
                label { "Name" input name="name" required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" placeholder="github" spellcheck="false" autocapitalize="off"; }
                label { "Command" input name="command" required maxlength="4096" placeholder="npx" spellcheck="false" autocapitalize="off"; small { "It runs on this server's machine, as this server's user." } }
                label { "Arguments" textarea name="args" rows="3" spellcheck="false" placeholder="-y\n@modelcontextprotocol/server-github" {} small { "One a line." } }
                label { "Secret variables" textarea class="secret" name="secrets" rows="2" spellcheck="false" autocomplete="off" {} small { "One a line: " code { "NAME=value" } ", encrypted at once and never shown again; or " code { "NAME" } " alone, for your secret of that name." } }
                label { "Other variables" textarea name="settings" rows="2" spellcheck="false" placeholder="LOG_LEVEL=info" {} small { "One a line, " code { "NAME=value" } ". They are kept in plain." } }
                button { "Add the program" }
            }
        }
        section aria-labelledby="add-url" {
            h2 id="add-url" { "Add a URL" }
            form method="post" action="/mcp" autocomplete="off" {
                label { "Name" input name="name" required maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" placeholder="tracker" spellcheck="false" autocapitalize="off"; }
                label { "URL" input name="url" type="url" required maxlength="4096" placeholder="https://mcp.example.com/mcp"; }
                label { "Secret header" input name="header" maxlength="128" placeholder="Authorization" spellcheck="false" autocapitalize="off"; }
                label { "Its value" textarea class="secret" name="header_value" rows="1" spellcheck="false" autocomplete="off" {} small { "The whole value, for example " code { "Bearer …" } "." } }
                label class="check" { input type="checkbox" name="sse" value="yes"; "It speaks the older HTTP with SSE" }
                button { "Add the URL" }
            }
        }
    }
}

/// Shows one.
pub(crate) async fn one(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let server = mcp::one(&desk, &name).await?;
    let here = format!("/mcp/{}", server.name);
    let own = format!("mcp/{}", server.name);
    let body = html! {
        p { a href="/mcp" { "MCP servers" } }
        h1 { (server.name) }
        dl {
            dt { "Is" } dd { (transport(&server)) }
            dt { "Runs or calls" } dd { code { (server.runs) } }
            @for (name, value) in &server.settings { dt { (name) } dd { (value) } }
            @for file in &server.imported_from { dt { "Taken from" } dd { (file) } }
            dt { "For a client" } dd { code { "mira mcp run " (server.name) } }
        }
        @if !server.secrets.is_empty() {
            h2 { "Secrets" }
            (table("Secrets", &["Name", "From", "Is"], &html! {
                @for secret in &server.secrets {
                    tr {
                        th scope="row" { code { (secret.name) } }
                        td { @if secret.scope == own { "its own" } @else { "your " (secret.saved_as) } }
                        td { @match secret.saved { Some(true) => "saved", Some(false) => (badge("missing")), None => "not known: the vault is locked" } }
                    }
                }
            }))
            @if identity.may(Role::Operator) && server.secrets.iter().any(|secret| secret.scope == own) {
                form method="post" action={ (here) "/secrets" } autocomplete="off" {
                    label { "Name" select name="name" required { @for secret in server.secrets.iter().filter(|secret| secret.scope == own) { option value=(secret.saved_as) selected[secret.saved == Some(false)] { (secret.name) } } } }
                    label { "Value" textarea class="secret" name="value" required rows="1" spellcheck="false" autocomplete="off" {} small { "For this server alone. It is encrypted at once, and never shown again." } }
                    button { "Save" }
                }
            }
        }
        h2 { "Test" }
        (tested_part(server.tested.as_ref()))
        @if identity.may(Role::Operator) {
            form method="post" action={ (here) "/test" } { p { "Starts it as a client does, and asks who it is and what it can do. That may take a minute." } button { "Test it" } }
        }
        @if identity.may(Role::Admin) {
            section aria-labelledby="remove" {
                h2 id="remove" { "Remove" }
                form method="post" action={ (here) "/remove" } data-ask={ "Remove " (server.name) " and its secrets? This cannot be undone." } {
                    p { "Destroys its own secrets too. A client that starts it fails from then on." }
                    button class="danger" { "Remove" }
                }
            }
        }
    };
    Ok(page(&identity, "/mcp", &server.name, &body))
}

fn tested_part(tested: Option<&Tested>) -> Markup {
    html! {
        @match tested {
            None => p class="empty" { "Not tested since this desk runs." },
            Some(tested) if tested.ok => {
                p class="done" role="status" { "It answers." }
                dl {
                    dt { "Calls itself" } dd { (tested.server) " " (tested.version) }
                    dt { "Protocol" } dd { (tested.protocol) }
                    dt { "Tested" } dd { (time(tested.at)) }
                    dt { "Tools" } dd { @if tested.tools.is_empty() { "none" } @for tool in &tested.tools { div { code { (tool) } } } }
                }
            },
            Some(tested) => {
                p class="trouble" role="alert" { @if let Some(message) = &tested.message { (message) } " (" (time(tested.at)) ")" }
                @if !tested.said.is_empty() {
                    p { "What it said last:" }
                    div class="log short" role="log" tabindex="0" aria-label="What it said last" { @for line in &tested.said { div { (line) } } }
                }
            },
        }
    }
}

/// Adds one.
pub(crate) async fn add(
    State(desk): State<Handle>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let name: ServerName = form
        .required("name", "the name")?
        .parse()
        .map_err(|error| DeskError::unfit(format!("that is no name: {error}")))?;
    let new = match form.text("url").map(str::to_owned) {
        Some(url) => remote(name, &url, &mut form)?,
        None => program(name, &mut form)?,
    };
    let to = format!("/mcp/{}", new.name);
    mcp::put(&desk, &identity, new, false).await?;
    Ok(Redirect::to(&to))
}

fn program(name: ServerName, form: &mut Form) -> Result<NewServer, DeskError> {
    let mut program = Program {
        command: form.required("command", "the command")?.to_owned(),
        args: lines(form.text("args")).map(str::to_owned).collect(),
        ..Program::default()
    };
    for line in lines(form.text("settings")) {
        let (name, value) = line
            .split_once('=')
            .ok_or_else(|| DeskError::unfit("another variable is NAME=value, one a line"))?;
        program.add_setting(variable(name)?, value)?;
    }
    let mut values = Vec::new();
    if let Some(secrets) = form.secret("secrets") {
        // EXPOSE: to the splitting into lines; each value is copied into memory that is wiped.
        for line in secrets
            .expose()
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let (name, value) = match line.iter().position(|&byte| byte == b'=') {
                Some(at) => (line.get(..at), line.get(at + 1..)),
                None => (Some(line), None),
            };
            let name = variable(&String::from_utf8_lossy(name.unwrap_or_default()))?;
            match value {
                None => program.add_secret(name.clone(), Origin::User(name))?,
                Some(value) => {
                    program.add_secret(name.clone(), Origin::Own)?;
                    values.push((name, SecretBytes::copy_from(value)));
                }
            }
        }
    }
    let kind = Kind::Program(program);
    Ok(NewServer { name, kind, values })
}

fn remote(name: ServerName, url: &str, form: &mut Form) -> Result<NewServer, DeskError> {
    let transport = match form.text("sse") {
        Some(_) => Transport::Sse,
        None => Transport::Auto,
    };
    let mut remote = Remote::new(url, transport)?;
    let mut values = Vec::new();
    if let Some(header) = form.text("header") {
        let secret = remote.add_secret_header(header)?;
        let value = form
            .secret("header_value")
            .filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| DeskError::unfit("the header's value is missing"))?;
        values.push((secret, value));
    }
    let kind = Kind::Remote(remote);
    Ok(NewServer { name, kind, values })
}

fn lines(text: Option<&str>) -> impl Iterator<Item = &str> {
    let lines = text.unwrap_or_default().lines();
    lines.map(str::trim).filter(|line| !line.is_empty())
}

/// Parses a variable's name; the error does not repeat the text: it may be a value in the wrong place.
pub(crate) fn variable(text: &str) -> Result<SecretName, DeskError> {
    let name = text.trim().parse();
    name.map_err(|error| DeskError::unfit(format!("a variable has no such name: {error}")))
}

/// Tests one, and shows what came of it.
pub(crate) async fn test(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    mcp::test(&desk, &identity, &name).await?;
    Ok(Redirect::to(&format!("/mcp/{name}")))
}

/// Saves a secret that it declares.
pub(crate) async fn save_secret(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let value = form.secret("value");
    let new = NewValue::check(
        form.required("name", "the variable's name")?,
        value,
        None,
        None,
    )?;
    let server = mcp::declares(&desk, &name, &new.name).await?;
    secrets::put(&desk, &identity, server.scope(), new, true).await?;
    Ok(Redirect::to(&format!("/mcp/{server}")))
}

/// Removes one.
pub(crate) async fn remove(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    mcp::remove(&desk, &identity, &name).await?;
    Ok(Redirect::to("/mcp"))
}
