//! A model service on a loopback port, which speaks as OpenAI, Anthropic, OpenRouter and Ollama do and answers what a test scripted.
//!
//! It is not a model, and checks of a request only what real services refuse: the path, the method, the key, and a body that is
//! no chat. INVARIANT: nothing here waits for time to pass; a slow answer is one that the test holds back.

use std::collections::VecDeque;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use serde_json::Value;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::server::{Arrivals, Server, lock};

mod dialect;
mod http;
mod reply;

pub use reply::Reply;

/// A chat request that arrived.
#[derive(Clone, PartialEq)]
pub struct ChatRequest {
    /// The parsed body.
    pub body: Value,
    /// The key, where there is one: of the header that the API has for it.
    pub bearer: Option<String>,
}

impl ChatRequest {
    /// Returns the name of the model that is asked for.
    #[must_use]
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap_or_default()
    }

    /// Returns whether the answer is to come as server-sent events.
    #[must_use]
    pub fn wants_stream(&self) -> bool {
        self.body["stream"].as_bool().unwrap_or(false)
    }

    /// Returns the form asked for: `json_schema`, `json_object`, or nothing.
    #[must_use]
    pub fn format(&self) -> &str {
        self.body["response_format"]["type"]
            .as_str()
            .unwrap_or_default()
    }

    /// Returns the text of the last message.
    #[must_use]
    pub fn last_message(&self) -> &str {
        self.body["messages"]
            .as_array()
            .and_then(|messages| messages.last())
            .and_then(|message| message["content"].as_str())
            .unwrap_or_default()
    }
}

impl fmt::Debug for ChatRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The bearer is a test's canary: a failing test must not print it.
        f.debug_struct("ChatRequest")
            .field("body", &self.body)
            .field("has_bearer", &self.bearer.is_some())
            .finish()
    }
}

/// Decides what a request is answered once the script has run out.
type Responder = Box<dyn Fn(&ChatRequest) -> Reply + Send + Sync>;

/// What the server's thread and the test share.
struct Shared {
    key: Option<String>,
    models: Vec<String>,
    script: Mutex<VecDeque<Reply>>,
    listing_script: Mutex<VecDeque<Reply>>,
    respond: Responder,
    requests: Arrivals<ChatRequest>,
    /// How many of the held replies may go on.
    released: watch::Sender<u64>,
    held: Mutex<u64>,
}

impl Shared {
    fn reply_to(&self, request: &ChatRequest) -> Reply {
        let scripted = lock(&self.script).pop_front();
        scripted.unwrap_or_else(|| (self.respond)(request))
    }

    /// Waits until the test releases this reply, or ends the server.
    async fn hold(&self) {
        let number = {
            let mut held = lock(&self.held);
            *held += 1;
            *held
        };
        let mut released = self.released.subscribe();
        // An error means that the server is going: then nobody waits for the answer.
        drop(released.wait_for(|released| *released >= number).await);
    }
}

/// A running server, ended on drop.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server,
}

impl fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ModelServer {
    /// Starts a server that answers "Hello." to whoever asks, as a model on one's own machine does.
    ///
    /// # Panics
    ///
    /// Panics where no loopback port can be had.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(None, |_| Reply::text("Hello."))
    }

    /// Starts a server that wants this key as a bearer token, and answers as `respond` says.
    ///
    /// # Panics
    ///
    /// Panics where no loopback port can be had.
    #[must_use]
    pub fn start_with(
        key: Option<&str>,
        respond: impl Fn(&ChatRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port can be had");
        Self::start_on(listener, None, key, respond)
    }

    /// Starts such a server behind a listener, with TLS where a configuration for it is given.
    ///
    /// # Panics
    ///
    /// As [`ModelServer::start_with`].
    #[must_use]
    pub fn start_on(
        listener: TcpListener,
        tls: Option<Arc<ServerConfig>>,
        key: Option<&str>,
        respond: impl Fn(&ChatRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("a bound socket has one");
        let shared = Arc::new(Shared {
            key: key.map(str::to_owned),
            models: vec!["large".to_owned(), "small".to_owned()],
            script: Mutex::default(),
            listing_script: Mutex::default(),
            respond: Box::new(respond),
            requests: Arrivals::default(),
            released: watch::Sender::new(0),
            held: Mutex::new(0),
        });
        let server = Server::start("model-server", listener, {
            let shared = Arc::clone(&shared);
            async move |listener| {
                http::accept(&listener, tls.map(TlsAcceptor::from), &shared).await;
            }
        });
        Self {
            address,
            shared,
            _server: server,
        }
    }

    /// Returns the address of its API, for `OPENAI_BASE_URL`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Answers the next request that has no answer yet with this; several are answered in the order of these calls.
    pub fn script(&self, reply: Reply) {
        lock(&self.shared.script).push_back(reply);
    }

    /// Answers the next request for a list of models, or for what is known of a key, with this instead of the truth.
    pub fn script_listing(&self, reply: Reply) {
        lock(&self.shared.listing_script).push_back(reply);
    }

    /// Returns the address of the server itself: Anthropic's API is below `/v1` of it, OpenRouter's below `/api/v1`, Ollama's below `/api`.
    #[must_use]
    pub fn root_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets one held reply go on, in the order in which they were asked for.
    pub fn release(&self) {
        self.shared.released.send_modify(|released| *released += 1);
    }

    /// Returns the chat requests so far, those with a wrong key too.
    #[must_use]
    pub fn requests(&self) -> Vec<ChatRequest> {
        self.shared.requests.all()
    }

    /// Returns the chat requests once there are that many.
    ///
    /// # Panics
    ///
    /// Panics where they do not come in time.
    #[track_caller]
    #[must_use]
    pub fn wait_for_requests(&self, count: usize) -> Vec<ChatRequest> {
        self.shared.requests.wait_for(count)
    }
}

#[cfg(test)]
mod tests;
