//! Hosts that an app may call: one spelling each, and one place that decides whether a request's host is meant.
//!
//! A host that can be written in two ways is a hole in every list of hosts, so a pattern has one spelling and all others are refused.
//! A request's host may differ in case and by one dot at its end, as clients write it. An IP address counts in its canonical form only,
//! on both sides: `127.1`, `0x7f.1`, `017700000001` and `::ffff:127.0.0.1` match nothing.
//!
//! It compares names. It resolves none, so it does not know where a name leads.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The port that is meant where none is written: https.
pub const DEFAULT_PORT: u16 = 443;

// LIMIT: RFC 1035, section 2.3.4.
const NAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A host, or all hosts below a name, with a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    /// Which hosts.
    pub hosts: Hosts,
    /// On which port.
    pub port: u16,
}

/// Which hosts are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hosts {
    /// This name.
    Name(Box<str>),
    /// All names below this one, at any depth, and not the name itself. Written `*.example.org`; the asterisk and its dot are not kept.
    Below(Box<str>),
    /// This address.
    Ip(IpAddr),
    /// All names, for an app that reads what its user points it at. Written `*`. No address, and never one that a name leads to
    /// inside of a private network: that is the gate's to see to.
    Any,
}

/// The host of a request, in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, in lower case and without a dot at its end.
    Name(Box<str>),
    /// An address.
    Ip(IpAddr),
}

impl Host {
    /// Reads the host that a request names, without its port; nothing for one that is in no canonical form.
    #[must_use]
    pub fn requested(host: &str) -> Option<Self> {
        match requested(host)? {
            Hosts::Name(name) => Some(Self::Name(name)),
            Hosts::Ip(address) => Some(Self::Ip(address)),
            Hosts::Below(_) | Hosts::Any => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Why a text is no host pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// There is no host.
    #[error("there is no host; write one, such as `api.example.org`")]
    Empty,
    /// It begins as an address of the web.
    #[error("a host has no scheme; leave `://` and what is before it away")]
    Scheme,
    /// Something follows the host.
    #[error("a host has no path and no query; leave the slash and what follows away")]
    Path,
    /// There is a user's name before the host.
    #[error("a host has no user; leave `@` and what is before it away")]
    User,
    /// It is not ASCII.
    #[error("a host is written in ASCII; write an international name in its `xn--` form")]
    NotAscii,
    /// It holds an upper-case letter.
    #[error("a host is written in lower case")]
    UpperCase,
    /// It ends with a dot.
    #[error("a host does not end with a dot")]
    TrailingDot,
    /// An asterisk stands where it may not.
    #[error(
        "`*` stands alone, for all names, or at the beginning, for all names below another: `*.example.org`"
    )]
    Wildcard,
    /// All hosts below a top-level name.
    #[error(
        "all hosts below a name of one part are too many; name at least two parts: `*.example.org`"
    )]
    TooWide,
    /// The name is not spelled as one.
    #[error(
        "a host name is parts of 1 to {LABEL_BYTES_MAX} letters, digits and inner hyphens with dots between, {NAME_BYTES_MAX} characters at most"
    )]
    Name,
    /// An address in another spelling than the canonical one.
    #[error(
        "an IP address is written in its canonical form, such as `192.0.2.1` or `[2001:db8::1]`"
    )]
    Address,
    /// An IPv4 address inside of an IPv6 one.
    #[error("write the IPv4 address itself, not its IPv6 form")]
    MappedAddress,
    /// An IPv6 address without brackets.
    #[error("an IPv6 address stands in brackets: `[2001:db8::1]`")]
    Brackets,
    /// The port is none.
    #[error("a port is a number from 1 to 65535 without leading zeros")]
    Port,
}

impl HostPattern {
    /// Whether a request to this host and port is meant. Returns `false` for a host that is not in canonical form.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        Host::requested(host).is_some_and(|host| self.includes(&host, port))
    }

    /// Whether a request to this host and port is meant.
    #[must_use]
    pub fn includes(&self, host: &Host, port: u16) -> bool {
        self.port == port && self.hosts.include(host)
    }
}

impl Hosts {
    fn include(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Name(meant), Host::Name(name)) => meant == name,
            (Self::Below(suffix), Host::Name(name)) => name
                .strip_suffix(&**suffix)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            (Self::Ip(meant), Host::Ip(address)) => meant == address,
            (Self::Any, Host::Name(_)) => true,
            _ => false,
        }
    }
}

/// Returns the host that a request names.
fn requested(host: &str) -> Option<Hosts> {
    let lower = host.to_ascii_lowercase();
    if let Some(inner) = lower.strip_prefix('[') {
        return ipv6(inner.strip_suffix(']')?).ok();
    }
    if lower.contains(':') {
        return ipv6(&lower).ok();
    }
    name_or_ipv4(lower.strip_suffix('.').unwrap_or(&lower)).ok()
}

impl FromStr for HostPattern {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        if text.contains("://") {
            return Err(HostError::Scheme);
        }
        if text.contains(['/', '?', '#', '\\']) {
            return Err(HostError::Path);
        }
        if text.contains('@') {
            return Err(HostError::User);
        }
        if !text.is_ascii() {
            return Err(HostError::NotAscii);
        }
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(HostError::UpperCase);
        }
        let (hosts, port) = match text.strip_prefix('[') {
            Some(inner) => {
                let (address, rest) = inner.split_once(']').ok_or(HostError::Brackets)?;
                let port = match rest {
                    "" => None,
                    _ => Some(rest.strip_prefix(':').ok_or(HostError::Port)?),
                };
                (ipv6(address)?, port)
            }
            None if text.matches(':').count() > 1 => return Err(HostError::Brackets),
            None => match text.split_once(':') {
                Some((host, port)) => (hosts(host)?, Some(port)),
                None => (hosts(text)?, None),
            },
        };
        let port = port.map_or(Ok(DEFAULT_PORT), parsed_port)?;
        Ok(Self { hosts, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Name(name) => f.write_str(name)?,
            Hosts::Below(suffix) => write!(f, "*.{suffix}")?,
            Hosts::Ip(IpAddr::V4(address)) => write!(f, "{address}")?,
            Hosts::Ip(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Hosts::Any => f.write_str("*")?,
        }
        match self.port {
            DEFAULT_PORT => Ok(()),
            port => write!(f, ":{port}"),
        }
    }
}

fn parsed_port(text: &str) -> Result<u16, HostError> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    match text.parse() {
        Ok(port) if canonical => Ok(port),
        _ => Err(HostError::Port),
    }
}

fn hosts(text: &str) -> Result<Hosts, HostError> {
    if text.is_empty() {
        return Err(HostError::Empty);
    }
    if text.ends_with('.') {
        return Err(HostError::TrailingDot);
    }
    if text == "*" {
        return Ok(Hosts::Any);
    }
    let Some(suffix) = text.strip_prefix("*.") else {
        return match text.contains('*') {
            true => Err(HostError::Wildcard),
            false => name_or_ipv4(text),
        };
    };
    if suffix.contains('*') {
        return Err(HostError::Wildcard);
    }
    match name_or_ipv4(suffix)? {
        Hosts::Name(name) if name.contains('.') => Ok(Hosts::Below(name)),
        Hosts::Name(_) => Err(HostError::TooWide),
        _ => Err(HostError::Wildcard),
    }
}

/// Tells a name from an IPv4 address as clients do: by its last part ([URL Standard, ends in a number](https://url.spec.whatwg.org/#ends-in-a-number-checker)).
fn name_or_ipv4(text: &str) -> Result<Hosts, HostError> {
    let last = text.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x");
    let is_number = (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
        || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_number {
        // The standard library takes four decimal numbers without leading zeros, and nothing else.
        let address: Ipv4Addr = text.parse().map_err(|_| HostError::Address)?;
        return Ok(Hosts::Ip(address.into()));
    }
    if text.len() > NAME_BYTES_MAX || !text.split('.').all(is_label) {
        return Err(HostError::Name);
    }
    Ok(Hosts::Name(text.into()))
}

fn is_label(label: &str) -> bool {
    let holds_well = label
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    let is_bare_prefix = label == "xn--";
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && holds_well
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !is_bare_prefix
}

fn ipv6(text: &str) -> Result<Hosts, HostError> {
    let address: Ipv6Addr = text.parse().map_err(|_| HostError::Address)?;
    if address.to_ipv4_mapped().is_some() {
        return Err(HostError::MappedAddress);
    }
    if address.to_string() != text {
        return Err(HostError::Address);
    }
    Ok(Hosts::Ip(address.into()))
}

#[cfg(test)]
mod tests;
