//! What the parts of a manifest mean to each other: names that are given once and exist where they are used, texts, hosts, versions.
//!
//! Each part is looked at whatever is wrong with the others. A part that the stage before replaced is not complained about.

mod names;
mod order;
mod outside;
mod secrets;
mod services;
mod text;

use std::time::Duration;

use super::document::Document;
use super::fault::{Fault, did_you_mean, shown};
use super::shape::Shape;
use super::tree::{Data, Node};
use super::{AppIdError, KIND, Manifest, Publisher, State, duration};

/// Refuses a file of another format: nothing else that could be said of it would help.
pub(super) fn format(tree: &Node) -> Result<(), Fault> {
    let Some(node) = tree.key("kind") else {
        return Ok(());
    };
    let Data::Text { text, .. } = &node.data else {
        return Ok(());
    };
    if text == KIND {
        return Ok(());
    }
    let fault = |message: String| Fault::new(node.place, "kind", message);
    let version = text
        .strip_prefix("mira.app/v")
        .and_then(|version| version.parse::<u32>().ok());
    Err(match version {
        Some(version) if version > 1 => fault(format!(
            "this is version {version} of the format, and this Mira reads version 1"
        ))
        .with("get a newer Mira, or an older package".to_owned()),
        _ => fault(format!(
            "{} is no kind of file that Mira reads",
            shown(text)
        ))
        .with(did_you_mean(text, [KIND]).unwrap_or_else(|| format!("an app is `{KIND}`"))),
    })
}

/// Checks a document, and returns it as types unless there is a fault.
pub(super) fn manifest(
    document: &Document,
    shape: &Shape,
    faults: &mut Vec<Fault>,
) -> Option<Manifest> {
    let mut check = Check {
        document,
        shape,
        faults,
    };
    let id = check.id();
    let name = check.line("name", &document.name);
    let version = check.version();
    let description = check.optional("description", document.description.as_deref(), Check::line);
    let publisher = document.publisher.as_ref().map(|_| check.publisher());
    let services = check.services();
    let order = check.order();
    let secrets = check.secrets();
    let settings = check.settings();
    check.collisions();
    let state = check.state();
    let network = check.hosts("network.allow", &document.network.allow);
    let webhooks = check.webhooks();
    let github = check.github();
    let report = check.optional("report", document.report.as_deref(), Check::service_path);
    Some(Manifest {
        id: id?,
        name: name?,
        version: version?,
        description: description?,
        publisher: match publisher {
            Some(publisher) => Some(publisher?),
            None => None,
        },
        services: services?,
        secrets: secrets?,
        settings: settings?,
        state: state?,
        network: network?,
        webhooks: webhooks?,
        github: github?,
        report: report?,
        order: order?,
    })
}

/// A run of the checks.
struct Check<'a> {
    document: &'a Document,
    shape: &'a Shape,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Check<'a> {
    /// Records a fault, unless the part was replaced: then it has one.
    fn fault(
        &mut self,
        path: &str,
        message: impl Into<String>,
        suggestion: impl Into<Option<String>>,
    ) {
        if !self.shape.is_replaced(path) {
            let place = self.shape.place(path);
            self.faults
                .push(Fault::new(place, path, message).with(suggestion));
        }
    }

    /// Reads an optional part: nothing where it has a fault.
    #[expect(
        clippy::option_option,
        reason = "a part that is left out is not a part with a fault"
    )]
    fn optional<T>(
        &mut self,
        path: &str,
        text: Option<&str>,
        read: impl FnOnce(&mut Self, &str, &str) -> Option<T>,
    ) -> Option<Option<T>> {
        match text {
            Some(text) => read(self, path, text).map(Some),
            None => Some(None),
        }
    }

    fn id(&mut self) -> Option<super::AppId> {
        let text = &self.document.id;
        let error = match text.parse() {
            Ok(id) => return Some(id),
            Err(error) => error,
        };
        let suggestion = match error {
            AppIdError::UpperCase => Some(text.to_lowercase())
                .filter(|lower| lower.parse::<super::AppId>().is_ok())
                .map(|lower| format!("write `{lower}`")),
            AppIdError::OnePart => Some(format!("write one, such as `org.example.{text}`")),
            _ => Some("such as `org.example.readlater`".to_owned()),
        };
        self.fault("id", error.to_string(), suggestion);
        None
    }

    fn version(&mut self) -> Option<semver::Version> {
        let text = &self.document.version;
        let error = match semver::Version::parse(text) {
            Ok(version) => return Some(version),
            Err(error) => error,
        };
        let guesses = [
            format!("{text}.0"),
            format!("{text}.0.0"),
            text.trim_start_matches(['v', 'V']).to_owned(),
        ];
        let suggestion = guesses
            .into_iter()
            .find(|guess| semver::Version::parse(guess).is_ok())
            .map_or_else(
                || "write three numbers, such as `1.2.0`".to_owned(),
                |guess| format!("write `{guess}`"),
            );
        self.fault(
            "version",
            format!("this is no version of Semantic Versioning: {error}"),
            suggestion,
        );
        None
    }

    fn publisher(&mut self) -> Option<Publisher> {
        let publisher = self.document.publisher.as_ref()?;
        let name = self.line("publisher.name", &publisher.name);
        let is_key = minisign::PublicKey::from_base64(&publisher.key).is_ok();
        if !is_key {
            self.fault(
                "publisher.key",
                "this is no minisign public key",
                "write the second line of the public key's file; it begins with `RW`".to_owned(),
            );
        }
        Some(Publisher {
            name: name?,
            key: is_key.then(|| publisher.key.trim().to_owned())?,
        })
    }

    fn state(&mut self) -> Option<State> {
        let state = &self.document.state;
        let volumes = self.names(
            "state.volumes",
            state.volumes.iter().map(|volume| volume.name.as_str()),
        );
        let autosave = self.optional(
            "state.autosave",
            state.autosave.as_deref(),
            |check, path, text| check.duration(path, text, ("1m", "30d")),
        );
        if let Some(kept) = state.retention
            && [kept.last, kept.daily, kept.weekly, kept.monthly] == [0; 4]
        {
            self.fault(
                "state.retention",
                "this keeps no snapshot at all",
                "say how many, such as `{last: 3, daily: 7}`, or take it away to keep all"
                    .to_owned(),
            );
        }
        Some(State {
            volumes: volumes?,
            autosave: autosave?,
            retention: state.retention,
        })
    }

    /// Reads a span of time within bounds.
    fn duration(
        &mut self,
        path: &str,
        text: &str,
        (least, most): (&str, &str),
    ) -> Option<Duration> {
        let bound = |text| duration::parse(text).unwrap_or_default();
        match duration::parse(text) {
            Some(span) if (bound(least)..=bound(most)).contains(&span) => return Some(span),
            Some(_) => self.fault(
                path,
                format!("the time is not between {least} and {most}"),
                None,
            ),
            None => self.fault(
                path,
                "this is no span of time",
                "write a whole number and a unit: `500ms`, `10s`, `5m`, `1h` or `1d`".to_owned(),
            ),
        }
        None
    }
}
