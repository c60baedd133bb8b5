//! One request and its whole answer: over TLS, by the proxy if there is one, within a time and a length, and never sent on elsewhere.
//!
//! INVARIANT: a request with a key goes over an encrypted connection or stays on this machine. An answer is not printed.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, Request, Response, StatusCode};
use jiff::Timestamp;
use mira_vault::settings::is_loopback;
use reqwest::{Client, NoProxy, Proxy, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use crate::fault::Fault;

/// How long a call may take in all, unless the caller says otherwise.
// LIMIT: listings take a second, one word of a model a few; a person who waits for more wants to be told.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The longest answer that is read, in bytes.
// LIMIT: the longest listing of models, of a provider that has hundreds, has about 1 MiB.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How calls get out.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The proxies to use.
    pub proxies: Proxies,
    /// How long a call may take in all.
    pub timeout: Duration,
}

/// The proxies that the environment names, as its variables say it. They may hold passwords.
#[derive(Clone, Default)]
pub struct Proxies {
    /// `HTTPS_PROXY`: for what is encrypted.
    pub https: Option<String>,
    /// `HTTP_PROXY`: for what is not.
    pub http: Option<String>,
    /// `NO_PROXY`: hosts that are called directly.
    pub none_for: Option<String>,
}

impl Proxies {
    /// Takes them from variables as curl knows them: `http_proxy` in small letters only, as a web server's clients can set the
    /// other.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| variable(name));
            values.find(|value| !value.is_empty())
        };
        Self {
            https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            http: first(&["http_proxy", "all_proxy", "ALL_PROXY"]),
            none_for: first(&["no_proxy", "NO_PROXY"]),
        }
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxies")
    }
}

/// Why no call can be made at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableError {
    /// There is no certificate authority.
    #[error(
        "no certificate authority was found on this system; install ca-certificates, or name a file of them in SSL_CERT_FILE"
    )]
    NoRoots,
    /// A proxy's address is none.
    #[error("{variable} is no address of a proxy, such as http://proxy.example:3128")]
    Proxy {
        /// The variable that names it.
        variable: &'static str,
    },
    /// The system refused.
    #[error("connections cannot be prepared: {0}")]
    System(#[source] Box<dyn Error + Send + Sync>),
}

/// Makes calls.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    /// For this machine itself, which no proxy leads to.
    direct: Client,
    proxies: Proxies,
    timeout: Duration,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What came back.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    /// The time on this machine's clock when it came.
    received: Timestamp,
    /// Host and port that it came from.
    pub(crate) at: String,
}

impl Caller {
    /// Prepares calls; `SSL_CERT_FILE` and `SSL_CERT_DIR` name the authorities that are trusted, if they are set.
    ///
    /// # Errors
    ///
    /// Returns what stands against all calls.
    pub fn new(reach: Reach) -> Result<Self, UnusableError> {
        let tls = tls()?;
        let base = |tls: ClientConfig| {
            Client::builder()
                .tls_backend_preconfigured(tls)
                .redirect(redirect::Policy::none())
                .user_agent("mira")
                .no_proxy()
        };
        let system = |error| UnusableError::System(Box::new(error));
        let direct = base(tls.clone()).build().map_err(system)?;
        let mut proxied = base(tls);
        let Proxies {
            https,
            http,
            none_for,
        } = &reach.proxies;
        let none_for = none_for.as_deref().and_then(NoProxy::from_string);
        if let Some(url) = https {
            let proxy = Proxy::https(url).map_err(|_| UnusableError::Proxy {
                variable: "HTTPS_PROXY",
            })?;
            proxied = proxied.proxy(proxy.no_proxy(none_for.clone()));
        }
        if let Some(url) = http {
            let proxy = Proxy::http(url).map_err(|_| UnusableError::Proxy {
                variable: "HTTP_PROXY",
            })?;
            proxied = proxied.proxy(proxy.no_proxy(none_for));
        }
        Ok(Self {
            client: proxied.build().map_err(system)?,
            direct,
            proxies: reach.proxies,
            timeout: reach.timeout,
        })
    }

    /// Makes a call that carries no key, to an absolute URL, and returns what came back.
    ///
    /// # Errors
    ///
    /// Returns why nothing came back.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Fault> {
        let answer = self.call(request, false).await?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        Ok(response)
    }

    /// Makes a call that carries a key, or one that carries none.
    ///
    /// # Errors
    ///
    /// Returns why no answer came, and nothing of the request but the host.
    pub async fn call(&self, request: Request<Vec<u8>>, has_key: bool) -> Result<Answer, Fault> {
        let url: Url = request
            .uri()
            .to_string()
            .parse()
            .expect("it was made of a URL");
        let at = place(&url);
        if has_key && url.scheme() != "https" && !is_loopback(&url) {
            return Err(Fault::Unencrypted { at });
        }
        let client = match is_loopback(&url) {
            true => &self.direct,
            false => &self.client,
        };
        let request = request.try_into().expect("it was made of a URL");
        match tokio::time::timeout(self.timeout, answer(client, request, &at)).await {
            Err(_) => Err(Fault::Timeout {
                at,
                seconds: self.timeout.as_secs(),
            }),
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(self.fault(&error, &url)),
        }
    }

    /// Says what a connection's error means.
    fn fault(&self, error: &reqwest::Error, url: &Url) -> Fault {
        let at = place(url);
        let proxy = self.proxy_of(url);
        let causes = Causes::of(error);
        if error.is_timeout() {
            return Fault::Timeout {
                at,
                seconds: self.timeout.as_secs(),
            };
        }
        if let Some(tls) = causes.tls {
            return Fault::Tls { at, why: tls };
        }
        if let Some(proxy) = proxy {
            return Fault::ProxyRefused {
                proxy,
                at,
                why: causes.in_words(),
            };
        }
        if error.is_dns() || causes.texts.iter().any(|text| text == "dns error") {
            let host = url.host_str().unwrap_or_default().to_owned();
            return Fault::NoAddress { host };
        }
        match causes.io {
            Some(std::io::ErrorKind::ConnectionRefused) => Fault::ConnectionRefused { at },
            _ => Fault::Unreachable {
                at,
                why: causes.in_words(),
            },
        }
    }

    /// Returns the proxy that leads to a URL: its host and port, nothing else of it.
    fn proxy_of(&self, url: &Url) -> Option<String> {
        let Proxies { https, http, .. } = &self.proxies;
        let proxy = match url.scheme() {
            _ if is_loopback(url) => None,
            "https" => https.as_ref(),
            _ => http.as_ref(),
        }?;
        let with_scheme = match proxy.contains("://") {
            true => proxy.clone(),
            false => format!("http://{proxy}"),
        };
        with_scheme.parse().ok().map(|proxy: Url| place(&proxy))
    }
}

/// TLS as the gate has it: rustls on ring, with the authorities of the system.
fn tls() -> Result<ClientConfig, UnusableError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs().certs;
    let (used, _) = roots.add_parsable_certificates(found);
    if used == 0 {
        return Err(UnusableError::NoRoots);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| UnusableError::System(Box::new(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Sends a request and reads its answer whole, unless that is too long.
async fn answer(
    client: &Client,
    request: reqwest::Request,
    at: &str,
) -> Result<Result<Answer, Fault>, reqwest::Error> {
    let mut response = client.execute(request).await?;
    let received = Timestamp::now();
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    if status.is_redirection() {
        let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| to.parse().ok());
        return Ok(Err(Fault::Redirected {
            at: at.to_owned(),
            to: to.map_or_else(|| "another address".to_owned(), |url: Url| place(&url)),
        }));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Ok(Err(Fault::NotThisApi {
                at: at.to_owned(),
                api: "an API".to_owned(),
                found: format!("more than {} MiB came", ANSWER_BYTES_MAX / 1024 / 1024),
            }));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Ok(Answer {
        status,
        headers,
        body,
        received,
        at: at.to_owned(),
    }))
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// Returns the body as JSON, if it is.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Returns the body as text.
    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Returns a header as text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns when to try again, in seconds (RFC 9110, section 10.2.3).
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        let text = self.header(&RETRY_AFTER)?;
        text.trim().parse().ok().or_else(|| {
            let at = http_date(text)?;
            u64::try_from(at.as_second() - self.received.as_second()).ok()
        })
    }

    /// Returns by how many seconds this machine's clock is ahead of the server's, where that is told.
    pub(crate) fn ahead_s(&self) -> Option<i64> {
        let there = http_date(self.header(&DATE)?)?;
        Some(self.received.as_second() - there.as_second())
    }

    /// Says what this is, where it is not the API's.
    pub(crate) fn kind(&self) -> String {
        let declared = self.header(&CONTENT_TYPE).unwrap_or_default();
        let start = self.text();
        let is_page = declared.starts_with("text/html")
            || start.trim_start().starts_with("<!")
            || start.trim_start().starts_with("<html");
        match (is_page, self.body.is_empty()) {
            (true, _) => format!("it sends a web page (status {})", self.status.as_u16()),
            (_, true) => format!("it sends nothing (status {})", self.status.as_u16()),
            _ => format!("it sends something else (status {})", self.status.as_u16()),
        }
    }
}

/// Reads a date of HTTP (RFC 9110, section 5.6.7), in the one form that is still made.
fn http_date(text: &str) -> Option<Timestamp> {
    let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
    Some(zoned.timestamp())
}

/// What an error came from.
#[derive(Default)]
struct Causes {
    texts: Vec<String>,
    io: Option<std::io::ErrorKind>,
    tls: Option<String>,
}

impl Causes {
    fn of(error: &reqwest::Error) -> Self {
        let mut causes = Self::default();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.texts.push(cause.to_string());
            let mut inner: Option<&(dyn Error + 'static)> = Some(cause);
            // What an I/O error holds is not among its sources, and one may hold another.
            while let Some(error) = inner {
                if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                    causes.tls = Some(tls.to_string());
                }
                let io = error.downcast_ref::<std::io::Error>();
                causes.io = io.map(std::io::Error::kind).or(causes.io);
                inner = io.and_then(|io| Some(io.get_ref()? as _));
            }
            next = cause.source();
        }
        causes
    }

    /// Returns the innermost cause, which is the system's or the proxy's own answer.
    fn in_words(&self) -> String {
        let last = self
            .texts
            .last()
            .map_or("the connection broke off", String::as_str);
        match last {
            "unsuccessful" | "tunnel error: unsuccessful" => "it refused to".to_owned(),
            "proxy authorization required" | "tunnel error: proxy authorization required" => {
                "it wants a password".to_owned()
            }
            other => other.to_owned(),
        }
    }
}

/// Returns host and port of a URL, for messages.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_servers_are_read() {
        let date = http_date("Sat, 28 Nov 2026 00:21:56 GMT").unwrap();
        assert_eq!(date.to_string(), "2026-11-28T00:21:56Z");
        assert_eq!(http_date("soon"), None);
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let reach = Reach {
            proxies: Proxies {
                https: Some("http://me:secret-of-mine@proxy.example:3128".to_owned()),
                ..Proxies::default()
            },
            timeout: TIMEOUT,
        };
        assert!(!format!("{reach:?}").contains("secret-of-mine"));
        let caller = Caller::new(reach).unwrap();
        let url = "https://api.example.com".parse().unwrap();
        assert_eq!(caller.proxy_of(&url).as_deref(), Some("proxy.example:3128"));
        assert!(!format!("{caller:?}").contains("secret-of-mine"));
    }
}
