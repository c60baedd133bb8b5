//! What a program may call, and with which secrets: one immutable policy, replaced as a whole.
//!
//! It decides about names and ports, before any lookup. Where a name leads is looked at later, by `address`, with the rule that allowed it.

use std::fmt;
use std::sync::Arc;

use mira_package::manifest::{Host, HostPattern, Hosts};
use mira_secret::{SecretName, SecretValue};

use crate::broker::token::TokenSource;

/// What a program may call.
#[derive(Debug, Default)]
pub struct Policy {
    instance: Box<str>,
    is_command: bool,
    rules: Vec<Rule>,
    secrets: Vec<Brokered>,
    tokens: Option<Tokens>,
}

/// The tokens that an instance has placeholders for.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) source: Arc<dyn TokenSource>,
    /// The instance's id, by which its placeholders are its own.
    pub(crate) instance: Box<str>,
    hosts: Vec<HostPattern>,
}

/// Makes a [`Policy`].
#[derive(Debug, Default)]
pub struct PolicyBuilder(Policy);

/// One line of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which hosts, on which port.
    pub hosts: HostPattern,
    /// Whether they may be called.
    pub allow: bool,
    /// Why it is there.
    pub origin: Origin,
}

/// Why a rule is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The manifest lists the host in `network.allow`.
    Manifest,
    /// The manifest lists the host as one that a brokered secret is for.
    Secret(SecretName),
    /// The manifest asks for permissions on the code host.
    CodeHost,
    /// The person decided so, by `mira net allow` or `mira net deny`.
    Decision,
    /// The command line of `mira run` said so.
    CommandLine,
    /// The person was asked, and said so for as long as the instance runs.
    Asked,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manifest => f.write_str("manifest"),
            Self::Secret(name) => write!(f, "secret {name}"),
            Self::CodeHost => f.write_str("code host"),
            Self::Decision => f.write_str("decision"),
            Self::CommandLine => f.write_str("command line"),
            Self::Asked => f.write_str("asked"),
        }
    }
}

impl fmt::Display for Rule {
    /// Writes it as the audit keeps it: `allow api.example.org (manifest)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.allow { "allow" } else { "deny" };
        write!(f, "{word} {} ({})", self.hosts, self.origin)
    }
}

/// A secret that the gate puts into requests.
#[derive(Debug)]
pub struct Brokered {
    /// Its name.
    pub name: SecretName,
    /// What the program has instead of it.
    pub placeholder: Box<str>,
    /// The value.
    pub value: SecretValue,
    /// The hosts whose requests may carry it.
    pub hosts: Vec<HostPattern>,
    /// The parameters of a URL's query in which it is put too; without any it is put into headers only.
    pub query: Vec<Box<str>>,
}

impl Brokered {
    /// Returns whether requests to this host may carry it.
    #[must_use]
    pub fn is_for(&self, host: &Host, port: u16) -> bool {
        self.hosts.iter().any(|hosts| hosts.includes(host, port))
    }
}

/// What a policy says of a host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be called, by this rule.
    Allowed(Rule),
    /// It may not.
    Refused(Reason),
}

/// Why a connection or a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// No rule names it.
    NotListed,
    /// This rule forbids it.
    Rule(Rule),
    /// The host is in no form that one can be told from another by.
    NotAHost,
    /// The name leads to an address that is not public, and is not listed as such.
    Address(std::net::IpAddr),
    /// What is said inside of the connection is not what was connected to: the part, such as `SNI` or `Host`.
    Mismatch(&'static str),
    /// The request is not one that everybody reads the same way: which part.
    Malformed(&'static str),
    /// A placeholder stands where its secret may not go.
    Placeholder(SecretName),
    /// The value of a secret cannot stand where its placeholder does: it holds a line break, perhaps.
    Unfit(SecretName),
    /// The request's signature cannot be made with the real key: why.
    Signature(Box<str>),
    /// The request may not carry a token: why.
    Token(Box<str>),
    /// The protocol is not one that can be checked on this port: what is wanted.
    Protocol(&'static str),
    /// A limit of the gate was reached: which.
    Limit(&'static str),
    /// It cannot be recorded.
    Unrecorded,
    /// The host sent the value of a secret through a connection whose content is not changed.
    Echo,
    /// There is no way to this address from here: it was seen on the program's own network only.
    NoWay,
}

impl fmt::Display for Reason {
    /// Writes it as the audit keeps it, and as the program is told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotListed => f.write_str("not listed"),
            Self::Rule(rule) => write!(f, "{rule}"),
            Self::NotAHost => f.write_str("not a host"),
            Self::Address(address) => write!(f, "leads to {address}, which is not public"),
            Self::Mismatch(part) => write!(f, "{part} names another host"),
            Self::Malformed(part) => write!(f, "malformed {part}"),
            Self::Placeholder(name) => write!(f, "the placeholder of {name} in a wrong place"),
            Self::Unfit(name) => write!(f, "the value of {name} cannot stand in a header"),
            Self::Signature(why) | Self::Token(why) => f.write_str(why),
            Self::Protocol(wanted) => write!(f, "{wanted} is wanted on this port"),
            Self::Limit(limit) => write!(f, "too many or too much: {limit}"),
            Self::Unrecorded => f.write_str(
                "the network record in Mira's home cannot be written, so nothing may leave; its disk may be full",
            ),
            Self::Echo => f.write_str("the host sent the value of a secret"),
            Self::NoWay => f.write_str("no way there"),
        }
    }
}

impl Policy {
    /// Begins a policy for an instance, or for a command; the name is what denials and the audit say.
    #[must_use]
    pub fn builder(instance: &str) -> PolicyBuilder {
        PolicyBuilder(Self {
            instance: instance.into(),
            ..Self::default()
        })
    }

    /// Returns whose policy it is.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Returns whether it is that of a command rather than an instance: what is refused is then allowed by an option of `mira run`.
    #[must_use]
    pub fn is_command(&self) -> bool {
        self.is_command
    }

    /// Returns its rules, in the order in which they count: the last that fits decides.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns all secrets that it puts into requests.
    #[must_use]
    pub fn secrets(&self) -> &[Brokered] {
        &self.secrets
    }

    /// Returns the secrets that requests to this host may carry.
    pub fn secrets_for(&self, host: &Host, port: u16) -> impl Iterator<Item = &Brokered> {
        let host = host.clone();
        self.secrets
            .iter()
            .filter(move |secret| secret.is_for(&host, port))
    }

    /// Returns the tokens that its requests may carry, to whichever host.
    pub(crate) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_ref()
    }

    /// Returns whether requests to this host may carry a secret or a token, so that each of them has to be looked at.
    pub(crate) fn is_brokered(&self, host: &Host, port: u16) -> bool {
        let is_for = |hosts: &HostPattern| hosts.includes(host, port);
        self.secrets_for(host, port).next().is_some()
            || self
                .tokens()
                .is_some_and(|tokens| tokens.hosts.iter().any(is_for))
    }

    /// Decides about a host and port, by name alone.
    #[must_use]
    pub fn decide(&self, host: &Host, port: u16) -> Verdict {
        let fits = |rule: &&Rule| rule.hosts.includes(host, port);
        match self.rules.iter().rev().find(fits) {
            None => Verdict::Refused(Reason::NotListed),
            Some(rule) if rule.allow => Verdict::Allowed(rule.clone()),
            Some(rule) => Verdict::Refused(Reason::Rule(rule.clone())),
        }
    }

    /// Returns the ports on which anything may be called, in order and without repetition.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        let allowed = self.rules.iter().filter(|rule| rule.allow);
        let mut ports: Vec<u16> = allowed.map(|rule| rule.hosts.port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

impl Rule {
    /// Returns whether a person names this host itself by it, rather than many names: then it may lead to an address that is not public. A name that the
    /// program came up with, and that a person was asked about, may not.
    #[must_use]
    pub fn names(&self) -> bool {
        self.origin != Origin::Asked && matches!(self.hosts.hosts, Hosts::Name(_) | Hosts::Ip(_))
    }
}

impl PolicyBuilder {
    /// Adds a rule that allows hosts.
    pub fn allow(&mut self, hosts: HostPattern, origin: Origin) -> &mut Self {
        self.rule(Rule {
            hosts,
            allow: true,
            origin,
        })
    }

    /// Adds a rule that forbids hosts.
    pub fn deny(&mut self, hosts: HostPattern, origin: Origin) -> &mut Self {
        self.rule(Rule {
            hosts,
            allow: false,
            origin,
        })
    }

    /// Adds a rule, which wins over those that were added before.
    pub fn rule(&mut self, rule: Rule) -> &mut Self {
        self.0.rules.push(rule);
        self
    }

    /// Adds a brokered secret, and a rule that allows its hosts; it comes before all rules that are there.
    pub fn broker(&mut self, secret: Brokered) -> &mut Self {
        let rules = secret.hosts.iter().map(|hosts| Rule {
            hosts: hosts.clone(),
            allow: true,
            origin: Origin::Secret(secret.name.clone()),
        });
        self.0.rules.splice(0..0, rules.collect::<Vec<_>>());
        self.0.secrets.push(secret);
        self
    }

    /// Lets requests carry tokens of this source, as the instance of that id, and allows the source's hosts by rules that come before all that are there.
    pub fn tokens(&mut self, source: Arc<dyn TokenSource>, instance: &str) -> &mut Self {
        let hosts = source.hosts();
        let rules = hosts.iter().map(|hosts| Rule {
            hosts: hosts.clone(),
            allow: true,
            origin: Origin::CodeHost,
        });
        self.0.rules.splice(0..0, rules.collect::<Vec<_>>());
        self.0.tokens = Some(Tokens {
            source,
            instance: instance.into(),
            hosts,
        });
        self
    }

    /// Says that it is the policy of a command rather than of an instance.
    pub fn of_command(&mut self) -> &mut Self {
        self.0.is_command = true;
        self
    }

    /// Finishes the policy.
    #[must_use]
    pub fn build(self) -> Policy {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &[(&str, bool)]) -> Policy {
        let mut builder = Policy::builder("app");
        for (hosts, allow) in rules {
            builder.rule(Rule {
                hosts: hosts.parse().unwrap(),
                allow: *allow,
                origin: Origin::Manifest,
            });
        }
        builder.build()
    }

    fn allows(policy: &Policy, host: &str, port: u16) -> bool {
        let host = Host::requested(host).unwrap();
        matches!(policy.decide(&host, port), Verdict::Allowed(_))
    }

    #[test]
    fn nothing_is_allowed_but_what_is_listed() {
        let policy = policy(&[("api.example.org", true), ("*.example.net:8443", true)]);
        assert!(allows(&policy, "api.example.org", 443));
        assert!(allows(&policy, "API.example.org.", 443));
        assert!(!allows(&policy, "api.example.org", 80));
        assert!(!allows(&policy, "example.org", 443));
        assert!(!allows(&policy, "xapi.example.org", 443));
        assert!(allows(&policy, "a.b.example.net", 8443));
        assert!(!allows(&policy, "example.net", 8443));
        assert_eq!(policy.ports(), [443, 8443]);
    }

    #[test]
    fn the_last_rule_that_fits_decides() {
        let policy = policy(&[
            ("*", true),
            ("bad.example.org", false),
            ("*.example.net", false),
            ("good.example.net", true),
        ]);
        assert!(allows(&policy, "any.test", 443));
        assert!(!allows(&policy, "bad.example.org", 443));
        assert!(!allows(&policy, "x.example.net", 443));
        assert!(allows(&policy, "good.example.net", 443));
        assert!(!allows(&policy, "192.0.2.1", 443));
    }

    #[test]
    fn a_decision_wins_over_the_hosts_of_a_secret() {
        let name: SecretName = "KEY".parse().unwrap();
        let mut builder = Policy::builder("app");
        builder.deny("api.example.org".parse().unwrap(), Origin::Decision);
        builder.broker(Brokered {
            placeholder: "p".into(),
            value: SecretValue::new(&name, mira_secret::SecretBytes::copy_from(b"v")).unwrap(),
            hosts: vec![
                "api.example.org".parse().unwrap(),
                "b.example.org".parse().unwrap(),
            ],
            query: Vec::new(),
            name,
        });
        let policy = builder.build();
        assert!(!allows(&policy, "api.example.org", 443));
        assert!(allows(&policy, "b.example.org", 443));
        let host = Host::requested("b.example.org").unwrap();
        assert_eq!(policy.secrets_for(&host, 443).count(), 1);
        assert_eq!(policy.secrets_for(&host, 80).count(), 0);
    }
}
