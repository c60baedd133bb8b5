//! One instance: how its services fare, what it needs, what it says, where it may call.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse as _, Redirect, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use mira_host::logs::{Filter, Follower, LogLine, read};
use mira_host::network::NetworkMode;
use mira_host::run::Stream::{Stderr, Stdout};
use mira_package::manifest::{Delivery, HostPattern, Manifest};
use mira_secret::{Scope, SecretName};
use mira_server::{Event, Events};
use mira_store::{AuditAction, Desired, Role};
use serde::Deserialize;

use super::secrets::NewValue;
use super::{Page, Part, badge, page, table, time};
use crate::access::Identity;
use crate::custody::blocking;
use crate::error::DeskError;
use crate::form::Form;
use crate::house::Known;
use crate::launch::Password;
use crate::opening::save_own;
use crate::{Desk, Handle};

/// How many lines of the log a page begins with.
const LINES: usize = 200;

/// How often it is looked whether an instance runs again.
// LIMIT: somebody who watches a start does not wait long, and an idle page costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a live page without news is told that we are there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A declared secret, and where it comes from.
struct Wanted {
    name: SecretName,
    required: bool,
    description: Option<String>,
    how_to_obtain: Option<String>,
    delivery: &'static str,
    source: Option<String>,
    /// Whether it is one of the person's.
    bound: bool,
}

/// Shows one.
pub(crate) async fn show(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let known = desk.house.find(&id).await?;
    let instance = &known.instance;
    let here = format!("/instances/{}", instance.id);
    let unpacked = desk.house.unpacked(instance)?;
    // What is sealed is not known before its password is given.
    let asks = unpacked
        .as_ref()
        .is_none_or(|unpacked| unpacked.sealed.is_some());
    let manifest = unpacked.map(|unpacked| unpacked.manifest);
    let (wanted, yours) = match &manifest {
        Some(manifest) => wanted(&desk, &known, manifest).await?,
        None => Default::default(),
    };
    let ports = desk.house.instances.store().ports(&instance.id).await?;
    let decisions = desk.house.instances.store().decisions(&instance.id).await?;
    let lines = lines(&desk, &known).await?;
    let operator = identity.may(Role::Operator);
    let missing = !asks
        && wanted
            .iter()
            .any(|wanted| wanted.required && wanted.source.is_none());
    let live = match lines.last() {
        Some(line) => format!("{here}/live?after={}", line.time),
        None => format!("{here}/live?after={}", Timestamp::UNIX_EPOCH),
    };
    let body = html! {
        p { a href="/instances" { "Apps" } }
        h1 { (instance.name) }
        p { (instance.package.app_name) " " (instance.package.app_version) ", opened " (time(instance.opened)) }
        div id="state" hx-get={ (here) "/state" } hx-trigger="every 2s" hx-swap="innerHTML" { (state_part(&known)) }
        @if operator {
            div class="actions" {
                @if known.state.is_some() {
                    form method="post" action={ (here) "/stop" } { button { "Stop" } }
                } @else {
                    form method="post" action={ (here) "/start" } autocomplete="off" {
                        @if asks { label { "Password of the package" input type="password" name="password" required autocomplete="off" maxlength="4096"; small { "It is asked for each time, and kept nowhere. Wrong ones are counted: after five in a row there is a lock." } } }
                        button disabled[missing] { "Start" }
                    }
                }
            }
            @if missing { p class="hint" { "It needs the secrets below before it can start." } }
        }
        @if known.state.is_some() && !ports.is_empty() {
            h2 { "Where it listens" }
            ul {
                @for port in &ports {
                    li { (port.service) "/" (port.name) ": "
                        @if opens(manifest.as_ref(), &port.service, &port.name) { a href={ "http://127.0.0.1:" (port.number) } rel="noreferrer" { "http://127.0.0.1:" (port.number) } }
                        @else { "127.0.0.1:" (port.number) }
                    }
                }
            }
        }
        (secrets_part(&here, &wanted, &yours, &identity))
        @if manifest.as_ref().is_none_or(|manifest| !manifest.state.volumes.is_empty()) {
            h2 { "State" }
            p { a href={ (here) "/snapshots" } { "Snapshots" } ": take one, or go back to one." }
        }
        (hosts_part(&here, manifest.as_ref(), &decisions, operator))
        h2 id="log" { "Log" }
        div class="log" role="log" aria-labelledby="log" tabindex="0" hx-ext="sse" sse-connect=(live) sse-swap="line" hx-swap="beforeend" {
            @for line in &lines { (line_part(&line.service, &line.line)) }
        }
    };
    Ok(page(&identity, "/instances", instance.name.as_str(), &body))
}

fn opens(manifest: Option<&Manifest>, service: &str, name: &str) -> bool {
    let service = manifest.and_then(|manifest| manifest.service(service));
    service.is_some_and(|service| {
        service
            .ports
            .iter()
            .any(|port| port.open && port.name.as_str() == name)
    })
}

/// Says where each declared secret comes from, and which secrets the person has.
async fn wanted(
    desk: &Desk,
    known: &Known,
    manifest: &Manifest,
) -> Result<(Vec<Wanted>, Vec<SecretName>), DeskError> {
    let bindings = desk
        .house
        .instances
        .store()
        .bindings(&known.instance.id)
        .await?;
    let own = Scope::Instance(known.instance.id.as_str().into());
    let names: Vec<SecretName> = manifest
        .secrets
        .iter()
        .map(|declared| declared.name.clone())
        .collect();
    let (sources, yours) = desk
        .custody
        .with_if_there(move |vault| {
            let source = |name: &SecretName| {
                let vault = vault.as_deref()?;
                if vault.find(&own, name).is_some() {
                    return Some(("its own".to_owned(), false));
                }
                let bound = bindings
                    .iter()
                    .find(|binding| binding.name == name.as_str())?;
                let secret: SecretName = bound.secret.parse().ok()?;
                vault
                    .find(&Scope::User, &secret)
                    .map(|entry| (format!("your {}", entry.name()), true))
            };
            let sources: Vec<_> = names.iter().map(source).collect();
            let all = vault.iter().flat_map(|vault| vault.secrets());
            let yours = all.filter(|entry| *entry.scope() == Scope::User);
            Ok((sources, yours.map(|entry| entry.name().clone()).collect()))
        })
        .await?;
    let declared = manifest.secrets.iter().zip(sources);
    let wanted = declared
        .map(|(declared, source)| Wanted {
            name: declared.name.clone(),
            required: declared.required,
            description: declared.description.clone(),
            how_to_obtain: declared.how_to_obtain.clone(),
            delivery: match declared.deliver {
                Delivery::Env => "environment",
                Delivery::File => "file in memory",
                Delivery::Brokered => "brokered: it gets a placeholder",
            },
            bound: source.as_ref().is_some_and(|(_, bound)| *bound),
            source: source.map(|(source, _)| source),
        })
        .collect();
    Ok((wanted, yours))
}

fn secrets_part(
    here: &str,
    wanted: &[Wanted],
    yours: &[SecretName],
    identity: &Identity,
) -> Markup {
    let admin = identity.may(Role::Admin);
    html! {
        @if !wanted.is_empty() {
            h2 { "Secrets" }
            (table("Secrets", &["Variable", "What for", "Delivery", "From"], &html! {
                @for wanted in wanted {
                    tr {
                        th scope="row" { code { (wanted.name) } @if wanted.required { " (required)" } }
                        td {
                            @if let Some(description) = &wanted.description { (description) }
                            @if let Some(how) = &wanted.how_to_obtain { br; small { "How to obtain it: " (how) } }
                        }
                        td { (wanted.delivery) }
                        td {
                            @match &wanted.source { Some(source) => (source), None => (badge("missing")) }
                            @if wanted.bound && admin {
                                form method="post" action={ (here) "/bindings/" (wanted.name) "/remove" } { button class="quiet" aria-label={ "Take back the binding of " (wanted.name) } { "Take back" } }
                            }
                        }
                    }
                }
            }))
            @if admin && !yours.is_empty() {
                form method="post" action={ (here) "/bindings" } class="inline" {
                    label { "Give it for" select name="name" required { @for wanted in wanted { option value=(wanted.name) selected[wanted.source.is_none()] { (wanted.name) } } } }
                    label { "your secret" select name="secret" required { @for name in yours { option value=(name) { (name) } } } }
                    button { "Bind" }
                }
            }
            @if identity.may(Role::Operator) {
                form method="post" action={ (here) "/secrets" } autocomplete="off" {
                    label { "Variable" select name="name" required { @for wanted in wanted { option value=(wanted.name) selected[wanted.source.is_none()] { (wanted.name) } } } }
                    label { "Value" textarea class="secret" name="value" required rows="1" spellcheck="false" autocomplete="off" {} small { "For this instance alone. A service gets a new value when it is started again." } }
                    button { "Save" }
                }
            }
        }
    }
}

fn hosts_part(
    here: &str,
    manifest: Option<&Manifest>,
    decisions: &[mira_store::Decision],
    operator: bool,
) -> Markup {
    html! {
        h2 { "Network" }
        (table("Hosts that it may call", &["Host", "Verdict", "By"], &html! {
            @for pattern in manifest.iter().flat_map(|manifest| &manifest.network) {
                tr { th scope="row" { code { (pattern) } } td { (badge("allowed")) } td { "its manifest" } }
            }
            @for decision in decisions {
                tr {
                    th scope="row" { code { (decision.host) } }
                    td { (badge(if decision.allow { "allowed" } else { "refused" })) }
                    td { "a decision of " (time(decision.decided)) }
                }
            }
        }))
        p { "All other hosts are refused. " a href="/network" { "What was called" } }
        @if operator {
            form method="post" action={ (here) "/hosts" } class="inline" {
                label { "Host" input name="host" required maxlength="300" placeholder="api.example.com" spellcheck="false" autocapitalize="off"; }
                button name="verdict" value="allow" { "Allow" }
                button name="verdict" value="deny" class="quiet" { "Refuse" }
            }
        }
    }
}

/// Shows how its services fare.
pub(crate) async fn state(
    State(desk): State<Handle>,
    Path(id): Path<String>,
) -> Result<Part, DeskError> {
    Ok(Part(state_part(&desk.house.find(&id).await?)))
}

fn state_part(known: &Known) -> Markup {
    let Some(state) = &known.state else {
        return html! { p { (badge(known.phase())) } };
    };
    html! {
        (table("Services", &["Service", "State", "Since", "Restarts", "Process"], &html! {
            @for service in &state.services {
                tr {
                    th scope="row" { (service.service) }
                    td {
                        (badge(&service.phase))
                        @if let (Some(reason), "failed" | "delayed" | "ended") = (&service.reason, service.phase.as_str()) { " " (reason) }
                        @if let Some(trouble) = &service.log_trouble { br; "its log cannot be written: " (trouble) }
                    }
                    td { (time(service.since)) }
                    td { (service.restarts) }
                    td { @if let Some(pid) = service.pid { (pid) } }
                }
            }
        }))
        @match &state.network {
            Some(NetworkMode::Enforced) => p { "Network: enforced; nothing leaves but through Mira's gate." },
            Some(mode) => p class="trouble" { "Network: " (mode) },
            None => {},
        }
    }
}

async fn lines(desk: &Desk, known: &Known) -> Result<Vec<LogLine>, DeskError> {
    let folder = desk.house.instances.layout().logs(&known.instance.id);
    let filter = Filter {
        tail: Some(LINES),
        ..Filter::default()
    };
    blocking(move || {
        read(&folder, &filter)
            .map_err(|error| DeskError::failed(format!("the log cannot be read: {error}")))
    })
    .await
}

fn line_part(service: &str, line: &str) -> Markup {
    html! { div { b { (service) } " " (line) } }
}

/// Where a live log goes on.
#[derive(Debug, Deserialize)]
pub(crate) struct After {
    after: Option<Timestamp>,
}

/// Sends the log as it is written, over stops and starts of the instance. A browser that was cut off says which line it saw last.
pub(crate) async fn live(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    Query(After { after }): Query<After>,
    headers: HeaderMap,
) -> Result<Response, DeskError> {
    let known = desk.house.find(&id).await?;
    let seen = headers
        .get("last-event-id")
        .and_then(|seen| seen.to_str().ok()?.parse().ok());
    let live = Live {
        folder: desk.house.instances.layout().logs(&known.instance.id),
        id: known.instance.id.to_string(),
        desk,
        after: seen.or(after).unwrap_or_else(Timestamp::now),
        follower: Follower::default(),
        waiting: VecDeque::new(),
        events: None,
        look: tokio::time::interval(LOOK_EVERY),
    };
    let stream = futures_util::stream::unfold(live, |mut live| async {
        let line = live.next().await;
        let text = line_part(&line.service, &line.line).into_string();
        let event = Sse::default()
            .event("line")
            .id(line.time.to_string())
            .data(text);
        Some((Ok::<_, Infallible>(event), live))
    });
    let alive = KeepAlive::new().interval(KEEP_ALIVE);
    Ok(Stream::new(stream).keep_alive(alive).into_response())
}

/// A log that is followed.
struct Live {
    desk: Handle,
    id: String,
    folder: PathBuf,
    /// What is not later was shown already.
    after: Timestamp,
    follower: Follower,
    /// Read from the file, and not sent yet.
    waiting: VecDeque<LogLine>,
    /// What happens, while the instance runs.
    events: Option<Events>,
    look: tokio::time::Interval,
}

impl Live {
    /// Returns the next line, whenever it comes.
    async fn next(&mut self) -> LogLine {
        loop {
            let line = match (self.waiting.pop_front(), &mut self.events) {
                (Some(line), _) => line,
                (None, None) => {
                    self.look.tick().await;
                    self.subscribe().await;
                    continue;
                }
                (None, Some(events)) => match events.next().await {
                    Ok(Some(Event::Log {
                        time,
                        service,
                        stream,
                        line,
                        partial,
                    })) => LogLine {
                        time,
                        service: service.into(),
                        stream: match stream.as_str() {
                            "stderr" => Stderr,
                            _ => Stdout,
                        },
                        line,
                        partial,
                    },
                    Ok(Some(_)) => continue,
                    Ok(None) | Err(_) => {
                        self.events = None;
                        continue;
                    }
                },
            };
            if line.time > self.after && self.follower.is_new(&line) {
                return line;
            }
        }
    }

    /// Begins to listen, where the instance runs; then reads what was written before that.
    async fn subscribe(&mut self) {
        // A supervisor that cannot be reached now is asked again.
        self.events = self.desk.house.client.events(&self.id).await.ok().flatten();
        let filter = Filter {
            since: Some(self.after),
            ..Filter::default()
        };
        let folder = self.folder.clone();
        let read = blocking(move || read(&folder, &filter).map_err(DeskError::failed)).await;
        self.waiting = read.unwrap_or_default().into();
    }
}

/// Starts an instance, with what is saved.
pub(crate) async fn bring_up(
    desk: &Handle,
    id: &str,
    identity: &Identity,
    password: Password,
) -> Result<Known, DeskError> {
    let known = desk.house.find(id).await?;
    let started = crate::launch::start(desk, &known.instance, password).await;
    let name = known.instance.name.as_str();
    desk.told(identity, AuditAction::InstanceStart, name, started)
        .await?;
    Ok(known)
}

/// Stops an instance.
pub(crate) async fn bring_down(
    desk: &Desk,
    id: &str,
    identity: &Identity,
) -> Result<Known, DeskError> {
    let known = desk.house.find(id).await?;
    let stopped = desk.house.client.stop(known.instance.id.as_str()).await;
    let name = known.instance.name.as_str();
    desk.told(identity, AuditAction::InstanceStop, name, stopped)
        .await?;
    desk.house
        .instances
        .store()
        .set_desired(&known.instance.id, Desired::Stopped)
        .await?;
    Ok(known)
}

/// Starts it.
pub(crate) async fn start(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let password = Password::given(form.secret("password"));
    Ok(back(&bring_up(&desk, &id, &identity, password).await?))
}

/// Stops it.
pub(crate) async fn stop(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Redirect, DeskError> {
    Ok(back(&bring_down(&desk, &id, &identity).await?))
}

/// Saves a secret that it declares.
pub(crate) async fn save_secret(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    mut form: Form,
) -> Result<Redirect, DeskError> {
    let known = desk.house.find(&id).await?;
    let value = form.secret("value");
    let name = form.required("name", "the variable's name")?;
    let new = NewValue::check(name, value, None, None)?;
    save_own(&desk, &identity, &known.instance, new).await?;
    Ok(back(&known))
}

/// Decides whether it may call a host.
pub(crate) async fn decide(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let known = desk.house.find(&id).await?;
    let hosts: HostPattern = form
        .required("host", "the host")?
        .parse()
        .map_err(|error| DeskError::unfit(format!("that is no host: {error}")))?;
    let allow = form.text("verdict") == Some("allow");
    let decided = crate::launch::decide(&desk, &known.instance, &hosts, allow).await;
    let subject = format!(
        "{} {} {hosts}",
        known.instance.name,
        if allow { "allow" } else { "deny" }
    );
    desk.told(&identity, AuditAction::NetworkDecide, &subject, decided)
        .await?;
    Ok(back(&known))
}

fn back(known: &Known) -> Redirect {
    Redirect::to(&format!("/instances/{}", known.instance.id))
}
