//! Requests and answers: who asks, what is refused, pages, tags of content, rate limits, the record.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use data_encoding::{BASE64, HEXLOWER};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_rustls::TlsAcceptor;

use super::state::{State, Token};
use super::{Asked, Refusal, Shared, app, graphql, repository};
use crate::server::{self, Connection, lock};

// LIMIT: reviews have some hundred kilobytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const PER_PAGE: usize = 30;
const PER_PAGE_MAX: usize = 100;
const RATE_LIMIT: u64 = 5000;

/// Returns whether a number is the one that a path names.
pub(super) fn has_id(number: &Value, named: &str) -> bool {
    number
        .as_u64()
        .is_some_and(|number| named.parse() == Ok(number))
}

/// Who asks.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Nobody,
    App,
    Installation(Token),
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) method: String,
    /// The path, decoded, without what Enterprise has in front of it.
    pub(super) path: Vec<String>,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) accept: String,
    pub(super) body: Value,
    pub(super) who: Who,
    /// The path as it was sent.
    pub(super) raw_path: String,
    pub(super) at: At,
}

/// What an answer needs to know beside the repository.
#[derive(Debug)]
pub(super) struct At {
    /// The base of addresses.
    pub(super) url: String,
    /// The time, as the API has it.
    pub(super) time: String,
    /// Who writes.
    pub(super) bot: Value,
    /// A number that nothing has yet.
    pub(super) id: u64,
    pub(super) app: Value,
    pub(super) diff_lines_max: usize,
    pub(super) patch_lines_max: usize,
}

impl At {
    fn now(state: &mut State) -> Self {
        Self {
            id: state.id(),
            url: state.url.clone(),
            time: state.time(),
            bot: state.bot(),
            app: json!({"id": state.app.id, "slug": state.app.slug}),
            diff_lines_max: state.diff_lines_max,
            patch_lines_max: state.patch_lines_max,
        }
    }
}

impl Query {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        parameters.find_map(|(key, value)| (key == name).then_some(&**value))
    }

    /// Returns a page of a list, with links to the others (RFC 8288).
    pub(super) fn page(&self, items: Vec<Value>) -> Reply {
        let (items, link) = self.cut(items);
        Reply::ok(&Value::Array(items)).with_link(link)
    }

    /// The same within a document, beside how many there are.
    pub(super) fn page_in(&self, key: &str, items: Vec<Value>) -> Reply {
        let total = items.len();
        let (items, link) = self.cut(items);
        Reply::ok(&json!({"total_count": total, key: items})).with_link(link)
    }

    fn cut(&self, items: Vec<Value>) -> (Vec<Value>, String) {
        let number = |name| self.parameter(name).and_then(|text| text.parse().ok());
        let per_page = number("per_page")
            .unwrap_or(PER_PAGE)
            .clamp(1, PER_PAGE_MAX);
        let page = number("page").unwrap_or(1).max(1);
        let last = items.len().div_ceil(per_page).max(1);
        let mut link = String::new();
        let mut add = |page: usize, name: &str| {
            let comma = if link.is_empty() { "" } else { ", " };
            let (url, path) = (&self.at.url, &self.raw_path);
            let written = write!(
                link,
                "{comma}<{url}{path}?per_page={per_page}&page={page}>; rel=\"{name}\""
            );
            written.expect("text");
        };
        if page > 1 {
            add(page - 1, "prev");
        }
        if page < last {
            add(page + 1, "next");
            add(last, "last");
        }
        if page > 1 {
            add(1, "first");
        }
        let skipped = items.into_iter().skip((page - 1) * per_page);
        (skipped.take(per_page).collect(), link)
    }
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Reply {
    pub(super) fn ok(body: &Value) -> Self {
        Self::json(200, body)
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            kind: "application/json; charset=utf-8",
            body: body.to_string().into_bytes(),
            headers: Vec::new(),
        }
    }

    pub(super) fn bytes(kind: &'static str, body: Vec<u8>) -> Self {
        Self {
            status: 200,
            kind,
            body,
            headers: Vec::new(),
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            status: 204,
            ..Self::bytes("application/json", Vec::new())
        }
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        Self::json(
            status,
            &json!({
                "message": message,
                "documentation_url": "https://docs.github.com/rest",
                "status": status.to_string(),
            }),
        )
    }

    pub(super) fn not_found() -> Self {
        Self::error(404, "Not Found")
    }

    pub(super) fn invalid(message: &str, errors: &Value) -> Self {
        Self::json(
            422,
            &json!({
                "message": message,
                "errors": errors,
                "documentation_url": "https://docs.github.com/rest",
                "status": "422",
            }),
        )
    }

    fn with_link(mut self, link: String) -> Self {
        if !link.is_empty() {
            self.headers.push(("link", link));
        }
        self
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let limited = |status, retry_after_s: u64| {
            let text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
            let mut reply = Self::error(status, text);
            reply
                .headers
                .push(("retry-after", retry_after_s.to_string()));
            reply
        };
        match refusal {
            Refusal::SecondaryRateLimit { retry_after_s } => limited(403, retry_after_s),
            Refusal::TooManyRequests { retry_after_s } => limited(429, retry_after_s),
            Refusal::Error { status, message } => Self::error(status, &message),
            Refusal::Redirect { to } => {
                let mut reply = Self::error(307, "Moved");
                reply.headers.push(("location", to));
                reply
            }
        }
    }
}

/// Serves what comes; dropped, it closes all connections.
pub(super) async fn accept(
    listener: &tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    shared: &Arc<Shared>,
) {
    let shared = Arc::clone(shared);
    let serve = move |stream| requests(stream, Arc::clone(&shared));
    server::accept(listener, tls, serve).await;
}

async fn requests(stream: Box<dyn Connection>, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    let server = auto::Builder::new(TokioExecutor::new());
    // How it ends is the client's affair.
    drop(server.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let reply = {
        let mut state = lock(&shared.state);
        reply(&mut state, &head, &body)
    };
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    });
    shared.asked.add(Asked {
        method: head.method.to_string(),
        target: head
            .uri
            .path_and_query()
            .map(ToString::to_string)
            .unwrap_or_default(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
        status: reply.status,
    });
    let mut response = Response::builder()
        .status(reply.status)
        .header("content-type", reply.kind)
        .header("x-github-media-type", "github.v3; format=json");
    for (name, value) in &reply.headers {
        response = response.header(*name, value);
    }
    let response = response.body(Full::from(reply.body));
    Ok(response.expect("a test writes real headers"))
}

fn reply(state: &mut State, head: &Parts, body: &[u8]) -> Reply {
    let (method, path) = (head.method.as_str(), head.uri.path());
    let refused = state
        .refusals
        .iter()
        .position(|(of, part, _)| of == method && path.contains(&**part));
    let refused = refused.and_then(|place| state.refusals.remove(place));
    let mut reply = match refused {
        Some((_, _, refusal)) => refusal.into(),
        None => match who(state, head) {
            Err(reply) => reply,
            Ok(who) if limited(state, &who) => {
                state.remaining = 0;
                Reply::error(403, "API rate limit exceeded for installation.")
            }
            Ok(who) => match query(head, body, who, At::now(state)) {
                Some(query) => routed(state, &query),
                None => Reply::error(400, "Problems parsing JSON"),
            },
        },
    };
    if method == "GET" && reply.status == 200 {
        let tag = format!("W/\"{}\"", HEXLOWER.encode(&Sha256::digest(&reply.body)));
        let known = head.headers.get("if-none-match");
        if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
            reply.status = 304;
            reply.body.clear();
            state.remaining += 1;
        }
        reply.headers.push(("etag", tag));
    }
    let used = RATE_LIMIT.saturating_sub(state.remaining);
    let reset = state.now_s() + 1800;
    reply.headers.extend([
        ("x-ratelimit-limit", RATE_LIMIT.to_string()),
        ("x-ratelimit-remaining", state.remaining.to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
        ("date", date(state.now_s())),
    ]);
    reply
}

/// Returns a time as headers have it (RFC 9110, section 5.6.7).
fn date(second: i64) -> String {
    let time = jiff::Timestamp::from_second(second).expect("a time");
    jiff::fmt::rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .expect("it has a year that is written in four digits")
}

fn limited(state: &mut State, who: &Who) -> bool {
    if !matches!(who, Who::Installation(_)) {
        return false;
    }
    let is_over = state.remaining == 0;
    state.remaining = state.remaining.saturating_sub(1);
    is_over
}

fn who(state: &State, head: &Parts) -> Result<Who, Reply> {
    let bad = || Reply::error(401, "Bad credentials");
    let Some(value) = head.headers.get("authorization") else {
        return Ok(Who::Nobody);
    };
    let value = value.to_str().map_err(|_| bad())?;
    let (scheme, credentials) = value.split_once(' ').ok_or_else(bad)?;
    let credentials = credentials.trim();
    let token = match scheme.to_ascii_lowercase().as_str() {
        "bearer" | "token" => credentials.to_owned(),
        "basic" => {
            let decoded = BASE64.decode(credentials.as_bytes()).map_err(|_| bad())?;
            let decoded = String::from_utf8(decoded).map_err(|_| bad())?;
            let (_, password) = decoded.split_once(':').ok_or_else(bad)?;
            password.to_owned()
        }
        _ => return Err(bad()),
    };
    if token.split('.').count() == 3 {
        return app::check_jwt(state, &token).map(|()| Who::App);
    }
    let known = state.tokens.iter().find(|known| known.text == token);
    let known = known
        .filter(|known| known.expires_s > state.now_s())
        .ok_or_else(bad)?;
    let installation = state
        .installations
        .get(&known.installation)
        .ok_or_else(bad)?;
    if installation.suspended {
        return Err(Reply::error(403, "This installation has been suspended"));
    }
    Ok(Who::Installation(known.clone()))
}

fn query(head: &Parts, body: &[u8], who: Who, at: At) -> Option<Query> {
    let raw_path = head.uri.path().to_owned();
    let path = raw_path.strip_prefix("/api/v3").unwrap_or(&raw_path);
    let path = path
        .strip_prefix("/api")
        .filter(|path| *path == "/graphql")
        .unwrap_or(path);
    let decoded = |part: &str| {
        percent_encoding::percent_decode_str(part)
            .decode_utf8_lossy()
            .into_owned()
    };
    let parameters = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes());
    let accept = head
        .headers
        .get("accept")
        .and_then(|accept| accept.to_str().ok());
    Some(Query {
        method: head.method.to_string(),
        path: path.split('/').skip(1).map(decoded).collect(),
        parameters: parameters.into_owned().collect(),
        accept: accept.unwrap_or_default().to_owned(),
        body: match body {
            [] => Value::Null,
            body => serde_json::from_slice(body).ok()?,
        },
        who,
        raw_path,
        at,
    })
}

fn routed(state: &mut State, query: &Query) -> Reply {
    let path: Vec<&str> = query.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["app" | "installation", ..] => app::answer(state, query, &path),
        ["repos", owner, name, "installation"] => {
            app::of_repository(state, query, &format!("{owner}/{name}"))
        }
        ["repos", owner, name, rest @ ..] => {
            repository::answer(state, query, &format!("{owner}/{name}"), rest)
        }
        ["graphql"] => graphql::answer(state, query),
        ["rate_limit"] => Reply::ok(
            &json!({"resources": {"core": {"limit": RATE_LIMIT, "remaining": state.remaining}}}),
        ),
        ["meta"] => Reply::ok(&json!({"hooks": ["127.0.0.0/8"]})),
        _ => Reply::not_found(),
    }
}
