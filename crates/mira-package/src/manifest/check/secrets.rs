//! Secrets and settings: their names, and that each variable of a service has one source.
//!
//! INVARIANT: no fault repeats a secret's name that is not one: somebody may have put the value there.

use std::collections::BTreeMap;

use mira_secret::{NameError, SecretName};

use super::Check;
use crate::manifest::document::{self, Delivery};
use crate::manifest::name::Name;
use crate::manifest::{HostPattern, Hosts, SecretSpec, Setting};

/// Variables that the host itself gives to each service.
const HOST_VARIABLES: &[&str] = &["PATH", "HOME", "TMPDIR"];

impl Check<'_> {
    pub(super) fn secrets(&mut self) -> Option<Vec<SecretSpec>> {
        let secrets: Vec<Option<SecretSpec>> = self
            .document
            .secrets
            .iter()
            .enumerate()
            .map(|(index, secret)| self.secret(&format!("secrets[{index}]"), secret))
            .collect();
        secrets.into_iter().collect()
    }

    fn secret(&mut self, path: &str, secret: &document::Secret) -> Option<SecretSpec> {
        let name = self.variable(&format!("{path}.name"), &secret.name, "a secret");
        let description = self.optional(
            &format!("{path}.description"),
            secret.description.as_deref(),
            Self::line,
        );
        let how_to_obtain = self.optional(
            &format!("{path}.howToObtain"),
            secret.how_to_obtain.as_deref(),
            Self::line,
        );
        let hosts = self.hosts(&format!("{path}.hosts"), &secret.hosts);
        if secret.deliver == Delivery::Brokered && secret.hosts.is_empty() {
            self.fault(
                &format!("{path}.hosts"),
                "a brokered secret names the hosts whose requests may carry it, and there is none",
                "add `hosts: [api.example.org]`".to_owned(),
            );
        }
        for (index, host) in secret.hosts.iter().enumerate() {
            if host
                .parse()
                .is_ok_and(|host: HostPattern| host.hosts == Hosts::Any)
            {
                self.fault(
                    &format!("{path}.hosts[{index}]"),
                    "`*` is all hosts, and a secret goes only to those that it is for",
                    "name them, such as `api.example.org` or `*.example.org`".to_owned(),
                );
            }
        }
        let query = self.parameters(&format!("{path}.query"), secret);
        let services = self.recipients(&format!("{path}.services"), secret.services.as_deref());
        Some(SecretSpec {
            name: name?,
            required: secret.required,
            description: description?,
            how_to_obtain: how_to_obtain?,
            deliver: secret.deliver,
            hosts: hosts?,
            query: query?,
            services: services?,
        })
    }

    /// Reads the parameters of a query that carry a secret.
    fn parameters(&mut self, path: &str, secret: &document::Secret) -> Option<Vec<Box<str>>> {
        if secret.deliver != Delivery::Brokered && !secret.query.is_empty() {
            self.fault(
                path,
                "only a brokered secret is put into queries",
                "add `deliver: brokered`, or take `query` away".to_owned(),
            );
        }
        self.unique(
            path,
            "parameter",
            secret.query.iter().map(String::as_str),
            "",
        );
        let mut names = Vec::with_capacity(secret.query.len());
        for (index, name) in secret.query.iter().enumerate() {
            match is_parameter(name) {
                true => names.push(name.as_str().into()),
                false => self.fault(
                    &format!("{path}[{index}]"),
                    "a parameter is called by 1 to 64 letters, digits, hyphens, dots, underscores and tildes",
                    "such as `api_key`".to_owned(),
                ),
            }
        }
        (names.len() == secret.query.len()).then_some(names)
    }

    #[expect(
        clippy::option_option,
        reason = "no list means all services, and a list may have a fault"
    )]
    fn recipients(&mut self, path: &str, names: Option<&[String]>) -> Option<Option<Vec<Name>>> {
        let Some(names) = names else {
            return Some(None);
        };
        self.unique(path, "service", names.iter().map(String::as_str), "");
        let names: Vec<Option<Name>> = names
            .iter()
            .enumerate()
            .map(|(index, name)| self.known_service(&format!("{path}[{index}]"), name))
            .collect();
        names.into_iter().collect::<Option<_>>().map(Some)
    }

    pub(super) fn settings(&mut self) -> Option<Vec<Setting>> {
        let settings: Vec<Option<Setting>> = self
            .document
            .settings
            .iter()
            .enumerate()
            .map(|(index, setting)| {
                let path = format!("settings[{index}]");
                let name = self.variable(&format!("{path}.name"), &setting.name, "a setting");
                let default = &setting.default;
                if default.contains('\0') {
                    let message = "this holds a NUL, which no program can be given";
                    self.fault(
                        &format!("{path}.default"),
                        message,
                        "take it out".to_owned(),
                    );
                }
                let description = self.optional(
                    &format!("{path}.description"),
                    setting.description.as_deref(),
                    Self::line,
                );
                Some(Setting {
                    name: name?.as_str().to_owned(),
                    default: default.clone(),
                    description: description?,
                })
            })
            .collect();
        settings.into_iter().collect()
    }

    /// Reads the name of a variable of a service's environment.
    pub(super) fn variable(&mut self, path: &str, name: &str, what: &str) -> Option<SecretName> {
        let parsed = match name.parse::<SecretName>() {
            Ok(parsed) => parsed,
            Err(error) => {
                let message = match error {
                    NameError::Assignment => {
                        "a name holds no `=`, and a manifest no value of a secret".to_owned()
                    }
                    error => error.to_string(),
                };
                self.fault(path, message, "such as `OPENAI_API_KEY`".to_owned());
                return None;
            }
        };
        if name.starts_with("MIRA_") {
            let message = format!(
                "the name of {what} does not begin with `MIRA_`: such names are Mira's own"
            );
            self.fault(path, message, "choose another".to_owned());
            return None;
        }
        // A variable of `env` may be one of these: a service may want another folder as its home.
        if HOST_VARIABLES.contains(&name) && what != "a variable" {
            let message =
                format!("`{name}` is a variable that each service has, and cannot be {what}");
            self.fault(path, message, "choose another".to_owned());
            return None;
        }
        Some(parsed)
    }

    /// Complains about each variable that a service would get from two places.
    pub(super) fn collisions(&mut self) {
        let settings = self.document.settings.iter().enumerate();
        let settings: Vec<Variable> = settings
            .map(|(index, setting)| {
                Variable::new(
                    &setting.name,
                    "a setting",
                    format!("settings[{index}].name"),
                )
            })
            .collect();
        let mut told = Vec::new();
        for (index, service) in self.document.services.iter().enumerate() {
            let env = service.env.keys().map(|name| {
                let path = crate::manifest::shape::joined(&format!("services[{index}].env"), name);
                Variable::new(name, "a variable of `env`", path)
            });
            let secrets = self.document.secrets.iter().enumerate();
            let secrets = secrets.filter(|(_, secret)| {
                let services = secret.services.as_ref();
                services.is_none_or(|services| services.contains(&service.name))
            });
            let secrets = secrets.filter_map(|(index, secret)| {
                let path = format!("secrets[{index}].name");
                let (name, what) = match secret.deliver {
                    Delivery::File => (
                        format!("{}_FILE", secret.name),
                        "the path of a secret's file",
                    ),
                    Delivery::Env | Delivery::Brokered => (secret.name.clone(), "a secret"),
                };
                (!secret.name.is_empty()).then(|| Variable::new(&name, what, path))
            });
            self.one_source(
                settings.iter().cloned().chain(env).chain(secrets),
                &mut told,
            );
        }
        // A secret has one name, however and to whom it is delivered.
        let secrets = self.document.secrets.iter().enumerate();
        let secrets: Vec<Variable> = secrets
            .map(|(index, secret)| {
                Variable::new(&secret.name, "a secret", format!("secrets[{index}].name"))
            })
            .collect();
        self.one_source(secrets.into_iter(), &mut told);
    }

    fn one_source(&mut self, variables: impl Iterator<Item = Variable>, told: &mut Vec<String>) {
        let mut seen: BTreeMap<String, Variable> = BTreeMap::new();
        for variable in variables {
            let name = variable.name.as_str();
            if name.parse::<SecretName>().is_err() || HOST_VARIABLES.contains(&name) {
                continue;
            }
            let Some(first) = seen.get(&variable.name) else {
                seen.insert(variable.name.clone(), variable);
                continue;
            };
            if told.contains(&variable.path) {
                continue;
            }
            let line = self.shape.place(&first.path).line;
            let message = format!(
                "`{}` is {} in line {line} already",
                variable.name, first.what
            );
            self.fault(
                &variable.path,
                message,
                "rename one of them, or take it away".to_owned(),
            );
            told.push(variable.path);
        }
    }
}

/// Whether a text is the name of a parameter that no client escapes: the unreserved characters of RFC 3986.
fn is_parameter(name: &str) -> bool {
    // LIMIT: longer than any service calls its key.
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// A variable of a service's environment, and where it comes from.
#[derive(Clone)]
struct Variable {
    name: String,
    what: &'static str,
    path: String,
}

impl Variable {
    fn new(name: &str, what: &'static str, path: String) -> Self {
        Self {
            name: name.to_owned(),
            what,
            path,
        }
    }
}
