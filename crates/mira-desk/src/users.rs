//! Users: added, given another role or password, kept out, removed; as the pages and the API do it alike.
//!
//! INVARIANT: a password is hashed here and dropped; every change is a row of the audit, whatever came of it.

use axum::http::StatusCode;
use jiff::Timestamp;
use mira_secret::SecretBytes;
use mira_store::{AuditAction, NewUser, PasswordHash, Role, User, UserId, UserName, Who};

use crate::Desk;
use crate::access::Identity;
use crate::access::password::hash_password;
use crate::custody::blocking;
use crate::error::DeskError;

/// Somebody who is to be added.
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) role: &'a str,
    pub(crate) password: SecretBytes,
}

/// Adds a user.
pub(crate) async fn add(
    desk: &Desk,
    identity: &Identity,
    wanted: Wanted<'_>,
) -> Result<User, DeskError> {
    let name: UserName = wanted
        .name
        .parse()
        .map_err(|error: mira_store::UserNameError| DeskError::unfit(error.to_string()))?;
    let role = parse_role(wanted.role)?;
    let password = hashed(&name, wanted.password).await?;
    let new = NewUser {
        name: name.clone(),
        role,
        password: Some(password),
    };
    let added = desk.shared.create_user(&new, Timestamp::now()).await;
    desk.told(identity, AuditAction::UserCreate, name.as_str(), added)
        .await
}

/// Gives a user another role, which ends all sessions of the user's.
pub(crate) async fn set_role(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    role: &str,
) -> Result<(), DeskError> {
    let user = find(desk, id).await?;
    let role = parse_role(role)?;
    let changed = desk.shared.set_role(&user.id, role, Timestamp::now()).await;
    let subject = format!("{} {role}", user.name);
    desk.told(identity, AuditAction::UserRole, &subject, changed)
        .await?;
    Ok(())
}

/// Gives a user another password, which ends all sessions of the user's.
pub(crate) async fn set_password(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    password: SecretBytes,
) -> Result<(), DeskError> {
    let user = find(desk, id).await?;
    let password = hashed(&user.name, password).await?;
    let changed = desk
        .shared
        .set_password(&user.id, Some(&password), Timestamp::now())
        .await;
    desk.told(
        identity,
        AuditAction::UserPassword,
        user.name.as_str(),
        changed,
    )
    .await?;
    Ok(())
}

/// Keeps a user out, or lets the user in again.
pub(crate) async fn set_disabled(
    desk: &Desk,
    identity: &Identity,
    id: &str,
    disabled: bool,
) -> Result<(), DeskError> {
    let user = find(desk, id).await?;
    let changed = desk
        .shared
        .set_disabled(&user.id, disabled, Timestamp::now())
        .await;
    let subject = format!("{} {}", user.name, if disabled { "out" } else { "in" });
    desk.told(identity, AuditAction::UserDisable, &subject, changed)
        .await?;
    Ok(())
}

/// Removes a user, with sessions and API tokens.
pub(crate) async fn remove(desk: &Desk, identity: &Identity, id: &str) -> Result<(), DeskError> {
    let user = find(desk, id).await?;
    if matches!(&identity.who, Who::User(own) if own.id == user.id) {
        let told = DeskError::new(StatusCode::CONFLICT, "nobody removes themselves");
        return Err(told.hint("Another admin can."));
    }
    let removed = desk.shared.remove_user(&user.id).await;
    desk.told(
        identity,
        AuditAction::UserRemove,
        user.name.as_str(),
        removed,
    )
    .await?;
    Ok(())
}

async fn find(desk: &Desk, id: &str) -> Result<User, DeskError> {
    let id: UserId = id.parse().map_err(|_| DeskError::not_found("such user"))?;
    let user = desk.shared.user(&id).await?;
    user.ok_or_else(|| DeskError::not_found("such user"))
}

fn parse_role(role: &str) -> Result<Role, DeskError> {
    role.parse()
        .map_err(|_| DeskError::unfit("there is no such role: viewer, operator or admin"))
}

/// Hashes a password, if it is good enough for this user.
pub(crate) async fn hashed(
    name: &UserName,
    password: SecretBytes,
) -> Result<PasswordHash, DeskError> {
    let name = name.clone();
    blocking(move || {
        hash_password(&name, &password).map_err(|error| DeskError::unfit(error.to_string()))
    })
    .await
}
