//! One request after the other: decide, check, put secrets in, record, send, take secrets out of the answer.
//!
//! INVARIANT: each request is decided by the policy of its moment, whatever the connection or an earlier request was allowed by; and its row is in
//! the record before anything of it leaves.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use mira_secret::SecretBytes;

use super::Ended;
use super::body::{Answer, Back, Exchange, Outgoing};
use super::check::{Target, check, is_websocket, strip_hops};
use super::pool::{At, ConnectError, Origin, connect_one};
use super::upgrade::{self, Upgrade};
use crate::audit::{Alike, Attempt, How};
use crate::broker::aws::{self, AwsError, AwsKeys, Payload};
use crate::broker::token::{self, Destination};
use crate::broker::{Encoding, Scrubbed, encoding, scrub_headers, scrub_whole};
use crate::denial::Denial;
use crate::owner::Caller;
use crate::policy::{Policy, Reason, Rule, Verdict};
use crate::shared::{Current, DialError, Shared};

/// An answer of this length or less is looked through as a whole, so that it keeps its length.
// LIMIT: it is what a request may take in memory while its answer comes; what is longer streams.
const WHOLE_BYTES_MAX: u64 = 16 * 1024;

/// A connection of a program.
pub(crate) struct Connection {
    gate: Arc<Shared>,
    target: Target,
    caller: Caller,
    /// Why it was ended, if it was.
    ended: Arc<Ended>,
    view: Mutex<Arc<View>>,
    /// What the connection becomes when its HTTP has ended.
    upgrade: Mutex<Option<Upgrade>>,
}

/// What one policy says of the connection's host.
struct View {
    current: Arc<Current>,
    /// Whether it is known who calls: what the rows share says it then, if anybody does.
    is_named: bool,
    verdict: Verdict,
    /// What the rows of its requests share, where they are allowed.
    alike: Option<Alike>,
    /// The secrets that the host may get, by their place in the policy.
    mine: Vec<usize>,
    /// Whether the host may get any, or a token: then its answers are looked through.
    is_brokered: bool,
    origin: Arc<Origin>,
}

/// Why there is no answer of the host's.
enum Failure {
    /// The request is refused, and that is not recorded yet.
    Refused(Reason),
    /// It was ended after it had begun; the exchange knows why.
    Ended(Arc<Exchange>),
    /// The host cannot be reached, or its answer not be understood.
    Gone(Arc<Exchange>, String),
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<AwsError> for Failure {
    fn from(error: AwsError) -> Self {
        Self::Refused(Reason::Signature(error.to_string().into()))
    }
}

impl Connection {
    pub(crate) fn new(
        gate: Arc<Shared>,
        target: Target,
        caller: Caller,
        ended: Arc<Ended>,
    ) -> Arc<Self> {
        let view = View::new(gate.current.load_full(), &gate, &target, &caller);
        Arc::new(Self {
            gate,
            target,
            caller,
            ended,
            view: Mutex::new(Arc::new(view)),
            upgrade: Mutex::new(None),
        })
    }

    /// Returns what the connection has become, if its last request asked for another protocol and the host agreed.
    pub(crate) fn take_upgrade(&self) -> Option<Upgrade> {
        let mut upgrade = self.upgrade.lock().unwrap_or_else(PoisonError::into_inner);
        upgrade.take()
    }

    /// Answers a request.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Answer>, Infallible> {
        let view = self.view();
        let (head, body) = request.into_parts();
        let method = head.method.clone();
        let how = match is_websocket(&head) {
            true => How::WebSocket,
            false => How::Request {
                method: method.as_str(),
                secure: self.target.secure,
            },
        };
        let answer = self.exchange(&view, how, head, body).await;
        match answer {
            Ok(answer) => Ok(answer),
            Err(failure) => {
                self.caller.known().await;
                Ok(self.failed(&view, how, failure))
            }
        }
    }

    fn view(&self) -> Arc<View> {
        let current = self.gate.current.load();
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_now = Arc::ptr_eq(&current, &view.current);
        if !is_of_now || !view.is_named && self.caller.is_known() {
            let current = Arc::clone(&current);
            let new = View::new(current, &self.gate, &self.target, &self.caller);
            *view = Arc::new(new);
        }
        Arc::clone(&view)
    }

    async fn exchange(
        &self,
        view: &View,
        how: How<'_>,
        mut head: Parts,
        mut body: Incoming,
    ) -> Result<Response<Answer>, Failure> {
        let rule = match &view.verdict {
            Verdict::Allowed(rule) => rule,
            Verdict::Refused(reason) => return Err(Failure::Refused(reason.clone())),
        };
        check(&head, &self.target)?;
        let Current { policy, broker, .. } = &*view.current;
        let mine = view.mine.iter().filter_map(|n| policy.secrets().get(*n));
        let keys = AwsKeys::among(mine).filter(|keys| aws::is_signed(&head, keys));
        let mut first = None;
        let signed = match &keys {
            None => None,
            Some(keys) => {
                let payload = match aws::declares_payload(&head.headers) {
                    true => Payload::Unread,
                    false => Payload::Whole(first.insert(whole(&mut body).await?)),
                };
                Some(aws::verify(&head, payload, keys)?)
            }
        };
        let is_websocket = how == How::WebSocket;
        self.rewrite(view, &mut head, is_websocket);
        let token = self.token(policy, &mut head).await?;
        if let Some(token) = &token {
            broker.goes_out(policy, token);
        }
        let used = broker.substitute(policy, &view.mine, &mut head)?;
        if let Some(signed) = signed {
            signed.resign(&mut head)?;
        }
        let mut watch = broker.watch();
        if let Some(watch) = &mut watch {
            if first.is_none() {
                first = beginning(&mut body).await?;
            }
            watch.look(broker, policy, first.as_deref().unwrap_or_default())?;
        }
        let exchange = self.begin(view, how)?;
        let used = used.iter().filter_map(|n| policy.secrets().get(*n));
        for name in used
            .map(|secret| &secret.name)
            .chain(keys.map(|keys| keys.name()))
        {
            exchange.entry.used(name);
        }
        if token.is_some() {
            exchange
                .entry
                .used(&token::NAME.parse().expect("it is a name"));
        }
        if is_websocket {
            return self.upgrade(view, rule, exchange, head).await;
        }
        let body = Outgoing::new(Arc::clone(&exchange), Some(body), first, watch);
        let request = Request::from_parts(head, body);
        let (response, sender) = self.send(view, rule, &exchange, request).await?;
        let back = sender.map(|sender| (sender, Arc::clone(&view.origin)));
        self.pass(view, exchange, response, back).await
    }

    /// Puts a token into a request whose credentials are a placeholder of one; returns it.
    async fn token(
        &self,
        policy: &Policy,
        head: &mut Parts,
    ) -> Result<Option<Arc<SecretBytes>>, Reason> {
        let Some(tokens) = policy.tokens() else {
            return Ok(None);
        };
        let to = Destination {
            host: &self.target.text,
            port: self.target.port,
            secure: self.target.secure,
        };
        token::fill(tokens, to, head).await
    }

    /// Makes of the program's head the one that is sent, but for secrets.
    fn rewrite(&self, view: &View, head: &mut Parts, is_websocket: bool) {
        let headers = &mut head.headers;
        strip_hops(headers);
        // The program is told to go on when its body is asked for; the host need not be asked.
        headers.remove(header::EXPECT);
        if head.version != Version::HTTP_2 || headers.contains_key(header::HOST) {
            headers.insert(header::HOST, self.target.header.clone());
        }
        if view.is_brokered {
            let identity = HeaderValue::from_static("identity");
            headers.insert(header::ACCEPT_ENCODING, identity);
        }
        if is_websocket {
            upgrade::ask(headers, view.is_brokered);
        }
    }

    /// Records that a request goes out.
    fn begin(&self, view: &View, how: How<'_>) -> Result<Arc<Exchange>, Failure> {
        let entry = match (how, &view.alike) {
            (How::Request { .. }, Some(alike)) => self.gate.audit.begin_again(alike, &how),
            _ => self.gate.audit.begin(&self.attempt(how, &view.verdict)),
        };
        let entry = entry.map_err(|_| Failure::Refused(Reason::Unrecorded))?;
        if !view.is_named {
            self.caller.name(&entry);
        }
        let ended = Arc::clone(&self.ended);
        Ok(Exchange::new(entry, Arc::clone(&view.current), ended))
    }

    fn attempt<'a>(&'a self, how: How<'a>, verdict: &'a Verdict) -> Attempt<'a> {
        Attempt {
            service: self.caller.now(),
            host: &self.target.text,
            address: None,
            port: self.target.port,
            how,
            verdict,
        }
    }

    /// Sends a request: on a connection that is there, or on a new one. Returns the connection too, if it can have another request.
    async fn send(
        &self,
        view: &View,
        rule: &Rule,
        exchange: &Arc<Exchange>,
        mut request: Request<Outgoing>,
    ) -> Result<(Response<Incoming>, Option<At<http1::SendRequest<Outgoing>>>), Failure> {
        if let Some(mut sender) = view.origin.take() {
            exchange.led_to(&sender);
            // A connection that rested may be closed by the host in this moment. What can be repeated is, once.
            let safe = request.method().is_idempotent() && request.body().is_end_stream();
            let copy = safe.then(|| copy(&request, exchange));
            sender.fit(&mut request, &self.target);
            match sender.send(request).await {
                Ok(response) => return Ok((response, sender.into_one())),
                Err(mut error) => match error.take_message().or(copy) {
                    Some(unsent) if exchange.refused().is_none() => request = unsent,
                    _ => return Err(gone(exchange, &error.into_error())),
                },
            }
        }
        let connected = view.origin.connect(&self.gate, &self.target, rule).await;
        let mut sender = connected.map_err(|error| unreachable(exchange, error))?;
        exchange.led_to(&sender);
        sender.fit(&mut request, &self.target);
        match sender.send(request).await {
            Ok(response) => Ok((response, sender.into_one())),
            Err(error) => Err(gone(exchange, &error.into_error())),
        }
    }

    /// Passes an answer on.
    async fn pass(
        &self,
        view: &View,
        exchange: Arc<Exchange>,
        response: Response<Incoming>,
        back: Option<Back>,
    ) -> Result<Response<Answer>, Failure> {
        let (mut head, body) = response.into_parts();
        if !is_whole(&head.headers) {
            let text = "its answer is encoded on the way, which the gate did not ask for".into();
            return Err(Failure::Gone(exchange, text));
        }
        // What hyper keeps there is its own, or the host's words beside the status, which could hold a value.
        head.extensions.clear();
        head.version = Version::HTTP_11;
        strip_hops(&mut head.headers);
        exchange.entry.status(head.status.as_u16());
        if !view.is_brokered {
            let answer = Answer::passing(body, exchange, back);
            return Ok(Response::from_parts(head, answer));
        }
        let needles = &view.current.broker.needles();
        // Another way to the host is none that the gate would see.
        head.headers.remove(header::ALT_SVC);
        let times = scrub_headers(needles, &mut head.headers);
        exchange.entry.redacted(times);
        if body.is_end_stream() {
            let answer = Answer::passing(body, exchange, back);
            return Ok(Response::from_parts(head, answer));
        }
        let Ok(encoding) = encoding(&head.headers) else {
            let text = "its answer is encoded in a way in which no secret could be found".into();
            return Err(Failure::Gone(exchange, text));
        };
        let len = body.size_hint().exact();
        if encoding == Encoding::Identity && len.is_some_and(|len| len <= WHOLE_BYTES_MAX) {
            let whole = body.collect().await;
            let whole = whole.map_err(|error| gone(&exchange, &error))?;
            let mut trailers = whole.trailers().cloned();
            let data = whole.to_bytes();
            if let Some(trailers) = &mut trailers {
                exchange.entry.redacted(scrub_headers(needles, trailers));
            }
            let data = match scrub_whole(needles, &data) {
                None => data,
                Some((clean, times)) => {
                    exchange.entry.redacted(times);
                    head.headers
                        .insert(header::CONTENT_LENGTH, clean.len().into());
                    clean.into()
                }
            };
            let answer = Answer::whole(data, trailers, exchange, back);
            return Ok(Response::from_parts(head, answer));
        }
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers.remove(header::CONTENT_ENCODING);
        let body = Scrubbed::new(needles, body, encoding);
        let answer = Answer::scrubbed(body, exchange, back);
        Ok(Response::from_parts(head, answer))
    }

    /// Asks the host for a WebSocket.
    async fn upgrade(
        &self,
        view: &View,
        rule: &Rule,
        exchange: Arc<Exchange>,
        mut head: Parts,
    ) -> Result<Response<Answer>, Failure> {
        let program = head.extensions.remove::<OnUpgrade>();
        let connected = connect_one(&self.gate, &self.target, rule).await;
        let mut sender = connected.map_err(|error| unreachable(&exchange, error))?;
        exchange.led_to(&sender);
        let body = Outgoing::new(Arc::clone(&exchange), None, None, None);
        let mut request = Request::from_parts(head, body);
        sender.fit(&mut request, &self.target);
        let sent = sender.send(request).await;
        let mut response = sent.map_err(|error| gone(&exchange, &error.into_error()))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.pass(view, exchange, response, None).await;
        }
        let host = hyper::upgrade::on(&mut response);
        let (mut head, _) = response.into_parts();
        head.extensions.clear();
        strip_hops(&mut head.headers);
        upgrade::agree(&mut head.headers);
        exchange.entry.status(head.status.as_u16());
        let needles = &view.current.broker.needles();
        exchange
            .entry
            .redacted(scrub_headers(needles, &mut head.headers));
        let needles = (view.is_brokered).then(|| Arc::clone(needles));
        if let Some(program) = program {
            let mut upgrade = self.upgrade.lock().unwrap_or_else(PoisonError::into_inner);
            *upgrade = Some(Upgrade {
                program,
                host,
                needles,
                exchange,
            });
        }
        Ok(Response::from_parts(head, Answer::own(Full::default())))
    }

    /// Returns what the program is told in the place of an answer.
    fn failed(&self, view: &View, how: How<'_>, failure: Failure) -> Response<Answer> {
        let reason = match failure {
            Failure::Refused(reason) => {
                let verdict = Verdict::Refused(reason.clone());
                let recorded = self.gate.refuse(&self.attempt(how, &verdict));
                recorded.map_or(Reason::Unrecorded, |()| reason)
            }
            Failure::Ended(exchange) => {
                let reason = exchange.refused().cloned();
                let reason = reason.unwrap_or(Reason::Malformed("body"));
                self.gate.tell(&self.attempt(how, &view.verdict), &reason);
                reason
            }
            Failure::Gone(exchange, why) => {
                exchange.entry.status(StatusCode::BAD_GATEWAY.as_u16());
                let Target { text, port, .. } = &self.target;
                let told = format!("Mira could not get an answer of {text}, port {port}: {why}.\n");
                let mut response = Response::new(Answer::own(Full::from(told)));
                *response.status_mut() = StatusCode::BAD_GATEWAY;
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, plain);
                return response;
            }
        };
        let Target { text, port, .. } = &self.target;
        denied(&Denial::new(&view.current.policy, text, *port, reason))
    }
}

/// Returns a denial as an answer.
pub(crate) fn denied(denial: &Denial) -> Response<Answer> {
    denial.response().map(Answer::own)
}

impl View {
    fn new(current: Arc<Current>, gate: &Shared, target: &Target, caller: &Caller) -> Self {
        let is_named = caller.is_known();
        let verdict = current.policy.decide(&target.host, target.port);
        let request = Attempt {
            service: caller.now().filter(|_| is_named),
            host: &target.text,
            address: None,
            port: target.port,
            how: How::Request {
                method: "",
                secure: target.secure,
            },
            verdict: &verdict,
        };
        let secrets = current.policy.secrets().iter().enumerate();
        let mine = secrets.filter(|(_, secret)| secret.is_for(&target.host, target.port));
        Self {
            is_named,
            mine: mine.map(|(place, _)| place).collect(),
            is_brokered: current.policy.is_brokered(&target.host, target.port),
            alike: match verdict {
                Verdict::Allowed(_) => gate.audit.alike(&request).ok(),
                Verdict::Refused(_) => None,
            },
            verdict,
            origin: current.pool.origin(target),
            current,
        }
    }
}

/// Whether an answer's body is what it says to be once its chunks are joined. Another encoding for the way alone (RFC 9112, section 6.1) nobody asked for.
fn is_whole(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::TRANSFER_ENCODING);
    let mut others = encodings
        .iter()
        .filter(|one| !one.as_bytes().eq_ignore_ascii_case(b"chunked"));
    others.next().is_none()
}

fn gone(exchange: &Arc<Exchange>, error: &hyper::Error) -> Failure {
    match exchange.refused() {
        Some(_) => Failure::Ended(Arc::clone(exchange)),
        None => Failure::Gone(Arc::clone(exchange), error.to_string()),
    }
}

fn unreachable(exchange: &Arc<Exchange>, error: ConnectError) -> Failure {
    if let ConnectError::Dial(DialError::Refused(reason)) = error {
        if let Reason::Address(address) = reason {
            exchange.entry.led_to(address);
        }
        exchange.refuse(reason);
        return Failure::Ended(Arc::clone(exchange));
    }
    Failure::Gone(Arc::clone(exchange), error.to_string())
}

/// Returns a request without a body once more.
fn copy(request: &Request<Outgoing>, exchange: &Arc<Exchange>) -> Request<Outgoing> {
    let body = Outgoing::new(Arc::clone(exchange), None, None, None);
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// Reads the first piece of a body whose length was said, so that a placeholder in it is found before anything is sent.
async fn beginning(body: &mut Incoming) -> Result<Option<Bytes>, Failure> {
    if body.is_end_stream() || body.size_hint().exact().is_none() {
        return Ok(None);
    }
    let frame = body.frame().await.and_then(Result::ok);
    let piece = frame.and_then(|frame| frame.into_data().ok());
    piece.map(Some).ok_or(BROKEN)
}

/// Reads a body to its end, for the hash that is signed.
async fn whole(body: &mut Incoming) -> Result<Bytes, Failure> {
    let whole = Limited::new(body, aws::BODY_BYTES_MAX).collect().await;
    match whole {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(AwsError::Body.into()),
        Err(_) => Err(BROKEN),
    }
}

/// The program is gone in the middle of its request, and so is who would read an answer.
const BROKEN: Failure = Failure::Refused(Reason::Malformed("body"));
