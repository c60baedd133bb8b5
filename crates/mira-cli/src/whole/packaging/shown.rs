//! Parts of a manifest as they are shown: in its own words, and such that no terminal obeys them.

use mira_gate::Rule;
use mira_host::instances::Instances;
use mira_package::manifest::{HostPattern, Hosts, Manifest, Part, Reference, Template};
use serde_json::{Value, json};

/// Returns a text with references as a manifest has it.
pub(crate) fn written(template: &Template) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.replace('$', "$$"),
        Part::Reference(Reference::Port { service, port }) => format!("${{port:{service}/{port}}}"),
        Part::Reference(Reference::Volume(name)) => format!("${{volume:{name}}}"),
        Part::Reference(Reference::Package) => "${package}".to_owned(),
        Part::Reference(Reference::Setting(name)) => format!("${{setting:{name}}}"),
        _ => "${...}".to_owned(),
    };
    template.parts().iter().map(part).collect()
}

/// Returns a text as one word that no terminal obeys.
pub(crate) fn shown(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_graphic() || c.is_alphanumeric();
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("{text:?}"),
    }
}

/// Says which hosts an app calls by its own account, those of its brokered secrets included, and those of its permissions on a code host.
pub(crate) fn calls(manifest: &Manifest, code_host: Vec<Rule>) -> String {
    let mut hosts: Vec<HostPattern> = Vec::new();
    let rules = Instances::manifest_rules(manifest);
    for rule in rules.into_iter().chain(code_host) {
        if !hosts.contains(&rule.hosts) {
            hosts.push(rule.hosts);
        }
    }
    let hosts_told = match hosts.is_empty() {
        true => "no host".to_owned(),
        false => joined(&hosts),
    };
    let all = match hosts.iter().any(|hosts| hosts.hosts == Hosts::Any) {
        true => ": `*` is all public names, so it can send what it knows to anybody",
        false => "",
    };
    format!("may call {hosts_told}{all}")
}

/// Returns the manifest's word for something.
pub(crate) fn word(value: &impl serde::Serialize) -> String {
    match json!(value) {
        Value::String(word) => word,
        other => other.to_string(),
    }
}

/// Returns values as texts.
pub(crate) fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// Returns values as one text, with commas.
pub(crate) fn joined<T: ToString>(values: &[T]) -> String {
    texts(values).join(", ")
}
