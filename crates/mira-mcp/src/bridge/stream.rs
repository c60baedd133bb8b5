//! What comes back: one answer, a stream of messages, the rest of one that broke, and the stream that is the server's own.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use mira_redact::MESSAGE_BYTES_MAX;
use reqwest::Response;
use serde_json::Value;
use sse_stream::SseStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::call::{Failure, host, unreachable};
use super::message::{Message, answers};
use super::{Bridge, lock};

/// How often a broken stream is asked for again without anything coming.
const RESUMES_MAX: u32 = 5;

/// How long is waited before that, unless the server says how long; twice as long each time.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest such wait, whatever the server says.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Where a stream is.
#[derive(Default)]
struct Reading {
    last: Option<String>,
    pause: Option<Duration>,
    answered: bool,
    /// How often it was asked for again since something came.
    resumes: u32,
}

impl Bridge {
    /// Passes on what a message is answered with.
    pub(super) async fn relay(&self, response: Response, message: &Message) -> Result<(), Failure> {
        let kind = content_type(&response);
        if !response.status().is_success() {
            return self.relay_refusal(response, message).await;
        }
        if message.is_initialize() {
            self.note_session(response.headers());
        }
        match kind.as_str() {
            "text/event-stream" => self.relay_stream(response, message).await,
            _ if response.status() == StatusCode::ACCEPTED
                || response.status() == StatusCode::NO_CONTENT =>
            {
                Ok(())
            }
            "application/json" => {
                let text = self.body(response).await?;
                if message.is_initialize() {
                    self.note_version(&text);
                }
                if !text.trim().is_empty() {
                    self.emit(&text).await;
                }
                Ok(())
            }
            // The older transport answers by its stream, whatever it says here.
            _ if !message.is_request() || lock(&self.state).post.is_some() => Ok(()),
            _ => {
                let what = if kind.is_empty() { "nothing" } else { &kind };
                Err(Failure::NotMcp {
                    host: host(&self.endpoint.url),
                    what: what.to_owned(),
                })
            }
        }
    }

    /// Passes on a refusal that is a message itself; says what any other one means.
    async fn relay_refusal(&self, response: Response, message: &Message) -> Result<(), Failure> {
        let is_json = content_type(&response) == "application/json";
        let is_final = ![
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
        ]
        .contains(&response.status());
        if !is_json || !is_final {
            return self.accepted(response).map(drop);
        }
        let status = response.status();
        let text = self.body(response).await?;
        match &message.id {
            Some(id) if answers(&text, id) => {
                self.emit(&text).await;
                Ok(())
            }
            _ => Err(Failure::Status {
                host: host(&self.endpoint.url),
                status,
            }),
        }
    }

    /// Reads a whole answer.
    async fn body(&self, response: Response) -> Result<String, Failure> {
        let not_mcp = |what: &str| Failure::NotMcp {
            host: host(&self.endpoint.url),
            what: what.to_owned(),
        };
        let mut bytes = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            bytes
                .extend_from_slice(&chunk.map_err(|error| unreachable(&self.endpoint.url, error))?);
            if bytes.len() > MESSAGE_BYTES_MAX {
                return Err(not_mcp("more than a message can have"));
            }
        }
        String::from_utf8(bytes).map_err(|_| not_mcp("something that is no text"))
    }

    /// Passes on a stream until its request is answered, over as many connections as that takes.
    async fn relay_stream(&self, response: Response, message: &Message) -> Result<(), Failure> {
        let mut reading = Reading::default();
        let mut response = response;
        loop {
            self.read(response, Some(message), &mut reading).await;
            let Some(_) = message.id.as_ref().filter(|_| !reading.answered) else {
                return Ok(());
            };
            if reading.last.is_none() || reading.resumes >= RESUMES_MAX {
                return Err(Failure::Broken {
                    host: host(&self.endpoint.url),
                });
            }
            self.pause(&mut reading).await;
            response = self.get(reading.last.as_deref()).await?;
        }
    }

    /// Reads a stream to its end, and passes its messages on.
    async fn read(&self, response: Response, message: Option<&Message>, reading: &mut Reading) {
        let mut events = SseStream::from_bytes_stream(response.bytes_stream());
        // Where it breaks, it is asked for again.
        while let Some(Ok(event)) = events.next().await {
            reading.resumes = 0;
            reading.last = event.id.filter(|id| !id.is_empty()).or(reading.last.take());
            reading.pause = event.retry.map(Duration::from_millis).or(reading.pause);
            let is_message = event.event.as_deref().is_none_or(|name| name == "message");
            let data = event
                .data
                .filter(|data| is_message && !data.trim().is_empty());
            let Some(data) = data else { continue };
            if let Some(message) = message {
                let id = message.id.as_ref();
                reading.answered |= id.is_some_and(|id: &Value| answers(&data, id));
                if message.is_initialize() && reading.answered {
                    self.note_version(&data);
                }
            }
            self.emit(&data).await;
        }
    }

    /// Waits before a stream is asked for again, or until the client is gone.
    async fn pause(&self, reading: &mut Reading) {
        let wait = reading.pause.unwrap_or(PAUSE) * 2u32.pow(reading.resumes);
        reading.resumes += 1;
        drop(timeout(wait.min(PAUSE_MAX), self.events.closed()).await);
    }

    /// Follows the stream that the server has for what it begins itself, if it has one.
    pub(super) fn listen(self: &Arc<Self>, streams: &mut JoinSet<Result<(), Failure>>) {
        if lock(&self.state).post.is_some() {
            return;
        }
        let bridge = Arc::clone(self);
        streams.spawn(async move {
            let mut reading = Reading::default();
            // A server that has no such stream says so, and nothing is lost by it.
            while let Ok(response) = bridge.get(reading.last.as_deref()).await {
                if content_type(&response) != "text/event-stream" {
                    break;
                }
                bridge.read(response, None, &mut reading).await;
                if reading.resumes >= RESUMES_MAX {
                    break;
                }
                bridge.pause(&mut reading).await;
            }
            Ok(())
        });
    }
}

/// Returns what an answer says that it is, without parameters.
fn content_type(response: &Response) -> String {
    let kind = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}
