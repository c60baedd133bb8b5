//! One's own password, sessions and API tokens; as the pages and the API do it alike.
//!
//! INVARIANT: who asks gets at what is theirs alone: whatever else an id is of, it is of nobody here.

use axum::http::StatusCode;
use jiff::Timestamp;
use mira_secret::SecretBytes;
use mira_store::{
    ApiTokenEntry, ApiTokenId, AuditAction, LoginAttempt, Outcome, Session, SessionId, User, Who,
};

use crate::Desk;
use crate::access::{Identity, password};
use crate::custody::blocking;
use crate::error::DeskError;
use crate::guard::Origin;
use crate::pages::when;
use crate::users::hashed;

/// Returns the user who asks: whoever came in by a link from this machine is none.
pub(crate) fn user(identity: &Identity) -> Result<&User, DeskError> {
    match &identity.who {
        Who::User(user) => Ok(user),
        Who::LocalOwner => Err(DeskError::unfit(
            "this takes a user, and you came in by a link from this machine",
        )
        .hint("Add a user, and sign in by name.")),
    }
}

/// Returns one's own sessions.
pub(crate) async fn sessions(desk: &Desk, identity: &Identity) -> Result<Vec<Session>, DeskError> {
    let of = match &identity.who {
        Who::LocalOwner => None,
        Who::User(user) => Some(&user.id),
    };
    Ok(desk.shared.sessions_of(of, Timestamp::now()).await?)
}

/// Ends one of one's own sessions.
pub(crate) async fn end_session(
    desk: &Desk,
    identity: &Identity,
    id: &str,
) -> Result<(), DeskError> {
    let none = || DeskError::not_found("such session");
    let id: SessionId = id.parse().map_err(|_| none())?;
    let own = sessions(desk, identity).await?;
    if !own.iter().any(|session| session.id == id) {
        return Err(none());
    }
    desk.shared.revoke_session(&id).await?;
    let (action, name) = (AuditAction::SessionLogout, identity.name());
    desk.record(identity, action, name, Outcome::Ok).await?;
    Ok(())
}

/// Returns one's own API tokens, without what is secret of them.
pub(crate) async fn tokens(
    desk: &Desk,
    identity: &Identity,
) -> Result<Vec<ApiTokenEntry>, DeskError> {
    let user = user(identity)?;
    Ok(desk.shared.api_tokens(Some(&user.id)).await?)
}

/// Revokes one of one's own API tokens.
pub(crate) async fn revoke_token(
    desk: &Desk,
    identity: &Identity,
    id: &str,
) -> Result<(), DeskError> {
    let none = || DeskError::not_found("such token");
    let own = tokens(desk, identity).await?;
    let id: ApiTokenId = id.parse().map_err(|_| none())?;
    if !own.iter().any(|token| token.id == id) {
        return Err(none());
    }
    if let Some(revoked) = desk.shared.revoke_api_token(&id).await? {
        let (action, name) = (AuditAction::TokenRevoke, &revoked.name);
        desk.record(identity, action, name, Outcome::Ok).await?;
    }
    Ok(())
}

/// Changes one's own password, if the present one is right, which ends all one's sessions. Wrong ones count as they do where one signs in.
pub(crate) async fn set_password(
    desk: &Desk,
    identity: &Identity,
    origin: &Origin,
    (present, new): (SecretBytes, SecretBytes),
) -> Result<(), DeskError> {
    let user = user(identity)?;
    let (name, now) = (user.name.as_str(), Timestamp::now());
    let attempt = desk.shared.attempt_login(name, origin.address, now).await?;
    if let LoginAttempt::Wait { until } = attempt {
        let told = format!(
            "too many tries; the next one is looked at after {}",
            when(until)
        );
        return Err(DeskError::new(StatusCode::TOO_MANY_REQUESTS, told));
    }
    let login = desk.shared.login(&user.name).await?;
    let hash = login.and_then(|login| login.password);
    let action = AuditAction::UserPassword;
    if !blocking(move || Ok(password::is_right(&present, hash.as_ref()))).await? {
        desk.record(identity, action, name, Outcome::Denied).await?;
        return Err(DeskError::new(
            StatusCode::FORBIDDEN,
            "the present password is wrong",
        ));
    }
    desk.shared
        .login_succeeded(name, origin.address, now)
        .await?;
    let hash = hashed(&user.name, new).await?;
    let changed = desk.shared.set_password(&user.id, Some(&hash), now).await;
    desk.told(identity, action, name, changed).await?;
    Ok(())
}
