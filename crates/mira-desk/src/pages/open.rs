//! Opening a package: uploaded, or named by its path; what it is and what it asks for is shown before anything of it is unpacked.
//!
//! INVARIANT: what is opened is the very package that was shown.

use std::io::Write as _;
use std::path::PathBuf;

use axum::extract::{Multipart, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use mira_host::instances::{Candidate, Created, InstanceError};
use mira_package::archive::Limits;
use mira_package::manifest::{Delivery, Manifest};
use mira_package::trust::{Secrets, Trust};
use mira_store::{AuditAction, Instance, InstanceName, Who};
use tempfile::TempPath;

use super::{Page, badge, page, table};
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::form::Form;
use crate::launch::{Password, sweep};
use crate::{Desk, Handle};

/// A package that somebody looks at.
#[derive(Debug)]
pub(crate) struct Looked {
    path: PathBuf,
    /// What was uploaded goes when nobody wants it any more.
    uploaded: Option<TempPath>,
    /// Nothing until the password of an encrypted one was right.
    candidate: Option<Candidate>,
}

/// Returns whether somebody may name files of this machine: who sits at it.
fn may_name_files(desk: &Desk, identity: &Identity) -> bool {
    desk.options.is_loopback() && matches!(identity.who, Who::LocalOwner)
}

/// Shows where a package is chosen.
pub(crate) async fn choose(State(desk): State<Handle>, identity: Identity) -> Page {
    let body = html! {
        p { a href="/instances" { "Apps" } }
        h1 { "Open a package" }
        p { "You see first who made it and what it asks for. Nothing of it is unpacked or run before you say so." }
        form method="post" action="/open" enctype="multipart/form-data" hx-boost="false" {
            label { "Package" input type="file" name="package" required accept=".mira"; }
            button { "Look at it" }
        }
        @if may_name_files(&desk, &identity) {
            section aria-labelledby="path" {
                h2 id="path" { "From this machine" }
                form method="post" action="/open/path" {
                    label { "Path" input name="path" required maxlength="4096" placeholder="/home/you/readlater.mira" spellcheck="false" autocapitalize="off"; small { "A package, or a folder with a " code { "mira.yaml" } "." } }
                    button { "Look at it" }
                }
            }
        }
    };
    page(&identity, "/instances", "Open a package", &body)
}

/// Takes an upload, and shows what it is.
pub(crate) async fn upload(
    State(desk): State<Handle>,
    identity: Identity,
    mut parts: Multipart,
) -> Result<Response, DeskError> {
    let cut = |error: axum::extract::multipart::MultipartError| {
        DeskError::unfit(format!(
            "the upload did not come whole: {}",
            error.body_text()
        ))
    };
    let missing = || DeskError::unfit("the package is missing");
    let most = Limits::default().package_bytes_max;
    let folder = desk.house.instances.layout().packages();
    // Private to this user, and gone with the look at it.
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(DeskError::failed)?;
    let mut part = parts.next_field().await.map_err(cut)?.ok_or_else(missing)?;
    let mut length = 0;
    while let Some(chunk) = part.chunk().await.map_err(cut)? {
        length += chunk.len() as u64;
        if length > most {
            let told = format!("a package has at most {most} bytes");
            return Err(DeskError::new(StatusCode::PAYLOAD_TOO_LARGE, told));
        }
        // A chunk is some kilobytes, which the system takes at once.
        file.write_all(&chunk).map_err(DeskError::failed)?;
    }
    if length == 0 {
        return Err(missing());
    }
    let uploaded = file.into_temp_path();
    let looked = Looked {
        path: uploaded.to_path_buf(),
        uploaded: Some(uploaded),
        candidate: None,
    };
    look(&desk, &identity, looked, Password(None)).await
}

/// Shows what is at a path of this machine.
pub(crate) async fn path(
    State(desk): State<Handle>,
    identity: Identity,
    form: Form,
) -> Result<Response, DeskError> {
    let path = PathBuf::from(form.required("path", "the path")?);
    if !may_name_files(&desk, &identity) {
        let told = "files of the server's machine are named by who sits at it, with `mira desk`";
        return Err(DeskError::new(StatusCode::FORBIDDEN, told));
    }
    if !path.is_absolute() {
        return Err(DeskError::unfit("a path begins with /"));
    }
    let looked = Looked {
        path,
        uploaded: None,
        candidate: None,
    };
    look(&desk, &identity, looked, Password(None)).await
}

/// Takes the password of an encrypted package, and shows what it is.
pub(crate) async fn password(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Response, DeskError> {
    let looked = desk.packages.take(&identity, &key)?;
    let password = form.secret("password").filter(|text| !text.is_empty());
    look(&desk, &identity, looked, Password(password)).await
}

async fn look(
    desk: &Handle,
    identity: &Identity,
    mut looked: Looked,
    password: Password,
) -> Result<Response, DeskError> {
    let (house, path) = (desk.clone(), looked.path.clone());
    let runtime = tokio::runtime::Handle::current();
    let found = blocking(move || {
        let mut ask = |wanted| password.answer(wanted);
        let instances = &house.house.instances;
        let found = runtime.block_on(instances.candidate(&path, None, &mut ask));
        Ok((found, password.0.is_some()))
    });
    let instances = desk.house.instances.store().instances().await?;
    match found.await? {
        (Ok(mut candidate), _) => {
            let sealed = candidate.sealed()?.is_some();
            let mut instances = instances;
            instances.retain(|known| known.app_id == candidate.manifest.id.as_str());
            let shown = preview(&candidate, sealed);
            let refused = candidate.judgement.secrets == Secrets::Refused;
            looked.candidate = Some(candidate);
            let key = desk.packages.put(identity, looked)?;
            let body = html! {
                p { a href="/open" { "Choose another" } }
                (shown)
                @if !refused { (open_form(&key, &instances)) }
            };
            Ok(page(identity, "/instances", "What the package asks for", &body).into_response())
        }
        (Err(error @ (InstanceError::NoKey(_) | InstanceError::Guess(_))), tried) => {
            let told = DeskError::from(error);
            let key = desk.packages.put(identity, looked)?;
            let body = html! {
                p { a href="/open" { "Choose another" } }
                h1 { "The package is encrypted" }
                @if tried || told.status != StatusCode::UNPROCESSABLE_ENTITY { p class="trouble" role="alert" { (told.message) } }
                form method="post" action={ "/open/" (key) "/password" } autocomplete="off" {
                    label { "Password" input type="password" name="password" required autofocus autocomplete="off" maxlength="4096"; small { "It is kept nowhere. Wrong ones are counted: after five in a row there is a lock, for the right one too." } }
                    button { "Look at it" }
                }
            };
            let page = page(identity, "/instances", "The package is encrypted", &body);
            let status = if tried { told.status } else { StatusCode::OK };
            Ok((status, page).into_response())
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Shows what a package is and asks for.
fn preview(candidate: &Candidate, sealed: bool) -> Markup {
    let Manifest {
        id,
        name,
        version,
        description,
        publisher,
        services,
        secrets,
        network,
        state,
        ..
    } = &candidate.manifest;
    let trust = candidate.judgement.trust;
    html! {
        h1 { (name) " " (version) }
        @if let Some(description) = description { p { (description) } }
        dl {
            dt { "App" } dd { code { (id) } }
            dt { "Publisher" } dd {
                @if let Some(publisher) = publisher { (publisher.name) " " }
                (badge(trust.as_str()))
                @match trust {
                    Trust::Trusted => " signed by the publisher that is remembered",
                    Trust::NewPublisher => " signed, by a publisher who is not remembered: anybody can choose a name",
                    Trust::Unsigned => " nobody signed it: it may be from anybody",
                    Trust::Tampered => " the signature does not hold",
                }
            }
            dt { "Runs" } dd { @for service in services { div { (service.name) } } }
            dt { "Ports" } dd { @if services.iter().all(|service| service.ports.is_empty()) { "none" } @for service in services { @for port in &service.ports { div { (service.name) "/" (port.name) ", on this machine" } } } }
            dt { "May call" } dd { @if network.is_empty() { "nobody" } @for hosts in network { div { code { (hosts) } } } }
            dt { "Keeps" } dd { @if state.volumes.is_empty() { "nothing" } @for volume in &state.volumes { div { (volume) } } }
            @if sealed { dt { "Sealed" } dd { "It brings secrets of its own, under a password that is asked for at each start." } }
        }
        @if !secrets.is_empty() {
            (table("Secrets that it asks for", &["Secret", "Required", "What for", "Delivery"], &html! {
                @for secret in secrets {
                    tr {
                        th scope="row" { code { (secret.name) } }
                        td { @if secret.required { "yes" } @else { "no" } }
                        td { @if let Some(description) = &secret.description { (description) } }
                        td {
                            @match secret.deliver {
                                Delivery::Env => "environment",
                                Delivery::File => "file in memory",
                                Delivery::Brokered => "brokered, in requests to:",
                            }
                            @for hosts in &secret.hosts { div { code { (hosts) } } }
                        }
                    }
                }
            }))
        }
        @if candidate.judgement.secrets == Secrets::Refused { p class="trouble" role="alert" { "The package is refused: it is " (trust.as_str()) "." } }
    }
}

fn open_form(key: &str, instances: &[Instance]) -> Markup {
    html! {
        form method="post" action={ "/open/" (key) } {
            label { "As" select name="instance" {
                option value="" { "a new instance" }
                @for instance in instances { option value=(instance.id) { "an update of " (instance.name) } }
            } }
            label { "Name of a new one" input name="name" maxlength="64" spellcheck="false" autocapitalize="off"; small { "Left empty, it is called as the app." } }
            @if !instances.is_empty() { label class="check" { input type="checkbox" name="agree" value="yes"; "Take it even if its publisher is not the one that is remembered; it gets the secrets then" } }
            button { "Open it" }
        }
    }
}

/// Opens what was shown.
pub(crate) async fn open(
    State(desk): State<Handle>,
    Path(key): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let name = form
        .text("name")
        .map(str::parse::<InstanceName>)
        .transpose();
    let name = name.map_err(|error| DeskError::unfit(error.to_string()))?;
    let agreed = form.text("agree").is_some();
    let update = form.text("instance").map(str::to_owned);
    let looked = desk.packages.take(&identity, &key)?;
    let subject = match &looked.candidate {
        Some(candidate) => candidate.manifest.id.to_string(),
        None => return Err(DeskError::unfit("its password comes first")),
    };
    let (house, runtime) = (desk.clone(), tokio::runtime::Handle::current());
    let opened = blocking(move || runtime.block_on(take(&house, looked, name, update, agreed)));
    let opened = opened.await;
    let instance = desk
        .told(&identity, AuditAction::InstanceOpen, &subject, opened)
        .await?;
    // An encrypted one is opened again, with its password, when it is started.
    sweep(&desk).await?;
    Ok(Redirect::to(&format!("/instances/{}", instance.id)))
}

async fn take(
    desk: &Handle,
    looked: Looked,
    name: Option<InstanceName>,
    update: Option<String>,
    agreed: bool,
) -> Result<Instance, DeskError> {
    let instances = &desk.house.instances;
    let Looked {
        uploaded,
        candidate: Some(mut candidate),
        ..
    } = looked
    else {
        return Err(DeskError::unfit("its password comes first"));
    };
    if uploaded.is_some() {
        candidate.source = PathBuf::from("a package that was uploaded");
    }
    let (instance, claim) = match update {
        None => {
            let created = instances.create(&mut candidate, name, agreed).await?;
            let Created {
                instance, claim, ..
            } = created;
            (instance, claim)
        }
        Some(id) => {
            let known = desk.house.find(&id).await?;
            let (instance, claim) = instances.claim(&known.instance).await?;
            if desk.house.find(&id).await?.state.is_some() {
                let told = format!("{} runs; stop it first", instance.name);
                return Err(DeskError::new(StatusCode::CONFLICT, told));
            }
            instances.judge_for(&mut candidate, &instance).await?;
            instances.update(&instance, &mut candidate, agreed).await?;
            (instances.store().instance(&instance.id).await?, claim)
        }
    };
    if let (true, Some(file)) = (candidate.is_encrypted(), uploaded) {
        instances
            .keep_package(&instance, &mut candidate, file)
            .await?;
    }
    instances.store().record_open(&instance.id).await?;
    drop(claim);
    Ok(instance)
}
