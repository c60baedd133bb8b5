//! The manifest of an app, `mira.yaml`: read, checked, and as types that cannot be wrong any more.
//!
//! The definition of the file is in `document`; from it come what the parser accepts, the JSON Schema ([`schema`]) and the reference
//! page. A file goes through three stages, each of which goes on after a fault: `tree` reads YAML with places, `shape` holds it
//! against the schema, `check` asks what the parts mean to each other.
//!
//! It reads no files, starts nothing and resolves no names.
//!
//! INVARIANT: what a [`Manifest`] refers to is in it: each service, port, volume and setting that is named exists, and dependencies
//! have an order.
//!
//! ```
//! use mira_package::manifest::Manifest;
//!
//! let error = Manifest::parse("kind: mira.app/v1\nid: org.example.app\nname: no\nversion: 1.0.0\nservises: []\n").unwrap_err();
//! let lines: Vec<String> = error.faults().iter().map(ToString::to_string).collect();
//! assert_eq!(lines[1], "mira.yaml:3:7: name: `no` without quotes is a boolean to some readers of YAML, and text is wanted; put it in quotes: \"no\"");
//! assert_eq!(lines[2], "mira.yaml:5:1: the key `servises` is not known; did you mean `services`?");
//! ```

mod check;
mod document;
mod duration;
mod fault;
mod host;
mod interpolation;
mod name;
mod scaffold;
mod schema;
mod shape;
mod tree;

use std::collections::BTreeMap;
use std::time::Duration;

use mira_secret::SecretName;

pub use document::{Access, Delivery, Restart, Retention, Signal, Source};
pub use fault::{FILE_NAME, Fault, ManifestError};
pub use host::{DEFAULT_PORT, Host, HostError, HostPattern, Hosts};
pub use interpolation::{Part, Reference, Template};
pub use name::{AppId, AppIdError, Name, NameFault};
pub use scaffold::template;
pub use schema::schema;

use fault::Place;
use shape::Shape;

/// The format that this version reads.
pub const KIND: &str = "mira.app/v1";

/// The longest file, in bytes.
// LIMIT: far more than any manifest needs, and little enough that a hostile one is refused within a second.
pub const FILE_BYTES_MAX: usize = 256 * 1024;

/// An app, as its manifest describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The app's identity over all its versions.
    pub id: AppId,
    /// The app's name, for people: one line without control characters, as all texts for people here.
    pub name: String,
    /// The app's version.
    pub version: semver::Version,
    /// What the app is for.
    pub description: Option<String>,
    /// Who says that they publish it. Only a signature proves it.
    pub publisher: Option<Publisher>,
    /// The services, in the order of the file.
    pub services: Vec<Service>,
    /// The secrets, in the order of the file.
    pub secrets: Vec<SecretSpec>,
    /// The settings, in the order of the file.
    pub settings: Vec<Setting>,
    /// What the app keeps.
    pub state: State,
    /// Where the app says that it calls.
    pub network: Vec<HostPattern>,
    /// Events that it takes.
    pub webhooks: Vec<Webhook>,
    /// What it may do on GitHub, by the names of permissions.
    pub github: BTreeMap<String, Access>,
    /// Where it tells how it fares.
    pub report: Option<ServicePath>,
    /// Indices of `services`, each after those that it depends on.
    order: Vec<usize>,
}

/// Who says that they publish an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    /// The name.
    pub name: String,
    /// The minisign public key, in base64; it decodes to one.
    pub key: String,
}

/// A program of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The name, which no other service of the app has.
    pub name: Name,
    /// The program and its arguments: one word at least.
    pub command: Vec<Template>,
    /// Variables for its environment.
    pub env: BTreeMap<String, Template>,
    /// Its ports.
    pub ports: Vec<Port>,
    /// How to tell that it works.
    pub health: Option<Health>,
    /// The services that have to be up before it starts.
    pub depends_on: Vec<Name>,
    /// What happens when it ends by itself.
    pub restart: Restart,
    /// The signal that stops it.
    pub stop_signal: Signal,
    /// How long it has to end after that signal.
    pub stop_grace: Duration,
}

/// A TCP port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name, which no other port of the service has.
    pub name: Name,
    /// The number that it gets if that is free.
    pub prefer: Option<u16>,
    /// Whether it is shown to the person as an address.
    pub open: bool,
}

/// How to tell that a service works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is tried.
    pub probe: Probe,
    /// How long to wait between two tries.
    pub interval: Duration,
    /// How long a try may take.
    pub timeout: Duration,
    /// How many tries in a row fail before the service counts as broken.
    pub retries: u32,
    /// How long failures do not count after a start.
    pub start_period: Duration,
}

/// What is tried to tell whether a service works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A request that is answered with a status from 200 to 399.
    Http {
        /// The path, which begins with a slash.
        path: String,
        /// The port, one of the service's own.
        port: Name,
    },
    /// A connection that is accepted.
    Tcp {
        /// The port, one of the service's own.
        port: Name,
    },
    /// A program that ends with 0.
    Command(Vec<Template>),
}

/// A secret that an app asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSpec {
    /// The name, which is neither reserved nor another variable's.
    pub name: SecretName,
    /// Whether nothing is started without it.
    pub required: bool,
    /// What it is for.
    pub description: Option<String>,
    /// Where to get it.
    pub how_to_obtain: Option<String>,
    /// How services get it.
    pub deliver: Delivery,
    /// The hosts whose requests may carry it, none of which is `*`; one at least if it is brokered.
    pub hosts: Vec<HostPattern>,
    /// The parameters of a query that may carry it; only if it is brokered.
    pub query: Vec<Box<str>>,
    /// The services that get it, or nothing for all.
    pub services: Option<Vec<Name>>,
}

impl SecretSpec {
    /// Whether a service gets the secret.
    #[must_use]
    pub fn is_for(&self, service: &Name) -> bool {
        self.services
            .as_ref()
            .is_none_or(|services| services.contains(service))
    }
}

/// A value that is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable: a POSIX name, neither reserved nor another variable's.
    pub name: String,
    /// Its value.
    pub default: String,
    /// What it changes.
    pub description: Option<String>,
}

/// What an app keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The names of its volumes.
    pub volumes: Vec<Name>,
    /// How often a snapshot is made.
    pub autosave: Option<Duration>,
    /// Which snapshots are kept.
    pub retention: Option<Retention>,
}

/// Events that an app takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Who sends them.
    pub source: Source,
    /// Their names.
    pub events: Vec<String>,
    /// Where it takes them.
    pub to: ServicePath,
}

/// A path on a service's first port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePath {
    /// The service; it has a port.
    pub service: Name,
    /// The path there, which begins with a slash.
    pub path: String,
}

impl Manifest {
    /// Reads a manifest from a file's bytes.
    ///
    /// # Errors
    ///
    /// As [`Manifest::parse`], and for bytes that are no UTF-8.
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, ManifestError> {
        check_size(bytes.len())?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(text),
            Err(error) => {
                let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
                let before = String::from_utf8_lossy(before);
                let place = Place::after(&before);
                Err(one(Fault::new(place, "", "the file is not UTF-8")
                    .with("save it as UTF-8".to_owned())))
            }
        }
    }

    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// Returns all that is wrong with it at once, unless it is no YAML or of another format: then only that.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        check_size(text.len())?;
        Self::read(text).map_err(|error| error.within(text))
    }

    fn read(text: &str) -> Result<Self, ManifestError> {
        let mut faults = Vec::new();
        let tree = match tree::read(text, &mut faults) {
            Ok(tree) => tree,
            Err(fault) => {
                faults.push(fault);
                return Err(ManifestError::new(faults));
            }
        };
        check::format(&tree).map_err(one)?;
        let mut shape = Shape::default();
        let document = shape.fit(&tree, schema());
        faults.append(&mut shape.faults);
        let document = serde_json::from_value(document).expect(
            "a document that fits the schema fits the structs that the schema is made from",
        );
        let manifest = check::manifest(&document, &shape, &mut faults);
        match manifest {
            Some(manifest) if faults.is_empty() => Ok(manifest),
            _ => Err(ManifestError::new(faults)),
        }
    }

    /// Returns the services in the order in which they are started: each after those that it depends on, and else as in the file.
    #[must_use]
    pub fn start_order(&self) -> Vec<&Service> {
        self.order
            .iter()
            .filter_map(|&index| self.services.get(index))
            .collect()
    }

    /// Returns the secrets that a service gets.
    pub fn secrets_of(&self, service: &Name) -> impl Iterator<Item = &SecretSpec> {
        self.secrets.iter().filter(|secret| secret.is_for(service))
    }

    /// Returns the secrets without which nothing is started.
    pub fn required_secrets(&self) -> impl Iterator<Item = &SecretSpec> {
        self.secrets.iter().filter(|secret| secret.required)
    }

    /// Returns the service of that name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == *name)
    }

    /// Returns the port that a path is on: the first of its service.
    #[must_use]
    pub fn port_of(&self, path: &ServicePath) -> Option<&Port> {
        self.service(path.service.as_str())?.ports.first()
    }
}

fn check_size(bytes: usize) -> Result<(), ManifestError> {
    if bytes <= FILE_BYTES_MAX {
        return Ok(());
    }
    let message = format!("the file is longer than {} KiB", FILE_BYTES_MAX / 1024);
    Err(one(Fault::new(Place::START, "", message)))
}

fn one(fault: Fault) -> ManifestError {
    ManifestError::new(vec![fault])
}

#[cfg(test)]
mod tests;
