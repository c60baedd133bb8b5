//! Taking over the MCP servers of a client: its file is picked or pasted, what is taken is shown, and then it is done.
//!
//! INVARIANT: of a client's file, names are shown and no value; a pasted text is never sent back.

use std::path::PathBuf;

use axum::extract::{Path, State};
use maud::{Markup, html};
use mira_mcp::config::Config;
use mira_mcp::definition::Definitions;
use mira_mcp::import::{self, Plan, Wishes};
use mira_secret::SecretBytes;
use mira_store::AuditAction;
use mira_vault::Vault;
use mira_vault::home::Home;

use super::{Page, page, table};
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::{Desk, Handle};

/// A client's configuration that somebody wants to take over.
#[derive(Debug)]
pub(crate) enum Source {
    /// A file of this machine.
    File(PathBuf),
    /// A text that was pasted.
    Text(SecretBytes),
}

impl Source {
    fn read(&self) -> Result<Config, DeskError> {
        match self {
            Self::File(file) => Ok(Config::read(file)?),
            Self::Text(text) => {
                // EXPOSE: to the parser of the client's file, of which values go into the vault alone.
                let text = std::str::from_utf8(text.expose());
                let text = text.map_err(|_| DeskError::unfit("that is no text"))?;
                Ok(Config::of_text(text.to_owned())?)
            }
        }
    }

    fn plan(&self, home: &Home, vault: &Vault) -> Result<(Config, Plan), DeskError> {
        let config = self.read()?;
        let known = Definitions::read(home.path())?;
        let plan = Plan::of(&config, &[], &Wishes::default(), &known, vault)?;
        Ok((config, plan))
    }
}

/// What is taken, or was: names alone.
struct Shown {
    from: String,
    /// The client's name of a server, ours, and the names of its secrets.
    servers: Vec<(String, String, Vec<String>)>,
    notes: Vec<String>,
    is_file: bool,
}

impl Shown {
    fn of(config: &Config, plan: &Plan) -> Self {
        let client = plan.client(config).as_str();
        let servers = plan.moves.iter().map(|entry| {
            let names = entry.values.iter().map(|(name, _)| name.to_string());
            (
                entry.entry.key().to_owned(),
                entry.name.to_string(),
                names.collect(),
            )
        });
        Self {
            from: match config.path() {
                Some(file) => format!("{} ({client})", file.display()),
                None => "the text that you pasted".to_owned(),
            },
            servers: servers.collect(),
            notes: plan.notes.clone(),
            is_file: config.path().is_some(),
        }
    }

    fn table(&self) -> Markup {
        table(
            "Servers",
            &["There", "Secrets that are taken", "Here"],
            &html! {
                @for (key, name, secrets) in &self.servers {
                    tr {
                        th scope="row" { (key) }
                        td { @for secret in secrets { div { code { (secret) } } } }
                        td { code { "mira mcp run " (name) } }
                    }
                }
            },
        )
    }

    fn notes(&self) -> Markup {
        html! { @if !self.notes.is_empty() { h2 { "What stays as it is" } ul { @for note in &self.notes { li { (note) } } } } }
    }
}

/// Returns the files of clients that are on this machine.
fn present(desk: &Desk) -> Vec<PathBuf> {
    mira_mcp::clients::present(|name| desk.house.variable(name), None).unwrap_or_default()
}

/// Shows which files there are, and where one is pasted.
pub(crate) async fn choose(State(desk): State<Handle>, identity: Identity) -> Page {
    let files = present(&desk);
    let body = html! {
        p { a href="/mcp" { "MCP servers" } }
        h1 { "Take over the servers of a client" }
        p { "Their keys go into the vault, and the client is to run Mira instead. You see first what would be taken: names, and no value." }
        h2 { "A file of this machine" }
        @if files.is_empty() {
            p class="empty" { "No client's file was found in the usual places of Claude Desktop, Claude Code, Cursor, VS Code, Windsurf, Zed and Codex." }
        } @else {
            form method="post" action="/mcp-import" {
                label { "File" select name="file" required { @for file in &files { option value=(file.display()) { (file.display()) } } } small { "It is changed so that the client runs Mira; " code { "mira mcp import --undo" } " undoes that." } }
                button { "Show what would be taken" }
            }
        }
        section aria-labelledby="paste" {
            h2 id="paste" { "A file from elsewhere" }
            form method="post" action="/mcp-import" autocomplete="off" {
                label { "Its text" textarea class="secret" name="text" required rows="6" spellcheck="false" autocomplete="off" {} small { "JSON, or TOML for Codex. The text is kept in memory for half an hour at most, and never shown again." } }
                button { "Show what would be taken" }
            }
        }
    };
    page(&identity, "/mcp", "Take over servers", &body)
}

/// Shows what would be taken.
pub(crate) async fn preview(
    State(desk): State<Handle>,
    identity: Identity,
    mut form: Form,
) -> Result<Page, DeskError> {
    let source = match form.secret("text").filter(|text| !text.is_empty()) {
        Some(text) => Source::Text(text),
        None => {
            let wanted = form.required("file", "the file")?;
            let mut files = present(&desk).into_iter();
            let file = files.find(|file| file.display().to_string() == wanted);
            Source::File(file.ok_or_else(|| DeskError::not_found("such client's file"))?)
        }
    };
    let home = desk.custody.home().clone();
    let looked = desk.custody.with(move |vault| {
        let (config, plan) = source.plan(&home, vault)?;
        Ok((Shown::of(&config, &plan), source))
    });
    let (shown, source) = looked.await?;
    let key = desk.imports.put(&identity, source)?;
    let body = html! {
        p { a href="/mcp-import" { "Choose another" } }
        h1 { "What would be taken" }
        p { "From " (shown.from) "." }
        @if shown.servers.is_empty() {
            p class="empty" { "There is no key to move." }
        } @else {
            (shown.table())
            form method="post" action={ "/mcp-import/" (key) } {
                p { @if shown.is_file { "The values go into the vault, and the file is changed." } @else { "The values go into the vault. The file that you pasted from stays as it is; you are shown what to write there." } }
                button { "Take them over" }
            }
        }
        (shown.notes())
    };
    Ok(page(&identity, "/mcp", "What would be taken", &body))
}

/// Takes them.
pub(crate) async fn take(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let source = desk.imports.take(&identity, &key)?;
    let subject = match &source {
        Source::File(file) => file.display().to_string(),
        Source::Text(_) => "a text".to_owned(),
    };
    let done = take_over(&desk, source).await;
    let (shown, left) = desk
        .told(&identity, AuditAction::McpImport, &subject, done)
        .await?;
    let program = desk.house.program.display().to_string();
    let body = html! {
        p { a href="/mcp" { "MCP servers" } }
        h1 { "Taken over" }
        p class="done" role="status" { "From " (shown.from) ". The values are encrypted, and never shown again." }
        (shown.table())
        @for (name, line) in &left {
            p class="trouble" { "The value of " code { (name) } " stands in the file once more, in line " (line) ": take it out by hand." }
        }
        @if shown.is_file {
            p { "Restart the client. The disk, backups and version control may still hold the old file." }
        } @else {
            p { "Take the keys out of the file that you pasted from, and write for each server:" }
            @for (key, name, _) in &shown.servers {
                p { (key) ": " code { "\"command\": \"" (program) "\", \"args\": [\"mcp\", \"run\", \"" (name) "\"]" } }
            }
        }
        (shown.notes())
    };
    Ok(page(&identity, "/mcp", "Taken over", &body))
}

type Left = Vec<(String, usize)>;

async fn take_over(desk: &Desk, source: Source) -> Result<(Shown, Left), DeskError> {
    let home = desk.custody.home().clone();
    let text = |path: &std::path::Path| {
        let text = path.to_str().map(str::to_owned);
        text.ok_or_else(|| {
            DeskError::failed("the path of Mira is no text, and no client's file can name it")
        })
    };
    let mira = text(&desk.house.program)?;
    let moved = desk.house.variable("MIRA_HOME");
    let moved = moved
        .filter(|home| !home.is_empty())
        .map(|home| std::path::absolute(home).map_err(DeskError::failed))
        .transpose()?;
    let mira_home = moved.as_deref().map(text).transpose()?;
    let work = move |vault: &mut Vault| {
        let (config, plan) = source.plan(&home, vault)?;
        let shown = Shown::of(&config, &plan);
        import::save(vault, &plan.moves)?;
        import::define(&home, &plan.moves)?;
        if !shown.is_file {
            return Ok((shown, Vec::new()));
        }
        let left = import::hand_over(config, &plan.moves, &mira, mira_home.as_deref());
        let left = left.map_err(|error| {
            DeskError::from(error)
                .hint("The values are saved; the file still has them. Import it again.")
        })?;
        let left = left
            .into_iter()
            .map(|(name, line)| (name.to_string(), line));
        Ok((shown, left.collect()))
    };
    desk.custody.with(work).await
}
