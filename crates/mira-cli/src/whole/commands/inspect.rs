//! `mira inspect`: what an app is, asks for and holds, before anything of it runs.

use std::collections::BTreeSet;
use std::io::{Seek as _, SeekFrom};
use std::path::PathBuf;

use mira_host::instances::{Candidate, KeyWanted};
use mira_package::digest::FileEntry;
use mira_package::manifest::{Manifest, Port, SecretSpec, Service};
use mira_package::sealed::SECRETS_PATH;
use mira_package::signature::Signature;
use mira_secret::SecretName;
use serde_json::{Value, json};

use crate::error::CommandError;
use crate::render::{facts, table};
use crate::ui::Ui;
use crate::whole::apps::{Apps, KeyArgs};
use crate::whole::packaging::{calls, joined, shown, texts, word, written};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A package, or an app's folder
    #[arg(value_name = "FILE|DIR")]
    source: PathBuf,

    /// Open the sealed secrets too, to show which names they have; never a value
    #[arg(long)]
    sealed_names: bool,

    /// Print all of it as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    opens: KeyArgs,
}

/// What is known of the secrets that a package has sealed.
enum SealedNames {
    /// It has none.
    None,
    /// It has some, which were not opened.
    Closed,
    /// It has these.
    Open(BTreeSet<String>),
}

/// A package with all that is shown of it.
struct View {
    candidate: Candidate,
    files: Vec<FileEntry>,
    sealed: SealedNames,
    /// The package file's length; a folder has none.
    bytes: Option<u64>,
    is_encrypted: bool,
}

pub(crate) fn run(args: &Args, ui: &Ui) -> Result<(), CommandError> {
    ui.want_json(args.json);
    let apps = Apps::open()?;
    let mut ask = |wanted: KeyWanted| args.opens.ask(ui, wanted);
    let mut candidate = apps.wait(apps.instances.candidate(&args.source, None, &mut ask))?;
    let sealed = match candidate.sealed()? {
        None => SealedNames::None,
        Some(_) if !args.sealed_names => SealedNames::Closed,
        Some(sealed) => {
            let opened = apps.wait(apps.instances.unseal(&sealed, &mut ask))?;
            SealedNames::Open(opened.iter().map(|(name, _)| name.to_string()).collect())
        }
    };
    let bytes = match args.source.is_dir() {
        true => None,
        false => Some(candidate.package().file().seek(SeekFrom::End(0))?),
    };
    let view = View {
        files: candidate.package().digests().files().to_vec(),
        is_encrypted: candidate.package().is_encrypted(),
        candidate,
        sealed,
        bytes,
    };
    if args.json {
        return ui.json(&view.json());
    }
    ui.data(&view.text())?;
    if matches!(view.sealed, SealedNames::Closed) {
        ui.say(&format!(
            "which secrets {SECRETS_PATH} has shows when it is opened: --sealed-names"
        ));
    }
    Ok(())
}

impl View {
    fn manifest(&self) -> &Manifest {
        &self.candidate.manifest
    }

    /// Returns what is known of the publisher, in words.
    fn trust(&self) -> String {
        let trust = self.candidate.judgement.trust.as_str();
        match &self.candidate.signature {
            Signature::Valid { key } => format!("{trust}, signed by {key}"),
            Signature::UnknownKey { id } => format!("{trust}: signed by an unknown key ({id})"),
            Signature::Missing if self.bytes.is_none() => {
                format!("{trust}: a folder is not signed")
            }
            Signature::Missing => trust.to_owned(),
            _ => format!("{trust}: the signature does not hold"),
        }
    }

    fn is_sealed(&self, name: &SecretName) -> Option<bool> {
        match &self.sealed {
            SealedNames::None => Some(false),
            SealedNames::Closed => None,
            SealedNames::Open(names) => Some(names.contains(name.as_str())),
        }
    }

    fn text(&self) -> String {
        let Manifest {
            id,
            name,
            version,
            description,
            services,
            secrets,
            settings,
            ..
        } = self.manifest();
        let mut told = vec![("app", format!("{name} {version}"))];
        told.extend(
            description
                .iter()
                .map(|description| ("", description.clone())),
        );
        told.push(("id", id.to_string()));
        told.extend(self.manifest().publisher.iter().map(|publisher| {
            (
                "publisher",
                format!(
                    "{}, by its own account, with the key {}",
                    publisher.name, publisher.key
                ),
            )
        }));
        told.push(("trust", self.trust()));
        told.push(("digest", self.candidate.digest()));
        told.extend(self.bytes.map(|bytes| ("size", format!("{bytes} bytes"))));
        if self.is_encrypted {
            told.push(("encrypted", "as a whole".to_owned()));
        }
        told.push(("network", calls(self.manifest(), Vec::new())));
        told.extend(list("volumes", &self.manifest().state.volumes));
        let webhooks = self.manifest().webhooks.iter();
        told.extend(webhooks.map(|hook| {
            (
                "webhook",
                format!(
                    "{} {} to {}{}",
                    word(&hook.source),
                    hook.events.join(", "),
                    hook.to.service,
                    hook.to.path
                ),
            )
        }));
        let github = self.manifest().github.iter();
        told.extend(github.map(|(name, access)| ("github", format!("{name}: {}", word(access)))));
        let report = self.manifest().report.iter();
        told.extend(report.map(|to| ("report", format!("{}{}", to.service, to.path))));
        let mut text = facts(&told);
        let mut add = |part: String| {
            text.push('\n');
            text.push_str(&part);
        };
        let rows: Vec<_> = services.iter().map(service_row).collect();
        add(table(["SERVICE", "RUNS", "PORTS", "AFTER"], &rows));
        if !secrets.is_empty() {
            let rows: Vec<_> = secrets
                .iter()
                .map(|secret| self.secret_row(secret))
                .collect();
            add(table(
                [
                    "SECRET", "REQUIRED", "DELIVERY", "SERVICES", "HOSTS", "SEALED",
                ],
                &rows,
            ));
        }
        if !settings.is_empty() {
            let rows = settings
                .iter()
                .map(|setting| [setting.name.clone(), shown(&setting.default)]);
            add(table(["SETTING", "DEFAULT"], &rows.collect::<Vec<_>>()));
        }
        let rows = self.files.iter().map(|file| {
            let kind = if file.executable { "program" } else { "" };
            [
                file.size.to_string(),
                file.path.to_string(),
                kind.to_owned(),
            ]
        });
        add(table(["BYTES", "FILE", ""], &rows.collect::<Vec<_>>()));
        text
    }

    fn secret_row(&self, secret: &SecretSpec) -> [String; 6] {
        let yes_no = |yes: bool| if yes { "yes" } else { "no" };
        [
            secret.name.to_string(),
            yes_no(secret.required).to_owned(),
            word(&secret.deliver),
            secret
                .services
                .as_ref()
                .map_or("all".to_owned(), |services| joined(services)),
            joined(&secret.hosts),
            self.is_sealed(&secret.name)
                .map_or("perhaps", yes_no)
                .to_owned(),
        ]
    }

    fn json(&self) -> Value {
        let manifest = self.manifest();
        let signed_by = self.candidate.signed_by().map(ToString::to_string);
        json!({
            "id": manifest.id.as_str(),
            "name": manifest.name,
            "version": manifest.version.to_string(),
            "description": manifest.description,
            "publisher": manifest.publisher.as_ref().map(|publisher| json!({
                "name": publisher.name,
                "key": publisher.key,
            })),
            "trust": self.candidate.judgement.trust.as_str(),
            "signedBy": signed_by,
            "digest": self.candidate.digest(),
            "bytes": self.bytes,
            "encrypted": self.is_encrypted,
            "sealed": !matches!(self.sealed, SealedNames::None),
            "services": manifest.services.iter().map(service_json).collect::<Value>(),
            "secrets": manifest.secrets.iter().map(|secret| json!({
                "name": secret.name.as_str(),
                "required": secret.required,
                "description": secret.description,
                "howToObtain": secret.how_to_obtain,
                "delivery": secret.deliver,
                "services": secret.services.as_ref().map(|services| texts(services)),
                "hosts": texts(&secret.hosts),
                "query": secret.query,
                "sealed": self.is_sealed(&secret.name),
            })).collect::<Value>(),
            "settings": manifest.settings.iter().map(|setting| json!({
                "name": setting.name,
                "default": setting.default,
                "description": setting.description,
            })).collect::<Value>(),
            "network": texts(&manifest.network),
            "networkEnforced": false,
            "volumes": texts(&manifest.state.volumes),
            "webhooks": manifest.webhooks.iter().map(|hook| json!({
                "source": hook.source,
                "events": hook.events,
                "service": hook.to.service.as_str(),
                "path": hook.to.path,
            })).collect::<Value>(),
            "github": manifest.github,
            "report": manifest.report.as_ref().map(|to| json!({
                "service": to.service.as_str(),
                "path": to.path,
            })),
            "files": self.files.iter().map(|file| json!({
                "path": file.path.as_str(),
                "bytes": file.size,
                "sha256": file.sha256.to_string(),
                "executable": file.executable,
            })).collect::<Value>(),
        })
    }
}

fn service_row(service: &Service) -> [String; 4] {
    let words = service.command.iter().map(|part| shown(&written(part)));
    let ports = service.ports.iter().map(|port: &Port| {
        let prefer = port.prefer.map(|number| format!(" {number}"));
        let open = if port.open { " open" } else { "" };
        format!("{}{}{open}", port.name, prefer.unwrap_or_default())
    });
    [
        service.name.to_string(),
        words.collect::<Vec<_>>().join(" "),
        ports.collect::<Vec<_>>().join(", "),
        joined(&service.depends_on),
    ]
}

fn service_json(service: &Service) -> Value {
    json!({
        "name": service.name.as_str(),
        "command": service.command.iter().map(written).collect::<Vec<_>>(),
        "env": service.env.iter().map(|(name, value)| (name.clone(), written(value).into())).collect::<serde_json::Map<_, _>>(),
        "ports": service.ports.iter().map(|port| json!({
            "name": port.name.as_str(),
            "prefer": port.prefer,
            "open": port.open,
        })).collect::<Value>(),
        "dependsOn": texts(&service.depends_on),
        "restart": service.restart,
    })
}

fn list<'a, T: ToString>(what: &'a str, values: &[T]) -> Option<(&'a str, String)> {
    (!values.is_empty()).then(|| (what, joined(values)))
}
