//! Text with references to what is known only when an app runs: `redis://127.0.0.1:${port:redis/redis}`.
//!
//! References are checked when the manifest is read, so rendering cannot fail. There is none to a secret: a secret is never a part
//! of a text.

use super::name::Name;

/// Text with references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// A part of such a text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// Something to put in its place.
    Reference(Reference),
}

/// What a reference stands for. All that it names is in the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reference {
    /// The number of a service's port.
    Port {
        /// The service.
        service: Name,
        /// The port.
        port: Name,
    },
    /// The folder of a volume.
    Volume(Name),
    /// The folder of the unpacked package.
    Package,
    /// The value of a setting.
    Setting(String),
}

impl Template {
    /// Returns the text, with each reference replaced by what `resolve` returns for it. That is not looked at again.
    #[must_use]
    pub fn render(&self, resolve: &dyn Fn(&Reference) -> String) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Reference(reference) => resolve(reference),
            })
            .collect()
    }

    /// Returns the parts, in their order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.0
    }

    /// Returns the references, in their order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.0.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }
}

impl FromIterator<Part> for Template {
    fn from_iter<I: IntoIterator<Item = Part>>(parts: I) -> Self {
        Self(parts.into_iter().collect())
    }
}

/// A part of a text as it is written: nothing is known yet of what is named.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written<'a> {
    Text(&'a str),
    /// What stands between `${` and `}`.
    Reference(&'a str),
    /// A dollar sign with neither a brace nor another one after it.
    LoneDollar,
    /// A `${` without its `}`.
    Unclosed,
}

/// Takes a text apart.
pub(super) fn written(text: &str) -> Vec<Written<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        if !before.is_empty() {
            parts.push(Written::Text(before));
        }
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            parts.push(Written::Text("$"));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            match after.split_once('}') {
                Some((inner, after)) => {
                    parts.push(Written::Reference(inner));
                    rest = after;
                }
                None => {
                    parts.push(Written::Unclosed);
                    return parts;
                }
            }
        } else {
            parts.push(Written::LoneDollar);
        }
    }
    if !rest.is_empty() {
        parts.push(Written::Text(rest));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_taken_apart() {
        use Written::{LoneDollar, Reference, Text, Unclosed};
        let check =
            |text: &str, expect: &[Written<'_>]| assert_eq!(written(text), expect, "{text:?}");
        check("", &[]);
        check("a", &[Text("a")]);
        check("${port:x}", &[Reference("port:x")]);
        check(
            "a${b}c${d}",
            &[Text("a"), Reference("b"), Text("c"), Reference("d")],
        );
        check("$$", &[Text("$")]);
        check("$${a}", &[Text("$"), Text("{a}")]);
        check("$$$${a}", &[Text("$"), Text("$"), Text("{a}")]);
        check("$$${a}", &[Text("$"), Reference("a")]);
        check("$", &[LoneDollar]);
        check("a$HOME", &[Text("a"), LoneDollar, Text("HOME")]);
        check("${", &[Unclosed]);
        check("a${b", &[Text("a"), Unclosed]);
        check("${}", &[Reference("")]);
        check("${${a}}", &[Reference("${a"), Text("}")]);
    }

    #[test]
    fn what_a_reference_stands_for_is_not_read_again() {
        let template: Template = [
            Part::Text("a$".to_owned()),
            Part::Reference(Reference::Package),
        ]
        .into_iter()
        .collect();
        assert_eq!(
            template.render(&|_| "${package}$$".to_owned()),
            "a$${package}$$"
        );
    }
}
