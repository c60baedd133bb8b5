//! Snapshots that the supervisor takes by itself, as they cross the socket: what it needs for them, and how they fare.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use mira_host::instances::{InstanceError, Instances, autosaved, retention};
use mira_host::service::Value;
use mira_package::manifest::Manifest;
use mira_secret::SecretName;
use mira_snapshot::{Findings, Retention, Volume};
use mira_store::Instance;
use mira_vault::Vault;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::{NotText, NotUnderstood, milliseconds, path};

/// The most places of secrets that are told.
// LIMIT: enough to see the pattern; `mira snapshot create` lists all.
const FOUND_MAX: usize = 20;

/// What the supervisor needs to take snapshots of an instance by itself.
#[derive(Clone, Debug)]
pub struct Autosave {
    /// How long after one the next is taken.
    pub interval: Duration,
    /// The folder of the instance's snapshots.
    pub repository: PathBuf,
    /// What they hold.
    pub volumes: Vec<Volume>,
    /// Which of those that were taken by themselves are kept; all without.
    pub retention: Option<Retention>,
    /// Under which name their password is among the instance's values; no service gets it.
    pub password: SecretName,
}

impl Autosave {
    /// Returns what the supervisor needs to take snapshots of an instance, if its app asks for that. What is to be looked for in
    /// them, and their password, are added to the values.
    ///
    /// # Errors
    ///
    /// A value cannot be read, or the password cannot be saved.
    pub fn plan(
        instances: &Instances,
        instance: &Instance,
        manifest: &Manifest,
        vault: &mut Vault,
        values: &mut Vec<Value>,
    ) -> Result<Option<Self>, InstanceError> {
        let Some(interval) = autosaved(manifest) else {
            return Ok(None);
        };
        let password = instances.snapshot_password(instance, vault)?.name;
        values.extend(instances.undelivered(instance, manifest, vault)?);
        Ok(Some(Self {
            interval,
            repository: instances.layout().snapshots(&instance.id),
            volumes: instances.volumes(&instance.id, manifest),
            retention: manifest.state.retention.as_ref().map(retention),
            password,
        }))
    }
}

/// An [`Autosave`] as it is sent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AutosaveSpec {
    interval_ms: u64,
    repository: PathBuf,
    volumes: Vec<VolumeSpec>,
    retention: Option<RetentionSpec>,
    password: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct VolumeSpec {
    name: String,
    path: PathBuf,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RetentionSpec {
    last: u16,
    daily: u16,
    weekly: u16,
    monthly: u16,
}

impl TryFrom<&Autosave> for AutosaveSpec {
    type Error = NotText;

    fn try_from(autosave: &Autosave) -> Result<Self, NotText> {
        let volume = |volume: &Volume| {
            Ok(VolumeSpec {
                name: volume.name.clone(),
                path: path(&volume.path)?,
            })
        };
        Ok(Self {
            interval_ms: milliseconds(autosave.interval),
            repository: path(&autosave.repository)?,
            volumes: autosave
                .volumes
                .iter()
                .map(volume)
                .collect::<Result<_, _>>()?,
            retention: autosave.retention.map(|retention| RetentionSpec {
                last: retention.last,
                daily: retention.daily,
                weekly: retention.weekly,
                monthly: retention.monthly,
            }),
            password: autosave.password.to_string(),
        })
    }
}

impl TryFrom<AutosaveSpec> for Autosave {
    type Error = NotUnderstood;

    fn try_from(spec: AutosaveSpec) -> Result<Self, NotUnderstood> {
        let volumes = spec.volumes.into_iter();
        let password = spec.password.parse();
        Ok(Self {
            interval: Duration::from_millis(spec.interval_ms),
            repository: spec.repository,
            volumes: volumes
                .map(|volume| Volume::new(volume.name, volume.path))
                .collect(),
            retention: spec.retention.map(|retention| Retention {
                last: retention.last,
                daily: retention.daily,
                weekly: retention.weekly,
                monthly: retention.monthly,
            }),
            password: password.map_err(|_| NotUnderstood("name of a password"))?,
        })
    }
}

/// How the snapshots fare that are taken by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AutosaveState {
    /// When it was last found that all is saved.
    #[schemars(with = "Option<String>")]
    pub saved: Option<Timestamp>,
    /// The snapshot that holds it.
    pub snapshot: Option<String>,
    /// Since when each one fails; nothing if the last one did not.
    #[schemars(with = "Option<String>")]
    pub failing_since: Option<Timestamp>,
    /// Why the last one failed.
    pub failure: Option<String>,
    /// Where values of secrets were found, if that is why; the first of these places.
    pub found: Vec<Found>,
    /// How many such places there are.
    pub found_total: u64,
}

/// A place where the value of a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Found {
    /// The file, as `/<volume>/…`, redacted.
    pub path: String,
    /// Where of it: content, name, link target or attribute.
    pub place: String,
    /// The secret's name.
    pub name: String,
    /// How many bytes before it.
    pub offset: u64,
}

impl AutosaveState {
    /// Notes that all is saved.
    pub(crate) fn saved(&mut self, snapshot: &str) {
        *self = Self {
            saved: Some(Timestamp::now()),
            snapshot: Some(snapshot.to_owned()),
            ..Self::default()
        };
    }

    /// Notes that it is not, and why.
    pub(crate) fn failed(&mut self, failure: String, findings: Option<&Findings>) {
        self.failing_since.get_or_insert_with(Timestamp::now);
        self.failure = Some(failure);
        let listed = findings.map(|findings| findings.listed.iter().take(FOUND_MAX));
        self.found = listed
            .into_iter()
            .flatten()
            .map(|finding| Found {
                path: finding.path.clone(),
                place: finding.place.to_string(),
                name: finding.name.to_string(),
                offset: finding.offset,
            })
            .collect();
        self.found_total = findings.map_or(0, |findings| findings.total);
    }
}

/// What came of a stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Stopped {
    /// How its snapshots fared, the last one included, if any were to be taken.
    pub autosave: Option<AutosaveState>,
}
