//! `mira net test`: what the rules of an instance say of an address, without calling anybody.

use std::process::ExitCode;

use http::Uri;
use mira_gate::{Policy, Reason, Rule, Verdict};
use mira_package::manifest::{DEFAULT_PORT, Delivery, Host, Manifest};
use serde_json::json;

use super::{all_rules, rule_json};
use crate::error::{CommandError, Kind};
use crate::render::facts;
use crate::ui::Ui;
use crate::whole::apps::Apps;
use crate::whole::packaging::shown;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The instance: its name or id
    #[arg(value_name = "INSTANCE")]
    instance: String,

    /// The address; without a scheme, https is meant
    #[arg(value_name = "URL", value_parser = parse_target)]
    url: Target,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where an address leads, as it is written. What else it holds may be secret, and is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    host: String,
    port: u16,
}

fn parse_target(text: &str) -> Result<Target, String> {
    if !text.is_ascii() {
        return Err("write an international name in its `xn--` form".to_owned());
    }
    let uri: Uri = match text.contains("://") {
        true => text.parse(),
        false => format!("https://{text}").parse(),
    }
    .map_err(|error| format!("it is no address: {error}"))?;
    let (host, scheme) = (uri.host(), uri.scheme_str());
    let host = host
        .filter(|host| !host.is_empty())
        .ok_or("it has no host")?;
    let has_port = uri.authority().is_some_and(|authority| {
        let rest = authority.as_str().rsplit_once('@');
        let rest = rest.map_or(authority.as_str(), |(_, rest)| rest);
        rest.len() > host.len()
    });
    let port = match (uri.port_u16(), scheme) {
        (Some(port), _) if port > 0 => port,
        (None, Some("https" | "wss")) if !has_port => DEFAULT_PORT,
        (None, Some("http" | "ws")) if !has_port => 80,
        _ => return Err("it has no port that is known; write one: `host:PORT`".to_owned()),
    };
    Ok(Target {
        host: host.to_owned(),
        port,
    })
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<ExitCode, CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let instance = apps.find(&args.instance)?;
    let manifest = apps.unpacked(&instance)?.manifest;
    let mut policy = Policy::builder(instance.name.as_str());
    for rule in all_rules(&apps, &instance, &manifest)? {
        policy.rule(rule);
    }
    let policy = policy.build();
    let Target { host, port } = &args.url;
    let requested = Host::requested(host);
    let verdict = match &requested {
        Some(host) => policy.decide(host, *port),
        None => Verdict::Refused(Reason::NotAHost),
    };
    let secrets = match (&verdict, &requested) {
        (Verdict::Allowed(_), Some(host)) => brokered(&manifest, host, *port),
        _ => Vec::new(),
    };
    let (allowed, rule, reason) = match &verdict {
        Verdict::Allowed(rule) => (true, Some(rule), rule.to_string()),
        Verdict::Refused(Reason::Rule(rule)) => (false, Some(rule), rule.to_string()),
        Verdict::Refused(reason) => (false, None, reason.to_string()),
    };
    let addresses = match (&verdict, &requested) {
        (Verdict::Allowed(rule), Some(Host::Name(_))) => Some(addresses(rule)),
        _ => None,
    };
    let host = requested.map_or_else(|| shown(host), |host| host.to_string());
    if args.json {
        ui.json(&json!({
            "allowed": allowed,
            "host": host,
            "port": port,
            "rule": rule.map(rule_json),
            "reason": reason,
            "secrets": secrets,
            "addresses": addresses,
        }))?;
    } else {
        let word = if allowed { "allowed" } else { "refused" };
        let mut told = vec![(word, format!("{host}:{port}")), ("rule", reason)];
        told.extend(addresses.map(|addresses| ("addresses", addresses.to_owned())));
        if !secrets.is_empty() {
            told.push(("secrets", secrets.join(", ")));
        }
        ui.data(&facts(&told))?;
    }
    Ok(match allowed {
        true => ExitCode::SUCCESS,
        false => Kind::Failed.exit_code(),
    })
}

/// Returns the names of the secrets that requests to a host may carry.
fn brokered<'a>(manifest: &'a Manifest, host: &Host, port: u16) -> Vec<&'a str> {
    let secrets = manifest.secrets.iter();
    secrets
        .filter(|secret| secret.deliver == Delivery::Brokered)
        .filter(|secret| secret.hosts.iter().any(|hosts| hosts.includes(host, port)))
        .map(|secret| secret.name.as_str())
        .collect()
}

/// Says what the gate will look at when it knows where the name leads.
fn addresses(rule: &Rule) -> &'static str {
    match rule.names() {
        true => "not looked up; the rule names this host, so private ones will do too",
        false => "not looked up; by this rule only public ones will do",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart_as_clients_do() {
        let check = |text: &str, expect: Option<(&str, u16)>| {
            let found = parse_target(text).ok();
            let found = found
                .as_ref()
                .map(|found| (found.host.as_str(), found.port));
            assert_eq!(found, expect, "{text}");
        };
        check(
            "https://api.example.org/v1?key=x",
            Some(("api.example.org", 443)),
        );
        check("http://api.example.org", Some(("api.example.org", 80)));
        check(
            "wss://api.example.org:8443/",
            Some(("api.example.org", 8443)),
        );
        check("ws://api.example.org/", Some(("api.example.org", 80)));
        check("api.example.org", Some(("api.example.org", 443)));
        check("api.example.org:8443/path", Some(("api.example.org", 8443)));
        check(
            "postgres://db.example.org:5432/x",
            Some(("db.example.org", 5432)),
        );
        check(
            "https://me:secret@api.example.org/",
            Some(("api.example.org", 443)),
        );
        check(
            "https://api.example.org@evil.example/",
            Some(("evil.example", 443)),
        );
        check("http://[2001:db8::1]:8080/", Some(("[2001:db8::1]", 8080)));
        check("http://127.1/", Some(("127.1", 80)));
        for none in [
            "",
            "/",
            "https://",
            "https:///x",
            "postgres://db.example.org/x",
            "https://api.example.org:/",
            "https://api.example.org:0/",
            "https://api.example.org:65536/",
            "https://api.example.org:http/",
            "https://b\u{fc}cher.example/",
            "https://a b/",
        ] {
            check(none, None);
        }
    }
}
