//! What is known of an instance and of the machine it is on: names, states and times, never a value.

use std::io;

use mira_gate::{Filter, Outcome, Reader, Row};
use mira_host::instances::{Source, autosaved};
use mira_host::logs::{Filter as LogFilter, LogLine, read};
use mira_host::network::NetworkMode;
use mira_package::manifest::{Delivery, Manifest};
use mira_server::InstanceState;
use mira_store::Instance;
use mira_vault::Vault;
use serde_json::{Value, json};

use crate::commands::doctor;
use crate::error::CommandError;
use crate::whole::apps::Apps;
use crate::whole::apps::snapshots::snapshot_json;

/// Gathers all of it.
pub(super) fn gather(
    apps: &Apps,
    instance: &Instance,
    mut vault: Option<Vault>,
    lines: usize,
) -> Result<Value, CommandError> {
    let store = apps.instances.store();
    let running = apps.running();
    let state = running.as_ref().ok().and_then(|running| {
        let mut running = running.iter();
        running.find(|state| state.id == instance.id.as_str())
    });
    // A copy that was changed by hand is a fact too.
    let unpacked = apps.instances.unpacked(instance);
    let manifest = match &unpacked {
        Ok(Some(unpacked)) => Some(&unpacked.manifest),
        _ => None,
    };
    let package = match &unpacked {
        Ok(Some(_)) => "whole".to_owned(),
        Ok(None) => "not unpacked, as it is encrypted".to_owned(),
        Err(error) => error.to_string(),
    };
    let ports = apps.wait(store.ports(&instance.id))?;
    let settings = apps.wait(store.settings(&instance.id))?;
    Ok(json!({
        "kind": "mira.diagnostics/v1",
        "time": jiff::Timestamp::now().to_string(),
        "mira": env!("CARGO_PKG_VERSION"),
        "platform": platform(),
        "checks": doctor::facts(apps.instances.home(), vault.as_ref()),
        "instance": {
            "id": instance.id.as_str(),
            "name": instance.name.as_str(),
            "app": instance.app_id,
            "version": instance.package.app_version,
            "digest": instance.package.digest,
            "source": instance.package.source,
            "publisherKey": instance.package.publisher_key,
            "agreed": instance.package.unsigned_agreed,
            "created": instance.created.to_string(),
            "opened": instance.opened.to_string(),
            "desired": instance.desired.to_string(),
            "deleting": instance.deleting,
        },
        "package": package,
        "manifest": manifest.map(declared),
        "secrets": match manifest {
            Some(manifest) => secrets(apps, instance, manifest, vault.as_ref()),
            None => Value::Null,
        },
        "settings": settings.iter().map(|setting| &setting.name).collect::<Vec<_>>(),
        "ports": ports.iter().map(|port| json!({
            "service": port.service,
            "name": port.name,
            "number": port.number,
        })).collect::<Value>(),
        "supervisor": match &running {
            Ok(_) => Value::Null,
            Err(error) => error.in_one_line().into(),
        },
        "state": state.map_or("stopped", InstanceState::phase),
        "services": state.map(|state| &state.services),
        "autosave": state.and_then(|state| state.autosave.as_ref()),
        "snapshots": vault.as_mut().map(|vault| snapshots(apps, instance, vault)),
        "net": net(apps, instance),
        "logs": logs(apps, instance, manifest, state, lines),
    }))
}

fn platform() -> Value {
    // What cannot be read is not known.
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let release = read("/etc/os-release");
    let name = release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .map(|name| name.trim_matches('"'));
    json!({
        "os": std::env::consts::OS,
        "arch": std::env::consts::ARCH,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "distribution": name,
    })
}

/// What the app declares: names, and no text that could hold a value.
fn declared(manifest: &Manifest) -> Value {
    let names = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>();
    let services = manifest.services.iter().map(|service| {
        json!({
            "name": service.name.as_str(),
            "variables": names(&mut service.env.keys().cloned()),
            "ports": names(&mut service.ports.iter().map(|port| port.name.to_string())),
            "dependsOn": names(&mut service.depends_on.iter().map(ToString::to_string)),
            "hasHealth": service.health.is_some(),
        })
    });
    let secrets = manifest.secrets.iter().map(|secret| {
        json!({
            "name": secret.name.as_str(),
            "required": secret.required,
            "delivery": match secret.deliver {
                Delivery::Env => "env",
                Delivery::File => "file",
                Delivery::Brokered => "brokered",
            },
        })
    });
    json!({
        "id": manifest.id.as_str(),
        "version": manifest.version.to_string(),
        "services": services.collect::<Value>(),
        "secrets": secrets.collect::<Value>(),
        "settings": names(&mut manifest.settings.iter().map(|setting| setting.name.clone())),
        "volumes": names(&mut manifest.state.volumes.iter().map(ToString::to_string)),
        "autosaveSeconds": autosaved(manifest).map(|interval| interval.as_secs()),
        "network": names(&mut manifest.network.iter().map(ToString::to_string)),
    })
}

/// Where each declared secret comes from.
fn secrets(apps: &Apps, instance: &Instance, manifest: &Manifest, vault: Option<&Vault>) -> Value {
    let resolved = apps.instances.resolve(instance, manifest, vault, &[]);
    match apps.wait(resolved) {
        Err(error) => error.to_string().into(),
        Ok(resolution) => resolution
            .wanted
            .iter()
            .map(|wanted| {
                json!({
                    "name": wanted.declared.name.as_str(),
                    "source": match &wanted.source {
                        Some(Source::Own) => Some("own"),
                        Some(Source::Bound(_)) => Some("bound"),
                        Some(Source::Sealed) => Some("sealed"),
                        None => None,
                    },
                })
            })
            .collect(),
    }
}

fn snapshots(apps: &Apps, instance: &Instance, vault: &mut Vault) -> Value {
    let listed = apps
        .instances
        .existing_repository(instance, vault)
        .map_err(|error| error.to_string())
        .and_then(|repository| match repository {
            Some(repository) => repository.list().map_err(|error| error.to_string()),
            None => Ok(Vec::new()),
        });
    match listed {
        Ok(snapshots) => json!({
            "number": snapshots.len(),
            "last": snapshots.last().map(snapshot_json),
        }),
        Err(error) => error.into(),
    }
}

/// How much is in the network record, and whether it holds all that there was; not with whom.
fn net(apps: &Apps, instance: &Instance) -> Value {
    let folder = apps.instances.layout().net(&instance.id);
    let read = || {
        let mode = NetworkMode::read(&folder)?;
        let mut reader = Reader::new(&folder, Filter::default());
        Ok((mode, reader.read()?, reader.unreadable()))
    };
    let (mode, rows, unreadable) = match read() {
        Ok(read) => read,
        Err(error) => return io::Error::to_string(&error).into(),
    };
    let count = |wanted: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| wanted(row)).count();
    json!({
        "mode": mode.map(|mode| mode.to_string()),
        "allowed": count(&|row| row.verdict == Outcome::Allowed),
        "refused": count(&|row| row.verdict == Outcome::Refused),
        "open": count(&|row| row.open),
        "unreadable": unreadable,
    })
}

/// The last lines of each service's log.
fn logs(
    apps: &Apps,
    instance: &Instance,
    manifest: Option<&Manifest>,
    state: Option<&InstanceState>,
    lines: usize,
) -> Value {
    let declared = manifest.into_iter().flat_map(|manifest| &manifest.services);
    let declared = declared.map(|service| service.name.to_string());
    let known = state.into_iter().flat_map(|state| &state.services);
    let known = known.map(|service| service.service.clone());
    let mut services: Vec<String> = declared.chain(known).collect();
    services.sort();
    services.dedup();
    let folder = apps.instances.layout().logs(&instance.id);
    let of = |service: String| {
        let filter = LogFilter {
            service: Some(service.clone()),
            tail: Some(lines),
            ..LogFilter::default()
        };
        let lines = match read(&folder, &filter) {
            Ok(lines) => lines.iter().map(line_json).collect(),
            Err(error) => Value::from(error.to_string()),
        };
        (service, lines)
    };
    Value::Object(services.into_iter().map(of).collect())
}

fn line_json(line: &LogLine) -> Value {
    json!({
        "time": line.time.to_string(),
        "stream": line.stream.to_string(),
        "line": line.line,
    })
}
