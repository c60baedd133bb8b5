//! Snapshots of an instance, in a list; taken, restored and removed from there.

use axum::extract::{Path, Query, State};
use axum::response::Redirect;
use maud::{Markup, html};
use mira_store::Role;
use serde::Deserialize;

use super::{Page, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::launch::Password;
use crate::snapshots::{self, Snapshot, Wanted};

/// What was just done, told once by the address that follows.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    /// A snapshot that was taken.
    taken: Option<String>,
    /// The safety snapshot of a restore.
    safety: Option<String>,
}

/// Shows all of an instance.
pub(crate) async fn list(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    Query(done): Query<Done>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let instance = desk.house.named(&id).await?;
    let package = desk.house.package(&instance)?;
    let asks = package.is_none_or(|package| package.is_sealed);
    let snapshots = snapshots::all(&desk, &instance).await?;
    let here = format!("/instances/{}/snapshots", instance.id);
    let known = |wanted: &Option<String>| {
        let mut all = snapshots.iter();
        all.find(|snapshot| wanted.as_deref() == Some(snapshot.id.as_str()))
    };
    let body = html! {
        p { a href={ "/instances/" (instance.id) } { (instance.name) } }
        h1 { "Snapshots of " (instance.name) }
        @if let Some(taken) = known(&done.taken) { p class="done" role="status" { "Taken: " code { (taken.id) } "." } }
        @if let Some(safety) = known(&done.safety) { p class="done" role="status" { "Restored. The state as it was before is the snapshot " code { (safety.id) } ": restore that to go back." } }
        @if snapshots.is_empty() {
            p class="empty" { "There is none yet." }
        } @else {
            (table("Snapshots", &["Taken", "Id", "Label", "Files", "Bytes", "Do"], &html! {
                @for snapshot in snapshots.iter().rev() { (row(&here, snapshot, asks, &identity)) }
            }))
        }
        @if identity.may(Role::Operator) {
            h2 { "Take a snapshot" }
            form method="post" action=(here) autocomplete="off" {
                label { "Label" input name="label" maxlength="200" placeholder="before the update"; }
                (password_field(asks))
                label class="check" { input type="checkbox" name="leave_out" value="yes"; "Leave files out that hold a secret, instead of taking none" }
                button { "Take it" }
            }
        }
    };
    Ok(page(&identity, "/instances", "Snapshots", &body))
}

fn password_field(asks: bool) -> Markup {
    html! { @if asks { label { "Password of the package" input type="password" name="password" required autocomplete="off" maxlength="4096"; small { "What is sealed in it is looked for too." } } } }
}

fn row(here: &str, snapshot: &Snapshot, asks: bool, identity: &Identity) -> Markup {
    let short = &snapshot.short;
    html! {
        tr {
            td { (time(snapshot.time)) }
            th scope="row" { code { (short) } }
            td { (snapshot.label) @for tag in &snapshot.tags { " " (badge(tag)) } }
            td { (snapshot.files) }
            td { (snapshot.bytes) }
            td {
                @if identity.may(Role::Operator) {
                    form method="post" action={ (here) "/" (snapshot.id) "/restore" } data-ask={ "Replace the state by that of " (short) "? The state as it is now is saved first." } {
                        (password_field(asks))
                        button class="quiet" aria-label={ "Restore " (short) } { "Restore" }
                    }
                }
                @if identity.may(Role::Admin) {
                    form method="post" action={ (here) "/" (snapshot.id) "/remove" } data-ask={ "Remove " (short) "? This cannot be undone." } {
                        button class="danger" aria-label={ "Remove " (short) } { "Remove" }
                    }
                }
            }
        }
    }
}

/// Takes one.
pub(crate) async fn create(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let wanted = Wanted {
        password: Password::given(form.secret("password")),
        leave_out: form.text("leave_out").is_some(),
        label: form.text("label").unwrap_or_default().to_owned(),
    };
    let (instance, taken) = snapshots::take(&desk, &identity, &id, wanted).await?;
    let (id, taken) = (instance.id, taken.id);
    Ok(Redirect::to(&format!(
        "/instances/{id}/snapshots?taken={taken}"
    )))
}

/// Restores one, and saves the state that it replaces.
pub(crate) async fn restore(
    State(desk): State<Handle>,
    Path((id, snapshot)): Path<(String, String)>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let password = Password::given(form.secret("password"));
    let restored = snapshots::restore(&desk, &identity, &id, &snapshot, password);
    let (instance, safety) = restored.await?;
    let (id, safety) = (instance.id, safety.id);
    Ok(Redirect::to(&format!(
        "/instances/{id}/snapshots?safety={safety}"
    )))
}

/// Removes one.
pub(crate) async fn remove(
    State(desk): State<Handle>,
    Path((id, snapshot)): Path<(String, String)>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    let instance = snapshots::remove(&desk, &identity, &id, &snapshot).await?;
    Ok(Redirect::to(&format!(
        "/instances/{}/snapshots",
        instance.id
    )))
}
