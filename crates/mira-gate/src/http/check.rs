//! Whether a request is one that everybody reads the same way, and is for the host that its connection is to.
//!
//! hyper has read it before: a header that is not spelled as one, a length that is no number, two lengths that differ, and a transfer encoding that does not end in
//! `chunked` never come here. A length beside a transfer encoding is dropped by it, and what goes on is framed anew.
//!
//! INVARIANT: of what is passed here, the host is the one that was decided about, however often and wherever it is named.

use std::str::FromStr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::{Authority, Scheme};
use http::{Method, Version};
use mira_package::manifest::Host;

use crate::policy::Reason;

/// What a connection's requests have to be for.
pub(crate) struct Target {
    pub(crate) host: Host,
    pub(crate) port: u16,
    pub(crate) secure: bool,
    /// How the host is written, as the audit and denials have it.
    pub(crate) text: Box<str>,
    /// How it is written in requests, with its port where that is not the scheme's own.
    pub(crate) authority: Authority,
    /// The same, as a header.
    pub(crate) header: HeaderValue,
}

impl Target {
    /// Returns nothing for a host that cannot be written in a request.
    pub(crate) fn new(host: Host, port: u16, secure: bool) -> Option<Self> {
        let text = host.to_string();
        let written = match (port, secure) {
            (443, true) | (80, false) => text.clone(),
            _ => format!("{text}:{port}"),
        };
        Some(Self {
            authority: Authority::from_str(&written).ok()?,
            header: HeaderValue::from_str(&written).ok()?,
            text: text.into(),
            host,
            port,
            secure,
        })
    }

    pub(crate) fn scheme(&self) -> Scheme {
        match self.secure {
            true => Scheme::HTTPS,
            false => Scheme::HTTP,
        }
    }

    /// Returns whether a text of a request names this host, and this port if it names any.
    fn is(&self, written: &str) -> bool {
        if written == self.authority {
            return true;
        }
        let Ok(authority) = Authority::from_str(written) else {
            return false;
        };
        let host = authority.host();
        let bare = host.len() == written.len();
        let port = authority.port_u16();
        !written.contains('@')
            && (bare || port == Some(self.port))
            && Host::requested(host).as_ref() == Some(&self.host)
    }
}

/// Checks a request against what its connection is to.
///
/// # Errors
///
/// Returns why it is refused.
pub(crate) fn check(request: &Parts, target: &Target) -> Result<(), Reason> {
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err(Reason::Malformed("method"));
    }
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Reason::Malformed("Host"));
    }
    let authority = request.uri.authority();
    let needed = match request.version {
        Version::HTTP_11 => host.is_some(),
        Version::HTTP_2 => host.is_some() || authority.is_some(),
        _ => true,
    };
    if !needed {
        return Err(Reason::Malformed("Host"));
    }
    if let Some(host) = host
        && host.as_bytes() != target.header.as_bytes()
    {
        let host = host.to_str().map_err(|_| Reason::Malformed("Host"))?;
        if !target.is(host) {
            return Err(Reason::Mismatch("Host"));
        }
    }
    if authority.is_some_and(|authority| !target.is(authority.as_str())) {
        return Err(Reason::Mismatch(match request.version {
            Version::HTTP_2 => ":authority",
            _ => "the request's target",
        }));
    }
    let scheme = request.uri.scheme();
    if scheme.is_some_and(|scheme| *scheme != target.scheme()) {
        return Err(Reason::Mismatch("the request's scheme"));
    }
    let mut encodings = request.headers.get_all(header::TRANSFER_ENCODING).iter();
    let one = encodings.next();
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    if one.is_some_and(|value| !chunked(value)) || encodings.next().is_some() {
        return Err(Reason::Malformed("Transfer-Encoding"));
    }
    if one.is_some() && request.headers.contains_key(header::CONTENT_LENGTH) {
        return Err(Reason::Malformed("Content-Length"));
    }
    Ok(())
}

/// Returns whether a request asks for a WebSocket.
pub(crate) fn is_websocket(request: &Parts) -> bool {
    let names = |name: HeaderName, word: &str| {
        let values = request.headers.get_all(name);
        let mut words = values.iter().filter_map(|value| value.to_str().ok());
        words.any(|value| tokens(value).any(|token| token.eq_ignore_ascii_case(word)))
    };
    request.version == Version::HTTP_11
        && request.method == Method::GET
        && names(header::UPGRADE, "websocket")
        && names(header::CONNECTION, "upgrade")
}

/// Removes the headers that are about the connection and not the message, in a request or an answer.
pub(crate) fn strip_hops(headers: &mut HeaderMap) {
    let mut names: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_hop(name))
        .cloned()
        .collect();
    if names.is_empty() {
        return;
    }
    let named = headers.get_all(header::CONNECTION).iter();
    let named = named
        .filter_map(|value| value.to_str().ok())
        .flat_map(tokens)
        .filter(|token| !is_word(token))
        .filter_map(|token| HeaderName::from_str(token).ok());
    names.extend(named);
    let trailers = headers
        .get(header::TE)
        .is_some_and(|te| te.to_str().is_ok_and(|te| tokens(te).any(is_trailers)));
    for name in names {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

fn is_hop(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || ["keep-alive", "http2-settings"].contains(&name.as_str())
        || name.as_str().starts_with("proxy-")
}

fn tokens(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim)
}

fn is_trailers(token: &str) -> bool {
    token.eq_ignore_ascii_case("trailers")
}

/// Whether a token of `Connection` is a word of its own rather than the name of a header.
fn is_word(token: &str) -> bool {
    ["close", "keep-alive", "upgrade", "te"]
        .iter()
        .any(|word| token.eq_ignore_ascii_case(word))
}
