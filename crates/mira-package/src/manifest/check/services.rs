//! Services: their names, commands, ports, health checks and dependencies.

use super::Check;
use crate::manifest::document;
use crate::manifest::interpolation::Reference;
use crate::manifest::name::Name;
use crate::manifest::shape::joined;
use crate::manifest::{Health, Port, Probe, Service};

impl Check<'_> {
    pub(super) fn services(&mut self) -> Option<Vec<Service>> {
        let names = self
            .document
            .services
            .iter()
            .map(|service| service.name.as_str());
        let names = self.names("services", names);
        let services: Vec<Option<Service>> = self
            .document
            .services
            .iter()
            .enumerate()
            .map(|(index, service)| self.service(&format!("services[{index}]"), service))
            .collect();
        names?;
        services.into_iter().collect()
    }

    fn service(&mut self, path: &str, service: &document::Service) -> Option<Service> {
        let own = service.name.as_str();
        let command = self.command(&format!("{path}.command"), &service.command, own);
        let env: Vec<_> = service
            .env
            .iter()
            .map(|(name, value)| {
                let path = joined(&format!("{path}.env"), name);
                self.variable(&path, name, "a variable");
                Some((name.clone(), self.template(&path, value, own)?))
            })
            .collect();
        let ports_path = format!("{path}.ports");
        let names = self.names(
            &ports_path,
            service.ports.iter().map(|port| port.name.as_str()),
        );
        let ports = names.map(|names| {
            let ports = names.into_iter().zip(&service.ports);
            ports
                .map(|(name, port)| Port {
                    name,
                    prefer: port.prefer,
                    open: port.open,
                })
                .collect()
        });
        let health = match &service.health {
            Some(health) => self
                .health(&format!("{path}.health"), health, service)
                .map(Some),
            None => Some(None),
        };
        let depends_on = self.depends_on(&format!("{path}.dependsOn"), &service.depends_on);
        let grace = self.duration(
            &format!("{path}.stop.grace"),
            &service.stop.grace,
            ("0s", "10m"),
        );
        Some(Service {
            name: own.parse().ok()?,
            command: command?,
            env: env.into_iter().collect::<Option<_>>()?,
            ports: ports?,
            health: health?,
            depends_on: depends_on?,
            restart: service.restart,
            stop_signal: service.stop.signal,
            stop_grace: grace?,
        })
    }

    fn depends_on(&mut self, path: &str, names: &[String]) -> Option<Vec<Name>> {
        self.unique(path, "service", names.iter().map(String::as_str), "");
        let names: Vec<Option<Name>> = names
            .iter()
            .enumerate()
            .map(|(index, name)| self.known_service(&format!("{path}[{index}]"), name))
            .collect();
        names.into_iter().collect()
    }

    fn health(
        &mut self,
        path: &str,
        health: &document::Health,
        service: &document::Service,
    ) -> Option<Health> {
        let probe = self.probe(path, health, service);
        let interval = self.duration(
            &format!("{path}.interval"),
            &health.interval,
            ("100ms", "1h"),
        );
        let timeout = self.duration(
            &format!("{path}.timeout"),
            &health.timeout,
            ("100ms", "10m"),
        );
        let start_period = self.duration(
            &format!("{path}.startPeriod"),
            &health.start_period,
            ("0s", "1h"),
        );
        Some(Health {
            probe: probe?,
            interval: interval?,
            timeout: timeout?,
            retries: health.retries,
            start_period: start_period?,
        })
    }

    fn probe(
        &mut self,
        path: &str,
        health: &document::Health,
        service: &document::Service,
    ) -> Option<Probe> {
        let port = health.port.as_deref();
        if port.is_some() && health.http.is_none() {
            let message = "`port` goes with `http`";
            self.fault(&format!("{path}.port"), message, "take it away".to_owned());
        }
        match (&health.http, &health.tcp, &health.command) {
            (Some(target), None, None) => {
                let target = self.url_path(&format!("{path}.http"), target);
                let port = self.http_port(path, port, service);
                Some(Probe::Http {
                    path: target?,
                    port: port?,
                })
            }
            (None, Some(port), None) => {
                let port = self.own_port(&format!("{path}.tcp"), port, service)?;
                Some(Probe::Tcp { port })
            }
            (None, None, Some(words)) => self
                .command(&format!("{path}.command"), words, &service.name)
                .map(Probe::Command),
            (None, None, None) => {
                let suggestion = "add `http: /path`, `tcp: PORT` or `command: [...]`".to_owned();
                self.fault(path, "it does not say what to try", suggestion);
                None
            }
            _ => {
                let suggestion = "keep one of `http`, `tcp` and `command`".to_owned();
                self.fault(path, "it says more than one thing to try", suggestion);
                None
            }
        }
    }

    /// Returns the port that HTTP is asked on: the named one, or the only one.
    fn http_port(
        &mut self,
        path: &str,
        named: Option<&str>,
        service: &document::Service,
    ) -> Option<Name> {
        match (named, service.ports.as_slice()) {
            (Some(named), _) => self.own_port(&format!("{path}.port"), named, service),
            (None, [only]) => only.name.parse().ok(),
            (None, ports) => {
                let suggestion = match ports {
                    [] => "give the service a port in `ports`".to_owned(),
                    _ => "add `port: NAME`".to_owned(),
                };
                let message = format!(
                    "the service has {} ports, and none is named here",
                    ports.len()
                );
                self.fault(path, message, suggestion);
                None
            }
        }
    }

    fn own_port(&mut self, path: &str, port: &str, service: &document::Service) -> Option<Name> {
        match self.port(path, &service.name, port)? {
            Reference::Port { port, .. } => Some(port),
            _ => None,
        }
    }
}
