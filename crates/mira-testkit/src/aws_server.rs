//! AWS as far as keys are tried: STS, Bedrock and Bedrock Runtime behind one loopback port, with signatures checked and the real errors.
//!
//! moto plays STS too, and not what a test of errors needs: a clock of its own, a token that has ended, Bedrock's list of models.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, DATE, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::task::JoinSet;

use crate::origin::{AwsKeys, sigv4};
use crate::server::{Server, lock};

// LIMIT: what is asked here has a kilobyte.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// By how much a signature's time may differ from the server's.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(5 * 60);

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AwsService {
    /// `GetCallerIdentity`: XML.
    Sts,
    /// `ListFoundationModels`: JSON.
    Bedrock,
    /// `Converse`: JSON.
    Runtime,
}

/// An error of AWS: the status, the code and the message.
#[derive(Clone, Debug)]
struct AwsError {
    status: u16,
    code: String,
    message: String,
}

struct Shared {
    keys: AwsKeys,
    /// By how many seconds its clock is ahead.
    ahead_s: Mutex<i64>,
    refused: Mutex<Vec<(AwsService, AwsError)>>,
    asked: Mutex<Vec<String>>,
}

/// A running server, ended on drop.
pub struct AwsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: Server,
}

impl std::fmt::Debug for AwsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AwsServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl AwsServer {
    /// Starts a server of an account that has these keys and no others.
    ///
    /// # Panics
    ///
    /// Panics where no loopback port can be had.
    #[must_use]
    pub fn start(keys: AwsKeys) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("a loopback port can be had");
        let address = listener.local_addr().expect("a bound socket has one");
        let shared = Arc::new(Shared {
            keys,
            ahead_s: Mutex::new(0),
            refused: Mutex::default(),
            asked: Mutex::default(),
        });
        let server = Server::start("aws-server", listener, {
            let shared = Arc::clone(&shared);
            async move |listener| accept(&listener, &shared).await
        });
        Self {
            address,
            shared,
            _server: server,
        }
    }

    /// Returns its address, for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets its clock ahead by that many seconds, or back.
    pub fn set_clock(&self, ahead_s: i64) {
        *lock(&self.shared.ahead_s) = ahead_s;
    }

    /// Refuses a service's requests from now on, those that are signed well.
    pub fn refuse(&self, service: AwsService, status: u16, code: &str, message: &str) {
        let error = AwsError {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        lock(&self.shared.refused).push((service, error));
    }

    /// Returns what was asked so far: methods and paths.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }
}

async fn accept(listener: &tokio::net::TcpListener, shared: &Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(shared);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&shared), request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // How it ends is the client's affair.
            drop(connection.await);
        });
    }
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
    lock(&shared.asked).push(format!("{} {}", head.method, head.uri.path()));
    let now = shared.now();
    let service = service(&head);
    let mut response = match shared.check(&head, &body, service, now) {
        Err(error) => refusal(service, &error),
        Ok(()) => good(service),
    };
    let date =
        HeaderValue::from_str(&date(now, "%a, %d %b %Y %H:%M:%S GMT")).expect("a date is text");
    response.headers_mut().insert(DATE, date);
    Ok(response)
}

/// Renders a time in UTC.
fn date(time: Timestamp, format: &str) -> String {
    let time = time.to_zoned_datetime(TimeZone::UTC);
    time.strftime(format).to_string()
}

/// Renders a time as signatures have it.
fn amz(time: Timestamp) -> String {
    date(time, "%Y%m%dT%H%M%SZ")
}

fn service(head: &Parts) -> AwsService {
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/foundation-models") => AwsService::Bedrock,
        (_, path) if path.starts_with("/model/") => AwsService::Runtime,
        _ => AwsService::Sts,
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        Timestamp::now() + SignedDuration::from_secs(*lock(&self.ahead_s))
    }

    fn check(
        &self,
        head: &Parts,
        body: &[u8],
        service: AwsService,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        let error = |code: &str, message: &str| AwsError {
            status: 403,
            code: code.to_owned(),
            message: message.to_owned(),
        };
        let is_sts = service == AwsService::Sts;
        let mismatch = match is_sts {
            true => "SignatureDoesNotMatch",
            false => "InvalidSignatureException",
        };
        match sigv4::check(head, body, &self.keys) {
            Ok(()) => {}
            Err("another access key id" | "another session token") => {
                let code = match is_sts {
                    true => "InvalidClientTokenId",
                    false => "UnrecognizedClientException",
                };
                return Err(error(
                    code,
                    "The security token included in the request is invalid.",
                ));
            }
            Err(_) => {
                return Err(error(
                    mismatch,
                    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
                ));
            }
        }
        let signed = head.headers.get("x-amz-date");
        let signed = signed
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (first, last) = (amz(now - SKEW_MAX), amz(now + SKEW_MAX));
        if signed < first.as_str() {
            return Err(error(
                mismatch,
                &format!(
                    "Signature expired: {signed} is now earlier than {first} ({} - 5 min.)",
                    amz(now)
                ),
            ));
        }
        if signed > last.as_str() {
            return Err(error(
                mismatch,
                &format!(
                    "Signature not yet current: {signed} is still later than {last} ({} + 5 min.)",
                    amz(now)
                ),
            ));
        }
        let refused = lock(&self.refused);
        let refused = refused.iter().find(|(of, _)| *of == service);
        refused.map_or(Ok(()), |(_, error)| Err(error.clone()))
    }
}

fn good(service: AwsService) -> Response<Full<Bytes>> {
    let body = match service {
        AwsService::Sts => {
            let xml = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
                       <Arn>arn:aws:iam::123456789012:user/me</Arn><UserId>AIDAEXAMPLE</UserId><Account>123456789012</Account>\
                       </GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></GetCallerIdentityResponse>";
            return sent(200, "text/xml", xml.to_owned());
        }
        AwsService::Bedrock => json!({"modelSummaries": [
            {"modelId": "amazon.nova-micro-v1:0"}, {"modelId": "anthropic.claude-haiku-4-5-20251001-v1:0"},
        ]}),
        AwsService::Runtime => json!({
            "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}}, "stopReason": "max_tokens",
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
        }),
    };
    sent(200, "application/json", body.to_string())
}

fn refusal(service: AwsService, error: &AwsError) -> Response<Full<Bytes>> {
    let AwsError {
        status,
        code,
        message,
    } = error;
    if service == AwsService::Sts {
        let xml = format!(
            "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
             <Message>{message}</Message></Error><RequestId>r-1</RequestId></ErrorResponse>"
        );
        return sent(*status, "text/xml", xml);
    }
    let body = json!({"message": message}).to_string();
    let mut response = sent(*status, "application/json", body);
    let named = format!("{code}:http://internal.amazon.com/coral/com.amazon.bedrock/");
    let named = HeaderValue::from_str(&named).expect("a code is text");
    response.headers_mut().insert("x-amzn-errortype", named);
    response
}

fn sent(status: u16, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).expect("a test names a real status");
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
