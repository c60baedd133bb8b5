//! An instance to run, as it crosses the socket.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use mira_host::service::{
    Check, Folders, Health, InstanceSpec, Origin, Report, Restart, ServiceSpec, Value,
};
use mira_secret::{ENTRY_BYTES_MAX, SecretName, SecretValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network::NetworkSpec;

/// An instance without its values. Paths and words are UTF-8 here: a manifest can hold no others.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) id: String,
    name: String,
    folders: FoldersSpec,
    services: Vec<Service>,
    network: Option<NetworkSpec>,
    report: Option<ReportSpec>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ReportSpec {
    service: String,
    port: u16,
    path: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FoldersSpec {
    package: PathBuf,
    home: PathBuf,
    tmp: PathBuf,
    logs: PathBuf,
    runtime_secrets: PathBuf,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Service {
    name: String,
    command: Vec<String>,
    env: Vec<(String, String)>,
    env_secrets: Vec<String>,
    file_secrets: Vec<String>,
    health: Option<HealthSpec>,
    restart: RestartSpec,
    stop_signal: String,
    stop_grace_ms: u64,
    depends_on: Vec<String>,
    ports: Vec<u16>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HealthSpec {
    check: CheckSpec,
    interval_ms: u64,
    timeout_ms: u64,
    retries: u32,
    start_period_ms: u64,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum CheckSpec {
    Http { port: u16, path: String },
    Tcp { port: u16 },
    Command(Vec<String>),
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum RestartSpec {
    Never,
    OnFailure,
    Always,
}

/// A value that follows: how it is called, where it rests, how long it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ValueHead {
    name: String,
    origin: Option<OriginSpec>,
    pub(crate) bytes: usize,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OriginSpec {
    secret_id: String,
    scope: String,
    version: u64,
}

/// A part of a request does not say what it should. It names the part, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request's {0} cannot be understood; command and supervisor may be of different versions: `mira serve --stop` ends the supervisor"
)]
pub(crate) struct NotUnderstood(pub(super) &'static str);

/// A path, word or variable cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not UTF-8; rename it")]
pub struct NotText(OsString);

fn text(text: &OsString) -> Result<String, NotText> {
    text.clone().into_string().map_err(NotText)
}

fn texts(words: &[OsString]) -> Result<Vec<String>, NotText> {
    words.iter().map(text).collect()
}

pub(super) fn path(path: &std::path::Path) -> Result<PathBuf, NotText> {
    match path.to_str() {
        Some(_) => Ok(path.to_owned()),
        None => Err(NotText(path.as_os_str().to_owned())),
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl TryFrom<&InstanceSpec> for Spec {
    type Error = NotText;

    fn try_from(spec: &InstanceSpec) -> Result<Self, NotText> {
        let folders = FoldersSpec {
            package: path(&spec.folders.package)?,
            home: path(&spec.folders.home)?,
            tmp: path(&spec.folders.tmp)?,
            logs: path(&spec.folders.logs)?,
            runtime_secrets: path(&spec.folders.runtime_secrets)?,
        };
        Ok(Self {
            id: spec.id.clone(),
            name: spec.name.clone(),
            folders,
            network: spec.network.as_ref().map(TryInto::try_into).transpose()?,
            report: spec.report.as_ref().map(|report| ReportSpec {
                service: report.service.clone(),
                port: report.port,
                path: report.path.clone(),
            }),
            services: spec
                .services
                .iter()
                .map(Service::try_from)
                .collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<&ServiceSpec> for Service {
    type Error = NotText;

    fn try_from(service: &ServiceSpec) -> Result<Self, NotText> {
        let variable = |(name, value): &(OsString, OsString)| Ok((text(name)?, text(value)?));
        let names = |names: &[SecretName]| names.iter().map(ToString::to_string).collect();
        Ok(Self {
            name: service.name.clone(),
            command: texts(&service.command)?,
            env: service.env.iter().map(variable).collect::<Result<_, _>>()?,
            env_secrets: names(&service.env_secrets),
            file_secrets: names(&service.file_secrets),
            health: service
                .health
                .as_ref()
                .map(HealthSpec::try_from)
                .transpose()?,
            restart: match service.restart {
                Restart::Never => RestartSpec::Never,
                Restart::OnFailure => RestartSpec::OnFailure,
                Restart::Always => RestartSpec::Always,
            },
            stop_signal: service.stop_signal.to_string(),
            stop_grace_ms: milliseconds(service.stop_grace),
            depends_on: service.depends_on.clone(),
            ports: service.ports.clone(),
        })
    }
}

impl TryFrom<&Health> for HealthSpec {
    type Error = NotText;

    fn try_from(health: &Health) -> Result<Self, NotText> {
        let check = match &health.check {
            Check::Http { port, path } => CheckSpec::Http {
                port: *port,
                path: path.clone(),
            },
            Check::Tcp { port } => CheckSpec::Tcp { port: *port },
            Check::Command(words) => CheckSpec::Command(texts(words)?),
        };
        Ok(Self {
            check,
            interval_ms: milliseconds(health.interval),
            timeout_ms: milliseconds(health.timeout),
            retries: health.retries,
            start_period_ms: milliseconds(health.start_period),
        })
    }
}

impl From<&Value> for ValueHead {
    fn from(value: &Value) -> Self {
        Self {
            name: value.name.to_string(),
            origin: value.origin.as_ref().map(|origin| OriginSpec {
                secret_id: origin.secret_id.clone(),
                scope: origin.scope.to_string(),
                version: origin.version,
            }),
            // EXPOSE: its length only.
            bytes: value.value.expose().len(),
        }
    }
}

impl ValueHead {
    /// Returns whether its length is one that a value may have.
    pub(crate) fn is_plausible(&self) -> bool {
        self.bytes <= ENTRY_BYTES_MAX
    }

    /// Joins head and bytes again.
    pub(crate) fn with(self, bytes: mira_secret::SecretBytes) -> Result<Value, NotUnderstood> {
        let name: SecretName = self
            .name
            .parse()
            .map_err(|_| NotUnderstood("name of a value"))?;
        let origin = match self.origin {
            None => None,
            Some(origin) => Some(Origin {
                secret_id: origin.secret_id,
                scope: origin
                    .scope
                    .parse()
                    .map_err(|_| NotUnderstood("scope of a value"))?,
                version: origin.version,
            }),
        };
        let value = SecretValue::new(&name, bytes).map_err(|_| NotUnderstood("value"))?;
        Ok(Value {
            name,
            value,
            origin,
        })
    }
}

impl Spec {
    /// Joins specification and values.
    pub(crate) fn with(self, values: Vec<Value>) -> Result<InstanceSpec, NotUnderstood> {
        Ok(InstanceSpec {
            id: self.id,
            name: self.name,
            folders: Folders {
                package: self.folders.package,
                home: self.folders.home,
                tmp: self.folders.tmp,
                logs: self.folders.logs,
                runtime_secrets: self.folders.runtime_secrets,
            },
            services: self
                .services
                .into_iter()
                .map(ServiceSpec::try_from)
                .collect::<Result<_, _>>()?,
            values,
            network: self.network.map(TryInto::try_into).transpose()?,
            report: self.report.map(|report| Report {
                service: report.service,
                port: report.port,
                path: report.path,
            }),
        })
    }
}

impl TryFrom<Service> for ServiceSpec {
    type Error = NotUnderstood;

    fn try_from(service: Service) -> Result<Self, NotUnderstood> {
        let words = |words: Vec<String>| words.into_iter().map(OsString::from).collect();
        let names = |names: Vec<String>| {
            let parse = |name: String| name.parse();
            names
                .into_iter()
                .map(parse)
                .collect::<Result<Vec<SecretName>, _>>()
                .map_err(|_| NotUnderstood("name of a secret"))
        };
        let health = service.health.map(|health| Health {
            check: match health.check {
                CheckSpec::Http { port, path } => Check::Http { port, path },
                CheckSpec::Tcp { port } => Check::Tcp { port },
                CheckSpec::Command(command) => Check::Command(words(command)),
            },
            interval: Duration::from_millis(health.interval_ms),
            timeout: Duration::from_millis(health.timeout_ms),
            retries: health.retries,
            start_period: Duration::from_millis(health.start_period_ms),
        });
        Ok(Self {
            name: service.name,
            command: words(service.command),
            env: service
                .env
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            env_secrets: names(service.env_secrets)?,
            file_secrets: names(service.file_secrets)?,
            health,
            restart: match service.restart {
                RestartSpec::Never => Restart::Never,
                RestartSpec::OnFailure => Restart::OnFailure,
                RestartSpec::Always => Restart::Always,
            },
            stop_signal: service
                .stop_signal
                .parse()
                .map_err(|_| NotUnderstood("stop signal"))?,
            stop_grace: Duration::from_millis(service.stop_grace_ms),
            depends_on: service.depends_on,
            ports: service.ports,
        })
    }
}
