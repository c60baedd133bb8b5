//! The gate as a proxy that programs are told to use: `CONNECT` for what is encrypted or opaque, whole addresses for plain HTTP.
//!
//! What is in a `CONNECT` is served as if it had been connected to. A request with a whole address is decided and checked like one that came
//! to its host.
//!
//! INVARIANT: where a proxy is open to more than one instance's programs, none is served that does not show the token of its run.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use data_encoding::{BASE64, HEXLOWER};
use futures_util::future::{AbortHandle, Abortable};
use http::header::{self, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming as Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use mira_package::manifest::Host;
use mira_secret::SecretBytes;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use crate::connection::{self, Incoming};
use crate::denial::Denial;
use crate::engine::Engine;
use crate::http::{self as gate_http, Answer, Connection, Site, Target};
use crate::open::{Held, To, Told};
use crate::owner::Caller;
use crate::policy::{Reason, Verdict};

/// Who programs say that they are. It says nothing, but a user's name may not be empty.
const USER: &str = "mira";

/// Where the proxy is, for a record of what has no other host.
const LOCALHOST: &str = "localhost";

/// How long a token is, in bytes.
const TOKEN_BYTES: usize = 32;

/// What a program has to show to a proxy that others of this machine can reach as well.
pub struct Access {
    /// `mira:` and the token.
    credentials: SecretBytes,
}

impl Access {
    /// Makes a new one.
    ///
    /// # Errors
    ///
    /// Returns an error if the system has no randomness.
    pub fn make() -> Result<Self, getrandom::Error> {
        let mut token = Zeroizing::new([0; TOKEN_BYTES]);
        getrandom::fill(&mut *token)?;
        let mut credentials = Zeroizing::new(String::with_capacity(128));
        credentials.push_str(USER);
        credentials.push(':');
        HEXLOWER.encode_append(&*token, &mut credentials);
        Ok(Self {
            credentials: SecretBytes::copy_from(credentials.as_bytes()),
        })
    }

    /// Returns the address of a proxy, as programs take it from `HTTPS_PROXY`, with the token in it.
    #[must_use]
    pub fn url(&self, proxy: SocketAddr) -> SecretBytes {
        // EXPOSE: to the program whose token it is, by whoever sets its environment; the text goes into a secret again.
        let credentials = self.credentials.expose();
        let mut url = Zeroizing::new(Vec::with_capacity(128));
        url.extend_from_slice(b"http://");
        url.extend_from_slice(credentials);
        url.extend_from_slice(format!("@{proxy}").as_bytes());
        SecretBytes::copy_from(&url)
    }

    /// Returns whether a request shows the token.
    fn is_shown(&self, request: &Request<Body>) -> bool {
        let mut shown = request
            .headers()
            .get_all(header::PROXY_AUTHORIZATION)
            .iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            return false;
        };
        let Some((scheme, credentials)) = shown.as_bytes().split_at_checked(6) else {
            return false;
        };
        let decoded = BASE64.decode(credentials.trim_ascii());
        // Equality of secrets takes the same time wherever they differ.
        scheme.eq_ignore_ascii_case(b"basic ")
            && decoded.is_ok_and(|decoded| SecretBytes::from_vec(decoded) == self.credentials)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

/// A connection to the proxy.
struct Client {
    engine: Arc<Engine>,
    access: Option<Arc<Access>>,
    caller: Caller,
    /// The port of the proxy.
    port: u16,
    /// Ends the connection.
    handle: AbortHandle,
    /// What the connection becomes when its HTTP has ended.
    tunnel: Mutex<Option<(OnUpgrade, Site)>>,
    /// To which host its requests are, for the time being.
    last: Mutex<Option<Last>>,
}

struct Last {
    host: Host,
    port: u16,
    connection: Arc<Connection>,
    _held: Held,
}

/// Serves a connection to the proxy.
pub(crate) async fn serve(
    engine: Arc<Engine>,
    stream: TcpStream,
    access: Option<Arc<Access>>,
    caller: Caller,
) {
    let (Ok(local), Ok(())) = (stream.local_addr(), stream.set_nodelay(true)) else {
        return;
    };
    let (handle, registration) = AbortHandle::new_pair();
    let client = Arc::new(Client {
        engine: Arc::clone(&engine),
        access,
        caller,
        port: local.port(),
        handle,
        tunnel: Mutex::default(),
        last: Mutex::default(),
    });
    let serving = Abortable::new(Box::pin(requests(&client, stream)), registration);
    serving.await.ok();
    let tunnel = lock(&client.tunnel).take();
    drop(client);
    if let Some((upgrade, site)) = tunnel
        && let Ok(upgraded) = upgrade.await
        && let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>()
    {
        let incoming = Incoming {
            stream: parts.io.into_inner(),
            head: BytesMut::from(parts.read_buf),
        };
        Box::pin(connection::serve(&engine, incoming, site)).await;
    }
}

/// Answers requests, until the connection ends or becomes something else.
async fn requests(client: &Arc<Client>, stream: TcpStream) {
    let answering = Arc::clone(client);
    let answer = service_fn(move |request| {
        let client = Arc::clone(&answering);
        async move { Ok::<_, Infallible>(client.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gate_http::HEAD_TIME)
        .max_buf_size(gate_http::HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), answer)
        .with_upgrades();
    // How else a connection ends is the program's affair: what was said in it is recorded.
    if served
        .await
        .is_err_and(|error| gate_http::is_unreadable(&error))
    {
        client.unreadable().await;
    }
    let last = lock(&client.last).take();
    if let Some(upgrade) = last
        .as_ref()
        .and_then(|last| last.connection.take_upgrade())
    {
        upgrade.relay().await;
    }
}

impl Client {
    async fn answer(&self, request: Request<Body>) -> Response<Answer> {
        if let Some(access) = &self.access
            && !access.is_shown(&request)
        {
            return unknown();
        }
        if request.method() == Method::CONNECT {
            return self.connect(request).await;
        }
        match self.connection(request.uri()).await {
            Ok(connection) => connection
                .answer(request)
                .await
                .unwrap_or_else(|never| match never {}),
            Err(refusal) => *refusal,
        }
    }

    /// Agrees to a tunnel, or says why not.
    async fn connect(&self, mut request: Request<Body>) -> Response<Answer> {
        let uri = request.uri();
        let authority = match (uri.scheme(), uri.authority(), uri.path()) {
            (None, Some(authority), "") => authority,
            _ => return self.no_proxy_request().await,
        };
        let site = match self.site(authority, None).await {
            Ok(site) => site,
            Err(refusal) => return *refusal,
        };
        let caller = &site.caller;
        self.engine.ask(&site.host, site.port, caller).await;
        if let Verdict::Refused(reason) = self.engine.policy().decide(&site.host, site.port) {
            return self
                .refused(&site.host.to_string(), site.port, reason)
                .await;
        }
        let upgrade = hyper::upgrade::on(&mut request);
        *lock(&self.tunnel) = Some((upgrade, site));
        Response::new(Answer::own(Full::default()))
    }

    /// Returns what serves the requests to the host that one names.
    async fn connection(&self, uri: &Uri) -> Result<Arc<Connection>, Box<Response<Answer>>> {
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return Err(Box::new(self.no_proxy_request().await));
        };
        let site = self.site(authority, Some(80)).await?;
        if *scheme != Scheme::HTTP {
            let reason = Reason::Protocol("CONNECT");
            let refusal = self.refused(authority.host(), site.port, reason).await;
            return Err(Box::new(refusal));
        }
        self.engine.ask(&site.host, site.port, &site.caller).await;
        if let Some(last) = &*lock(&self.last)
            && last.host == site.host
            && last.port == site.port
        {
            return Ok(Arc::clone(&last.connection));
        }
        let Some(target) = Target::new(site.host.clone(), site.port, false) else {
            return Err(Box::new(self.no_proxy_request().await));
        };
        let to = To {
            host: site.host.clone(),
            port: site.port,
            address: None,
        };
        let shared = Arc::clone(&self.engine.shared);
        let ended = Arc::clone(&site.ended);
        let connection = Connection::new(shared, target, site.caller, ended);
        let told: Arc<dyn Told> = site.ended;
        *lock(&self.last) = Some(Last {
            host: site.host,
            port: site.port,
            connection: Arc::clone(&connection),
            _held: self.engine.open.enter(to, &told, self.handle.clone()),
        });
        Ok(connection)
    }

    /// Returns what a request's target means.
    async fn site(
        &self,
        authority: &Authority,
        default_port: Option<u16>,
    ) -> Result<Site, Box<Response<Answer>>> {
        let host = authority.host();
        let port = match host.len() == authority.as_str().len() {
            true => default_port,
            false => authority.port_u16(),
        };
        let (Some(port), false) = (port, authority.as_str().contains('@')) else {
            let reason = Reason::Malformed("target");
            let port = port.unwrap_or_default();
            return Err(Box::new(self.refused(host, port, reason).await));
        };
        match Host::requested(host) {
            Some(host) => Ok(Site {
                host: self.engine.meant(host, port),
                port,
                caller: self.caller.clone(),
                ended: Arc::default(),
            }),
            None => Err(Box::new(self.refused(host, port, Reason::NotAHost).await)),
        }
    }

    /// Records a request of which nobody can say where it was to go.
    async fn unreadable(&self) {
        let service = self.caller.known().await;
        let reason = Reason::Malformed("request to the proxy");
        let gate = &self.engine.shared;
        gate.refuse_connection(service, LOCALHOST, self.port, reason);
    }

    async fn no_proxy_request(&self) -> Response<Answer> {
        self.unreadable().await;
        text(
            StatusCode::BAD_REQUEST,
            "This is a proxy: it takes CONNECT, and requests for whole addresses that begin with http://.\n",
        )
    }

    /// Records a refusal, and returns what the program is told.
    async fn refused(&self, host: &str, port: u16, reason: Reason) -> Response<Answer> {
        let service = self.caller.known().await;
        let shared = &self.engine.shared;
        let reason = shared.refuse_connection(service, host, port, reason);
        let denial = Denial::new(&self.engine.policy(), host, port, reason);
        denial.response().map(Answer::own)
    }
}

/// Asks for the token. It is not recorded: who does not show it may be anybody on this machine.
fn unknown() -> Response<Answer> {
    let mut response = text(
        StatusCode::PROXY_AUTHENTICATION_REQUIRED,
        "This proxy is for the programs that Mira started with its address.\n",
    );
    let basic = HeaderValue::from_static("Basic realm=\"Mira\"");
    response
        .headers_mut()
        .insert(header::PROXY_AUTHENTICATE, basic);
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Answer> {
    let mut response = Response::new(Answer::own(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, plain);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
