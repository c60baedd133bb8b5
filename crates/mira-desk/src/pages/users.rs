//! Who may sign in, and what they may.

use axum::extract::{Path, State};
use axum::response::Redirect;
use jiff::Timestamp;
use maud::html;
use mira_store::{AuditAction, NewUser, Role, User, UserId, UserName, Who};

use super::{Page, badge, page, table, time};
use crate::access::Identity;
use crate::access::password::hash_password;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::form::Form;
use crate::{Desk, Handle};

/// What each role may, for people.
const ROLES: [(Role, &str); 3] = [
    (
        Role::Viewer,
        "sees names, states, logs and the network record",
    ),
    (
        Role::Operator,
        "also saves and removes secrets, starts and stops apps, decides about hosts",
    ),
    (
        Role::Admin,
        "also manages users, reads the audit, unlocks the vault",
    ),
];

/// Shows all.
pub(crate) async fn list(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let users = desk.shared.users().await?;
    let body = html! {
        h1 { "Users" }
        @if users.is_empty() {
            p class="empty" { "Nobody can sign in by name yet. The first one is best an admin." }
        } @else {
            (table("Users", &["Name", "Role", "Added", "Password", "Remove"], &html! {
                @for user in &users {
                    @let here = format!("/users/{}", user.id);
                    tr {
                        th scope="row" { (user.name) @if user.disabled { " " (badge("disabled")) } }
                        td {
                            form method="post" action={ (here) "/role" } class="inline" {
                                select name="role" aria-label={ "Role of " (user.name) } { @for role in Role::ALL { option value=(role) selected[*role == user.role] { (role) } } }
                                button class="quiet" { "Change" }
                            }
                        }
                        td { (time(user.created)) }
                        td {
                            details {
                                summary { @if user.has_password { "Change" } @else { "Give one" } }
                                form method="post" action={ (here) "/password" } autocomplete="off" {
                                    label { "New password of " (user.name) input type="password" name="password" required minlength="12" maxlength="1024" autocomplete="new-password"; }
                                    button { "Save" }
                                }
                            }
                        }
                        td {
                            form method="post" action={ (here) "/disabled" } class="inline" { button class="quiet" name="disabled" value=(!user.disabled) { @if user.disabled { "Let in" } @else { "Keep out" } } }
                            form method="post" action={ (here) "/remove" } class="inline" hx-boost="true" hx-confirm={ "Remove " (user.name) "?" } { button class="danger" { "Remove" } }
                        }
                    }
                }
            }))
        }
        section aria-labelledby="add" {
            h2 id="add" { "Add a user" }
            form method="post" action="/users" autocomplete="off" {
                label { "Name" input name="name" required maxlength="64" spellcheck="false" autocapitalize="off" autocomplete="off"; }
                label { "Role" select name="role" { @for role in Role::ALL.iter().rev() { option value=(role) selected[users.is_empty() && *role == Role::Admin] { (role) } } } }
                label { "Password" input type="password" name="password" required minlength="12" maxlength="1024" autocomplete="new-password"; small { "At least 12 characters." } }
                button { "Add" }
            }
        }
        h2 { "Roles" }
        dl { @for (role, may) in ROLES { dt { (role) } dd { (may) } } }
    };
    Ok(page(&identity, "/users", "Users", &body))
}

/// Adds one.
pub(crate) async fn add(
    State(desk): State<Handle>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let name = parse_name(form.required("name", "the name")?)?;
    let role = parse_role(&form)?;
    let password = hashed(&name, &mut form).await?;
    let new = NewUser {
        name: name.clone(),
        role,
        password: Some(password),
    };
    let added = desk.shared.create_user(&new, Timestamp::now()).await;
    told(
        &desk,
        &identity,
        AuditAction::UserCreate,
        name.as_str(),
        added,
    )
    .await
}

/// Changes a role.
pub(crate) async fn set_role(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let user = user(&desk, &id).await?;
    let role = parse_role(&form)?;
    let changed = desk.shared.set_role(&user.id, role, Timestamp::now()).await;
    told(
        &desk,
        &identity,
        AuditAction::UserRole,
        &format!("{} {role}", user.name),
        changed,
    )
    .await
}

/// Gives another password.
pub(crate) async fn set_password(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let user = user(&desk, &id).await?;
    let password = hashed(&user.name, &mut form).await?;
    let changed = desk
        .shared
        .set_password(&user.id, Some(&password), Timestamp::now())
        .await;
    told(
        &desk,
        &identity,
        AuditAction::UserPassword,
        user.name.as_str(),
        changed,
    )
    .await
}

/// Lets one in or not.
pub(crate) async fn set_disabled(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let user = user(&desk, &id).await?;
    let disabled = form.text("disabled") == Some("true");
    let changed = desk
        .shared
        .set_disabled(&user.id, disabled, Timestamp::now())
        .await;
    told(
        &desk,
        &identity,
        AuditAction::UserDisable,
        &format!("{} {}", user.name, if disabled { "out" } else { "in" }),
        changed,
    )
    .await
}

/// Removes one.
pub(crate) async fn remove(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    let user = user(&desk, &id).await?;
    if matches!(&identity.who, Who::User(own) if own.id == user.id) {
        return Err(DeskError::unfit("nobody removes themselves").hint("Another admin can."));
    }
    let removed = desk.shared.remove_user(&user.id).await;
    told(
        &desk,
        &identity,
        AuditAction::UserRemove,
        user.name.as_str(),
        removed,
    )
    .await
}

async fn user(desk: &Desk, id: &str) -> Result<User, DeskError> {
    let id: UserId = id.parse().map_err(|_| DeskError::not_found("such user"))?;
    desk.shared
        .user(&id)
        .await?
        .ok_or_else(|| DeskError::not_found("such user"))
}

fn parse_name(text: &str) -> Result<UserName, DeskError> {
    text.parse()
        .map_err(|error: mira_store::UserNameError| DeskError::unfit(error.to_string()))
}

fn parse_role(form: &Form) -> Result<Role, DeskError> {
    let role = form.required("role", "the role")?;
    role.parse()
        .map_err(|_| DeskError::unfit("there is no such role"))
}

/// Hashes the password of a form.
pub(crate) async fn hashed(
    name: &UserName,
    form: &mut Form,
) -> Result<mira_store::PasswordHash, DeskError> {
    let password = form
        .secret("password")
        .ok_or_else(|| DeskError::unfit("the password is missing"))?;
    let name = name.clone();
    blocking(move || {
        hash_password(&name, &password).map_err(|error| DeskError::unfit(error.to_string()))
    })
    .await
}

/// Writes down what came of a change, and leads back.
async fn told<T>(
    desk: &Desk,
    identity: &Identity,
    action: AuditAction,
    subject: &str,
    done: Result<T, mira_store::SharedError>,
) -> Result<Redirect, DeskError> {
    desk.told(identity, action, subject, done).await?;
    Ok(Redirect::to("/users"))
}
