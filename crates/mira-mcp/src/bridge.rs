//! A server behind a URL, for a client that speaks on standard streams: lines in, requests out, answers back as lines.
//!
//! Streamable HTTP as of the protocol's version 2025-03-26 and later, with sessions, streams that the server begins, and
//! streams resumed where they broke; and the older HTTP with SSE of 2024-11-05. Messages pass as they are, whatever is in
//! them: only what the transport has to know is read.
//!
//! INVARIANT: the headers go to the origin of the URL and nowhere else, over TLS unless it is this machine; whatever comes
//! back passes the redactor before the client has it.

mod call;
mod legacy;
mod message;
mod stream;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use mira_redact::NeedleSet;
use reqwest::{Client, Url};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::definition::{ServerName, Transport};

pub use call::{Failure, UrlError, check_header, check_url};

use message::Message;

/// How long answers are waited for after the client has said all.
// LIMIT: clients kill a server about 2 seconds after they closed its input, and the session is still to be ended.
const DRAIN: Duration = Duration::from_millis(1200);

/// How long the end of a session may take.
const GOODBYE: Duration = Duration::from_millis(600);

/// How long the server may take to accept what needs no answer.
// LIMIT: a specification's server accepts at once; a broken one must not keep back all that follows.
const ACCEPT: Duration = Duration::from_secs(30);

/// A server and how to reach it.
pub struct Endpoint {
    /// Its name, for messages.
    pub name: ServerName,
    /// Its URL, of [`check_url`].
    pub url: Url,
    /// The headers of every request.
    pub headers: HeaderMap,
    /// How it is spoken to.
    pub transport: Transport,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.name).finish()
    }
}

/// What the client's side is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Write this line, its newline included.
    Line(Vec<u8>),
    /// Tell the person.
    Note(String),
}

/// Carries messages until the client has no more, takes no more, or `stop` has come.
///
/// `input` are lines of the client, `events` is what is to be done with what comes back.
///
/// # Errors
///
/// The connection could not be prepared, or the stream that all answers come by has ended.
pub async fn run(
    endpoint: Endpoint,
    needles: Arc<NeedleSet>,
    mut input: mpsc::Receiver<Vec<u8>>,
    events: mpsc::Sender<Event>,
    stop: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let bridge = Arc::new(Bridge {
        client: call::client(&endpoint.url)?,
        endpoint,
        needles,
        events,
        state: Mutex::default(),
    });
    let mut requests = JoinSet::new();
    let mut streams = JoinSet::new();
    let outcome = tokio::select! {
        outcome = bridge.serve(&mut input, &mut requests, &mut streams) => outcome,
        () = bridge.events.closed() => Ok(()),
        () = stop => Ok(()),
    };
    // What is not answered by then is not waited for.
    let drained = timeout(DRAIN, async {
        while requests.join_next().await.is_some() {}
    });
    drop(drained.await);
    streams.abort_all();
    drop(timeout(GOODBYE, bridge.end_session()).await);
    outcome
}

/// What all tasks share.
struct Bridge {
    endpoint: Endpoint,
    client: Client,
    needles: Arc<NeedleSet>,
    events: mpsc::Sender<Event>,
    state: Mutex<State>,
}

/// What was agreed on with the server.
#[derive(Default)]
struct State {
    session: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// Where the older transport takes messages.
    post: Option<Url>,
    /// Requests that the older transport's stream is to answer.
    pending: Vec<serde_json::Value>,
    /// How the client greeted, to greet again when the server has forgotten the session.
    hello: Option<Message>,
    ready: Option<Message>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bridge {
    /// Carries messages until the client has no more.
    async fn serve(
        self: &Arc<Self>,
        input: &mut mpsc::Receiver<Vec<u8>>,
        requests: &mut JoinSet<()>,
        streams: &mut JoinSet<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        loop {
            let line = tokio::select! {
                line = input.recv() => line,
                Some(_) = requests.join_next() => continue,
                Some(ended) = streams.join_next() => match ended {
                    // The older transport has one stream for all answers.
                    Ok(Err(failure)) => return Err(failure),
                    _ => continue,
                },
            };
            let Some(line) = line else { return Ok(()) };
            let Some(message) = Message::parse(line) else {
                self.note("the client wrote a line that is no message; it was left out")
                    .await;
                continue;
            };
            if message.is_initialize() {
                self.greet(&message, streams).await;
            } else if message.is_request() {
                let bridge = Arc::clone(self);
                requests.spawn(async move { bridge.answer(&message).await });
            } else {
                let is_ready = message.method.as_deref() == Some("notifications/initialized");
                self.tell(&message).await;
                if is_ready {
                    lock(&self.state).ready = Some(message);
                    self.listen(streams);
                }
            }
        }
    }

    /// Sends the client's first message, by which the transport is found out.
    async fn greet(
        self: &Arc<Self>,
        message: &Message,
        streams: &mut JoinSet<Result<(), Failure>>,
    ) {
        lock(&self.state).hello = Some(message.clone());
        let outcome = match self.endpoint.transport {
            Transport::Sse => self.greet_legacy(message, streams).await,
            Transport::Auto => match self.exchange(message).await {
                Err(failure) if failure.may_be_legacy() => {
                    // If it is neither, the first answer says more.
                    self.greet_legacy(message, streams)
                        .await
                        .map_err(|_| failure)
                }
                outcome => outcome,
            },
        };
        if let Err(failure) = outcome {
            self.fail(message, &failure).await;
        }
    }

    async fn greet_legacy(
        self: &Arc<Self>,
        message: &Message,
        streams: &mut JoinSet<Result<(), Failure>>,
    ) -> Result<(), Failure> {
        let stream = self.connect_legacy().await?;
        let bridge = Arc::clone(self);
        streams.spawn(async move { bridge.follow_legacy(stream).await });
        self.exchange(message).await
    }

    /// Sends a request and passes on its answer, or says why there is none.
    async fn answer(&self, message: &Message) {
        if let Err(failure) = self.exchange(message).await {
            self.fail(message, &failure).await;
        }
    }

    /// Sends what needs no answer.
    async fn tell(&self, message: &Message) {
        match timeout(ACCEPT, self.exchange(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => self.note(&failure.to_string()).await,
            Err(_) => {
                self.note("the server does not take a message of the client")
                    .await
            }
        }
    }

    /// Tells the client and the person why a request has no answer.
    async fn fail(&self, message: &Message, failure: &Failure) {
        let text = failure.to_string();
        self.note(&text).await;
        if let Some(id) = &message.id {
            self.emit(&message::error(id, &text)).await;
        }
    }

    /// Passes a message of the server on, in one line and redacted.
    async fn emit(&self, text: &str) {
        // In a JSON text a newline stands between its parts only.
        let mut line = text.trim().replace(['\n', '\r'], " ").into_bytes();
        if let Some(redacted) = self.needles.redact_message(&line) {
            line = redacted;
        }
        line.push(b'\n');
        self.send(Event::Line(line)).await;
    }

    async fn note(&self, text: &str) {
        self.send(Event::Note(text.to_owned())).await;
    }

    async fn send(&self, event: Event) {
        // A client that is gone ends the loop by itself.
        drop(self.events.send(event).await);
    }
}
