//! One request and its whole answer: over TLS, within a time and a length, and never sent on elsewhere.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, AUTHORIZATION, DATE, HeaderValue, LINK, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use mira_redact::{NeedleSet, Redactor};
use mira_secret::SecretBytes;
use reqwest::{Client, redirect};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::base::ApiBase;
use crate::error::GitHubError;

/// How long a call may take in all.
// LIMIT: minting takes a tenth of a second; an event waits for it.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The longest answer that is read, in bytes.
// LIMIT: a page of 100 installations or repositories has half a megabyte.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many characters of a message are shown.
// LIMIT: real ones have one or two sentences.
const SAID_CHARS_MAX: usize = 300;

/// How long one waits where GitHub does not say: its own advice for secondary limits.
const RETRY_AFTER_S: u64 = 60;

/// The version of the API that is spoken.
const API_VERSION: &str = "2022-11-28";

/// Makes calls to one API.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    base: ApiBase,
    client: Client,
    at: String,
}

/// What came back. It may hold a token, and is wiped.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    body: Zeroizing<Vec<u8>>,
    received: Timestamp,
    /// What it must not say again.
    needles: Arc<NeedleSet>,
    at: String,
}

impl Caller {
    pub(crate) fn new(base: ApiBase) -> Result<Self, GitHubError> {
        let unusable = |why: String| GitHubError::Unusable { why };
        let client = Client::builder()
            .tls_backend_preconfigured(tls().map_err(unusable)?)
            .redirect(redirect::Policy::none())
            .user_agent("mira")
            .no_proxy()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let at = match (base.port(), base.host()) {
            (443, host) => host.to_owned(),
            (port, host) => format!("{host}:{port}"),
        };
        Ok(Self { base, client, at })
    }

    pub(crate) fn base(&self) -> &ApiBase {
        &self.base
    }

    /// Asks, with a token that says for whom.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &SecretBytes,
        body: Option<&Value>,
    ) -> Result<Answer, GitHubError> {
        let mut needles = NeedleSet::builder();
        // EXPOSE: to the set of what is taken out of messages.
        needles.add("GITHUB_TOKEN", token.expose());
        // EXPOSE: to the request to the App's own API.
        let bearer = Zeroizing::new([b"Bearer ".as_slice(), token.expose()].concat());
        let mut bearer = HeaderValue::from_bytes(&bearer).map_err(|_| GitHubError::Unusable {
            why: "a token is no text".to_owned(),
        })?;
        bearer.set_sensitive(true);
        let mut request = self
            .client
            .request(method, self.base.below(path))
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION);
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut response = request.send().await.map_err(|error| self.fault(&error))?;
        let received = Timestamp::now();
        let status = response.status();
        if status.is_redirection() {
            let at = self.at.clone();
            return Err(GitHubError::Redirected { at });
        }
        let headers = std::mem::take(response.headers_mut());
        // Growing would leave copies behind that are not wiped.
        let mut whole = Zeroizing::new(Vec::with_capacity(16 * 1024));
        while let Some(piece) = response.chunk().await.map_err(|error| self.fault(&error))? {
            if whole.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(GitHubError::NotThisApi {
                    at: self.at.clone(),
                    status: status.as_u16(),
                });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Answer {
            status,
            headers,
            body: whole,
            received,
            needles: Arc::new(needles.build()),
            at: self.at.clone(),
        })
    }

    fn fault(&self, error: &reqwest::Error) -> GitHubError {
        let at = self.at.clone();
        if error.is_timeout() {
            return GitHubError::Timeout {
                at,
                seconds: TIMEOUT.as_secs(),
            };
        }
        // The innermost cause is the system's own word, or that of TLS.
        let mut why: &dyn Error = error;
        while let Some(cause) = why.source() {
            why = cause;
        }
        GitHubError::Unreachable {
            at,
            why: why.to_string(),
        }
    }
}

/// TLS as the gate has it: rustls on ring, with the authorities of the system.
fn tls() -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs().certs;
    let (used, _) = roots.add_parsable_certificates(found);
    if used == 0 {
        return Err("no certificate authority was found on this system; install ca-certificates, or name a file of them in SSL_CERT_FILE".to_owned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

impl Answer {
    /// Returns the body, which may hold a token.
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn json(&self) -> Result<Value, GitHubError> {
        serde_json::from_slice(&self.body).map_err(|_| self.not_this_api())
    }

    pub(crate) fn not_this_api(&self) -> GitHubError {
        GitHubError::NotThisApi {
            at: self.at.clone(),
            status: self.status.as_u16(),
        }
    }

    /// Returns the message of an error; `None` where the body is not one of GitHub's.
    pub(crate) fn message(&self) -> Option<String> {
        let body: Value = serde_json::from_slice(&self.body).ok()?;
        let said = body.get("message")?.as_str()?;
        let mut redactor = Redactor::new(Arc::clone(&self.needles));
        let mut clean = redactor.push(said.as_bytes(), Instant::now()).to_vec();
        clean.extend_from_slice(redactor.finish());
        let clean = String::from_utf8_lossy(&clean);
        let words = clean.split(|c: char| c.is_whitespace() || c.is_control());
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        Some(words.join(" ").chars().take(SAID_CHARS_MAX).collect())
    }

    /// Returns the time on GitHub's clock.
    pub(crate) fn date(&self) -> Option<Timestamp> {
        let text = self.headers.get(DATE)?.to_str().ok()?;
        Some(jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp())
    }

    /// Returns by how many seconds this machine's clock is ahead of GitHub's, where that is told.
    pub(crate) fn ahead_s(&self) -> Option<i64> {
        Some(self.received.as_second() - self.date()?.as_second())
    }

    /// Returns when to try again, in seconds, if the request came too early.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        let number = |name: &str| {
            self.headers
                .get(name)?
                .to_str()
                .ok()?
                .trim()
                .parse::<u64>()
                .ok()
        };
        let is_limit = self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status == StatusCode::FORBIDDEN
                && (self.headers.contains_key(RETRY_AFTER)
                    || number("x-ratelimit-remaining") == Some(0));
        let until_reset = || {
            let reset = i64::try_from(number("x-ratelimit-reset")?).ok()?;
            let now = self.date().unwrap_or(self.received);
            u64::try_from(reset - now.as_second()).ok()
        };
        is_limit.then(|| {
            number("retry-after")
                .or_else(until_reset)
                .unwrap_or(RETRY_AFTER_S)
        })
    }

    /// Returns whether there is another page (RFC 8288).
    pub(crate) fn has_next(&self) -> bool {
        let links = self
            .headers
            .get_all(LINK)
            .iter()
            .filter_map(|link| link.to_str().ok());
        links
            .flat_map(|link| link.split(','))
            .any(|link| link.contains("rel=\"next\""))
    }
}
