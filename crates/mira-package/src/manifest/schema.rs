//! The JSON Schema of `mira.yaml`, made from the definition.

use std::sync::LazyLock;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use serde_json::{Map, Value};

use super::document::Document;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema = SchemaSettings::draft2020_12()
        .with_transform(RecursiveTransform(Tighten))
        .into_generator()
        .into_root_schema_for::<Document>();
    schema.remove("default");
    schema.to_value()
});

/// Returns the JSON Schema (draft 2020-12) that the parser follows.
#[must_use]
pub fn schema() -> &'static Value {
    &SCHEMA
}

/// Takes out what Rust's types say and the file does not: `null`, and the sizes of integers.
#[derive(Clone, Debug)]
struct Tighten;

impl Transform for Tighten {
    fn transform(&mut self, schema: &mut Schema) {
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        for word in ["anyOf", "type"] {
            without_null(object, word);
        }
        object.remove("format");
        if object.get("default").is_some_and(Value::is_null) {
            object.remove("default");
        }
    }
}

/// Makes `anyOf: [X, null]` an `X`, and `type: [x, null]` a `type: x`.
fn without_null(object: &mut Map<String, Value>, word: &str) {
    let Some(Value::Array(choices)) = object.get_mut(word) else {
        return;
    };
    choices
        .retain(|choice| choice != "null" && choice.get("type").is_none_or(|kind| kind != "null"));
    if choices.len() > 1 {
        return;
    }
    let only = choices.pop();
    object.remove(word);
    match only {
        Some(Value::Object(members)) => {
            for (key, value) in members {
                object.entry(key).or_insert(value);
            }
        }
        Some(kind) => {
            object.insert(word.to_owned(), kind);
        }
        None => {}
    }
}
