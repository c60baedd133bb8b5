//! Who asks, and what they may: sessions by cookie, API tokens by bearer, roles.

pub(crate) mod login;
pub(crate) mod oidc;
pub(crate) mod password;

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use mira_store::{
    Actor, ApiToken, AuditAction, AuditEntry, Outcome, Role, Session, SessionId, SessionToken, Who,
};
use tokio::sync::Semaphore;

use crate::Desk;
use crate::error::DeskError;
use crate::guard::{self, Origin};
use crate::observe::Asked;
use crate::pages::{is_api, way_back};

/// How many passwords are checked at once.
// LIMIT: each takes 19 MiB and a core for some tens of milliseconds.
const CHECKS_MAX: usize = 2;

/// The cookie of a session. The prefix ties it to this host and to a secure origin (RFC 6265bis, section 4.1.3.2).
pub(crate) const COOKIE: &str = "__Host-mira";

/// What signing in shares between requests.
#[derive(Debug)]
pub(crate) struct Logins {
    checks: Semaphore,
}

impl Logins {
    pub(crate) fn new() -> Self {
        Self {
            checks: Semaphore::new(CHECKS_MAX),
        }
    }
}

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: anybody may ask.
    Nothing,
    /// Somebody of at least this role.
    Role(Role),
}

/// Somebody who is known: signed in, or with a token.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) who: Who,
    /// What they may: of a token, no more than it was made for.
    pub(crate) role: Role,
    /// The session, where it is no token.
    pub(crate) session: Option<Session>,
    pub(crate) address: IpAddr,
}

impl Identity {
    /// Returns the name that is shown.
    pub(crate) fn name(&self) -> &str {
        match &self.who {
            Who::LocalOwner => "you, on this machine",
            Who::User(user) => user.name.as_str(),
        }
    }

    pub(crate) fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    pub(crate) fn session_id(&self) -> Option<&SessionId> {
        self.session.as_ref().map(|session| &session.id)
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Put there by `check`, which every route has.
        let identity = parts.extensions.get::<Self>().cloned();
        identity.ok_or_else(|| StatusCode::UNAUTHORIZED.into_response())
    }
}

impl Desk {
    /// Writes down that somebody did something, or was kept from it.
    pub(crate) async fn record(
        &self,
        identity: &Identity,
        action: AuditAction,
        subject: &str,
        outcome: Outcome,
    ) -> Result<(), DeskError> {
        let entry = AuditEntry {
            actor: Actor::of(&identity.who),
            address: Some(identity.address),
            action,
            subject,
            outcome,
        };
        tracing::info!(
            target: "mira::audit",
            action = action.as_str(),
            subject,
            outcome = outcome.as_str(),
            who = Asked::by(&identity.who).as_str(),
        );
        Ok(self.shared.record(&entry, Timestamp::now()).await?)
    }

    /// Writes down what came of something that somebody did, and returns it.
    pub(crate) async fn told<T, E: Into<DeskError>>(
        &self,
        identity: &Identity,
        action: AuditAction,
        subject: &str,
        done: Result<T, E>,
    ) -> Result<T, DeskError> {
        let outcome = match done {
            Ok(_) => Outcome::Ok,
            Err(_) => Outcome::Failed,
        };
        self.record(identity, action, subject, outcome).await?;
        done.map_err(Into::into)
    }
}

/// Lets a request through to its handler if whoever asks may have what the route needs.
pub(crate) async fn check(
    State((desk, needs)): State<(Arc<Desk>, Needs)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let identity = match identify(&desk, &parts).await {
        Ok(identity) => identity,
        Err(error) => return error.into_response(),
    };
    if let Needs::Role(role) = needs {
        match &identity {
            None => return sign_in_first(&parts),
            Some(identity) if !identity.may(role) => {
                let error = DeskError::new(
                    StatusCode::FORBIDDEN,
                    format!("this takes the role {role}, and you are {}", identity.role),
                );
                let mut response = error.into_response();
                response.extensions_mut().insert(Asked::by(&identity.who));
                return response;
            }
            Some(_) => {}
        }
    }
    let asked = identity.as_ref().map(|identity| Asked::by(&identity.who));
    if let Some(identity) = identity {
        parts.extensions.insert(identity);
    }
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if let Some(asked) = asked {
        response.extensions_mut().insert(asked);
    }
    response
}

/// Answers somebody unknown: a page leads to where one signs in, and then back. What a page's script asks is told to it, so that
/// nothing that was typed is lost.
fn sign_in_first(request: &Parts) -> Response {
    let path = request.uri.path();
    if guard::is_by_script(&request.headers) {
        let error = DeskError::new(StatusCode::UNAUTHORIZED, "you are signed in no more");
        return error.into_response();
    }
    if is_api(path) {
        let error = DeskError::new(
            StatusCode::UNAUTHORIZED,
            "sign in, or send a token: Authorization: Bearer mira_…",
        );
        let mut response = error.into_response();
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            header::HeaderValue::from_static("Bearer"),
        );
        return response;
    }
    let next = match request.method {
        Method::GET => path.to_owned(),
        _ => way_back(path),
    };
    let to = match next.as_str() {
        "/" => "/login".to_owned(),
        next => format!(
            "/login?{}",
            form_urlencoded::Serializer::new(String::new())
                .append_pair("next", next)
                .finish()
        ),
    };
    Redirect::to(&to).into_response()
}

/// Finds out who asks. A token or cookie that is none, or is not valid any more, is nobody's.
async fn identify(desk: &Desk, request: &Parts) -> Result<Option<Identity>, DeskError> {
    let now = Timestamp::now();
    let Some(address) = request
        .extensions
        .get::<Origin>()
        .map(|origin| origin.address)
    else {
        return Ok(None);
    };
    if let Some(token) = bearer(&request.headers) {
        let Ok(token) = ApiToken::parse(token) else {
            return Ok(None);
        };
        let found = desk.shared.find_api_token(&token, now).await?;
        return Ok(found.map(|bearer| Identity {
            role: Role::ALL
                .iter()
                .copied()
                .filter(|role| role.scope() <= bearer.scope)
                .max()
                .unwrap_or(Role::Viewer),
            who: Who::User(bearer.user),
            session: None,
            address,
        }));
    }
    let Some(token) = session_token(&request.headers) else {
        return Ok(None);
    };
    let found = desk.shared.find_session(&token, now).await?;
    Ok(found.map(|signed_in| Identity {
        role: match &signed_in.who {
            Who::LocalOwner => Role::Admin,
            Who::User(user) => user.role,
        },
        who: signed_in.who,
        session: Some(signed_in.session),
        address,
    }))
}

/// Returns the token of an `Authorization: Bearer` header (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then_some(token.trim_ascii())
}

fn session_token(headers: &HeaderMap) -> Option<SessionToken> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(cookie::Cookie::split_parse).flatten();
    let cookie = cookies.find(|cookie| cookie.name() == COOKIE)?;
    SessionToken::parse(cookie.value().as_bytes()).ok()
}

/// Returns whether a request acts by a credential that a browser adds by itself.
pub(crate) fn is_by_token(headers: &HeaderMap) -> bool {
    bearer(headers).is_some()
}
