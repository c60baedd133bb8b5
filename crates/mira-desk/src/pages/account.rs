//! One's own password, sessions and API tokens.

use axum::extract::{Path, State};
use axum::response::Redirect;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use mira_store::{
    ApiTokenId, AuditAction, LoginAttempt, NewApiToken, Outcome, SessionId, TokenScope, User, Who,
};

use super::{Page, badge, page, table, time, users, when};
use crate::access::{Identity, password};
use crate::custody::blocking;
use crate::error::DeskError;
use crate::form::Form;
use crate::guard::Origin;
use crate::users::hashed;
use crate::{Desk, Handle};

/// How long tokens can be made to last, in days.
const DAYS: [i64; 4] = [7, 30, 90, 365];

/// Shows them.
pub(crate) async fn show(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let sessions = match &identity.who {
        Who::LocalOwner => desk.shared.sessions_of(None, Timestamp::now()).await?,
        Who::User(user) => {
            desk.shared
                .sessions_of(Some(&user.id), Timestamp::now())
                .await?
        }
    };
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
            Who::User(user) => (of_user(&desk, user, identity.role.scope()).await?),
        }
    };
    Ok(page(&identity, "/account", "Account", &body))
}

async fn of_user(desk: &Desk, user: &User, most: TokenScope) -> Result<Markup, DeskError> {
    let tokens = desk.shared.api_tokens(Some(&user.id)).await?;
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

fn user(identity: &Identity) -> Result<&User, DeskError> {
    match &identity.who {
        Who::User(user) => Ok(user),
        Who::LocalOwner => Err(DeskError::unfit(
            "this takes a user, and you came in by a link from this machine",
        )
        .hint("Add a user, and sign in by name.")),
    }
}

/// Changes the password, if the present one is right.
pub(crate) async fn set_password(
    State(desk): State<Handle>,
    identity: Identity,
    origin: Origin,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let user = user(&identity)?;
    let present = form
        .secret("present")
        .ok_or_else(|| DeskError::unfit("the present password is missing"))?;
    let now = Timestamp::now();
    if let LoginAttempt::Wait { until } = desk
        .shared
        .attempt_login(user.name.as_str(), origin.address, now)
        .await?
    {
        return Err(DeskError::new(
            axum::http::StatusCode::TOO_MANY_REQUESTS,
            format!(
                "too many tries; the next one is looked at after {}",
                when(until)
            ),
        ));
    }
    let hash = desk
        .shared
        .login(&user.name)
        .await?
        .and_then(|login| login.password);
    if !blocking(move || Ok(password::is_right(&present, hash.as_ref()))).await? {
        desk.record(
            &identity,
            AuditAction::UserPassword,
            user.name.as_str(),
            Outcome::Denied,
        )
        .await?;
        return Err(DeskError::new(
            axum::http::StatusCode::FORBIDDEN,
            "the present password is wrong",
        ));
    }
    desk.shared
        .login_succeeded(user.name.as_str(), origin.address, now)
        .await?;
    let hash = hashed(&user.name, users::password(&mut form)?).await?;
    desk.shared.set_password(&user.id, Some(&hash), now).await?;
    desk.record(
        &identity,
        AuditAction::UserPassword,
        user.name.as_str(),
        Outcome::Ok,
    )
    .await?;
    Ok(Redirect::to("/login"))
}

/// Ends one of one's own sessions.
pub(crate) async fn end_session(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    let id: SessionId = id
        .parse()
        .map_err(|_| DeskError::not_found("such session"))?;
    let now = Timestamp::now();
    let own = match &identity.who {
        Who::LocalOwner => desk.shared.sessions_of(None, now).await?,
        Who::User(user) => desk.shared.sessions_of(Some(&user.id), now).await?,
    };
    if !own.iter().any(|session| session.id == id) {
        return Err(DeskError::not_found("such session"));
    }
    desk.shared.revoke_session(&id).await?;
    desk.record(
        &identity,
        AuditAction::SessionLogout,
        identity.name(),
        Outcome::Ok,
    )
    .await?;
    Ok(Redirect::to("/account"))
}

/// Makes an API token, and shows it this once.
pub(crate) async fn make_token(
    State(desk): State<Handle>,
    identity: Identity,
    form: Form,
) -> Result<Page, DeskError> {
    let user = user(&identity)?;
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
    let user = user(&identity)?;
    let id: ApiTokenId = id.parse().map_err(|_| DeskError::not_found("such token"))?;
    let own = desk.shared.api_tokens(Some(&user.id)).await?;
    if !own.iter().any(|token| token.id == id) {
        return Err(DeskError::not_found("such token"));
    }
    if let Some(revoked) = desk.shared.revoke_api_token(&id).await? {
        desk.record(
            &identity,
            AuditAction::TokenRevoke,
            &revoked.name,
            Outcome::Ok,
        )
        .await?;
    }
    Ok(Redirect::to("/account"))
}
