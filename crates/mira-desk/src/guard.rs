//! What is looked at before anybody asks who is asking: from where a request comes, whether a browser was made to send it by another
//! site, and the headers that every answer has.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::Handle;
use crate::access::is_by_token;
use crate::error::DeskError;
use crate::listen::Peer;
use crate::observe::Asked;
use crate::pages::{refused, refused_part};

/// Headers of every answer. Scripts and styles come from files of our own alone, nobody frames us, and no address of ours is told
/// to other sites.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    ),
];

/// Sent where the connection is TLS (RFC 6797).
const HSTS: &str = "max-age=31536000";

/// Sent by the script of a page with a form, which is told with the second one where to go on.
const FORM: HeaderName = HeaderName::from_static("mira-form");
const TO: HeaderName = HeaderName::from_static("mira-to");

/// Sent by htmx, which loads parts of a page.
const PART: HeaderName = HeaderName::from_static("hx-request");

/// What programs ask, and what is told to them as it is.
const FOR_PROGRAMS: [&str; 4] = ["/assets/", "/healthz", "/readyz", "/webhooks/github"];

/// From where a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The address of whoever asks, behind a declared proxy what that says.
    pub(crate) address: IpAddr,
    /// Whether nobody in between can read along.
    pub(crate) secure: bool,
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Put there by `guard`, which every request passes.
        let origin = parts.extensions.get::<Self>().copied();
        origin.ok_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response())
    }
}

/// Lets a request through if it is not another site's doing.
pub(crate) async fn guard(
    State(desk): State<Handle>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let origin = desk.options.proxies.origin(peer, request.headers());
    request.extensions_mut().insert(origin);
    let authority = authority(&request);
    let by_form = request.headers().contains_key(FORM);
    let for_part = request.headers().contains_key(PART);
    let mut response = match check(
        request.method(),
        request.headers(),
        authority.as_deref(),
        desk.options.is_loopback(),
    ) {
        Ok(()) => {
            let path = request.uri().path().to_owned();
            let mut response = next.run(request).await;
            let told = response.extensions_mut().remove::<Arc<DeskError>>();
            match told.or_else(|| without_words(&path, &response)) {
                Some(error) => {
                    if error.status.is_server_error() {
                        tracing::error!(target: "mira::server", error = error.message, "a request failed");
                    }
                    let asked = response.extensions_mut().remove::<Asked>();
                    let mut page = match for_part {
                        true => refused_part(&error),
                        false => refused(&path, &error),
                    };
                    // What ends with a refusal, such as a sign-in that has begun, ends in the browser too.
                    for cookie in response.headers().get_all(header::SET_COOKIE) {
                        page.headers_mut()
                            .append(header::SET_COOKIE, cookie.clone());
                    }
                    if let Some(asked) = asked {
                        page.extensions_mut().insert(asked);
                    }
                    page
                }
                None => response,
            }
        }
        Err(error) => refused(request.uri().path(), &error),
    };
    if by_form && response.status() == StatusCode::SEE_OTHER {
        lead_on(&mut response);
    }
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if origin.secure && !origin.address.is_loopback() {
        headers.insert(
            header::STRICT_TRANSPORT_SECURITY,
            HeaderValue::from_static(HSTS),
        );
    }
    // What is shown to somebody signed in is kept by nobody.
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Returns whether it is a script of a page that asks: it stays where it is, whatever it is told.
pub(crate) fn is_by_script(headers: &HeaderMap) -> bool {
    headers.contains_key(FORM) || headers.contains_key(PART)
}

/// Tells the script of a form where to go on, in place of the browser.
fn lead_on(response: &mut Response) {
    if let Some(to) = response.headers_mut().remove(header::LOCATION) {
        response.headers_mut().insert(TO, to);
        *response.status_mut() = StatusCode::OK;
    }
}

/// Returns what is told in place of a refusal that has no words for people: one of the framework's.
fn without_words(path: &str, response: &Response) -> Option<Arc<DeskError>> {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let has_words = kind.is_some_and(|kind| {
        let kind = kind.as_bytes();
        kind.starts_with(b"text/html") || kind.starts_with(b"application/json")
    });
    let for_people = !FOR_PROGRAMS.iter().any(|begins| path.starts_with(begins));
    let is_bare = (status.is_client_error() || status.is_server_error()) && !has_words;
    (is_bare && for_people).then(|| {
        let reason = status.canonical_reason().unwrap_or("no reason is known");
        let message = format!("what was sent is not understood ({reason})");
        Arc::new(DeskError::new(status, message).hint("Go back, and try it from the page itself."))
    })
}

/// Returns what a request calls us: the `Host` header, or in HTTP/2 the authority.
fn authority(request: &Request) -> Option<String> {
    let host = request
        .headers()
        .get(header::HOST)
        .map(|value| value.to_str().ok().map(str::to_owned));
    host.unwrap_or_else(|| request.uri().authority().map(ToString::to_string))
}

/// Refuses what another site may have made a browser send.
fn check(
    method: &Method,
    headers: &HeaderMap,
    authority: Option<&str>,
    loopback: bool,
) -> Result<(), DeskError> {
    let Some(authority) = authority else {
        return Err(DeskError::new(
            StatusCode::BAD_REQUEST,
            "the request names no host",
        ));
    };
    // A name of an attacker's that leads to this machine is not ours (DNS rebinding).
    if loopback && !is_loopback_name(authority) {
        return Err(DeskError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this desk listens on this machine alone",
        )
        .hint("It is reached as 127.0.0.1 or localhost."));
    }
    if method.is_safe() || is_by_token(headers) {
        return Ok(());
    }
    let other_site = || {
        DeskError::new(
            StatusCode::FORBIDDEN,
            "this came from another site, and was not done",
        )
        .hint("Open the desk itself, and do it there.")
    };
    // Fetch Metadata (W3C): every current browser says from where a request comes.
    if let Some(site) = headers.get("sec-fetch-site") {
        return match site.as_bytes() {
            b"same-origin" | b"none" => Ok(()),
            _ => Err(other_site()),
        };
    }
    match headers.get(header::ORIGIN).map(|origin| {
        origin
            .to_str()
            .ok()
            .and_then(|origin| origin.parse::<Uri>().ok())
    }) {
        Some(Some(origin))
            if origin
                .authority()
                .is_some_and(|origin| origin.as_str() == authority) =>
        {
            Ok(())
        }
        // A browser sends one with every form; what has neither is no browser, and has no cookie to be abused.
        None if headers.get(header::COOKIE).is_none() => Ok(()),
        _ => Err(other_site()),
    }
}

fn is_loopback_name(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(
        method: Method,
        headers: &[(&'static str, &'static str)],
        authority: &str,
    ) -> Result<(), StatusCode> {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        check(&method, &headers, Some(authority), true).map_err(|error| error.status)
    }

    #[test]
    fn changes_come_from_the_desk_itself() {
        let ours = "127.0.0.1:7447";
        for (headers, expect) in [
            (&[("sec-fetch-site", "same-origin")] as &[_], Ok(())),
            (&[("sec-fetch-site", "none")], Ok(())),
            (
                &[("sec-fetch-site", "same-site")],
                Err(StatusCode::FORBIDDEN),
            ),
            (
                &[("sec-fetch-site", "cross-site")],
                Err(StatusCode::FORBIDDEN),
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "http://127.0.0.1:7447"),
                ],
                Err(StatusCode::FORBIDDEN),
            ),
            (&[("origin", "http://127.0.0.1:7447")], Ok(())),
            (
                &[("origin", "http://127.0.0.1:8000")],
                Err(StatusCode::FORBIDDEN),
            ),
            (&[("origin", "null")], Err(StatusCode::FORBIDDEN)),
            (
                &[("origin", "http://evil.example")],
                Err(StatusCode::FORBIDDEN),
            ),
            (&[("cookie", "__Host-mira=x")], Err(StatusCode::FORBIDDEN)),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("authorization", "Bearer mira_x"),
                ],
                Ok(()),
            ),
            (&[], Ok(())),
        ] {
            assert_eq!(outcome(Method::POST, headers, ours), expect, "{headers:?}");
            assert_eq!(
                outcome(Method::DELETE, headers, ours),
                expect,
                "{headers:?}"
            );
        }
        assert_eq!(
            outcome(Method::GET, &[("sec-fetch-site", "cross-site")], ours),
            Ok(())
        );
    }

    #[test]
    fn a_desk_of_this_machine_has_this_machines_names() {
        for name in [
            "127.0.0.1:1",
            "localhost",
            "LOCALHOST:80",
            "[::1]:7447",
            "127.1.2.3",
        ] {
            assert_eq!(outcome(Method::GET, &[], name), Ok(()), "{name}");
        }
        for name in [
            "evil.example",
            "127.0.0.1.evil.example:7447",
            "10.0.0.1",
            "localhost.evil.example",
            "[::2]",
        ] {
            assert_eq!(
                outcome(Method::GET, &[], name),
                Err(StatusCode::MISDIRECTED_REQUEST),
                "{name}"
            );
        }
    }
}
