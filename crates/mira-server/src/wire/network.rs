//! A network, as it crosses the socket. Placeholders are in it, and no value.

use std::path::PathBuf;

use mira_gate::{Origin, Rule};
use mira_host::network::{Broker, Network, Visible};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{NotText, NotUnderstood, path};

/// What an instance may call, and how.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NetworkSpec {
    name: String,
    rules: Vec<RuleSpec>,
    brokered: Vec<BrokerSpec>,
    has_tokens: bool,
    record: PathBuf,
    require_enforcement: bool,
    hidden: Vec<PathBuf>,
    writable: Vec<PathBuf>,
    readable: Vec<PathBuf>,
    own_devices: bool,
}

/// One rule.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RuleSpec {
    hosts: String,
    allow: bool,
    origin: OriginSpec,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum OriginSpec {
    Manifest,
    Secret(String),
    Decision,
    CommandLine,
    Asked,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct BrokerSpec {
    name: String,
    placeholder: Box<str>,
    hosts: Vec<String>,
    query: Vec<Box<str>>,
}

impl TryFrom<&Network> for NetworkSpec {
    type Error = NotText;

    fn try_from(network: &Network) -> Result<Self, NotText> {
        let paths = |paths: &[PathBuf]| -> Result<Vec<PathBuf>, NotText> {
            paths.iter().map(|folder| path(folder)).collect()
        };
        let Visible {
            hidden,
            writable,
            readable,
            own_devices,
        } = &network.visible;
        Ok(Self {
            name: network.name.clone(),
            rules: network.rules.iter().map(RuleSpec::from).collect(),
            brokered: network.brokered.iter().map(BrokerSpec::from).collect(),
            has_tokens: network.has_tokens,
            record: path(&network.record)?,
            require_enforcement: network.require_enforcement,
            hidden: paths(hidden)?,
            writable: paths(writable)?,
            readable: paths(readable)?,
            own_devices: *own_devices,
        })
    }
}

impl From<&Rule> for RuleSpec {
    fn from(rule: &Rule) -> Self {
        Self {
            hosts: rule.hosts.to_string(),
            allow: rule.allow,
            origin: match &rule.origin {
                Origin::Secret(name) => OriginSpec::Secret(name.to_string()),
                Origin::Decision => OriginSpec::Decision,
                Origin::CommandLine => OriginSpec::CommandLine,
                Origin::Asked => OriginSpec::Asked,
                _ => OriginSpec::Manifest,
            },
        }
    }
}

impl From<&Broker> for BrokerSpec {
    fn from(broker: &Broker) -> Self {
        Self {
            name: broker.name.to_string(),
            placeholder: broker.placeholder.clone(),
            hosts: broker.hosts.iter().map(ToString::to_string).collect(),
            query: broker.query.clone(),
        }
    }
}

impl TryFrom<NetworkSpec> for Network {
    type Error = NotUnderstood;

    fn try_from(spec: NetworkSpec) -> Result<Self, NotUnderstood> {
        Ok(Self {
            name: spec.name,
            is_command: false,
            rules: rules(spec.rules)?,
            brokered: spec
                .brokered
                .into_iter()
                .map(Broker::try_from)
                .collect::<Result<_, _>>()?,
            has_tokens: spec.has_tokens,
            record: spec.record,
            require_enforcement: spec.require_enforcement,
            visible: Visible {
                hidden: spec.hidden,
                writable: spec.writable,
                readable: spec.readable,
                own_devices: spec.own_devices,
            },
        })
    }
}

/// Reads rules.
pub(crate) fn rules(specs: Vec<RuleSpec>) -> Result<Vec<Rule>, NotUnderstood> {
    specs.into_iter().map(Rule::try_from).collect()
}

impl TryFrom<RuleSpec> for Rule {
    type Error = NotUnderstood;

    fn try_from(spec: RuleSpec) -> Result<Self, NotUnderstood> {
        let secret = |name: String| name.parse().map_err(|_| NotUnderstood("name of a secret"));
        Ok(Self {
            hosts: spec.hosts.parse().map_err(|_| NotUnderstood("host"))?,
            allow: spec.allow,
            origin: match spec.origin {
                OriginSpec::Manifest => Origin::Manifest,
                OriginSpec::Secret(name) => Origin::Secret(secret(name)?),
                OriginSpec::Decision => Origin::Decision,
                OriginSpec::CommandLine => Origin::CommandLine,
                OriginSpec::Asked => Origin::Asked,
            },
        })
    }
}

impl TryFrom<BrokerSpec> for Broker {
    type Error = NotUnderstood;

    fn try_from(spec: BrokerSpec) -> Result<Self, NotUnderstood> {
        let host = |text: String| text.parse().map_err(|_| NotUnderstood("host of a secret"));
        Ok(Self {
            name: spec
                .name
                .parse()
                .map_err(|_| NotUnderstood("name of a secret"))?,
            placeholder: spec.placeholder,
            hosts: spec.hosts.into_iter().map(host).collect::<Result<_, _>>()?,
            query: spec.query,
        })
    }
}
