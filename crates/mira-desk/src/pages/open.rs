//! Opening a package: chosen, looked at, opened.

use std::path::PathBuf;

use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use mira_store::Who;

use super::{Page, badge, page, table};
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::launch::Password;
use crate::opening::{self, Answers, Asked, Incoming, Look, Looked, Seen, There};
use crate::{Desk, Handle};

/// Returns whether somebody may name files of this machine: who sits at it.
fn may_name_files(desk: &Desk, identity: &Identity) -> bool {
    desk.options.is_loopback() && matches!(identity.who, Who::LocalOwner)
}

/// Shows where a package is chosen.
pub(crate) async fn choose(State(desk): State<Handle>, identity: Identity) -> Page {
    let body = html! {
        p { a href="/instances" { "Apps" } }
        h1 { "Open a package" }
        p { "You see first who made it and what it asks for. Nothing of it is unpacked or run before you say so." }
        form method="post" action="/open" enctype="multipart/form-data" {
            label { "Package" input type="file" name="package" required accept=".mira"; }
            button { "Look at it" }
        }
        @if may_name_files(&desk, &identity) {
            section aria-labelledby="path" {
                h2 id="path" { "From this machine" }
                form method="post" action="/open/path" {
                    label { "Path" input name="path" required maxlength="4096" placeholder="/home/you/readlater.mira" spellcheck="false" autocapitalize="off"; small { "A package, or a folder with a " code { "mira.yaml" } "." } }
                    button { "Look at it" }
                }
            }
        }
    };
    page(&identity, "/instances", "Open a package", &body)
}

/// Takes an upload, and shows what it is.
pub(crate) async fn upload(
    State(desk): State<Handle>,
    identity: Identity,
    mut parts: Multipart,
) -> Result<Response, DeskError> {
    let cut = |error: axum::extract::multipart::MultipartError| {
        DeskError::unfit(format!(
            "the upload did not come whole: {}",
            error.body_text()
        ))
    };
    let missing = || DeskError::unfit("the package is missing");
    let mut incoming = Incoming::begin(&desk)?;
    let mut part = parts.next_field().await.map_err(cut)?.ok_or_else(missing)?;
    while let Some(chunk) = part.chunk().await.map_err(cut)? {
        incoming.push(&chunk)?;
    }
    let look = opening::look(&desk, &identity, incoming.end()?, Password(None)).await?;
    Ok(shown(&identity, look))
}

/// Shows what is at a path of this machine.
pub(crate) async fn path(
    State(desk): State<Handle>,
    identity: Identity,
    form: Form,
) -> Result<Response, DeskError> {
    let path = PathBuf::from(form.required("path", "the path")?);
    if !may_name_files(&desk, &identity) {
        let told = "files of the server's machine are named by who sits at it, with `mira desk`";
        return Err(DeskError::new(StatusCode::FORBIDDEN, told));
    }
    if !path.is_absolute() {
        return Err(DeskError::unfit("a path begins with /"));
    }
    let look = opening::look(&desk, &identity, Looked::at(path), Password(None)).await?;
    Ok(shown(&identity, look))
}

/// Takes the password of an encrypted package, and shows what it is.
pub(crate) async fn password(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Response, DeskError> {
    let password = form.secret("password");
    let look = opening::look_with(&desk, &identity, &key, password).await?;
    Ok(shown(&identity, look))
}

fn shown(identity: &Identity, look: Look) -> Response {
    match look {
        Look::Seen(seen) => {
            let body = html! {
                p { a href="/open" { "Choose another" } }
                (preview(&seen))
                @if !seen.refused { (open_form(&seen.key, &seen.instances)) }
            };
            page(identity, "/instances", "What the package asks for", &body).into_response()
        }
        Look::Encrypted { key, trouble } => {
            let body = html! {
                p { a href="/open" { "Choose another" } }
                h1 { "The package is encrypted" }
                @if let Some(trouble) = &trouble { p class="trouble" role="alert" { (trouble.message) } }
                form method="post" action={ "/open/" (key) "/password" } autocomplete="off" {
                    label { "Password" input type="password" name="password" required autofocus autocomplete="off" maxlength="4096"; small { "It is kept nowhere. Wrong ones are counted: after five in a row there is a lock, for the right one too." } }
                    button { "Look at it" }
                }
            };
            let page = page(identity, "/instances", "The package is encrypted", &body);
            let status = trouble.map_or(StatusCode::OK, |trouble| trouble.status);
            (status, page).into_response()
        }
    }
}

/// Shows what a package is and asks for.
fn preview(seen: &Seen) -> Markup {
    html! {
        h1 { (seen.name) " " (seen.version) }
        @if let Some(description) = &seen.description { p { (description) } }
        dl {
            dt { "App" } dd { code { (seen.id) } }
            dt { "Publisher" } dd {
                @if let Some(publisher) = &seen.publisher { (publisher) " " }
                (badge(seen.trust))
                @match seen.trust {
                    "trusted" => " signed by the publisher that is remembered",
                    "new publisher" => " signed, by a publisher who is not remembered: anybody can choose a name",
                    "unsigned" => " nobody signed it: it may be from anybody",
                    _ => " the signature does not hold",
                }
            }
            dt { "Runs" } dd { @for service in &seen.services { div { (service) } } }
            dt { "Ports" } dd { @if seen.ports.is_empty() { "none" } @for port in &seen.ports { div { (port) ", on this machine" } } }
            dt { "May call" } dd { @if seen.network.is_empty() { "nobody" } @for hosts in &seen.network { div { code { (hosts) } } } }
            dt { "Keeps" } dd { @if seen.volumes.is_empty() { "nothing" } @for volume in &seen.volumes { div { (volume) } } }
            @if seen.sealed { dt { "Sealed" } dd { "It brings secrets of its own, under a password that is asked for at each start." } }
        }
        @if !seen.secrets.is_empty() {
            (table("Secrets that it asks for", &["Secret", "Required", "What for", "Delivery"], &html! {
                @for secret in &seen.secrets { (asked(secret)) }
            }))
        }
        @if seen.refused { p class="trouble" role="alert" { "The package is refused: it is " (seen.trust) "." } }
    }
}

fn asked(secret: &Asked) -> Markup {
    html! {
        tr {
            th scope="row" { code { (secret.name) } }
            td { @if secret.required { "yes" } @else { "no" } }
            td {
                @if let Some(description) = &secret.description { (description) }
                @if let Some(how) = &secret.how_to_obtain { br; small { "How to obtain it: " (how) } }
            }
            td {
                @match secret.delivery {
                    "env" => "environment",
                    "file" => "file in memory",
                    _ => "brokered, in requests to:",
                }
                @for hosts in &secret.hosts { div { code { (hosts) } } }
            }
        }
    }
}

fn open_form(key: &str, instances: &[There]) -> Markup {
    html! {
        form method="post" action={ "/open/" (key) } {
            label { "As" select name="instance" {
                option value="" { "a new instance" }
                @for instance in instances { option value=(instance.id) { "an update of " (instance.name) } }
            } }
            label { "Name of a new one" input name="name" maxlength="64" spellcheck="false" autocapitalize="off"; small { "Left empty, it is called as the app." } }
            @if !instances.is_empty() { label class="check" { input type="checkbox" name="agree" value="yes"; "Take it even if its publisher is not the one that is remembered; it gets the secrets then" } }
            button { "Open it" }
        }
    }
}

/// Opens what was shown.
pub(crate) async fn open(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let answers = Answers {
        name: form.text("name").map(str::to_owned),
        update: form.text("instance").map(str::to_owned),
        agreed: form.text("agree").is_some(),
        ..Answers::default()
    };
    let instance = opening::open(&desk, &identity, &key, answers).await?;
    Ok(Redirect::to(&format!("/instances/{}", instance.id)))
}
