//! Taking over the MCP servers of a client, as pages.

use axum::extract::{Multipart, Path, State};
use axum::response::Response;
use maud::{Markup, html};

use super::{Page, count, page, table};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::mcp_import::{self, Done, Left, Shown, Source, UPLOAD_BYTES_MAX, present, taken};

fn servers(shown: &Shown) -> Markup {
    table(
        "Servers",
        &["There", "Secrets that are taken", "Here"],
        &html! {
            @for taken in &shown.servers {
                tr {
                    th scope="row" { (taken.key) }
                    td { @for secret in &taken.secrets { div { code { (secret) } } } }
                    td { code { "mira mcp run " (taken.name) } }
                }
            }
        },
    )
}

fn notes(shown: &Shown) -> Markup {
    html! { @if !shown.notes.is_empty() { h2 { "What stays as it is" } ul { @for note in &shown.notes { li { (note) } } } } }
}

/// Shows which files there are, and where one is sent.
pub(crate) async fn choose(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let files = present(&desk);
    let taken = taken(&desk).await?;
    let body = html! {
        p { a href="/mcp" { "MCP servers" } }
        h1 { "Take over the servers of a client" }
        p { "Their keys go into the vault, and the client is to run Mira instead. You see first what would be taken: names, and no value." }
        h2 { "A file of this machine" }
        @if files.is_empty() {
            p class="empty" { "No client's file was found in the usual places of Claude Desktop, Claude Code, Cursor, VS Code, Windsurf, Zed and Codex." }
        } @else {
            form method="post" action="/mcp-import" {
                label { "File" select name="file" required { @for file in &files { option value=(file.display()) { (file.display()) } } } small { "It is changed so that the client runs Mira; that can be undone here." } }
                button { "Show what would be taken" }
            }
        }
        section aria-labelledby="elsewhere" {
            h2 id="elsewhere" { "A file from elsewhere" }
            p { "It is kept in memory for half an hour at most, and you get it back with Mira in the place of the keys." }
            form method="post" action="/mcp-import/upload" enctype="multipart/form-data" {
                label { "Configuration file" input type="file" name="config" required accept=".json,.jsonc,.toml"; small { "Of Claude Desktop, Claude Code, Cursor, VS Code, Windsurf, Zed or Codex." } }
                button { "Show what would be taken" }
            }
            form method="post" action="/mcp-import" autocomplete="off" {
                label { "Or its text" textarea class="secret" name="text" required rows="6" spellcheck="false" autocomplete="off" {} small { "JSON, or TOML for Codex." } }
                button { "Show what would be taken" }
            }
        }
        @if !taken.is_empty() {
            section aria-labelledby="undo" {
                h2 id="undo" { "Put back" }
                p { "The client runs its servers itself again. The values of their secrets are empty in its file then; they stay in the vault." }
                form method="post" action="/mcp-import/undo" {
                    label { "File that servers were taken over from" select name="file" required { @for file in &taken { option value=(file.display()) { (file.display()) } } } }
                    button class="quiet" { "Put its servers back" }
                }
            }
        }
    };
    Ok(page(&identity, "/mcp", "Take over servers", &body))
}

/// Shows what would be taken of a text, or of a file of this machine.
pub(crate) async fn preview(
    State(desk): State<Handle>,
    identity: Identity,
    mut form: Form,
) -> Result<Page, DeskError> {
    let source = match form.secret("text").filter(|text| !text.is_empty()) {
        Some(text) => Source::Text { text, name: None },
        None => Source::on_this_machine(&desk, form.required("file", "the file")?)?,
    };
    shown(&desk, &identity, source).await
}

/// Shows what would be taken of a file that is uploaded.
pub(crate) async fn upload(
    State(desk): State<Handle>,
    identity: Identity,
    mut parts: Multipart,
) -> Result<Page, DeskError> {
    let cut = |_| DeskError::unfit("the upload did not come whole");
    let part = parts.next_field().await.map_err(cut)?;
    let mut part = part.ok_or_else(|| DeskError::unfit("the file is missing"))?;
    let name = part.file_name().map(str::to_owned);
    let mut content = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(cut)? {
        if content.len() + chunk.len() > UPLOAD_BYTES_MAX {
            return Err(mcp_import::too_long());
        }
        content.extend_from_slice(&chunk);
    }
    let source = Source::upload(content, name.as_deref())?;
    shown(&desk, &identity, source).await
}

async fn shown(desk: &Handle, identity: &Identity, source: Source) -> Result<Page, DeskError> {
    let (key, shown) = mcp_import::look(desk, identity, source).await?;
    let body = html! {
        p { a href="/mcp-import" { "Choose another" } }
        h1 { "What would be taken" }
        p { "From " (shown.from) ": " (count(shown.found, "server")) "." }
        @if shown.found == 0 {
            p class="empty" { "There is no server in it where one of these clients has its servers. Is it the right file?" }
        } @else if shown.servers.is_empty() {
            p class="empty" { "There is no key to move." }
        } @else {
            (servers(&shown))
            form method="post" action={ "/mcp-import/" (key) } {
                p { @if shown.is_file { "The values go into the vault, and the file is changed." } @else { "The values go into the vault. The file that you took this from stays as it is; you are given one to put in its place." } }
                button { "Take them over" }
            }
        }
        (notes(&shown))
    };
    Ok(page(identity, "/mcp", "What would be taken", &body))
}

/// Takes them.
pub(crate) async fn take(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let Done { shown, left, given } = mcp_import::take(&desk, &identity, &key).await?;
    let program = desk.house.program.display().to_string();
    let body = html! {
        p { a href="/mcp" { "MCP servers" } }
        h1 { "Taken over" }
        p class="done" role="status" { "From " (shown.from) ". The values are encrypted, and never shown again." }
        (servers(&shown))
        @for Left { name, line } in &left {
            p class="trouble" {
                "The value of " code { (name) } " stands in the file once more, in line " (line) ": "
                @if given.is_some() { "the new file has the name there instead; put right what used it." } @else { "take it out by hand." }
            }
        }
        @match &given {
            None => p { "Restart the client. The disk, backups and version control may still hold the old file." },
            Some(key) => {
                p { a class="button" href={ "/mcp-import/" (key) "/file" } download { "Download the new file" } }
                p { "Put it in the place of the one that you took this from, and restart the client. It runs " code { (program) } ": where the client is on another machine, Mira and these keys have to be there too. The old file still has the keys, as may backups and version control." }
            },
        }
        (notes(&shown))
    };
    Ok(page(&identity, "/mcp", "Taken over", &body))
}

/// Gives back the text that was sent, with Mira in the place of its servers.
pub(crate) async fn file(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
) -> Result<Response, DeskError> {
    mcp_import::give(&desk, &identity, &key)
}

/// Puts the servers back into a file of this machine.
pub(crate) async fn undo(
    State(desk): State<Handle>,
    identity: Identity,
    form: Form,
) -> Result<Page, DeskError> {
    let file = form.required("file", "the file")?;
    let undone = mcp_import::undo(&desk, &identity, file).await?;
    let body = html! {
        p { a href="/mcp" { "MCP servers" } }
        h1 { "Put back" }
        p class="done" role="status" { (undone.file.display()) " runs " (count(undone.servers.len(), "server")) " itself again." }
        ul { @for name in &undone.servers { li { (name) } } }
        @if !undone.gone.is_empty() {
            h2 { "What stays as it is" }
            ul { @for name in &undone.gone { li { (name) " was not run by Mira there any more." } } }
        }
        p { "The values of secrets are empty there; on this machine, " code { "mira mcp import --undo --with-values" } " would have written them in plain. Mira still has the servers and their secrets." }
    };
    Ok(page(&identity, "/mcp", "Put back", &body))
}
