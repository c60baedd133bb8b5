//! Texts: those that people see, and those that refer to what is known only when the app runs.

use super::Check;
use crate::manifest::fault::{called, is_hidden};
use crate::manifest::interpolation::{Part, Reference, Template, Written, written};

impl Check<'_> {
    /// Reads a text that is shown to people: one line, and nothing that a terminal obeys or that turns text around.
    pub(super) fn line(&mut self, path: &str, text: &str) -> Option<String> {
        match text.chars().find(|&c| is_hidden(c)) {
            None => {
                return Some(text.trim().to_owned())
                    .filter(|text| !text.is_empty())
                    .or_else(|| {
                        self.fault(path, "it is blank", None);
                        None
                    });
            }
            Some('\n' | '\r') => self.fault(
                path,
                "this is more than one line",
                "write it in one line".to_owned(),
            ),
            Some(c) => self.fault(
                path,
                format!(
                    "this holds the character U+{:04X}, which is not seen",
                    u32::from(c)
                ),
                "take it out".to_owned(),
            ),
        }
        None
    }

    /// Reads the path of a URL.
    pub(super) fn url_path(&mut self, path: &str, text: &str) -> Option<String> {
        let fits = text.starts_with('/')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"#\"<>\\^`{|}".contains(&byte));
        if !fits {
            self.fault(
                path,
                "this is no path of a URL",
                "begin it with a slash, and write it in ASCII without blanks, as in `/healthz`"
                    .to_owned(),
            );
        }
        fits.then(|| text.to_owned())
    }

    /// Reads a command.
    pub(super) fn command(
        &mut self,
        path: &str,
        words: &[String],
        service: &str,
    ) -> Option<Vec<Template>> {
        let program = format!("{path}[0]");
        if words.first().is_some_and(String::is_empty) {
            self.fault(&program, "the program has no name", None);
        }
        let words: Vec<Option<Template>> = words
            .iter()
            .enumerate()
            .map(|(index, word)| self.template(&format!("{path}[{index}]"), word, service))
            .collect();
        words.into_iter().collect()
    }

    /// Reads a text with references, as a part of a service.
    pub(super) fn template(&mut self, path: &str, text: &str, service: &str) -> Option<Template> {
        if text.contains('\0') {
            self.fault(
                path,
                "this holds a NUL, which no program can be given",
                "take it out".to_owned(),
            );
            return None;
        }
        let parts: Vec<Option<Part>> = written(text)
            .into_iter()
            .map(|part| match part {
                Written::Text(text) => Some(Part::Text(text.to_owned())),
                Written::Reference(inner) => {
                    self.reference(path, inner, service).map(Part::Reference)
                }
                Written::LoneDollar => {
                    self.fault(
                        path,
                        "a dollar sign stands alone",
                        "write `$$` for a dollar sign, or `${…}` for a reference".to_owned(),
                    );
                    None
                }
                Written::Unclosed => {
                    self.fault(
                        path,
                        "a `${` has no `}`",
                        "close it, or write `$${` for the text `${`".to_owned(),
                    );
                    None
                }
            })
            .collect();
        parts.into_iter().collect()
    }

    fn reference(&mut self, path: &str, inner: &str, own: &str) -> Option<Reference> {
        match inner.split_once(':') {
            Some(("port", target)) => {
                let (service, port) = target.split_once('/').unwrap_or((own, target));
                self.port(path, service, port)
            }
            Some(("volume", name)) => {
                let volumes = self
                    .document
                    .state
                    .volumes
                    .iter()
                    .map(|volume| volume.name.as_str());
                self.known(path, "there is no volume", name, volumes)
                    .map(Reference::Volume)
            }
            Some(("setting", name)) => self.setting(path, name),
            None if inner == "package" => Some(Reference::Package),
            Some(("secret", _)) => {
                self.no_secret(path);
                None
            }
            _ => {
                self.unknown_reference(path, inner);
                None
            }
        }
    }

    /// Refers to a port of a service.
    pub(super) fn port(&mut self, path: &str, service: &str, port: &str) -> Option<Reference> {
        let known = self.document.services.iter();
        let Some(found) = known
            .clone()
            .find(|known| known.name == service && !service.is_empty())
        else {
            self.known(
                path,
                "there is no service",
                service,
                known.map(|known| known.name.as_str()),
            );
            return None;
        };
        let ports = found.ports.iter().map(|port| port.name.as_str());
        let missing = format!("{} has no port", called("the service", service));
        let port = self.known(path, &missing, port, ports)?;
        Some(Reference::Port {
            service: service.parse().ok()?,
            port,
        })
    }

    fn setting(&mut self, path: &str, name: &str) -> Option<Reference> {
        let settings = self
            .document
            .settings
            .iter()
            .map(|setting| setting.name.as_str());
        if settings.clone().any(|known| known == name) && !name.is_empty() {
            return Some(Reference::Setting(name.to_owned()));
        }
        if self.is_secret(name) {
            self.no_secret(path);
            return None;
        }
        self.known(path, "there is no setting", name, settings);
        None
    }

    fn unknown_reference(&mut self, path: &str, inner: &str) {
        if self.is_secret(inner) {
            return self.no_secret(path);
        }
        let settings = &self.document.settings;
        let suggestion = match settings.iter().any(|setting| setting.name == inner) {
            true => format!("write `${{setting:{inner}}}`"),
            false => "write `${port:…}`, `${volume:…}`, `${setting:…}` or `${package}`, or `$${` for the text `${`".to_owned(),
        };
        self.fault(path, called("there is no reference", inner), suggestion);
    }

    fn is_secret(&self, name: &str) -> bool {
        !name.is_empty()
            && self
                .document
                .secrets
                .iter()
                .any(|secret| secret.name == name)
    }

    fn no_secret(&mut self, path: &str) {
        self.fault(
            path,
            "a secret is never put into text",
            "the service has it in its environment, under its name: let the program read it there"
                .to_owned(),
        );
    }
}
