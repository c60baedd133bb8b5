//! One instance: how its services fare, what it needs, what it says, where it may call.

mod log;
mod needs;

use axum::extract::{Path, State};
use axum::response::Redirect;
use jiff::Timestamp;
use maud::{Markup, html};
use mira_gate::{Origin, Rule};
use mira_host::network::NetworkMode;
use mira_package::manifest::{HostPattern, Manifest};
use mira_store::{AuditAction, Instance, Role};

use super::secrets::NewValue;
use super::{Page, Part, badge, page, table, time};
use crate::Handle;
use crate::access::Identity;
use crate::error::DeskError;
use crate::form::Form;
use crate::house::Known;
use crate::launch::{Password, bring_down, bring_up};
use crate::opening::save_own;

pub(crate) use log::live;
use log::{line_part, lines};
use needs::{secrets_part, wanted};

/// Shows one.
pub(crate) async fn show(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let known = desk.house.find(&id).await?;
    let instance = &known.instance;
    let here = format!("/instances/{}", instance.id);
    let package = desk.house.package(instance)?;
    // What is sealed is not known before its password is given.
    let asks = package.as_ref().is_none_or(|package| package.is_sealed);
    let manifest = package.as_ref().map(|package| &package.manifest);
    let (wanted, yours) = match manifest {
        Some(manifest) => wanted(&desk, &known, manifest).await?,
        None => Default::default(),
    };
    let ports = desk.house.instances.store().ports(&instance.id).await?;
    let rules = match manifest {
        Some(manifest) => {
            let rules = desk.house.instances.policy_rules(instance, manifest);
            rules.await?
        }
        None => Vec::new(),
    };
    let lines = lines(&desk, instance).await?;
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
                        @if opens(manifest, &port.service, &port.name) { a href={ "http://127.0.0.1:" (port.number) } rel="noreferrer" { "http://127.0.0.1:" (port.number) } }
                        @else { "127.0.0.1:" (port.number) }
                    }
                }
            }
        }
        @if manifest.is_some_and(|manifest| manifest.report.is_some()) {
            p { a href={ (here) "/report" } { "How it fares" } ", as the app tells it." }
        }
        (secrets_part(&here, &wanted, &yours, &identity))
        @if manifest.is_none_or(|manifest| !manifest.state.volumes.is_empty()) {
            h2 { "State" }
            p { a href={ (here) "/snapshots" } { "Snapshots" } ": take one, or go back to one." }
        }
        (hosts_part(&here, manifest, &rules, operator))
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

/// Returns what a rule is there for.
fn by(origin: &Origin) -> Markup {
    html! {
        @match origin {
            Origin::Manifest => "its manifest",
            Origin::Secret(name) => { "where " code { (name) } " is for" },
            Origin::Decision => "a decision",
            other => (other),
        }
    }
}

fn hosts_part(here: &str, manifest: Option<&Manifest>, rules: &[Rule], operator: bool) -> Markup {
    html! {
        h2 { "Network" }
        (table("Hosts that it may call", &["Host", "Verdict", "By"], &html! {
            @if manifest.is_some_and(|manifest| !manifest.github.is_empty()) {
                tr { th scope="row" { "GitHub's API, of the App that is set up here" } td { (badge("allowed")) } td { "its permissions, by tokens" } }
            }
            @for rule in rules {
                tr {
                    th scope="row" { code { (rule.hosts) } }
                    td { (badge(if rule.allow { "allowed" } else { "refused" })) }
                    td { (by(&rule.origin)) }
                }
            }
        }))
        p { "Of those that fit a host the last one counts. All other hosts are refused. " a href="/network" { "What was called" } }
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
    let instance = desk.house.named(&id).await?;
    let value = form.secret("value");
    let name = form.required("name", "the variable's name")?;
    let new = NewValue::check(name, value, None, None)?;
    save_own(&desk, &identity, &instance, new).await?;
    Ok(back(&instance))
}

/// Decides whether it may call a host.
pub(crate) async fn decide(
    State(desk): State<Handle>,
    Path(id): Path<String>,
    identity: Identity,
    form: Form,
) -> Result<Redirect, DeskError> {
    let instance = desk.house.named(&id).await?;
    let hosts: HostPattern = form
        .required("host", "the host")?
        .parse()
        .map_err(|error| DeskError::unfit(format!("that is no host: {error}")))?;
    let allow = form.text("verdict") == Some("allow");
    let decided = crate::launch::decide(&desk, &instance, &hosts, allow).await;
    let subject = format!(
        "{} {} {hosts}",
        instance.name,
        if allow { "allow" } else { "deny" }
    );
    desk.told(&identity, AuditAction::NetworkDecide, &subject, decided)
        .await?;
    Ok(back(&instance))
}

fn back(instance: &Instance) -> Redirect {
    Redirect::to(&format!("/instances/{}", instance.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_of_a_secret_are_among_those_that_may_be_called() {
        let rule = |hosts: &str, allow, origin| Rule {
            hosts: hosts.parse().unwrap(),
            allow,
            origin,
        };
        let rules = [
            rule(
                "a.example.org",
                true,
                Origin::Secret("KEY".parse().unwrap()),
            ),
            rule("b.example.org", true, Origin::Manifest),
            rule("c.example.org", false, Origin::Decision),
        ];
        let page = hosts_part("/instances/x", None, &rules, false).into_string();
        for row in [
            "a.example.org</code></th><td><span class=\"badge good\">allowed</span></td><td>where <code>KEY</code> is for",
            "b.example.org</code></th><td><span class=\"badge good\">allowed</span></td><td>its manifest",
            "c.example.org</code></th><td><span class=\"badge bad\">refused</span></td><td>a decision",
        ] {
            assert!(page.contains(row), "{row} is not in {page}");
        }
    }
}
