//! One's own password, sessions and API tokens.

use axum::extract::{Path, State};
use axum::response::Redirect;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use mira_store::{AuditAction, NewApiToken, Outcome, TokenScope, Who};

use super::{Page, badge, page, table, time, users};
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::guard::Origin;
use crate::{Desk, Handle, account};

/// How long tokens can be made to last, in days.
const DAYS: [i64; 4] = [7, 30, 90, 365];

/// Shows them.
pub(crate) async fn show(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let sessions = account::sessions(&desk, &identity).await?;
    let body = html! {
        h1 { "Account" }
        p { (identity.name()) ", " (identity.role) }
        h2 { "Sessions" }
        (table("Sessions", &["Began", "Last seen", "From", "By", "Browser", "End"], &html! {
            @for session in &sessions {
                tr {
                    td { (time(session.created)) }
                    td { (time(session.last_seen)) }
                    td { (session.address.as_deref().unwrap_or("-")) }
                    td { (session.kind) }
                    td { (session.user_agent) }
                    td {
                        @if identity.session_id() == Some(&session.id) { (badge("this one")) } @else {
                            form method="post" action={ "/account/sessions/" (session.id) "/end" } class="inline" { button class="quiet" { "End" } }
                        }
                    }
                }
            }
        }))
        @match &identity.who {
            Who::LocalOwner => p class="hint" { "You came in by a link from this machine: there is no password to change, and no token to make. " a href="/users" { "Add a user" } " for that." },
            Who::User(_) => (of_user(&desk, &identity).await?),
        }
    };
    Ok(page(&identity, "/account", "Account", &body))
}

async fn of_user(desk: &Desk, identity: &Identity) -> Result<Markup, DeskError> {
    let tokens = account::tokens(desk, identity).await?;
    let most = identity.role.scope();
    Ok(html! {
        h2 { "API tokens" }
        @if !tokens.is_empty() {
            (table("API tokens", &["Name", "May", "Made", "Last used", "Ends", "Revoke"], &html! {
                @for token in &tokens {
                    tr {
                        th scope="row" { (token.name) }
                        td { (token.scope) }
                        td { (time(token.created)) }
                        td { @match token.last_used { Some(used) => (time(used)), None => "never" } }
                        td { @match token.expires { Some(expires) => (time(expires)), None => "never" } }
                        td { form method="post" action={ "/account/tokens/" (token.id) "/revoke" } class="inline" { button class="quiet" { "Revoke" } } }
                    }
                }
            }))
        }
        form method="post" action="/account/tokens" autocomplete="off" {
            label { "Name" input name="name" required maxlength="64" placeholder="what it is for"; }
            label { "May" select name="scope" { @for scope in TokenScope::ALL.iter().filter(|scope| **scope <= most) { option value=(scope) { (scope) } } } }
            label { "Ends" select name="days" { @for days in DAYS { option value=(days) selected[days == 90] { "in " (days) " days" } } } }
            button { "Make a token" }
        }
        h2 { "Password" }
        form method="post" action="/account/password" {
            label { "Present password" input type="password" name="present" required maxlength="1024" autocomplete="current-password"; }
            label { "New password" input type="password" name="password" required minlength="12" maxlength="1024" autocomplete="new-password"; small { "At least 12 characters. All your sessions end, this one too." } }
            button { "Change" }
        }
    })
}

/// Changes the password, if the present one is right.
pub(crate) async fn set_password(
    State(desk): State<Handle>,
    identity: Identity,
    origin: Origin,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    account::user(&identity)?;
    let present = form
        .secret("present")
        .ok_or_else(|| DeskError::unfit("the present password is missing"))?;
    let passwords = (present, users::password(&mut form)?);
    account::set_password(&desk, &identity, &origin, passwords).await?;
    Ok(Redirect::to("/login"))
}

/// Ends one of one's own sessions.
pub(crate) async fn end_session(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    account::end_session(&desk, &identity, &id).await?;
    Ok(Redirect::to("/account"))
}

/// Makes an API token, and shows it this once.
pub(crate) async fn make_token(
    State(desk): State<Handle>,
    identity: Identity,
    form: Form,
) -> Result<Page, DeskError> {
    let user = account::user(&identity)?;
    let now = Timestamp::now();
    let scope: TokenScope = form
        .required("scope", "what it may")?
        .parse()
        .map_err(|_| DeskError::unfit("there is no such scope"))?;
    let days = form
        .text("days")
        .and_then(|days| days.parse().ok())
        .filter(|days| DAYS.contains(days));
    let days: i64 = days.ok_or_else(|| DeskError::unfit("when it ends is missing"))?;
    let new = NewApiToken {
        user: &user.id,
        name: form.required("name", "the name")?,
        scope,
        expires: now
            .saturating_add(SignedDuration::from_hours(24 * days))
            .ok(),
    };
    let (token, entry) = desk.shared.create_api_token(&new, now).await?;
    desk.record(
        &identity,
        AuditAction::TokenCreate,
        &entry.name,
        Outcome::Ok,
    )
    .await?;
    let body = html! {
        h1 { "Your token" }
        // EXPOSE: to the person who made it, this once; only its hash is kept.
        p { output class="token" { (token.expose()) } }
        p { "Copy it now: it is not shown again. It may " (entry.scope) ", as you, and is sent as " code { "Authorization: Bearer …" } "." }
        p { a href="/account" { "Done" } }
    };
    Ok(page(&identity, "/account", "Your token", &body))
}

/// Revokes one of one's own tokens.
pub(crate) async fn revoke_token(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    account::revoke_token(&desk, &identity, &id).await?;
    Ok(Redirect::to("/account"))
}
