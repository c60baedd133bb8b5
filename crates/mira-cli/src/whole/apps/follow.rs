//! What comes of a start, told as it happens: states, lines, and where the app is to be found.

use std::collections::{BTreeMap, BTreeSet};

use mira_package::manifest::Manifest;
use mira_server::{Event, Started, Starting};
use mira_store::Instance;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use super::asking::{Questions, settle};
use super::{Apps, autosave};
use crate::error::CommandError;
use crate::ui::Ui;
use crate::whole::commands::net;

/// How an instance came up.
pub(super) enum Launched {
    /// It runs, and goes on.
    Up,
    /// It ran in the foreground, and has stopped.
    Stopped,
}

/// A start that is followed; of which the first news were waited for.
pub(super) struct Following {
    starting: Starting,
    first: Option<Option<Started>>,
}

impl Following {
    pub(super) fn new(starting: Starting, first: Option<Started>) -> Self {
        Self {
            starting,
            first: Some(first),
        }
    }

    async fn next(&mut self) -> Result<Option<Started>, CommandError> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => Ok(self.starting.next().await?),
        }
    }
}

/// Tells what comes of a start: until it is up, or in the foreground until it has stopped.
pub(super) async fn follow(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    manifest: &Manifest,
    following: &mut Following,
    detach: bool,
) -> Result<Launched, CommandError> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut stopping = false;
    let mut shown = Shown::default();
    let mut questions = Questions::default();
    loop {
        let next = tokio::select! {
            (asked, answer) = questions.next(ui, instance) => {
                settle(apps, ui, instance, manifest, &asked, answer).await?;
                continue;
            }
            next = following.next() => next?,
            _ = interrupted.recv() => None,
            _ = terminated.recv() => None,
        };
        match next {
            Some(Started::Event(event @ Event::Asked { .. })) => questions.add(instance, &event),
            Some(Started::Event(event)) => tell(ui, instance, detach, &mut shown, &event)?,
            Some(Started::Up) => {
                tell_up(apps, ui, instance, manifest, detach).await?;
                if detach {
                    return Ok(Launched::Up);
                }
            }
            Some(Started::Failed(message)) => {
                for (service, line) in &shown.unseen {
                    ui.say(&format!("{service} said at last: {line}"));
                }
                let failed =
                    CommandError::failed(format!("{} did not start: {message}", instance.name));
                return Err(match shown.states.is_empty() {
                    // No service was begun.
                    true => failed,
                    false => failed.hint(format!(
                        "`mira logs {}` shows what its services said.",
                        instance.name
                    )),
                });
            }
            Some(Started::Stopped) => return Ok(Launched::Stopped),
            None if stopping => {
                return Err(CommandError::failed(format!(
                    "the supervisor ended before {} had stopped",
                    instance.name
                )));
            }
            // A key, a signal, or the end of the connection, which a second look tells.
            None => {
                stopping = true;
                ui.say(&format!("stopping {}", instance.name));
                match detach {
                    true => {
                        apps.client.stop(instance.id.as_str()).await?;
                    }
                    false => following.starting.stop().await?,
                }
            }
        }
    }
}

/// What was told already.
#[derive(Default)]
struct Shown {
    /// The last of each service.
    states: BTreeMap<String, String>,
    /// The hosts and ports that it was kept from calling.
    refused: BTreeSet<(String, u16)>,
    /// The last line of each service, where lines are not shown.
    unseen: BTreeMap<String, String>,
}

/// Shows an event of the foreground: lines on stdout, the rest on stderr.
fn tell(
    ui: &Ui,
    instance: &Instance,
    quiet: bool,
    Shown {
        states: shown,
        refused,
        unseen,
    }: &mut Shown,
    event: &Event,
) -> Result<(), CommandError> {
    match event {
        Event::Log { service, line, .. } if !quiet => {
            ui.data(&format!("{service} | {line}\n"))?;
        }
        Event::Log { service, line, .. } => {
            unseen.insert(service.clone(), line.clone());
        }
        Event::Asked { .. } => {}
        Event::Missed { events } => ui.say(&format!(
            "{events} lines were not shown; they are in the log"
        )),
        Event::Refused { host, port, .. } if quiet || !refused.insert((host.clone(), *port)) => {}
        Event::Refused {
            host,
            port,
            reason,
            can_be_allowed,
        } => {
            ui.say(&format!(
                "{} was kept from calling {host}:{port}: {reason}",
                instance.name
            ));
            if *can_be_allowed {
                let pattern = net::spelled(host, *port);
                ui.detail(&format!(
                    "`mira net allow {} {pattern}` lets it, from then on",
                    instance.name
                ));
            }
        }
        Event::Autosave { state } => {
            if let Some(trouble) = autosave::trouble(instance.name.as_str(), state) {
                ui.say(&trouble);
            }
        }
        Event::State { state } => {
            let reason = match (&state.reason, state.phase.as_str()) {
                (Some(reason), "failed" | "delayed" | "ended") => format!(": {reason}"),
                _ => String::new(),
            };
            let mut text = match state.phase.as_str() {
                "waiting" | "stopping" => String::new(),
                phase => format!("{} is {phase}{reason}", state.service),
            };
            if let Some(trouble) = &state.log_trouble {
                text = format!("the log of {} cannot be written: {trouble}", state.service);
            }
            // A state comes again where something of it changed that is not told.
            if shown.insert(state.service.clone(), text.clone()).as_ref() != Some(&text)
                && !text.is_empty()
            {
                ui.say(&text);
            }
        }
    }
    Ok(())
}

/// Says that all services are up, and where.
async fn tell_up(
    apps: &Apps,
    ui: &Ui,
    instance: &Instance,
    manifest: &Manifest,
    detach: bool,
) -> Result<(), CommandError> {
    let ports = apps.instances.store().ports(&instance.id).await?;
    let urls: Vec<String> = ports
        .iter()
        .filter(|port| {
            let service = manifest.service(&port.service);
            let declared = service.into_iter().flat_map(|service| &service.ports);
            declared
                .filter(|declared| declared.open)
                .any(|declared| *port.name == *declared.name.as_str())
        })
        .map(|port| format!("http://127.0.0.1:{}", port.number))
        .collect();
    if ui.is_json() && detach {
        return ui.json(&json!({
            "id": instance.id.as_str(),
            "name": instance.name.as_str(),
            "state": "up",
            "urls": urls,
        }));
    }
    let place = match urls.is_empty() {
        true => String::new(),
        false => format!(" at {}", urls.join(", ")),
    };
    let how = match detach {
        true => format!("`mira stop {}` stops it", instance.name),
        false => "Ctrl-C stops it".to_owned(),
    };
    ui.say(&format!("{} is up{place}; {how}", instance.name));
    Ok(())
}
