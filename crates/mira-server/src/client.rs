//! A command's side of the socket: finds the supervisor, starts one where there is none, and asks it for things.
//!
//! Every request has a connection of its own. That there is no supervisor is an answer, not an error: then nothing runs.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use mira_gate::Rule;
use mira_host::service::InstanceSpec;
use mira_host::supervisor::REPORT_BYTES_MAX;
use mira_secret::{ENTRY_BYTES_MAX, SecretBytes};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::net::UnixStream;

use crate::lines;
use crate::socket::Place;
use crate::wire::{
    AnswerRequest, Autosave, Event, Failure, InstanceState, LEAVING, NotText, RuleSpec,
    START_PROTOCOL, Spec, StartLine, StartRequest, Stopped, ValueHead,
};

/// How long a supervisor that was just started has until it listens.
// LIMIT: it takes milliseconds; on a machine that is busy with everything else, seconds.
const READY_TIMEOUT: Duration = Duration::from_secs(20);

/// The most that is read of an answer, in bytes.
// LIMIT: the states of thousands of services.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How often it is tried to reach a supervisor, or to start one, that ends before it hears us.
// LIMIT: one that was started on demand may be about to leave when we connect, for some milliseconds; with the pause between two
// tries this is ten seconds.
const TRIES: u32 = 500;

/// How long after one try the next begins.
const PAUSE: Duration = Duration::from_millis(20);

/// Why the supervisor did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection failed.
    #[error("the supervisor cannot be reached: {0}")]
    Connection(#[source] io::Error),
    /// The supervisor could not be started, or ended at once.
    #[error("the supervisor could not be started: {0}")]
    NotStarted(String),
    /// It answered that it did not do it.
    #[error("{0}")]
    Refused(String),
    /// It speaks another version's language.
    #[error(
        "the supervisor is of another version of Mira; `mira serve --stop` ends it, and with it what it runs"
    )]
    OtherVersion,
    /// Something of the instance cannot be sent.
    #[error(transparent)]
    NotText(#[from] NotText),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Connection(error)
    }
}

impl From<hyper::Error> for ClientError {
    fn from(error: hyper::Error) -> Self {
        Self::Connection(io::Error::other(error))
    }
}

/// Starts a supervisor for a place, and returns once it listens or has ended.
pub trait Spawn: Sync {
    /// Starts it, and waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// Returns what it said, if it ended or did not get ready.
    fn spawn(&self, timeout: Duration) -> Result<(), String>;
}

/// What an instance has of the one that starts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// Nothing: it runs on.
    None,
    /// It stops when the connection ends.
    Attached,
    /// The same, and whoever follows it answers what it asks ([`Event::Asked`], [`Client::answer`]).
    Answering,
}

/// The supervisor of a home, as a command sees it.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
}

impl Client {
    /// Names the supervisor; nothing is asked yet.
    #[must_use]
    pub fn new(place: Place) -> Self {
        Self { place }
    }

    /// Returns the instances that the supervisor knows; none where there is no supervisor.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be reached or understood.
    pub async fn instances(&self) -> Result<Vec<InstanceState>, ClientError> {
        match self.call(Method::GET, "/v1/instances").await? {
            Some(answer) => parse(answer).await,
            None => Ok(Vec::new()),
        }
    }

    /// Returns how an instance fares; `None` if the supervisor does not know it, or there is none.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be reached or understood.
    pub async fn instance(&self, id: &str) -> Result<Option<InstanceState>, ClientError> {
        match self
            .call(Method::GET, &format!("/v1/instances/{id}"))
            .await?
        {
            Some(answer) if answer.status() != StatusCode::NOT_FOUND => {
                parse(answer).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Stops an instance, and waits for its last snapshot where one is due; `None` if it did not run.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be reached or understood.
    pub async fn stop(&self, id: &str) -> Result<Option<Stopped>, ClientError> {
        self.stop_at(&format!("/v1/instances/{id}/stop")).await
    }

    /// Stops an instance whose state is about to be removed: there is no last snapshot.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be reached or understood.
    pub async fn discard(&self, id: &str) -> Result<Option<Stopped>, ClientError> {
        self.stop_at(&format!("/v1/instances/{id}/discard")).await
    }

    async fn stop_at(&self, path: &str) -> Result<Option<Stopped>, ClientError> {
        match self.call(Method::POST, path).await? {
            Some(answer) if answer.status() != StatusCode::NOT_FOUND => {
                parse(answer).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Restarts one service of an instance, with the values that it has; returns whether the instance runs.
    ///
    /// # Errors
    ///
    /// There is no such service, it did not come up, or the supervisor cannot be reached or understood.
    pub async fn restart(&self, id: &str, service: &str) -> Result<bool, ClientError> {
        let path = format!("/v1/instances/{id}/services/{service}/restart");
        let answer = self.call(Method::POST, &path).await?;
        Ok(answer.is_some_and(|answer| answer.status() != StatusCode::NOT_FOUND))
    }

    /// Replaces the rules of an instance's network, from now on; returns whether the instance runs.
    ///
    /// # Errors
    ///
    /// It cannot be done, or the supervisor cannot be reached or understood.
    pub async fn replace_rules(&self, id: &str, rules: &[Rule]) -> Result<bool, ClientError> {
        let path = format!("/v1/instances/{id}/rules");
        let rules: Vec<RuleSpec> = rules.iter().map(RuleSpec::from).collect();
        let rules = serde_json::to_vec(&rules).map_err(io::Error::other)?;
        let answer = self.call_with(Method::PUT, &path, rules.into()).await?;
        Ok(answer.is_some_and(|answer| answer.status() != StatusCode::NOT_FOUND))
    }

    /// Answers what was asked about a host; if `allow`, the instance may call it for as long as it runs. Otherwise its rules decide.
    ///
    /// # Errors
    ///
    /// It cannot be done, or the supervisor cannot be reached or understood.
    pub async fn answer(
        &self,
        id: &str,
        host: &str,
        port: u16,
        allow: bool,
    ) -> Result<(), ClientError> {
        let path = format!("/v1/instances/{id}/answers");
        let host = host.to_owned();
        let answer = serde_json::to_vec(&AnswerRequest { host, port, allow });
        let answer = answer.map_err(io::Error::other)?;
        // An instance that is gone waits for nothing.
        self.call_with(Method::POST, &path, answer.into()).await?;
        Ok(())
    }

    /// Returns what the services of an instance know Mira by when it posts them events; `None` if it does not run, or takes none.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be reached or understood.
    pub async fn delivery_token(&self, id: &str) -> Result<Option<SecretBytes>, ClientError> {
        let path = format!("/v1/instances/{id}/delivery-token");
        let answer = match self.call(Method::GET, &path).await? {
            Some(answer) if answer.status() == StatusCode::OK => answer,
            _ => return Ok(None),
        };
        let body = Limited::new(answer.into_body(), ENTRY_BYTES_MAX).collect();
        let body = body
            .await
            .map_err(|error| ClientError::Connection(io::Error::other(error)))?;
        Ok(Some(SecretBytes::from_vec(body.to_bytes().into())))
    }

    /// Returns what an instance tells of how it fares, with markers in place of its values; `None` if it does not run.
    ///
    /// # Errors
    ///
    /// It tells nothing, or its service does not answer; the supervisor cannot be reached or understood.
    pub async fn report(&self, id: &str) -> Result<Option<Bytes>, ClientError> {
        let path = format!("/v1/instances/{id}/report");
        match self.call(Method::GET, &path).await? {
            Some(answer) if answer.status() == StatusCode::OK => {
                let body = Limited::new(answer.into_body(), 2 * REPORT_BYTES_MAX).collect();
                let body = body
                    .await
                    .map_err(|error| ClientError::Connection(io::Error::other(error)))?;
                Ok(Some(body.to_bytes()))
            }
            _ => Ok(None),
        }
    }

    /// Ends the supervisor, and before that all that it runs; returns whether there was one.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be reached or understood.
    pub async fn shut_down(&self) -> Result<bool, ClientError> {
        let Some(answer) = self.call(Method::POST, "/v1/shutdown").await? else {
            return Ok(false);
        };
        // The answer ends when the supervisor does.
        answer.into_body().collect().await.ok();
        Ok(true)
    }

    /// Returns what happens to an instance from now on; `None` if it does not run.
    ///
    /// # Errors
    ///
    /// The supervisor cannot be reached or understood.
    pub async fn events(&self, id: &str) -> Result<Option<Events>, ClientError> {
        let path = format!("/v1/instances/{id}/events");
        let Some(answer) = self.call(Method::GET, &path).await? else {
            return Ok(None);
        };
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(Events {
            body: answer.into_body(),
            read: Vec::new(),
        }))
    }

    /// Asks; `None` if there is no supervisor.
    async fn call(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Option<Response<Incoming>>, ClientError> {
        self.call_with(method, path, Bytes::new()).await
    }

    /// Asks, with JSON as the body; `None` if there is no supervisor.
    async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Option<Response<Incoming>>, ClientError> {
        let mut tries = 0;
        let mut pause = tokio::time::interval(PAUSE);
        let answer = loop {
            pause.tick().await;
            let Some(stream) = self.place.connect().await? else {
                return Ok(None);
            };
            tries += 1;
            match ask(stream, &method, path, body.clone()).await {
                // It has just ended, or is about to: one that was killed has its socket open for a moment still.
                Err(ClientError::Connection(_)) if tries < TRIES => {}
                answer => break answer?,
            }
        };
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(Some(answer)),
            _ => Err(ClientError::Refused(
                parse::<Failure>(answer).await?.message,
            )),
        }
    }

    /// Starts an instance, and a supervisor first where there is none. The values go over the socket, and are not kept here.
    /// With `autosave`, snapshots of it are taken as long as it runs, and one more when it has stopped.
    ///
    /// # Errors
    ///
    /// The supervisor could not be started, reached or understood, or refused; whether the instance gets up is told
    /// by [`Starting::next`].
    pub async fn start(
        &self,
        spec: &InstanceSpec,
        autosave: Option<&Autosave>,
        attachment: Attachment,
        spawn: &dyn Spawn,
    ) -> Result<Starting, ClientError> {
        let request = StartRequest {
            attached: attachment != Attachment::None,
            asks: attachment == Attachment::Answering,
            spec: Spec::try_from(spec)?,
            values: spec.values.iter().map(ValueHead::from).collect(),
            autosave: autosave.map(TryInto::try_into).transpose()?,
        };
        let mut stream = self.upgraded(&request.spec.id, spawn).await?;
        let head = serde_json::to_vec(&request).map_err(io::Error::other)?;
        let len = u32::try_from(head.len()).map_err(io::Error::other)?;
        stream.write_all(&len.to_be_bytes()).await?;
        stream.write_all(&head).await?;
        for value in &spec.values {
            // EXPOSE: to the supervisor, over a socket that only this user's processes reach.
            stream.write_all(value.value.expose()).await?;
        }
        stream.flush().await?;
        let (reader, writer) = tokio::io::split(stream);
        Ok(Starting {
            reader: BufReader::new(reader),
            line: Vec::new(),
            writer,
        })
    }

    /// Connects, with a supervisor on the other side, and leaves HTTP behind.
    async fn upgraded(&self, id: &str, spawn: &dyn Spawn) -> Result<Upgraded, ClientError> {
        let mut last = ClientError::NotStarted("it ended at once, again and again".to_owned());
        let mut pause = tokio::time::interval(PAUSE);
        for _ in 0..TRIES {
            pause.tick().await;
            let stream = match self.place.connect().await? {
                Some(stream) => stream,
                None => {
                    spawn
                        .spawn(READY_TIMEOUT)
                        .map_err(ClientError::NotStarted)?;
                    continue;
                }
            };
            match upgrade(stream, id).await {
                Ok(upgraded) => return Ok(upgraded),
                Err(error @ (ClientError::Refused(_) | ClientError::OtherVersion)) => {
                    return Err(error);
                }
                // It has just ended, or is about to.
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

async fn ask(
    stream: UnixStream,
    method: &Method,
    path: &str,
    body: Bytes,
) -> Result<Response<Incoming>, ClientError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = request(method.clone(), path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(io::Error::other)?;
    Ok(sender.send_request(request).await?)
}

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

async fn upgrade(stream: UnixStream, id: &str) -> Result<Upgraded, ClientError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());
    let request = request(Method::POST, &format!("/v1/instances/{id}/start"))
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, START_PROTOCOL)
        .body(Full::<Bytes>::default())
        .map_err(io::Error::other)?;
    let answer = sender.send_request(request).await?;
    match answer.status() {
        StatusCode::SWITCHING_PROTOCOLS => Ok(TokioIo::new(hyper::upgrade::on(answer).await?)),
        StatusCode::NOT_FOUND => Err(ClientError::OtherVersion),
        LEAVING => Err(ClientError::Connection(io::Error::other(
            "it is about to end",
        ))),
        _ => Err(ClientError::Refused(
            parse::<Failure>(answer).await?.message,
        )),
    }
}

fn request(method: Method, path: &str) -> hyper::http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "mira")
}

async fn parse<T: DeserializeOwned>(answer: Response<Incoming>) -> Result<T, ClientError> {
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
    let bytes = body
        .collect()
        .await
        .map_err(|error| ClientError::Connection(io::Error::other(error)))?
        .to_bytes();
    serde_json::from_slice(&bytes).map_err(|_| ClientError::OtherVersion)
}

/// An instance that is being started over this connection, and, if attached, runs as long as the connection lives.
#[derive(Debug)]
pub struct Starting {
    reader: BufReader<ReadHalf<Upgraded>>,
    line: Vec<u8>,
    writer: WriteHalf<Upgraded>,
}

/// What comes of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// Something happened.
    Event(Event),
    /// All services are up.
    Up,
    /// It did not start; nothing of it runs.
    Failed(String),
    /// It has stopped.
    Stopped,
}

impl Starting {
    /// Returns the next thing that comes of it; `None` at the end. May be given up and called again.
    ///
    /// # Errors
    ///
    /// The supervisor ended, or is not understood.
    pub async fn next(&mut self) -> Result<Option<Started>, ClientError> {
        let line = lines::read::<StartLine>(&mut self.reader, &mut self.line).await?;
        Ok(line.map(|line| match line {
            StartLine::Event { event } => Started::Event(event),
            StartLine::Started => Started::Up,
            StartLine::Failed { failure } => Started::Failed(failure.message),
            StartLine::Stopped => Started::Stopped,
        }))
    }

    /// Asks an attached instance to stop; what comes of it is told by [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// The supervisor ended.
    pub async fn stop(&mut self) -> Result<(), ClientError> {
        Ok(self.writer.shutdown().await?)
    }
}

/// What happens to an instance.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    read: Vec<u8>,
}

impl Events {
    /// Returns the next event; `None` once the instance has stopped.
    ///
    /// # Errors
    ///
    /// The supervisor ended, or is not understood.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(|_| ClientError::OtherVersion);
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
