//! Providers of models, with the state of their keys, and the credentials of AWS: tried, saved, removed.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use mira_store::Role;
use mira_vault::AwsCredentials;
use mira_vault::settings::Region;

use super::{Page, badge, page, table, time};
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::providers::{self, All, Tried};
use crate::{Desk, Handle};

/// Shows all.
pub(crate) async fn list(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    shown(&desk, &identity, &html! {}).await
}

async fn shown(desk: &Desk, identity: &Identity, told: &Markup) -> Result<Page, DeskError> {
    let All {
        providers,
        aws,
        aws_region,
    } = providers::all(desk).await?;
    let body = html! {
        h1 { "Providers" }
        (told)
        (table("Providers", &["Provider", "At", "Key", "Model", "Test"], &html! {
            @for provider in &providers {
                tr {
                    th scope="row" { (provider.name) }
                    td { @match &provider.at { Some(at) => (at), None => "-" } }
                    td {
                        @match &provider.key {
                            None => "none needed",
                            Some(key) => { code { (key) } " " @if provider.key_saved { "saved" } @else { (badge("missing")) } },
                        }
                    }
                    td { @match &provider.model { Some(model) => (model), None => "-" } }
                    td {
                        @if identity.may(Role::Operator) && (provider.key_saved || provider.key.is_none()) {
                            form method="post" action={ "/providers/" (provider.name) "/test" } { button class="quiet" aria-label={ "Test " (provider.name) } { "Test" } }
                        }
                    }
                }
            }
        }))
        p class="hint" { "A key is tried by listing models, which costs nothing. Nothing is called unless you ask for it here. " code { "mira provider set" } " sets addresses, keys and models." }
        section aria-labelledby="aws" {
            h2 id="aws" { "AWS" }
            @if let Some(expires) = aws.as_ref().filter(|aws| aws.is_expired()).and_then(|aws| aws.expires) {
                p class="trouble" { "The session token ended at " (time(expires)) ": get new keys from AWS, and save them below." }
            }
            @match &aws {
                None => p class="empty" { "No credentials of AWS are saved." },
                Some(aws) => dl {
                    dt { "Access key id" } dd { code { (aws.access_key_id) } }
                    dt { "Kind" } dd { @if aws.temporary { "temporary, with a session token" } @else { "long-term" } }
                    dt { "Ends" } dd {
                        @match aws.expires { Some(expires) => (time(expires)), None if aws.temporary => "not known", None => "never" }
                        @if aws.is_expired() { " " (badge("expired")) }
                    }
                    dt { "Region" } dd { @match &aws_region { Some(region) => (region), None => "none is set" } }
                    dt { "Saved" } dd { (time(aws.saved)) ", version " (aws.version) }
                },
            }
            @if identity.may(Role::Admin) {
                (aws_form(aws_region.as_deref()))
                @if aws.is_some() {
                    form method="post" action="/aws/remove" data-ask="Remove the credentials of AWS and the region? This cannot be undone." {
                        button class="danger" { "Remove the credentials" }
                    }
                }
            }
        }
    };
    Ok(page(identity, "/providers", "Providers", &body))
}

fn aws_form(region: Option<&str>) -> Markup {
    html! {
        form method="post" action="/aws" autocomplete="off" {
            label { "Access key id" input type="password" name="id" maxlength="256" autocomplete="off" spellcheck="false"; }
            label { "Secret access key" input type="password" name="key" maxlength="1024" autocomplete="off" spellcheck="false"; }
            label { "Session token" textarea class="secret" name="token" rows="1" spellcheck="false" autocomplete="off" {} small { "For temporary keys, which begin with ASIA." } }
            label { "When the session token ends" input name="expires" maxlength="64" placeholder="2026-11-24T07:05:09Z, or 12h" spellcheck="false" autocapitalize="off"; small { "As AWS told it with the keys: a time, or how long from now. It is shown here from then on." } }
            label { "Or a profile of this machine" input name="profile" maxlength="128" placeholder="work" spellcheck="false" autocapitalize="off"; small { "Of " code { "~/.aws/credentials" } " and " code { "~/.aws/config" } "; the fields above stay empty then." } }
            label { "Region" input name="region" maxlength="64" value=[region] placeholder="us-east-1" spellcheck="false" autocapitalize="off"; }
            label class="check" { input type="checkbox" name="anyway" value="yes"; "Save them even if AWS refuses them" }
            button { "Test the connection and save" }
        }
    }
}

fn tried_part(tried: &Tried, says: &str) -> Markup {
    html! {
        div class=(if tried.ok { "done" } else { "trouble" }) role=(if tried.ok { "status" } else { "alert" }) {
            p { (says) }
            @for (what, says) in &tried.found { p { b { (what) } ": " (says) } }
            @for hint in &tried.hints { p { (hint) } }
        }
    }
}

/// Tries one, and shows what came of it.
pub(crate) async fn test(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let tried = providers::test(&desk, &identity, &name).await?;
    let says = if tried.ok {
        "It works."
    } else {
        "It does not work."
    };
    shown(&desk, &identity, &tried_part(&tried, says)).await
}

/// Tries credentials of AWS, and saves them if they work.
pub(crate) async fn set_aws(
    State(desk): State<Handle>,
    identity: Identity,
    mut form: Form,
) -> Result<Response, DeskError> {
    let region = form.text("region").map(str::parse::<Region>).transpose();
    let region = region.map_err(|error| DeskError::unfit(error.to_string()))?;
    let anyway = form.text("anyway").is_some();
    let profile = form.text("profile").map(str::to_owned);
    let expires = form.text("expires").map(str::to_owned);
    let (credentials, region) = match profile {
        Some(profile) => {
            let imported = providers::of_profile(&desk, &profile).await?;
            (imported.credentials, region.or(imported.region))
        }
        None => {
            let mut part = |name, what: &str| {
                let value = form.secret(name).filter(|value| !value.is_empty());
                value.ok_or_else(|| DeskError::unfit(format!("{what} is missing")))
            };
            let id = part("id", "the access key id")?;
            let key = part("key", "the secret access key")?;
            let token = part("token", "the session token").ok();
            let credentials = AwsCredentials::new(id, key, token, None);
            let credentials = credentials.map_err(|error| DeskError::unfit(error.to_string()))?;
            (credentials, region)
        }
    };
    let credentials = providers::ending(credentials, expires.as_deref())?;
    let set = providers::set_aws(&desk, &identity, credentials, region, anyway).await?;
    let (tried, saved) = set;
    let (status, says) = match (tried.ok, saved) {
        (true, _) => (StatusCode::OK, "The credentials work, and are saved."),
        (false, true) => (
            StatusCode::OK,
            "The credentials do not work, and are saved all the same.",
        ),
        (false, false) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "Nothing was saved: the credentials do not work.",
        ),
    };
    let page = shown(&desk, &identity, &tried_part(&tried, says)).await?;
    Ok((status, page).into_response())
}

/// Removes the credentials of AWS.
pub(crate) async fn remove_aws(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    providers::remove_aws(&desk, &identity).await?;
    Ok(Redirect::to("/providers"))
}
