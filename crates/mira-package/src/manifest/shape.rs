//! The tree against the schema: unknown and missing keys, wrong kinds of values, words that are none of the known.
//!
//! It does not stop at a fault: what is wrong is replaced by something of the right kind, so that all the rest can be checked as well,
//! and its path is remembered, so that nobody complains about the replacement.

mod words;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fault::{Fault, Place, any_of, called, did_you_mean};
use super::tree::{Data, Entry, Node};
use words::{example, is_doubtful, mismatch, out_of_bounds};

/// A document that fits the schema, and where its parts are in the file.
#[derive(Debug, Default)]
pub(super) struct Shape {
    /// Where each part begins, by path.
    pub(super) places: BTreeMap<String, Place>,
    /// The paths of the parts that were replaced.
    pub(super) replaced: BTreeSet<String>,
    pub(super) faults: Vec<Fault>,
}

impl Shape {
    /// Returns the tree as a document that fits the schema, whatever the tree was.
    pub(super) fn fit(&mut self, root: &Node, schema: &Value) -> Value {
        Fitting {
            root: schema,
            shape: self,
        }
        .node(root, schema, "")
    }

    /// Whether a part, or one that it is in, was replaced.
    pub(super) fn is_replaced(&self, path: &str) -> bool {
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at);
        ends.chain([0, path.len()])
            .filter_map(|end| path.get(..end))
            .any(|part| self.replaced.contains(part))
    }

    /// Returns where a part is, or the part that it would be in.
    pub(super) fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return *place;
            }
            match path.rfind(['.', '[']).and_then(|end| path.get(..end)) {
                Some(shorter) => path = shorter,
                None => return self.places.get("").copied().unwrap_or(Place::START),
            }
        }
    }
}

/// What a schema asks for.
enum Kind<'s> {
    Map {
        known: Option<&'s Map<String, Value>>,
        others: Option<&'s Value>,
        required: Vec<&'s str>,
    },
    List(&'s Value),
    Words(Vec<&'s str>),
    Text,
    Integer,
    Boolean,
}

struct Fitting<'s, 'a> {
    root: &'s Value,
    shape: &'a mut Shape,
}

impl<'s> Fitting<'s, '_> {
    fn node(&mut self, node: &Node, schema: &'s Value, path: &str) -> Value {
        self.shape.places.insert(path.to_owned(), node.place);
        let kind = self.kind(schema);
        let fitted = match (&kind, &node.data) {
            (
                Kind::Map {
                    known,
                    others,
                    required,
                },
                Data::Map(entries),
            ) => Some(self.map(node, entries, (*known, *others, required), path)),
            (Kind::List(items), Data::List(nodes)) => Some(self.list(nodes, items, path)),
            (Kind::Words(words), Data::Text { text, .. }) if words.contains(&text.as_str()) => {
                Some(Value::from(text.clone()))
            }
            (Kind::Text, Data::Text { text, plain }) if !(*plain && is_doubtful(text)) => {
                Some(Value::from(text.clone()))
            }
            (Kind::Integer, Data::Integer(number, _)) => Some(Value::from(*number)),
            (Kind::Boolean, Data::Boolean(value, _)) => Some(Value::from(*value)),
            _ => None,
        };
        let wrong = match &fitted {
            Some(value) => out_of_bounds(value, self.resolved(schema)),
            None => Some(mismatch(&kind, &node.data, schema)),
        };
        let Some((message, suggestion)) = wrong else {
            return fitted.expect("without a fault there is a value");
        };
        if !matches!(node.data, Data::Broken) {
            self.fault(node.place, path, message, suggestion);
        }
        self.shape.replaced.insert(path.to_owned());
        self.replacement(schema)
    }

    fn map(
        &mut self,
        node: &Node,
        entries: &[Entry],
        (known, others, required): (
            Option<&'s Map<String, Value>>,
            Option<&'s Value>,
            &[&'s str],
        ),
        path: &str,
    ) -> Value {
        let mut fitted = Map::new();
        for Entry { key, place, value } in entries {
            let inner = joined(path, key);
            match known.and_then(|known| known.get(key)).or(others) {
                Some(schema) => {
                    let value = self.node(value, schema, &inner);
                    fitted.insert(key.clone(), value);
                }
                None => {
                    let names = || known.into_iter().flat_map(Map::keys).map(String::as_str);
                    let suggestion = did_you_mean(key, names())
                        .unwrap_or_else(|| format!("there may be {}", any_of(names())));
                    let message = format!("{} is not known", called("the key", key));
                    self.fault(*place, path, message, Some(suggestion));
                }
            }
        }
        for key in required
            .iter()
            .filter(|key| !fitted.contains_key(**key))
            .copied()
            .collect::<Vec<_>>()
        {
            let schema = known
                .and_then(|known| known.get(key))
                .unwrap_or(&Value::Null);
            let example =
                example(schema).map(|example| format!("add it, such as `{key}: {example}`"));
            self.fault(node.place, path, format!("`{key}` is missing"), example);
            self.shape.replaced.insert(joined(path, key));
            fitted.insert(key.to_owned(), self.replacement(schema));
        }
        Value::Object(fitted)
    }

    fn list(&mut self, nodes: &[Node], items: &'s Value, path: &str) -> Value {
        nodes
            .iter()
            .enumerate()
            .map(|(index, node)| self.node(node, items, &format!("{path}[{index}]")))
            .collect()
    }

    fn fault(&mut self, place: Place, path: &str, message: String, suggestion: Option<String>) {
        self.shape
            .faults
            .push(Fault::new(place, path, message).with(suggestion));
    }

    /// Follows a reference to a definition.
    fn resolved(&self, schema: &'s Value) -> &'s Value {
        schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|reference| self.root.pointer(reference.strip_prefix('#')?))
            .unwrap_or(schema)
    }

    fn kind(&self, schema: &'s Value) -> Kind<'s> {
        let schema = self.resolved(schema);
        match schema.get("type").and_then(Value::as_str) {
            Some("object") => Kind::Map {
                known: schema.get("properties").and_then(Value::as_object),
                others: schema
                    .get("additionalProperties")
                    .filter(|others| others.is_object()),
                required: strings(schema.get("required")).collect(),
            },
            Some("array") => Kind::List(schema.get("items").unwrap_or(&Value::Null)),
            Some("integer") => Kind::Integer,
            Some("boolean") => Kind::Boolean,
            _ => match known_words(schema) {
                words if words.is_empty() => Kind::Text,
                words => Kind::Words(words),
            },
        }
    }

    /// Returns a value that fits a schema.
    fn replacement(&self, schema: &'s Value) -> Value {
        match self.kind(schema) {
            Kind::Map {
                known, required, ..
            } => required
                .iter()
                .map(|key| {
                    let schema = known
                        .and_then(|known| known.get(*key))
                        .unwrap_or(&Value::Null);
                    ((*key).to_owned(), self.replacement(schema))
                })
                .collect::<Map<_, _>>()
                .into(),
            Kind::List(_) => Value::Array(Vec::new()),
            Kind::Words(words) => words.first().copied().unwrap_or_default().into(),
            Kind::Text => "".into(),
            Kind::Integer => self
                .resolved(schema)
                .get("minimum")
                .cloned()
                .unwrap_or(0.into()),
            Kind::Boolean => false.into(),
        }
    }
}

/// Returns the words that an enumeration has.
fn known_words(schema: &Value) -> Vec<&str> {
    let choices = schema.get("oneOf").and_then(Value::as_array);
    strings(schema.get("enum"))
        .chain(schema.get("const").and_then(Value::as_str))
        .chain(
            choices
                .into_iter()
                .flatten()
                .flat_map(|choice| known_words(choice)),
        )
        .collect()
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Returns the path of a key. A key that is no plain word is escaped and cut, as paths are shown.
pub(super) fn joined(path: &str, key: &str) -> String {
    // LIMIT: a path is shown in one line.
    let key: String = key.escape_default().take(64).collect();
    match path {
        "" => key,
        _ => format!("{path}.{key}"),
    }
}
