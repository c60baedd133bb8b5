//! Who may sign in, and what they may.

use axum::extract::{Path, State};
use axum::response::Redirect;
use maud::html;
use mira_secret::SecretBytes;
use mira_store::Role;

use super::{Page, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::users::{self, Wanted};

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
                            form method="post" action={ (here) "/remove" } class="inline" data-ask={ "Remove " (user.name) "?" } { button class="danger" { "Remove" } }
                        }
                    }
                }
            }))
        }
        section aria-labelledby="add" {
            h2 id="add" { "Add a user" }
            form method="post" action="/users" autocomplete="off" {
                label { "Name" input name="name" required maxlength="64" spellcheck="false" autocapitalize="off" autocomplete="off"; }
                label { "Role" select name="role" { @for role in Role::ALL { option value=(role) selected[users.is_empty() && *role == Role::Admin] { (role) } } } }
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
    let password = password(&mut form)?;
    let wanted = Wanted {
        name: form.required("name", "the name")?,
        role: form.required("role", "the role")?,
        password,
    };
    users::add(&desk, &identity, wanted).await?;
    Ok(Redirect::to("/users"))
}

/// Changes a role.
pub(crate) async fn set_role(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let role = form.required("role", "the role")?;
    users::set_role(&desk, &identity, &id, role).await?;
    Ok(Redirect::to("/users"))
}

/// Gives another password.
pub(crate) async fn set_password(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    users::set_password(&desk, &identity, &id, password(&mut form)?).await?;
    Ok(Redirect::to("/users"))
}

/// Lets one in or not.
pub(crate) async fn set_disabled(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let disabled = form.text("disabled") == Some("true");
    users::set_disabled(&desk, &identity, &id, disabled).await?;
    Ok(Redirect::to("/users"))
}

/// Removes one.
pub(crate) async fn remove(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    users::remove(&desk, &identity, &id).await?;
    Ok(Redirect::to("/users"))
}

/// Takes the new password out of a form.
pub(crate) fn password(form: &mut Form) -> Result<SecretBytes, DeskError> {
    form.secret("password")
        .ok_or_else(|| DeskError::unfit("the password is missing"))
}
