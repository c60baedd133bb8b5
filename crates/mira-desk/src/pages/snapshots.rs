//! Snapshots of an instance's state: listed, taken, restored, removed. One that would hold a secret is not taken.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Redirect;
use maud::{Markup, html};
use mira_host::instances::Content;
use mira_package::manifest::Manifest;
use mira_snapshot::{Options, Report, Repository, Snapshot, TAG_SAFETY};
use mira_store::{AuditAction, Instance, Role};
use serde::Deserialize;

use super::{Page, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::form::Form;
use crate::launch::{Password, sweep};

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
    let instance = desk.house.find(&id).await?.instance;
    let asks = desk
        .house
        .unpacked(&instance)?
        .is_none_or(|unpacked| unpacked.sealed.is_some());
    let (instances, wanted) = (desk.house.instances.clone(), instance.clone());
    let listed = desk.custody.with_if_there(move |vault| {
        let Some(vault) = vault else {
            return Ok(Vec::new());
        };
        match instances.existing_repository(&wanted, vault)? {
            Some(repository) => Ok(repository.list()?),
            None => Ok(Vec::new()),
        }
    });
    let snapshots = listed.await?;
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
    let short = snapshot.id.short();
    html! {
        tr {
            td { (time(snapshot.time)) }
            th scope="row" { code { (short) } }
            td { (snapshot.label) @for tag in &snapshot.tags { " " (badge(tag)) } }
            td { (snapshot.files) }
            td { (snapshot.bytes) }
            td {
                @if identity.may(Role::Operator) {
                    form method="post" action={ (here) "/" (snapshot.id.as_str()) "/restore" } hx-boost="true" hx-confirm={ "Replace the state by that of " (short) "? The state as it is now is saved first." } {
                        (password_field(asks))
                        button class="quiet" aria-label={ "Restore " (short) } { "Restore" }
                    }
                }
                @if identity.may(Role::Admin) {
                    form method="post" action={ (here) "/" (snapshot.id.as_str()) "/remove" } hx-boost="true" hx-confirm={ "Remove " (short) "? This cannot be undone." } {
                        button class="danger" aria-label={ "Remove " (short) } { "Remove" }
                    }
                }
            }
        }
    }
}

/// Opens the repository, and gathers what goes into a snapshot.
async fn gather(
    desk: &Handle,
    instance: &Instance,
    password: Password,
) -> Result<(Repository, Manifest, Content), DeskError> {
    let (house, wanted) = (desk.clone(), instance.clone());
    let runtime = tokio::runtime::Handle::current();
    let gathered = desk.custody.with(move |vault| {
        let instances = &house.house.instances;
        // Its password is a secret of the instance too, and is looked for as the others are.
        let repository = instances.repository(&wanted, vault)?;
        let mut ask = |asked| password.answer(asked);
        runtime.block_on(async {
            let unpacked = instances.reopen(&wanted, &mut ask).await?;
            let sealed = match &unpacked.sealed {
                Some(sealed) => instances.unseal(sealed, &mut ask).await?,
                None => Vec::new(),
            };
            let manifest = unpacked.manifest;
            let content = instances.content(&wanted, &manifest, vault, &sealed);
            let content = content.await?;
            Ok((repository, manifest, content))
        })
    });
    gathered.await
}

fn save(
    repository: &Repository,
    content: &Content,
    options: &Options,
) -> Result<Report, DeskError> {
    let taken = repository.snapshot(&content.volumes, &content.secrets, options, &mut |_| {});
    Ok(taken?)
}

/// Takes one.
pub(crate) async fn create(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let instance = desk.house.find(&id).await?.instance;
    let password = Password(form.secret("password"));
    let options = Options {
        leave_out: form.text("leave_out").is_some(),
        instance: instance.id.to_string(),
        label: form.text("label").unwrap_or_default().to_owned(),
        ..Options::default()
    };
    let taken = match gather(&desk, &instance, password).await {
        Ok((repository, _, content)) => {
            blocking(move || save(&repository, &content, &options)).await
        }
        Err(error) => Err(error),
    };
    sweep(&desk).await?;
    let action = AuditAction::SnapshotCreate;
    let report = desk
        .told(&identity, action, instance.name.as_str(), taken)
        .await?;
    let taken = report.snapshot.id;
    Ok(Redirect::to(&format!(
        "/instances/{}/snapshots?taken={}",
        instance.id,
        taken.as_str()
    )))
}

/// Restores one, and saves the state that it replaces.
pub(crate) async fn restore(
    State(desk): State<Handle>,
    Path((id, snapshot)): Path<(String, String)>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let known = desk.house.find(&id).await?;
    let password = Password(form.secret("password"));
    let restored = put_back(&desk, &known.instance, &snapshot, password).await;
    sweep(&desk).await?;
    let action = AuditAction::SnapshotRestore;
    let safety = desk
        .told(&identity, action, known.instance.name.as_str(), restored)
        .await?;
    Ok(Redirect::to(&format!(
        "/instances/{}/snapshots?safety={}",
        known.instance.id,
        safety.snapshot.id.as_str()
    )))
}

async fn put_back(
    desk: &Handle,
    instance: &Instance,
    wanted: &str,
    password: Password,
) -> Result<Report, DeskError> {
    let instances = desk.house.instances.clone();
    // Nobody starts it from here on.
    let (instance, claim) = instances.claim(instance).await?;
    if desk.house.find(instance.id.as_str()).await?.state.is_some() {
        let told = format!(
            "{} runs, and its state cannot be replaced under it; stop it first",
            instance.name
        );
        return Err(DeskError::new(StatusCode::CONFLICT, told));
    }
    let (repository, manifest, content) = gather(desk, &instance, password).await?;
    let wanted = wanted.to_owned();
    let report = blocking(move || {
        let id = repository.find(&wanted)?;
        let mut all = repository.list()?.into_iter();
        let snapshot = all.find(|snapshot| snapshot.id == id);
        let snapshot = snapshot.ok_or_else(|| DeskError::not_found("such snapshot any more"))?;
        let volumes = instances.restorable(&instance, &manifest, &snapshot)?;
        let options = Options {
            tags: vec![TAG_SAFETY.to_owned()],
            instance: instance.id.to_string(),
            label: format!("before the restore of {}", snapshot.id.short()),
            ..Options::default()
        };
        let safety = save(&repository, &content, &options).map_err(|error| {
            error.hint("Nothing was restored. `mira snapshot restore --no-safety` restores without saving the state as it is now, which is lost then.")
        })?;
        repository.restore(&snapshot.id, &volumes, &mut |_| {})?;
        Ok(safety)
    });
    let report = report.await?;
    drop(claim);
    Ok(report)
}

/// Removes one.
pub(crate) async fn remove(
    State(desk): State<Handle>,
    Path((id, snapshot)): Path<(String, String)>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    let instance = desk.house.find(&id).await?.instance;
    let (instances, wanted) = (desk.house.instances.clone(), instance.clone());
    let removed = desk.custody.with(move |vault| {
        let repository = instances.existing_repository(&wanted, vault)?;
        let repository = repository.ok_or_else(|| DeskError::not_found("such snapshot"))?;
        let id = repository.find(&snapshot)?;
        Ok(repository.forget(&[id])?)
    });
    let removed = removed.await;
    let action = AuditAction::SnapshotForget;
    desk.told(&identity, action, instance.name.as_str(), removed)
        .await?;
    Ok(Redirect::to(&format!(
        "/instances/{}/snapshots",
        instance.id
    )))
}
