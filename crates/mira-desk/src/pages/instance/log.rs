//! The log of an instance: what was written last, and what is written from now on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as Stream};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use mira_host::logs::{Filter, Follower, LogLine, read};
use mira_run::Stream::{Stderr, Stdout};
use mira_server::{Event, Events};
use mira_store::Instance;
use serde::Deserialize;

use crate::custody::blocking;
use crate::error::DeskError;
use crate::{Desk, Handle};

/// How many lines of the log a page begins with.
const LINES: usize = 200;

/// How often it is looked whether an instance runs again.
// LIMIT: somebody who watches a start does not wait long, and an idle page costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often a live page without news is told that we are there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn lines(desk: &Desk, instance: &Instance) -> Result<Vec<LogLine>, DeskError> {
    let folder = desk.house.instances.layout().logs(&instance.id);
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

pub(super) fn line_part(service: &str, line: &str) -> Markup {
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
    let instance = desk.house.named(&id).await?;
    let seen = headers
        .get("last-event-id")
        .and_then(|seen| seen.to_str().ok()?.parse().ok());
    let live = Live {
        folder: desk.house.instances.layout().logs(&instance.id),
        id: instance.id.to_string(),
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
