//! How this server fares: for whoever watches it, and for people.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::html;
use mira_server::{ClientError, InstanceState};
use mira_vault::LockedVault;

use super::{Page, badge, count, page, table};
use crate::access::Identity;
use crate::error::DeskError;
use crate::{Desk, Handle};

/// Answers that the process serves.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Answers whether the server can do its work: nothing is told of why not, since anybody may ask.
pub(crate) async fn ready(State(desk): State<Handle>) -> Response {
    match desk.shared.ping().await {
        Ok(()) => "ready\n".into_response(),
        Err(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the database cannot be reached\n",
        )
            .into_response(),
    }
}

/// A thing that was looked at.
struct Check {
    what: &'static str,
    state: &'static str,
    says: String,
}

impl Check {
    fn of(what: &'static str, looked_at: Result<String, DeskError>) -> Self {
        match looked_at {
            Ok(says) => Self {
                what,
                state: "ok",
                says,
            },
            Err(error) => Self {
                what,
                state: "bad",
                says: match error.hint {
                    Some(hint) => format!("{}. {hint}", error.message),
                    None => error.message,
                },
            },
        }
    }
}

/// Shows how it fares.
pub(crate) async fn show(
    State(desk): State<Handle>,
    identity: Identity,
) -> Result<Page, DeskError> {
    let running = desk.house.client.instances().await;
    let checks = [
        home(&desk),
        key(&desk),
        Check::of("vault", vault(&desk).await),
        Check::of(
            "database",
            desk.shared
                .ping()
                .await
                .map(|()| desk.shared.place().to_owned())
                .map_err(Into::into),
        ),
        Check::of("supervisor", supervisor(&running)),
        network(running.as_deref().unwrap_or_default()),
    ];
    let body = html! {
        h1 { "Health" }
        (table("Health", &["What", "State", "Says"], &html! {
            @for check in &checks {
                tr { th scope="row" { (check.what) } td { (badge(check.state)) } td { (check.says) } }
            }
        }))
        p class="hint" { code { "mira doctor" } " on the machine of this server looks further, at its keyring and its memory." }
    };
    Ok(page(&identity, "/health", "Health", &body))
}

fn home(desk: &Desk) -> Check {
    let home = desk.custody.home();
    let looked_at = home
        .check()
        .map(|()| format!("{}, private to its user", home.path().display()));
    Check::of("home", looked_at.map_err(DeskError::failed))
}

fn key(desk: &Desk) -> Check {
    match LockedVault::read(desk.custody.home()) {
        Ok(vault) => Check {
            what: "key",
            state: "ok",
            says: format!(
                "provider {}, values in the {} back end",
                vault.provider(),
                vault.backend()
            ),
        },
        Err(error) => Check {
            what: "key",
            state: "bad",
            says: error.to_string(),
        },
    }
}

async fn vault(desk: &Desk) -> Result<String, DeskError> {
    let opened = desk
        .custody
        .with(|vault| Ok((vault.secrets().count(), vault.generation())))
        .await;
    let (number, generation) = opened?;
    Ok(format!(
        "{}, generation {generation}, every byte authenticated",
        count(number, "secret")
    ))
}

fn supervisor(running: &Result<Vec<InstanceState>, ClientError>) -> Result<String, DeskError> {
    let running = running.as_ref().map_err(DeskError::failed)?;
    Ok(match running.len() {
        0 => "no instance runs".to_owned(),
        1 => "1 instance runs".to_owned(),
        number => format!("{number} instances run"),
    })
}

/// Says whether the networks of what runs are enforced.
fn network(running: &[InstanceState]) -> Check {
    let open: Vec<String> = running
        .iter()
        .filter_map(|state| {
            let mode = state.network.as_ref()?;
            (*mode != mira_host::network::NetworkMode::Enforced)
                .then(|| format!("{}: {mode}", state.name))
        })
        .collect();
    match open.is_empty() {
        true => Check {
            what: "network",
            state: "ok",
            says: "the network of every instance that runs is enforced".to_owned(),
        },
        false => Check {
            what: "network",
            state: "note",
            says: open.join("; "),
        },
    }
}
