//! One call of the server: which headers it has, where it may lead, and what is said where it fails.

use std::net::IpAddr;
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response, Url};

use super::message::Message;
use super::{Bridge, lock};
use crate::definition::header_secret;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(30);

/// How often a server may send us on, within its own origin.
const REDIRECTS_MAX: usize = 5;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");

/// The first version of the protocol whose requests name their method and what they call in headers.
const NAMED_SINCE: &str = "2026-07-28";

/// Why a URL cannot be a server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// It is not one.
    #[error("that is no URL; it begins with https://")]
    Invalid,
    /// It would send the headers over the network in plain.
    #[error(
        "headers are secrets, and http:// sends them in plain; use https:// (http:// is for this machine only: localhost, 127.0.0.1, [::1])"
    )]
    Plain,
    /// It has a password in it.
    #[error(
        "a URL is not kept secret, and this one has a user or password in it; use --header Authorization"
    )]
    Password,
}

/// Returns a URL that a server may have: `https`, or `http` on this machine; without user and password.
///
/// # Errors
///
/// Returns which of these does not hold. The URL is not repeated.
pub fn check_url(text: &str) -> Result<Url, UrlError> {
    let mut url = Url::parse(text).map_err(|_| UrlError::Invalid)?;
    let host = url.host_str().ok_or(UrlError::Invalid)?;
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err(UrlError::Plain),
        _ => return Err(UrlError::Invalid),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Password);
    }
    url.set_fragment(None);
    Ok(url)
}

/// Returns whether a header can be set for a server: the transport's own cannot.
#[must_use]
pub fn check_header(name: &str) -> Option<HeaderName> {
    const OWN: [&str; 9] = [
        "accept",
        "connection",
        "content-length",
        "content-type",
        "host",
        "last-event-id",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    let name: HeaderName = name.parse().ok()?;
    let is_own = OWN.contains(&name.as_str()) || name.as_str().starts_with("mcp-");
    (!is_own).then_some(name)
}

/// Why there is no answer, in words for the person.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The server did not accept what identifies us.
    #[error("{host} refused the credentials ({status}); {hint}")]
    Credentials {
        /// The server's host.
        host: String,
        /// Its answer.
        status: StatusCode,
        /// What to do.
        hint: String,
    },
    /// The server answered that it will not or cannot.
    #[error("{host} answered {status}")]
    Status {
        /// The server's host.
        host: String,
        /// Its answer.
        status: StatusCode,
    },
    /// The server sends callers to another origin.
    #[error(
        "{from} sends callers on to {to}; the headers stay with {from}, so nothing was sent there. If that is right, add the server with the new URL"
    )]
    Elsewhere {
        /// The server's host.
        from: String,
        /// The origin it names.
        to: String,
    },
    /// The server could not be reached, or went away.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// The server's host.
        host: String,
        /// What was in the way.
        why: String,
    },
    /// The server answered with something that is no message.
    #[error("{host} answered with {what}, which is not MCP; is the URL right?")]
    NotMcp {
        /// The server's host.
        host: String,
        /// What it was.
        what: String,
    },
    /// The stream with the answer broke and could not be resumed.
    #[error("the connection to {host} broke before the answer came")]
    Broken {
        /// The server's host.
        host: String,
    },
}

impl Failure {
    /// Returns whether a server of the older transport would have answered so.
    pub(super) fn may_be_legacy(&self) -> bool {
        matches!(
            self,
            Self::Status { status, .. }
                if [StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED].contains(status)
        )
    }

    fn is_forgotten_session(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: StatusCode::NOT_FOUND,
                ..
            }
        )
    }
}

/// A refusal to follow a server to another origin.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct SentElsewhere(String);

/// Makes what calls the server, and follows it within its origin only.
pub(super) fn client(url: &Url) -> Result<Client, Failure> {
    // Fails where somebody has chosen already, which is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let origin = url.origin();
    let follow = move |attempt: Attempt<'_>| match attempt.url().origin() == origin {
        true if attempt.previous().len() > REDIRECTS_MAX => attempt.stop(),
        true => attempt.follow(),
        false => {
            let to = attempt.url().origin().ascii_serialization();
            attempt.error(SentElsewhere(to))
        }
    };
    let mut builder = Client::builder()
        .redirect(Policy::custom(follow))
        .connect_timeout(CONNECT)
        .user_agent("mira");
    if url.scheme() == "http" {
        // It is this machine, and what is plain does not leave it.
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| unreachable(url, error))
}

pub(super) fn unreachable(url: &Url, error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut why: &dyn std::error::Error = &error;
    while let Some(source) = why.source() {
        if let Some(SentElsewhere(to)) = source.downcast_ref() {
            return Failure::Elsewhere {
                from: host(url),
                to: to.clone(),
            };
        }
        why = source;
    }
    let why = why.to_string();
    Failure::Unreachable {
        host: host(url),
        why,
    }
}

pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

impl Bridge {
    /// Sends a message and passes on what comes back; greets again where the server has forgotten the session.
    pub(super) async fn exchange(&self, message: &Message) -> Result<(), Failure> {
        let had_session = lock(&self.state).session.clone();
        match self.exchange_once(message).await {
            Err(failure)
                if failure.is_forgotten_session()
                    && had_session.is_some()
                    && !message.is_initialize() =>
            {
                self.greet_again(had_session).await?;
                self.exchange_once(message).await
            }
            outcome => outcome,
        }
    }

    async fn exchange_once(&self, message: &Message) -> Result<(), Failure> {
        let response = self.post(message).await?;
        self.relay(response, message).await
    }

    async fn post(&self, message: &Message) -> Result<Response, Failure> {
        let (url, is_legacy) = {
            let mut state = lock(&self.state);
            match &state.post {
                Some(url) => {
                    let url = url.clone();
                    state
                        .pending
                        .extend(message.id.clone().filter(|_| message.is_request()));
                    (url, true)
                }
                None => (self.endpoint.url.clone(), false),
            }
        };
        let mut request = self
            .client
            .post(url)
            .headers(self.endpoint.headers.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json, text/event-stream");
        if !is_legacy {
            request = self.agreed(request, message.version.as_deref());
            if message
                .version
                .as_deref()
                .is_some_and(|version| version >= NAMED_SINCE)
            {
                let named = [(METHOD, &message.method), (NAME, &message.name)];
                for (header, text) in named {
                    // What a header cannot carry, a server has to read in the message.
                    let value = text
                        .as_deref()
                        .and_then(|text| HeaderValue::from_str(text).ok());
                    request = value
                        .into_iter()
                        .fold(request, |request, value| request.header(&header, value));
                }
            }
        }
        let response = request.body(message.line.clone()).send().await;
        response.map_err(|error| unreachable(&self.endpoint.url, error))
    }

    /// Asks for a stream: the server's own, or the rest of one that broke behind `last`.
    pub(super) async fn get(&self, last: Option<&str>) -> Result<Response, Failure> {
        let mut request = self
            .client
            .get(self.endpoint.url.clone())
            .headers(self.endpoint.headers.clone())
            .header(ACCEPT, "text/event-stream");
        request = self.agreed(request, None);
        if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
            request = request.header(LAST_EVENT, last);
        }
        let response = request.send().await;
        let response = response.map_err(|error| unreachable(&self.endpoint.url, error))?;
        self.accepted(response)
    }

    /// Adds the session and the version that was agreed on.
    fn agreed(&self, mut request: RequestBuilder, version: Option<&str>) -> RequestBuilder {
        let state = lock(&self.state);
        if let Some(session) = &state.session {
            request = request.header(SESSION, session);
        }
        let said = version.and_then(|version| HeaderValue::from_str(version).ok());
        match said.or_else(|| state.version.clone()) {
            Some(version) => request.header(VERSION, version),
            None => request,
        }
    }

    /// Takes the session that an answer to a greeting names.
    pub(super) fn note_session(&self, headers: &HeaderMap) {
        if let Some(session) = headers.get(SESSION) {
            lock(&self.state).session = Some(session.clone());
        }
    }

    /// Takes the version that an answer to a greeting names.
    pub(super) fn note_version(&self, answer: &str) {
        let answer: Option<serde_json::Value> = serde_json::from_str(answer).ok();
        let version = answer
            .as_ref()
            .and_then(|answer| answer.pointer("/result/protocolVersion"));
        let version = version.and_then(|version| HeaderValue::from_str(version.as_str()?).ok());
        if version.is_some() {
            lock(&self.state).version = version;
        }
    }

    /// Begins a session anew as the client began the first one, unless another task just has.
    async fn greet_again(&self, forgotten: Option<HeaderValue>) -> Result<(), Failure> {
        let (hello, ready) = {
            let mut state = lock(&self.state);
            if state.session != forgotten {
                return Ok(());
            }
            state.session = None;
            (state.hello.clone(), state.ready.clone())
        };
        let Some(hello) = hello else { return Ok(()) };
        let response = self.accepted(self.post(&hello).await?)?;
        self.note_session(response.headers());
        // Its answer is the same as the first, which the client has.
        drop(response.bytes().await);
        if let Some(ready) = ready {
            self.accepted(self.post(&ready).await?)?;
        }
        Ok(())
    }

    /// Ends the session, if there is one. A server may refuse that, and ends it some day by itself.
    pub(super) async fn end_session(&self) {
        if lock(&self.state).session.is_some() {
            let request = self.client.delete(self.endpoint.url.clone());
            let request = request.headers(self.endpoint.headers.clone());
            drop(self.agreed(request, None).send().await);
        }
    }

    /// Returns an answer that is none of refusal.
    pub(super) fn accepted(&self, response: Response) -> Result<Response, Failure> {
        let (host, status) = (host(&self.endpoint.url), response.status());
        match status {
            _ if status.is_success() => Ok(response),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Failure::Credentials {
                host,
                status,
                hint: self.credentials_hint(),
            }),
            _ => Err(Failure::Status { host, status }),
        }
    }

    fn credentials_hint(&self) -> String {
        let name = &self.endpoint.name;
        let mut headers = self.endpoint.headers.iter();
        let secret = headers.find(|(_, value)| value.is_sensitive());
        match secret.and_then(|(name, _)| header_secret(name.as_str()).ok()) {
            Some(secret) => {
                format!("save new ones: mira set {secret} --scope mcp/{name} --replace")
            }
            None => format!(
                "say which header has them: mira mcp add {name} --replace --url URL --header Authorization"
            ),
        }
    }
}
