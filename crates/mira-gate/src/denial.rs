//! What a program is told when it is refused: one text, which says what was refused, why, and the command that would allow it.
//!
//! INVARIANT: what a program chose, such as a name, gets into a denial's text only, in visible ASCII and cut to a length; never into a header.

use std::fmt::Write;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use mira_package::manifest::{Host, HostPattern, Hosts};

use crate::address;
use crate::policy::{Policy, Reason};

/// The header that says in a word why Mira refused.
const WHY: &str = "x-mira-denied";

/// How much is shown of a host, in bytes.
// LIMIT: RFC 1035, section 2.3.4: a name is not longer.
const HOST_BYTES_MAX: usize = 253;

/// A refusal, as a program is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Whose program it is: an instance's name, or a command's.
    pub instance: Box<str>,
    /// Whether that is a command, of `mira run`.
    pub is_command: bool,
    /// The host that was meant, as it was written.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
    /// Why it is refused.
    pub reason: Reason,
}

impl Denial {
    /// Makes the denial of what a policy refuses.
    #[must_use]
    pub fn new(policy: &Policy, host: &str, port: u16, reason: Reason) -> Self {
        Self {
            instance: policy.instance().into(),
            is_command: policy.is_command(),
            host: host.into(),
            port,
            reason,
        }
    }

    /// Returns what the program is told: a paragraph with a newline at its end.
    #[must_use]
    pub fn text(&self) -> String {
        let instance = visible(&self.instance);
        let host = visible(&self.host);
        let mut text = format!(
            "Mira refused a connection of {instance} to {host}, port {}: ",
            self.port
        );
        // Writing to a string does not fail.
        write!(text, "{}.", self.reason).ok();
        if let Some(command) = self.command() {
            write!(text, " To allow it: {command}").ok();
        }
        text.push('\n');
        text
    }

    /// Returns the command that would allow it, if one would.
    fn command(&self) -> Option<String> {
        let hosts = self.pattern()?;
        Some(match self.is_command {
            true => format!("mira run --allow {hosts}"),
            false => format!("mira net allow {} {hosts}", visible(&self.instance)),
        })
    }

    fn pattern(&self) -> Option<HostPattern> {
        let hosts = match Host::requested(&self.host)? {
            Host::Name(name) => Hosts::Name(name),
            Host::Ip(address) => Hosts::Ip(address),
        };
        let would_help = match (&self.reason, &hosts) {
            (Reason::NotListed | Reason::Rule(_), _) => true,
            (Reason::Address(address), Hosts::Name(_)) => address::is_local(*address),
            _ => false,
        };
        would_help.then_some(HostPattern {
            hosts,
            port: self.port,
        })
    }

    /// Returns the status that says it in HTTP.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.reason {
            Reason::Mismatch(_) => StatusCode::MISDIRECTED_REQUEST,
            Reason::Malformed(_) => StatusCode::BAD_REQUEST,
            Reason::Limit(_) => StatusCode::SERVICE_UNAVAILABLE,
            Reason::NotListed
            | Reason::Rule(_)
            | Reason::NotAHost
            | Reason::Address(_)
            | Reason::Placeholder(_)
            | Reason::Protocol(_)
            | Reason::NoWay => StatusCode::FORBIDDEN,
        }
    }

    /// Returns the answer that says it in HTTP, after which the connection ends.
    #[must_use]
    pub fn response(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.text())));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        let mut put = |name, value| headers.insert(name, header::HeaderValue::from_static(value));
        put(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        put(header::CONNECTION, "close");
        put(header::HeaderName::from_static(WHY), self.word());
        response
    }

    fn word(&self) -> &'static str {
        match self.reason {
            Reason::NotListed => "not-listed",
            Reason::Rule(_) => "rule",
            Reason::NotAHost => "not-a-host",
            Reason::Address(_) => "address",
            Reason::Mismatch(_) => "mismatch",
            Reason::Malformed(_) => "malformed",
            Reason::Placeholder(_) => "placeholder",
            Reason::Protocol(_) => "protocol",
            Reason::Limit(_) => "limit",
            Reason::NoWay => "no-way",
        }
    }
}

/// Returns a text of visible ASCII, cut where it is too long.
fn visible(text: &str) -> String {
    let shown = text.chars().take(HOST_BYTES_MAX);
    shown
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}
