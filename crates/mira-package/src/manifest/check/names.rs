//! Names: each is there once where it is given, and exists where it is used.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::Check;
use crate::manifest::fault::{any_of, called, did_you_mean};
use crate::manifest::name::{Name, NameFault, slug};

impl Check<'_> {
    /// Reads the names of a list of maps, each of which is there once.
    pub(super) fn names<'n>(
        &mut self,
        path: &str,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Option<Vec<Name>> {
        let parsed: Vec<Option<Name>> = names
            .clone()
            .enumerate()
            .map(|(index, name)| {
                let parsed = Name::from_str(name).ok();
                if parsed.is_none() {
                    let slug = slug(name);
                    let suggestion = slug
                        .parse::<Name>()
                        .is_ok()
                        .then(|| format!("write `{slug}`"));
                    let message = NameFault.to_string();
                    self.fault(&format!("{path}[{index}].name"), message, suggestion);
                }
                parsed
            })
            .collect();
        self.unique(path, "name", names, ".name");
        parsed.into_iter().collect()
    }

    /// Complains about a text that is in a list before.
    pub(super) fn unique<'n>(
        &mut self,
        path: &str,
        what: &str,
        texts: impl Iterator<Item = &'n str>,
        key: &str,
    ) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (index, text) in texts.enumerate() {
            let here = format!("{path}[{index}]{key}");
            if text.is_empty() {
                continue;
            }
            match seen.get(text) {
                Some(first) => {
                    let line = self.shape.place(first).line;
                    let message =
                        format!("{} is there twice", called(&format!("the {what}"), text));
                    self.fault(&here, message, format!("the first is in line {line}"));
                }
                None => {
                    seen.insert(text, here);
                }
            }
        }
    }

    /// Returns the name of a service that exists.
    pub(super) fn known_service(&mut self, path: &str, name: &str) -> Option<Name> {
        let services = self
            .document
            .services
            .iter()
            .map(|service| service.name.as_str());
        self.known(path, "there is no service", name, services)
    }

    /// Returns a name if it is one of the known, and complains with `missing` if it is not.
    pub(super) fn known<'n>(
        &mut self,
        path: &str,
        missing: &str,
        name: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) -> Option<Name> {
        if !name.is_empty() && known.clone().any(|known| known == name) {
            return name.parse().ok();
        }
        let suggestion = did_you_mean(name, known.clone()).or_else(|| {
            let words = any_of(known.clone());
            (known.count() <= 8 && !words.is_empty()).then(|| format!("write {words}"))
        });
        self.fault(path, called(missing, name), suggestion);
        None
    }
}
