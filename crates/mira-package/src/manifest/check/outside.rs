//! What is outside of the app: hosts that it calls, events that it takes, what it may do on GitHub.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Check;
use crate::manifest::fault::shown;
use crate::manifest::host::{HostError, HostPattern};
use crate::manifest::name::Name;
use crate::manifest::shape::joined;
use crate::manifest::{Access, ServicePath, Webhook};

impl Check<'_> {
    pub(super) fn webhooks(&mut self) -> Option<Vec<Webhook>> {
        let hooks = self.document.webhooks.iter().enumerate();
        let hooks: Vec<Option<Webhook>> = hooks
            .map(|(index, hook)| {
                let path = format!("webhooks[{index}]");
                for (at, event) in hook.events.iter().enumerate() {
                    if !is_event(event) {
                        self.fault(
                            &format!("{path}.events[{at}]"),
                            "an event is called by lower-case letters and underscores",
                            "such as `pull_request`".to_owned(),
                        );
                    }
                }
                self.unique(
                    &format!("{path}.events"),
                    "event",
                    hook.events.iter().map(String::as_str),
                    "",
                );
                let to = self.service_path(&format!("{path}.deliverTo"), &hook.deliver_to);
                Some(Webhook {
                    source: hook.source,
                    events: hook.events.clone(),
                    to: to?,
                })
            })
            .collect();
        hooks.into_iter().collect()
    }

    /// Reads a service and a path there.
    pub(super) fn service_path(&mut self, path: &str, text: &str) -> Option<ServicePath> {
        let (service, rest) = text.split_once('/').unwrap_or((text, ""));
        let service = self.known_service(path, service);
        let target = self.url_path(path, &format!("/{rest}"));
        let has_port = |name: &Name| {
            let mut services = self.document.services.iter();
            services.any(|service| *name == *service.name && !service.ports.is_empty())
        };
        if let Some(service) = service.as_ref().filter(|name| !has_port(name)) {
            let message = format!("the service `{service}` has no port to be asked at");
            self.fault(path, message, "give it one in `ports`".to_owned());
        }
        Some(ServicePath {
            service: service?,
            path: target?,
        })
    }

    pub(super) fn github(&mut self) -> Option<BTreeMap<String, Access>> {
        let Some(github) = &self.document.github else {
            return Some(BTreeMap::new());
        };
        for name in github.permissions.keys().filter(|name| !is_event(name)) {
            self.fault(
                &joined("github.permissions", name),
                "a permission is called by lower-case letters and underscores",
                "such as `contents`".to_owned(),
            );
        }
        Some(github.permissions.clone())
    }

    /// Reads a list of hosts.
    pub(super) fn hosts(&mut self, path: &str, texts: &[String]) -> Option<Vec<HostPattern>> {
        let hosts: Vec<Option<HostPattern>> = texts
            .iter()
            .enumerate()
            .map(|(index, text)| {
                let path = format!("{path}[{index}]");
                match HostPattern::from_str(text) {
                    Ok(host) => Some(host),
                    Err(error) => {
                        let lower = text.to_lowercase();
                        let suggestion = (error == HostError::UpperCase
                            && lower.parse::<HostPattern>().is_ok())
                        .then(|| format!("write {}", shown(&lower)));
                        self.fault(&path, error.to_string(), suggestion);
                        None
                    }
                }
            })
            .collect();
        let spelled: Vec<String> = hosts
            .iter()
            .map(|host| host.as_ref().map(ToString::to_string).unwrap_or_default())
            .collect();
        self.unique(path, "host", spelled.iter().map(String::as_str), "");
        hosts.into_iter().collect()
    }
}

/// Whether a text is spelled as GitHub spells events and permissions.
fn is_event(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
