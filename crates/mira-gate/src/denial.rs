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
            Reason::Unfit(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Reason::Limit(_) | Reason::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
            Reason::NotListed
            | Reason::Rule(_)
            | Reason::NotAHost
            | Reason::Address(_)
            | Reason::Placeholder(_)
            | Reason::Signature(_)
            | Reason::Token(_)
            | Reason::Protocol(_)
            | Reason::Echo
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
            Reason::Unfit(_) => "unfit",
            Reason::Signature(_) => "signature",
            Reason::Token(_) => "token",
            Reason::Protocol(_) => "protocol",
            Reason::Limit(_) => "limit",
            Reason::Unrecorded => "unrecorded",
            Reason::Echo => "echo",
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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::policy::{Origin, Rule};

    fn instance(host: &str, port: u16, reason: Reason) -> Denial {
        let policy = Policy::builder("readlater").build();
        Denial::new(&policy, host, port, reason)
    }

    #[test]
    fn the_text_says_what_why_and_what_would_allow_it() {
        let check = |host: &str, port: u16, reason: Reason, expect: &str| {
            assert_eq!(instance(host, port, reason).text(), expect);
        };
        check(
            "API.example.org.",
            443,
            Reason::NotListed,
            "Mira refused a connection of readlater to API.example.org., port 443: not listed. \
            To allow it: mira net allow readlater api.example.org\n",
        );
        check(
            "::1",
            8080,
            Reason::NotListed,
            "Mira refused a connection of readlater to ::1, port 8080: not listed. \
            To allow it: mira net allow readlater [::1]:8080\n",
        );
        let rule = Rule {
            hosts: "*.example.org".parse().unwrap(),
            allow: false,
            origin: Origin::Decision,
        };
        check(
            "a.example.org",
            443,
            Reason::Rule(rule),
            "Mira refused a connection of readlater to a.example.org, port 443: deny *.example.org (decision). \
            To allow it: mira net allow readlater a.example.org\n",
        );
        check(
            "a.example.org",
            443,
            Reason::Address("10.0.0.1".parse().unwrap()),
            "Mira refused a connection of readlater to a.example.org, port 443: leads to 10.0.0.1, which is not public. \
            To allow it: mira net allow readlater a.example.org\n",
        );
    }

    #[test]
    fn a_command_is_told_its_option() {
        let mut policy = Policy::builder("curl");
        policy.of_command();
        let denial = Denial::new(&policy.build(), "api.example.org", 80, Reason::NotListed);
        let advice = "To allow it: mira run --allow api.example.org:80\n";
        assert!(denial.text().ends_with(advice), "{}", denial.text());
    }

    #[test]
    fn there_is_no_advice_where_nothing_would_allow_it() {
        let name = "KEY".parse().unwrap();
        let metadata = Reason::Address("169.254.169.254".parse().unwrap());
        let reasons = [
            Reason::NotAHost,
            metadata.clone(),
            Reason::Mismatch("SNI"),
            Reason::Malformed("Host"),
            Reason::Placeholder(name),
            Reason::Protocol("TLS"),
            Reason::Limit("connections"),
            Reason::NoWay,
        ];
        for reason in reasons {
            let text = instance("api.example.org", 443, reason).text();
            assert!(!text.contains("mira net"), "{text}");
        }
        for host in ["127.1", "a b", "", "a..b"] {
            let text = instance(host, 443, Reason::NotListed).text();
            assert!(!text.contains("mira net"), "{text}");
        }
    }

    #[tokio::test]
    async fn the_answer_has_a_status_a_word_and_the_text() {
        let check = async |reason: Reason, status: u16, word: &str| {
            let denial = instance("api.example.org", 443, reason);
            let response = denial.response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[WHY], word);
            assert_eq!(response.headers()["connection"], "close");
            assert_eq!(
                response.headers()["content-type"],
                "text/plain; charset=utf-8"
            );
            let body = response.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, denial.text());
        };
        check(Reason::NotListed, 403, "not-listed").await;
        check(Reason::Mismatch("Host"), 421, "mismatch").await;
        check(Reason::Malformed("Host"), 400, "malformed").await;
        check(Reason::Limit("connections"), 503, "limit").await;
    }

    #[test]
    fn a_name_cannot_write_lines_or_headers() {
        let host = format!("a\r\nset-cookie: x\u{1b}[2Jé{}", "b".repeat(1000));
        let denial = instance(&host, 443, Reason::NotListed);
        let text = denial.text();
        assert_eq!(text.matches('\n').count(), 1);
        assert!(
            text.bytes()
                .all(|byte| byte == b' ' || byte == b'\n' || byte.is_ascii_graphic())
        );
        assert!(text.len() < 400);
        assert_eq!(denial.response().headers().len(), 3);
    }
}
