//! Signing in and out: by password, and by a link that works once.

use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use cookie::{Cookie, SameSite};
use jiff::{SignedDuration, Timestamp};
use mira_store::{
    Actor, AuditAction, AuditEntry, LinkPurpose, LinkToken, LoginAttempt, NewSession, Outcome,
    SessionKind, SessionOf, SessionToken, User, UserName,
};
use serde::Deserialize;

use super::{COOKIE, Identity, password};
use crate::custody::blocking;
use crate::error::DeskError;
use crate::form::Form;
use crate::guard::Origin;
use crate::pages::{login_page, when};
use crate::{Desk, Handle};

/// How long a session lasts without a request.
const IDLE: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a session lasts at most.
const AT_MOST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What is written down of a name that nobody has.
const UNKNOWN_NAME: &str = "unknown name";

/// Where somebody wanted to go.
#[derive(Debug, Deserialize)]
pub(crate) struct Next {
    next: Option<String>,
}

impl Next {
    pub(super) fn to(path: String) -> Self {
        Self { next: Some(path) }
    }

    /// Returns a path of this desk; another host's is none.
    pub(super) fn path(&self) -> &str {
        let path = self.next.as_deref().unwrap_or("/");
        let elsewhere =
            !path.starts_with('/') || path.starts_with("//") || path.contains(['\\', '\r', '\n']);
        if elsewhere { "/" } else { path }
    }
}

/// Shows where one signs in.
pub(crate) async fn show(
    State(desk): State<Handle>,
    Query(next): Query<Next>,
    identity: Option<Extension<Identity>>,
) -> Result<Response, DeskError> {
    if identity.is_some() {
        return Ok(Redirect::to(next.path()).into_response());
    }
    let has_users = !desk.shared.users().await?.is_empty();
    Ok(login_page(&desk, next.path(), None, has_users).into_response())
}

/// Signs in by name and password.
pub(crate) async fn by_password(
    State(desk): State<Handle>,
    origin: Origin,
    headers: HeaderMap,
    mut form: Form,
) -> Result<Response, DeskError> {
    let next = Next {
        next: form.text("next").map(str::to_owned),
    };
    let name = form.text("name").unwrap_or_default().to_owned();
    let password = form
        .secret("password")
        .unwrap_or_else(|| mira_secret::SecretBytes::copy_from(b""));
    let now = Timestamp::now();
    let attempt = desk
        .shared
        .attempt_login(&name, origin.address, now)
        .await?;
    let login = match name.parse::<UserName>() {
        Ok(name) => desk.shared.login(&name).await?,
        Err(_) => None,
    };
    // People type passwords into the wrong field: what is nobody's name is written down nowhere.
    let known = login.as_ref().map(|login| login.user.name.to_string());
    let whom = known.as_deref().unwrap_or(UNKNOWN_NAME);
    if let LoginAttempt::Wait { until } = attempt {
        not_let_in(&desk, &origin, whom).await?;
        let message = format!(
            "too many tries; the next one is looked at after {}",
            when(until)
        );
        let page = login_page(&desk, next.path(), Some(&message), true);
        return Ok((StatusCode::TOO_MANY_REQUESTS, page).into_response());
    }
    let (user, hash) = match login {
        Some(login) => (Some(login.user), login.password),
        None => (None, None),
    };
    let right = {
        let _turn = desk.logins.checks.acquire().await;
        blocking(move || Ok(password::is_right(&password, hash.as_ref()))).await?
    };
    match user {
        Some(user) if right && !user.disabled => {
            desk.shared
                .login_succeeded(&name, origin.address, now)
                .await?;
            let of = SessionOf::User(&user);
            begin(
                &desk,
                of,
                SessionKind::Password,
                &origin,
                &headers,
                next.path(),
            )
            .await
        }
        _ => {
            not_let_in(&desk, &origin, whom).await?;
            let page = login_page(&desk, next.path(), Some("name or password is wrong"), true);
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
    }
}

/// Signs in by a link that works once.
pub(crate) async fn by_link(
    State(desk): State<Handle>,
    origin: Origin,
    headers: HeaderMap,
    Path(token): Path<String>,
) -> Result<Response, DeskError> {
    let used = match LinkToken::parse(token.as_bytes()) {
        Ok(token) => desk.shared.use_link(&token, Timestamp::now()).await?,
        Err(_) => None,
    };
    match used {
        Some(purpose) => {
            let next = match purpose {
                LinkPurpose::LocalOwner => "/",
                LinkPurpose::FirstAdmin => "/users",
            };
            let of = SessionOf::LocalOwner;
            begin(&desk, of, SessionKind::OneTimeLink, &origin, &headers, next).await
        }
        None => {
            not_let_in(&desk, &origin, "link").await?;
            Err(DeskError::new(
                StatusCode::GONE,
                "this link was used already, or is too old",
            )
            .hint("`mira desk` on the machine of this server makes another."))
        }
    }
}

/// Signs out.
pub(crate) async fn out(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Response, DeskError> {
    if let Some(session) = identity.session_id() {
        desk.shared.revoke_session(session).await?;
        desk.record(
            &identity,
            AuditAction::SessionLogout,
            identity.name(),
            Outcome::Ok,
        )
        .await?;
    }
    let mut response = Redirect::to("/login").into_response();
    set_cookie(
        &mut response,
        &cookie("", Some(cookie::time::Duration::ZERO)),
    );
    Ok(response)
}

/// Makes a session and hands its token to the browser.
pub(super) async fn begin(
    desk: &Desk,
    of: SessionOf<'_>,
    kind: SessionKind,
    origin: &Origin,
    headers: &HeaderMap,
    next: &str,
) -> Result<Response, DeskError> {
    let now = Timestamp::now();
    let user: Option<&User> = match &of {
        SessionOf::User(user) => Some(user),
        SessionOf::LocalOwner => None,
    };
    let actor = match user {
        Some(user) => Actor::User {
            id: &user.id,
            name: &user.name,
        },
        None => Actor::LocalOwner,
    };
    let subject = user.map_or("the local owner", |user| user.name.as_str());
    let new = NewSession {
        of,
        kind,
        idle: IDLE,
        expires: now.saturating_add(AT_MOST).unwrap_or(Timestamp::MAX),
        address: Some(origin.address),
        user_agent: headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default(),
    };
    let (token, _) = desk.shared.create_session(&new, now).await?;
    audit(
        desk,
        actor,
        origin,
        AuditAction::SessionLogin,
        subject,
        Outcome::Ok,
    )
    .await?;
    let mut response = Redirect::to(next).into_response();
    set_session(&mut response, &token);
    Ok(response)
}

/// Writes down that somebody was not let in.
pub(super) async fn not_let_in(
    desk: &Desk,
    origin: &Origin,
    as_whom: &str,
) -> Result<(), DeskError> {
    desk.metrics.logins_failed.inc();
    let action = AuditAction::SessionLoginFailed;
    audit(
        desk,
        Actor::Nobody,
        origin,
        action,
        as_whom,
        Outcome::Denied,
    )
    .await
}

async fn audit(
    desk: &Desk,
    actor: Actor<'_>,
    origin: &Origin,
    action: AuditAction,
    subject: &str,
    outcome: Outcome,
) -> Result<(), DeskError> {
    let entry = AuditEntry {
        actor,
        address: Some(origin.address),
        action,
        subject,
        outcome,
    };
    // Without the subject: what was typed as a name may be a password.
    tracing::info!(
        target: "mira::audit",
        action = action.as_str(),
        outcome = outcome.as_str(),
    );
    Ok(desk.shared.record(&entry, Timestamp::now()).await?)
}

fn set_session(response: &mut Response, token: &SessionToken) {
    // EXPOSE: to the browser that signed in, which sends it back with each request.
    set_cookie(response, &cookie(token.expose(), None));
}

fn cookie(value: &str, age: Option<cookie::time::Duration>) -> Cookie<'_> {
    let mut cookie = Cookie::build((COOKIE, value))
        .path("/")
        .secure(true)
        .http_only(true)
        .same_site(SameSite::Lax)
        .build();
    cookie.set_max_age(age);
    cookie
}

pub(super) fn set_cookie(response: &mut Response, cookie: &Cookie<'_>) {
    if let Ok(mut value) = HeaderValue::from_str(&cookie.to_string()) {
        value.set_sensitive(true);
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_host() {
        let check = |next: Option<&str>, expect: &str| {
            let next = Next {
                next: next.map(str::to_owned),
            };
            assert_eq!(next.path(), expect);
        };
        check(None, "/");
        check(Some("/users"), "/users");
        check(Some("//evil.example"), "/");
        check(Some("/\\evil.example"), "/");
        check(Some("https://evil.example"), "/");
        check(Some("/a\r\nSet-Cookie: b"), "/");
    }
}
