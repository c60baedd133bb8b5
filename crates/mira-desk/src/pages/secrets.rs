//! The person's own secrets: what is saved, who holds it; added, rotated and removed. A value goes in and never comes out.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use mira_run::lease::{Holder, Leases};
use mira_secret::{Kind, Scope, SecretBytes, SecretName, SecretValue};
use mira_store::{AuditAction, Outcome, Role};
use mira_vault::{LockedVault, NewSecret, ProviderKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Page, badge, count, page, table, time};
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::{Desk, Handle};

/// The longest label, in characters.
// LIMIT: one line of a table.
const LABEL_CHARS_MAX: usize = 200;

/// A secret, as far as anybody is shown it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Secret {
    /// The variable's name.
    pub(crate) name: String,
    /// What people call it.
    pub(crate) label: String,
    /// Whose it is.
    pub(crate) scope: String,
    /// What its value is.
    pub(crate) kind: String,
    /// When it was first saved.
    #[schemars(with = "String")]
    pub(crate) added: Timestamp,
    /// When its value was last replaced.
    #[schemars(with = "Option<String>")]
    pub(crate) rotated: Option<Timestamp>,
    /// When it was last handed to a program or an instance.
    #[schemars(with = "Option<String>")]
    pub(crate) last_used: Option<Timestamp>,
    /// How many values it has had.
    pub(crate) version: u64,
    /// The processes that have a value of it.
    pub(crate) held_by: Vec<HeldBy>,
}

/// A process that has a secret's value.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct HeldBy {
    /// The program.
    pub(crate) program: String,
    /// Its process.
    pub(crate) pid: u32,
    /// Since when.
    #[schemars(with = "String")]
    pub(crate) since: Timestamp,
    /// Which of the secret's values.
    pub(crate) version: u64,
    /// Since when that is an old one.
    #[schemars(with = "Option<String>")]
    pub(crate) stale_since: Option<Timestamp>,
}

/// Returns the person's secrets.
pub(crate) async fn all(desk: &Desk) -> Result<Vec<Secret>, DeskError> {
    let holders = desk.custody.holders().await?;
    let used = desk.custody.last_used().await?;
    let listing = desk.custody.listing().await?;
    let entries = listing.secrets();
    let yours = entries.filter(|entry| *entry.scope() == Scope::User);
    Ok(yours.map(|entry| secret(entry, &holders, &used)).collect())
}

/// Returns one of the person's secrets.
async fn find(desk: &Desk, name: &str) -> Result<Secret, DeskError> {
    let mut all = all(desk).await?.into_iter();
    all.find(|secret| secret.name == name)
        .ok_or_else(|| DeskError::not_found(format_args!("secret {name}")))
}

fn secret(
    entry: &mira_vault::Entry,
    holders: &[Holder],
    used: &BTreeMap<String, Timestamp>,
) -> Secret {
    let id = entry.id().to_string();
    let held = holders
        .iter()
        .filter(|holder| holder.delivery.secret_id == id);
    Secret {
        name: entry.name().to_string(),
        label: entry.label().to_owned(),
        scope: entry.scope().to_string(),
        kind: entry.kind().to_string(),
        added: entry.created(),
        rotated: (entry.version() > 1).then(|| entry.updated()),
        last_used: used.get(&id).copied(),
        version: entry.version(),
        held_by: held
            .map(|holder| HeldBy {
                program: holder.program.clone(),
                pid: holder.pid,
                since: holder.started,
                version: holder.delivery.version,
                stale_since: (holder.delivery.version < entry.version())
                    .then(|| holder.stale_since.unwrap_or_else(|| entry.updated())),
            })
            .collect(),
    }
}

/// A value to be saved.
#[derive(Debug)]
pub(crate) struct NewValue {
    pub(crate) name: SecretName,
    pub(crate) value: SecretValue,
    pub(crate) label: Option<String>,
    pub(crate) kind: Option<Kind>,
}

impl NewValue {
    /// Checks what was sent.
    pub(crate) fn check(
        name: &str,
        value: Option<SecretBytes>,
        label: Option<&str>,
        kind: Option<&str>,
    ) -> Result<Self, DeskError> {
        let name: SecretName = name
            .parse()
            .map_err(|error| DeskError::unfit(format!("that is no name: {error}")))?;
        let value = value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| DeskError::unfit("the value is missing"))?;
        let value = SecretValue::new(&name, value)
            .map_err(|error| DeskError::unfit(format!("{name} was not saved: {error}")))?;
        let kind = kind
            .map(str::parse)
            .transpose()
            .map_err(|error: mira_secret::KindError| DeskError::unfit(error.to_string()))?;
        if label.is_some_and(|label| {
            label.chars().count() > LABEL_CHARS_MAX || label.chars().any(char::is_control)
        }) {
            return Err(DeskError::unfit(format!(
                "a label is one line of at most {LABEL_CHARS_MAX} characters"
            )));
        }
        Ok(Self {
            name,
            value,
            label: label.map(str::to_owned),
            kind,
        })
    }
}

/// Saves a secret in a scope; `replace` says whether it may be there already. Returns its version.
pub(crate) async fn put(
    desk: &Desk,
    identity: &Identity,
    scope: Scope,
    new: NewValue,
    replace: bool,
) -> Result<u64, DeskError> {
    let NewValue {
        name,
        value,
        label,
        kind,
    } = new;
    let leases = Leases::at(desk.custody.home().leases());
    let subject = subject(&scope, &name);
    let version = desk
        .custody
        .with(move |vault| {
            if !replace && vault.find(&scope, &name).is_some() {
                return Err(DeskError::new(
                    StatusCode::CONFLICT,
                    format!("{name} is saved already"),
                )
                .hint("Open it in the list to rotate it."));
            }
            let now = Timestamp::now();
            let new = NewSecret {
                value,
                label,
                kind,
                now,
            };
            let (id, version) = vault.update(|draft| {
                let entry = draft.set(&scope, &name, new)?;
                Ok((entry.id().to_string(), entry.version()))
            })?;
            if version > 1 {
                // What cannot be noted is seen from the versions all the same, less its time.
                leases.mark_stale(&id, version, now).ok();
            }
            Ok(version)
        })
        .await;
    desk.told(identity, AuditAction::SecretSet, &subject, version)
        .await
}

fn subject(scope: &Scope, name: &SecretName) -> String {
    format!("{scope}/{name}")
}

/// Removes one of the person's secrets.
pub(crate) async fn delete(desk: &Desk, identity: &Identity, name: &str) -> Result<(), DeskError> {
    let parsed: SecretName = name
        .parse()
        .map_err(|_| DeskError::not_found("such secret"))?;
    let subject = subject(&Scope::User, &parsed);
    let removed = desk
        .custody
        .with(move |vault| Ok(vault.update(|draft| draft.remove(&Scope::User, &parsed))?))
        .await;
    let outcome = if matches!(removed, Ok(true)) {
        Outcome::Ok
    } else {
        Outcome::Failed
    };
    desk.record(identity, AuditAction::SecretRemove, &subject, outcome)
        .await?;
    match removed? {
        true => Ok(()),
        false => Err(DeskError::not_found(format_args!("secret {name}"))),
    }
}

/// What was just done, told once by the address that follows.
#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    saved: Option<Named>,
    removed: Option<Named>,
}

/// A name from an address: only one that is a name is shown.
#[derive(Debug)]
pub(crate) struct Named(SecretName);

impl<'de> Deserialize<'de> for Named {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

/// Shows all.
pub(crate) async fn show(
    State(desk): State<Handle>,
    Query(done): Query<Done>,
    identity: Identity,
) -> Result<Response, DeskError> {
    let secrets = match all(&desk).await {
        Err(error) if error.status == StatusCode::LOCKED && asks_for_passphrase(&desk) => {
            return Ok(locked(&identity, None).into_response());
        }
        secrets => secrets?,
    };
    let body = html! {
        h1 { "Secrets" }
        @if let Some(Named(name)) = &done.saved { p class="done" role="status" { "Saved " code { (name) } ". Its value is encrypted, and is never shown again." } }
        @if let Some(Named(name)) = &done.removed { p class="done" role="status" { "Removed " code { (name) } ", and its ciphertext." } }
        p { "Yours, for every program that you run with Mira. A value that was saved is never shown again." }
        @if secrets.is_empty() {
            p class="empty" { "Nothing is saved here yet." }
        } @else {
            (table("Secrets", &["Variable", "Label", "Kind", "Added", "Rotated", "Last used", "Held by"], &html! {
                @for secret in &secrets {
                    tr {
                        th scope="row" { a href={ "/secrets/" (secret.name) } { code { (secret.name) } } }
                        td { (secret.label) }
                        td { (secret.kind) }
                        td { (time(secret.added)) }
                        td { @if let Some(rotated) = secret.rotated { (time(rotated)) } @else { "never" } }
                        td { @if let Some(used) = secret.last_used { (time(used)) } @else { "never" } }
                        td { (held(secret)) }
                    }
                }
            }))
        }
        @if identity.may(Role::Operator) { (add_form()) }
    };
    Ok(page(&identity, "/", "Secrets", &body).into_response())
}

fn held(secret: &Secret) -> Markup {
    let stale = secret
        .held_by
        .iter()
        .filter(|held| held.stale_since.is_some())
        .count();
    html! {
        @if secret.held_by.is_empty() { "nobody" } @else { (count(secret.held_by.len(), "program")) }
        @if stale > 0 { " " (badge("stale")) }
    }
}

fn add_form() -> Markup {
    html! {
        section aria-labelledby="add" {
            h2 id="add" { "Add a secret" }
            form method="post" action="/secrets" autocomplete="off" {
                label { "Variable" input name="name" required maxlength="128" pattern="[A-Za-z_][A-Za-z0-9_]*" placeholder="OPENAI_API_KEY" spellcheck="false" autocapitalize="off"; small { "The environment variable that programs read it from." } }
                label { "Label" input name="label" maxlength="200" placeholder="OpenAI API Key"; }
                label { "Kind" select name="kind" { @for kind in Kind::ALL { option value=(kind) { (kind) } } } }
                label { "Value" textarea class="secret" name="value" required rows="1" spellcheck="false" autocomplete="off" {} small { "It is encrypted at once. Nobody is shown it again, you neither." } }
                button { "Save" }
            }
        }
    }
}

/// Shows one.
pub(crate) async fn one(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let secret = find(&desk, &name).await?;
    let body = html! {
        p { a href="/" { "Secrets" } }
        h1 { code { (secret.name) } }
        dl {
            dt { "Label" } dd { (secret.label) }
            dt { "Kind" } dd { (secret.kind) }
            dt { "Added" } dd { (time(secret.added)) }
            dt { "Rotated" } dd { @if let Some(rotated) = secret.rotated { (time(rotated)) } @else { "never" } }
            dt { "Last used" } dd { @if let Some(used) = secret.last_used { (time(used)) } @else { "never" } }
            dt { "Version" } dd { (secret.version) }
        }
        h2 { "Who holds it" }
        @if secret.held_by.is_empty() {
            p class="empty" { "No running program has it." }
        } @else {
            (table("Who holds it", &["Program", "Process", "Since", "Version"], &html! {
                @for held in &secret.held_by {
                    tr {
                        th scope="row" { (held.program) }
                        td { (held.pid) }
                        td { (time(held.since)) }
                        td { (held.version) @if let Some(since) = held.stale_since { " " (badge("stale")) " since " (time(since)) ": restart it to give it the new value" } }
                    }
                }
            }))
        }
        @if identity.may(Role::Operator) {
            section aria-labelledby="rotate" {
                h2 id="rotate" { "Rotate" }
                form method="post" action={ "/secrets/" (secret.name) } autocomplete="off" {
                    label { "New value" textarea class="secret" name="value" required rows="1" spellcheck="false" autocomplete="off" {} small { "Replaces the old one at once. Running programs keep the old one until they are restarted." } }
                    button { "Replace the value" }
                }
            }
            section aria-labelledby="remove" {
                h2 id="remove" { "Remove" }
                form method="post" action={ "/secrets/" (secret.name) "/remove" } data-ask={ "Remove " (secret.name) "? This cannot be undone." } {
                    p { "Destroys the ciphertext. It cannot be undone." }
                    button class="danger" { "Remove" }
                }
            }
        }
    };
    Ok(page(&identity, "/", &secret.name, &body))
}

/// Saves a new one.
pub(crate) async fn save(
    State(desk): State<Handle>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let value = form.secret("value");
    let name = form.required("name", "the variable's name")?;
    let new = NewValue::check(name, value, form.text("label"), form.text("kind"))?;
    let to = format!("/?saved={}", new.name);
    put(&desk, &identity, Scope::User, new, false).await?;
    Ok(Redirect::to(&to))
}

/// Replaces a value.
pub(crate) async fn rotate(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    find(&desk, &name).await?;
    let new = NewValue::check(&name, form.secret("value"), None, None)?;
    put(&desk, &identity, Scope::User, new, true).await?;
    Ok(Redirect::to(&format!("/?saved={name}")))
}

/// Removes one.
pub(crate) async fn remove(
    State(desk): State<Handle>,
    Path(name): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    delete(&desk, &identity, &name).await?;
    Ok(Redirect::to(&format!("/?removed={name}")))
}

fn asks_for_passphrase(desk: &Desk) -> bool {
    LockedVault::read(desk.custody.home())
        .is_ok_and(|vault| vault.provider() == ProviderKind::Passphrase)
}

/// Shows that the vault is locked, and to an admin how to unlock it.
fn locked(identity: &Identity, trouble: Option<&str>) -> Page {
    page(
        identity,
        "/",
        "The vault is locked",
        &html! {
            h1 { "The vault is locked" }
            @if let Some(trouble) = trouble { p class="trouble" role="alert" { (trouble) } }
            @if identity.may(Role::Admin) {
                form method="post" action="/unlock" autocomplete="off" {
                    label { "Passphrase" input type="password" name="passphrase" required autocomplete="off" autofocus; small { "Remembered in this machine's kernel for eight hours; " code { "mira lock" } " forgets it." } }
                    button { "Unlock" }
                }
            } @else {
                p { "An admin can unlock it here, or " code { "mira unlock" } " on the machine of this server." }
            }
        },
    )
}

/// Unlocks the vault.
pub(crate) async fn unlock(
    State(desk): State<Handle>,
    identity: Identity,
    mut form: Form,
) -> Result<Response, DeskError> {
    let passphrase = form
        .secret("passphrase")
        .ok_or_else(|| DeskError::unfit("the passphrase is missing"))?;
    let unlocked = desk.custody.unlock(passphrase).await;
    let outcome = if unlocked.is_ok() {
        Outcome::Ok
    } else {
        Outcome::Denied
    };
    desk.record(&identity, AuditAction::VaultUnlock, "vault", outcome)
        .await?;
    match unlocked {
        Ok(()) => Ok(Redirect::to("/").into_response()),
        Err(error) => Ok((error.status, locked(&identity, Some(&error.message))).into_response()),
    }
}
