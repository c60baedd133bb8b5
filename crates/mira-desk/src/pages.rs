//! Pages: what they all have around them, and how a refusal is shown.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod binding;
pub(crate) mod health;
pub(crate) mod instance;
pub(crate) mod instances;
pub(crate) mod mcp;
pub(crate) mod mcp_import;
pub(crate) mod network;
pub(crate) mod open;
pub(crate) mod providers;
pub(crate) mod report;
pub(crate) mod secrets;
pub(crate) mod snapshots;
pub(crate) mod users;
pub(crate) mod webhooks;

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use mira_store::Role;
use serde_json::json;

use crate::access::Identity;
use crate::error::DeskError;
use crate::{Desk, assets};

/// A whole page.
#[derive(Debug)]
pub(crate) struct Page(Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        Html(self.0.into_string()).into_response()
    }
}

/// A part of a page, for what is loaded into one.
#[derive(Debug)]
pub(crate) struct Part(pub(crate) Markup);

impl IntoResponse for Part {
    fn into_response(self) -> Response {
        Html(self.0.into_string()).into_response()
    }
}

/// The pages that the bar at the side leads to, and the role that sees each.
const PLACES: [(&str, &str, Role); 9] = [
    ("/", "Secrets", Role::Viewer),
    ("/instances", "Apps", Role::Viewer),
    ("/mcp", "MCP servers", Role::Viewer),
    ("/providers", "Providers", Role::Viewer),
    ("/network", "Network", Role::Viewer),
    ("/webhooks", "Webhooks", Role::Viewer),
    ("/audit", "Audit", Role::Admin),
    ("/users", "Users", Role::Admin),
    ("/health", "Health", Role::Viewer),
];

/// Returns whether a path is asked by programs: who has no token is told so, and not led to where people sign in.
pub(crate) fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || path == "/metrics"
}

/// Puts together a page for somebody signed in; `here` is the place in the bar.
pub(crate) fn page(identity: &Identity, here: &str, title: &str, body: &Markup) -> Page {
    let bar = html! {
        nav class="bar" aria-label="Desk" {
            a class="brand" href="/" { "Mira" }
            ul {
                @for (path, name, role) in PLACES {
                    @if identity.may(role) {
                        li { a href=(path) aria-current=[(path == here).then_some("page")] { (name) } }
                    }
                }
            }
            div class="who" {
                a href="/account" aria-current=[(here == "/account").then_some("page")] { (identity.name()) }
                form method="post" action="/logout" { button class="quiet" { "Sign out" } }
            }
        }
    };
    Page(frame(
        title,
        &html! {
            a class="skip" href="#main" { "To the content" }
            (bar)
            main id="main" tabindex="-1" { (body) }
        },
    ))
}

fn frame(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="htmx-config" content=r#"{"includeIndicatorStyles":false,"allowEval":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;
                title { (title) " · Mira" }
                link rel="icon" href="data:,";
                link rel="stylesheet" href=(assets::STYLE.path);
                script src=(assets::SCRIPT.path) defer {}
                script src=(assets::HTMX.path) defer {}
                script src=(assets::SSE.path) defer {}
            }
            body { (body) }
        }
    }
}

/// Shows where one signs in.
pub(crate) fn login_page(desk: &Desk, next: &str, trouble: Option<&str>, has_users: bool) -> Page {
    let elsewhere = desk.options.oidc.as_deref();
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next)
        .finish();
    Page(frame(
        "Sign in",
        &html! {
            main id="main" class="alone" {
                h1 { "Mira" }
                @if let Some(trouble) = trouble { p class="trouble" role="alert" { (trouble) } }
                @if has_users {
                    form method="post" action="/login" {
                        input type="hidden" name="next" value=(next);
                        label { "Name" input name="name" autocomplete="username" required autofocus maxlength="64"; }
                        label { "Password" input type="password" name="password" autocomplete="current-password" required maxlength="1024"; }
                        button { "Sign in" }
                    }
                } @else if elsewhere.is_none() {
                    p { "Nobody can sign in by name yet." }
                }
                @if let Some(provider) = elsewhere {
                    p { a class="button" href={ "/login/oidc?" (query) } { "Sign in with " (provider.host()) } }
                }
                p class="hint" { "On the machine that Mira runs on, " code { "mira desk" } " opens this desk without a password." }
            }
        },
    ))
}

/// Shows why something was not done, to whoever asked for this path.
pub(crate) fn refused(path: &str, error: &DeskError) -> Response {
    if is_api(path) {
        return (
            error.status,
            Json(json!({"message": error.message, "hint": error.hint})),
        )
            .into_response();
    }
    let page = Page(frame(
        "Not done",
        &html! {
            main id="main" class="alone" {
                h1 { "That was not done" }
                (trouble(error))
                p { a href=(way_back(path)) { "Back" } " · " a href="/" { "To the desk" } }
            }
        },
    ));
    (error.status, page).into_response()
}

/// Shows why a part of a page was not had, in the place of the part, which is asked for no more.
pub(crate) fn refused_part(error: &DeskError) -> Response {
    /// htmx does not ask again after it.
    const STOP_POLLING: u16 = 286;
    let status = match error.status.is_server_error() {
        true => StatusCode::OK,
        false => StatusCode::from_u16(STOP_POLLING).unwrap_or(StatusCode::OK),
    };
    (status, Part(trouble(error))).into_response()
}

fn trouble(error: &DeskError) -> Markup {
    html! {
        p class="trouble" role="alert" { (words(&error.message)) }
        @if error.status == StatusCode::UNAUTHORIZED {
            p class="hint" { a href="/login" target="_blank" { "Sign in in another tab" } ". What you typed stays here, to be sent again." }
        } @else if let Some(hint) = &error.hint {
            p class="hint" { (words(hint)) }
        }
    }
}

/// Returns the page from which what was not done is done again: that of the instance or secret, or the place in the bar.
pub(crate) fn way_back(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    match *parts.as_slice() {
        ["instances", id, "snapshots", _, ..] => format!("/instances/{id}/snapshots"),
        ["instances", id, _, ..] => format!("/instances/{id}"),
        [area @ ("mcp" | "secrets"), name, _, ..] => format!("/{area}/{name}"),
        [
            area @ ("instances" | "mcp" | "mcp-import" | "open" | "users" | "account" | "webhooks"),
            ..,
        ] => {
            format!("/{area}")
        }
        ["aws" | "providers", ..] => "/providers".to_owned(),
        ["enter" | "login", ..] => "/login".to_owned(),
        _ => "/".to_owned(),
    }
}

impl IntoResponse for DeskError {
    /// Leaves the words to the guard, which knows what was asked.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

pub(crate) async fn no_such_page() -> DeskError {
    DeskError::not_found("such page")
}

/// Returns a time as it is shown: to the minute, in UTC.
pub(crate) fn when(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// A time, with its exact value for programs.
pub(crate) fn time(time: Timestamp) -> Markup {
    html! { time datetime=(time.to_string()) { (when(time)) } }
}

/// Words in which what is typed stands between backticks.
fn words(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

/// A number of things, in words.
pub(crate) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// A table that scrolls by itself where the page is narrow.
pub(crate) fn table(caption: &str, heads: &[&str], rows: &Markup) -> Markup {
    html! {
        // What has the focus is found again by its id when it is loaded anew.
        div class="wide" id={ "table-" (caption.to_lowercase().replace(' ', "-")) } role="region" aria-label=(caption) tabindex="0" {
            table {
                caption class="unseen" { (caption) }
                thead { tr { @for head in heads { th scope="col" { (head) } } } }
                tbody { (rows) }
            }
        }
    }
}

/// A word in a colour that says how good it is; the word says it too.
pub(crate) fn badge(word: &str) -> Markup {
    let class = match word {
        "up" | "allowed" | "ok" | "trusted" | "done" => "good",
        "failed" | "expired" | "refused" | "denied" | "bad" | "tampered" => "bad",
        "running" | "starting" | "waiting" | "delayed" | "stopping" | "note" | "stale"
        | "new publisher" | "unsigned" | "missing" => "soon",
        _ => "plain",
    };
    html! { span class={ "badge " (class) } { (word) } }
}
