//! From a manifest to what the supervisor runs: ports, folders, variables, commands.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use mira_package::manifest::{
    self, Delivery, Manifest, Name, Probe, Reference, SecretSpec, Service, Template,
};
use mira_redact::NeedleSet;
use mira_secret::SecretName;
use mira_snapshot::Repository;
use mira_store::{Instance, PortRequest};
use mira_vault::{AWS_REGION_VARIABLES, AWS_VARIABLES};

use super::folders::remove;
use super::{InstanceError, Instances, Unpacked, delivery};
use crate::network::{Broker, Network, Visible};
use crate::service::{
    Check, Folders, Health, InstanceSpec, Report, Restart, ServiceSpec, StopSignal, Value,
    base_environment, is_free,
};

/// What an instance finds around it.
#[derive(Debug)]
pub struct Surroundings {
    /// The user's variables, of which the path, the language and the time zone are taken, and where the user's home and run-time folder are.
    pub variables: Vec<(OsString, OsString)>,
    /// The region that the user's AWS credentials are for, where the app says none.
    pub aws_region: Option<String>,
    /// Start nothing where its network cannot be enforced.
    pub require_enforcement: bool,
}

impl Surroundings {
    fn variable(&self, name: &str) -> Option<&OsString> {
        let named = self.variables.iter().find(|(known, _)| known == name);
        named.map(|(_, value)| value)
    }
}

/// The port of each service and name.
type Ports = BTreeMap<(Name, Name), u16>;

impl Instances {
    /// Returns what the supervisor runs. Makes the instance's folders, and takes ports for it.
    ///
    /// # Errors
    ///
    /// No port is free, or a folder cannot be made.
    pub async fn spec(
        &self,
        instance: &Instance,
        unpacked: &Unpacked,
        mut values: Vec<Value>,
        surroundings: &Surroundings,
    ) -> Result<InstanceSpec, InstanceError> {
        let manifest = &unpacked.manifest;
        if !manifest.webhooks.is_empty() || manifest.report.is_some() {
            values.push(delivery::make_token()?);
        }
        let folders = self.layout.folders(&instance.id, unpacked.folder.clone());
        // A restore that was cut off comes first: it may have a volume half way out of its place.
        Repository::recover(&self.layout.snapshots(&instance.id))?;
        self.provide_volumes(&instance.id, manifest)?;
        // What an earlier run left there is nobody's.
        remove(&folders.tmp)?;
        let region = surroundings.aws_region.as_deref();
        let settings = self.settings(instance, manifest, region).await?;
        let ports = self.ports(instance, manifest).await?;
        let resolve = |reference: &Reference| match reference {
            Reference::Port { service, port } => ports
                .get(&(service.clone(), port.clone()))
                .map_or_else(String::new, ToString::to_string),
            Reference::Volume(volume) => {
                let folder = self.layout.volume(&instance.id, volume.as_str());
                folder.display().to_string()
            }
            Reference::Package => unpacked.folder.display().to_string(),
            Reference::Setting(name) => settings.get(name).cloned().unwrap_or_default(),
            // The manifest's checks know of no other.
            _ => String::new(),
        };
        let network = self
            .network(instance, manifest, &folders, &values, surroundings)
            .await?;
        let making = Making {
            instance,
            manifest,
            folders: &folders,
            surroundings,
            settings: &settings,
            ports: &ports,
            brokered: &network.brokered,
            resolve: &resolve,
        };
        let services = manifest.start_order().into_iter();
        let services: Vec<_> = services.map(|service| making.service(service)).collect();
        refuse_held(instance, &services, &network.brokered, &values)?;
        Ok(InstanceSpec {
            id: instance.id.to_string(),
            name: instance.name.to_string(),
            folders,
            services,
            values,
            network: Some(network),
            report: report(manifest, &ports),
        })
    }

    /// Returns what the instance may call, and with which secrets.
    async fn network(
        &self,
        instance: &Instance,
        manifest: &Manifest,
        folders: &Folders,
        values: &[Value],
        surroundings: &Surroundings,
    ) -> Result<Network, InstanceError> {
        let broker = |declared: &SecretSpec| {
            let value = values.iter().find(|value| value.name == declared.name)?;
            let (hosts, query) = (declared.hosts.clone(), declared.query.clone());
            Some(Broker::new(&declared.name, &value.value, hosts, query))
        };
        let secrets = manifest.secrets.iter();
        let brokered = secrets.filter(|declared| declared.deliver == Delivery::Brokered);
        let mut visible = Visible::of_instance(
            surroundings.variable("HOME").map(Path::new),
            surroundings.variable("XDG_RUNTIME_DIR").map(Path::new),
            [self.home.path(), self.layout.runtime()],
            surroundings.variable("PATH").map(OsString::as_os_str),
        );
        visible.readable.push(folders.package.clone());
        let own = [&folders.home, &folders.tmp, &folders.runtime_secrets];
        visible.writable.extend(own.into_iter().cloned());
        let volumes = manifest.state.volumes.iter();
        visible
            .writable
            .extend(volumes.map(|volume| self.layout.volume(&instance.id, volume.as_str())));
        Ok(Network {
            name: instance.name.to_string(),
            is_command: false,
            rules: self.policy_rules(instance, manifest).await?,
            brokered: brokered.filter_map(broker).collect(),
            has_tokens: !manifest.github.is_empty(),
            record: self.layout.net(&instance.id),
            require_enforcement: surroundings.require_enforcement,
            visible,
        })
    }

    /// Returns the values of the settings: the instance's own, else the manifest's; of an AWS region that is left empty, the user's.
    ///
    /// # Errors
    ///
    /// The database refuses.
    pub async fn settings(
        &self,
        instance: &Instance,
        manifest: &Manifest,
        region: Option<&str>,
    ) -> Result<BTreeMap<String, String>, InstanceError> {
        let own = self.store.settings(&instance.id).await?;
        let declared = manifest.settings.iter();
        Ok(declared
            .map(|setting| {
                let own = own.iter().find(|own| own.name == setting.name);
                let value = own.map_or(&*setting.default, |own| &own.value);
                let names_region = AWS_REGION_VARIABLES.contains(&setting.name.as_str());
                let value = match region {
                    Some(region) if names_region && value.is_empty() => region,
                    _ => value,
                };
                (setting.name.clone(), value.to_owned())
            })
            .collect())
    }

    async fn ports(
        &self,
        instance: &Instance,
        manifest: &Manifest,
    ) -> Result<Ports, InstanceError> {
        let mut ports = Ports::new();
        for service in &manifest.services {
            for port in &service.ports {
                let request = PortRequest {
                    service: service.name.to_string(),
                    name: port.name.to_string(),
                    prefer: port.prefer,
                };
                let mut number = self
                    .store
                    .allocate_port(&instance.id, &request, &is_free)
                    .await?;
                if !is_free(number) {
                    // Something else took it while the instance was stopped.
                    number = self
                        .store
                        .reallocate_port(&instance.id, &request, number, &is_free)
                        .await?;
                }
                ports.insert((service.name.clone(), port.name.clone()), number);
            }
        }
        Ok(ports)
    }
}

/// Refuses variables and words of services that hold a brokered value: settings, and what is taken of the user's variables, are given by the user.
fn refuse_held(
    instance: &Instance,
    services: &[ServiceSpec],
    brokered: &[Broker],
    values: &[Value],
) -> Result<(), InstanceError> {
    let mut needles = NeedleSet::builder();
    let is_brokered = |value: &&Value| brokered.iter().any(|broker| broker.name == value.name);
    for value in values.iter().filter(is_brokered) {
        // EXPOSE: to the search for it in what the services would get.
        needles.add(value.name.as_str(), value.value.expose());
    }
    let needles = needles.build();
    if needles.is_empty() {
        return Ok(());
    }
    for service in services {
        let variables = service.env.iter();
        let variables =
            variables.map(|(name, value)| (format!("its variable {}", name.display()), value));
        let words = service.command.iter();
        let words = words.map(|word| ("its command".to_owned(), word));
        for (place, text) in variables.chain(words) {
            if let Some(name) = needles.held_by(text.as_encoded_bytes()) {
                return Err(InstanceError::Held {
                    instance: instance.name.to_string(),
                    service: service.name.clone(),
                    place,
                    name: name.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Returns where an instance tells how it fares.
fn report(manifest: &Manifest, ports: &Ports) -> Option<Report> {
    let told = manifest.report.as_ref()?;
    let port = manifest.port_of(told)?;
    Some(Report {
        service: told.service.to_string(),
        port: *ports.get(&(told.service.clone(), port.name.clone()))?,
        path: told.path.clone(),
    })
}

/// What all services of an instance are made from.
struct Making<'a> {
    instance: &'a Instance,
    manifest: &'a Manifest,
    folders: &'a Folders,
    surroundings: &'a Surroundings,
    settings: &'a BTreeMap<String, String>,
    ports: &'a Ports,
    brokered: &'a [Broker],
    resolve: &'a dyn Fn(&Reference) -> String,
}

impl Making<'_> {
    fn service(&self, service: &Service) -> ServiceSpec {
        let delivered = |way: Delivery| {
            let secrets = self.manifest.secrets_of(&service.name);
            let chosen = secrets.filter(|secret| secret.deliver == way);
            chosen.map(|secret| secret.name.clone()).collect()
        };
        let webhooks = self.manifest.webhooks.iter().map(|hook| &hook.to);
        let mut asked = webhooks.chain(&self.manifest.report);
        let is_asked = asked.any(|to| to.service == service.name);
        let mut env_secrets: Vec<SecretName> = delivered(Delivery::Env);
        env_secrets.extend(is_asked.then(delivery::token_name));
        ServiceSpec {
            name: service.name.to_string(),
            command: self.words(&service.command),
            env: self.variables(service),
            env_secrets,
            file_secrets: delivered(Delivery::File),
            health: service.health.as_ref().map(|health| Health {
                check: self.check(service, &health.probe),
                interval: health.interval,
                timeout: health.timeout,
                retries: health.retries,
                start_period: health.start_period,
            }),
            restart: match service.restart {
                manifest::Restart::Never => Restart::Never,
                manifest::Restart::OnFailure => Restart::OnFailure,
                manifest::Restart::Always => Restart::Always,
            },
            stop_signal: match service.stop_signal {
                manifest::Signal::Term => StopSignal::Term,
                manifest::Signal::Int => StopSignal::Int,
                manifest::Signal::Quit => StopSignal::Quit,
                manifest::Signal::Hup => StopSignal::Hup,
                manifest::Signal::Usr1 => StopSignal::Usr1,
                manifest::Signal::Usr2 => StopSignal::Usr2,
            },
            stop_grace: service.stop_grace,
            depends_on: service.depends_on.iter().map(ToString::to_string).collect(),
            ports: service
                .ports
                .iter()
                .filter_map(|port| self.port(service, &port.name))
                .collect(),
        }
    }

    fn port(&self, service: &Service, name: &Name) -> Option<u16> {
        let key = (service.name.clone(), name.clone());
        self.ports.get(&key).copied()
    }

    fn words(&self, words: &[Template]) -> Vec<OsString> {
        let render = |word: &Template| word.render(self.resolve).into();
        words.iter().map(render).collect()
    }

    /// The service's own variables win over the settings, and both over what every service begins with, and the user's AWS region
    /// where the service has AWS keys.
    fn variables(&self, service: &Service) -> Vec<(OsString, OsString)> {
        let base = base_environment(
            self.surroundings.variables.iter().cloned(),
            self.folders,
            self.instance.id.as_str(),
            service.name.as_str(),
        );
        let region = self.surroundings.aws_region.iter();
        let region = region.filter(|_| {
            let mut secrets = self.manifest.secrets_of(&service.name);
            secrets.any(|secret| AWS_VARIABLES.contains(&secret.name.as_str()))
        });
        let region = region.flat_map(|region| {
            let names = AWS_REGION_VARIABLES.into_iter();
            names.map(|name| (name.into(), region.into()))
        });
        let settings = self.settings.iter();
        let settings = settings.map(|(name, value)| (name.into(), value.into()));
        let own = service.env.iter();
        let own = own.map(|(name, value)| (name.into(), value.render(self.resolve).into()));
        let is_for = |broker: &&Broker| {
            let mut secrets = self.manifest.secrets_of(&service.name);
            secrets.any(|secret| secret.name == broker.name)
        };
        let placeholders = self.brokered.iter().filter(is_for).map(Broker::variable);
        let all: BTreeMap<OsString, OsString> = base
            .into_iter()
            .chain(region)
            .chain(settings)
            .chain(own)
            .chain(placeholders)
            .collect();
        all.into_iter().collect()
    }

    fn check(&self, service: &Service, probe: &Probe) -> Check {
        let port = |name: &Name| self.port(service, name).unwrap_or_default();
        match probe {
            Probe::Http { path, port: name } => Check::Http {
                port: port(name),
                path: path.clone(),
            },
            Probe::Tcp { port: name } => Check::Tcp { port: port(name) },
            Probe::Command(words) => Check::Command(self.words(words)),
        }
    }
}
