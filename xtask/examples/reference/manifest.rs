//! The page of `mira.yaml` and its JSON Schema, from the definition that the parser follows. All words come from there, but for the
//! headings.

use std::fmt::Write as _;

use anyhow::Context as _;
use mira_package::manifest;
use serde_json::{Map, Value};

use super::cell;

/// The complete example: a file that the parser's tests read.
const EXAMPLE: &str =
    include_str!("../../../crates/mira-package/tests/data/manifest/good/full.yaml");

/// Returns the schema's file.
pub(super) fn schema() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(manifest::schema())? + "\n")
}

/// Returns the whole page.
pub(super) fn page() -> anyhow::Result<String> {
    let root = manifest::schema();
    let mut out = String::from(
        "<!-- Written by `cargo xtask gen` from the manifest's definition. Change it there. -->\n\n# The manifest: mira.yaml\n",
    );
    writeln!(out, "\n{}", text(root))?;
    writeln!(
        out,
        "\nEditors can check it by its [JSON Schema](mira.schema.json): begin the file with `# yaml-language-server: $schema=` and the \
         schema's path. `mira validate` checks what a schema cannot say as well.\n\n## Keys"
    )?;
    keys(&mut out, root)?;
    let definitions = root
        .get("$defs")
        .and_then(Value::as_object)
        .context("the schema has definitions")?;
    for name in in_order(root, definitions) {
        let definition = definitions.get(name).context("it is one of them")?;
        writeln!(out, "\n## {name}\n\n{}", text(definition))?;
        match definition.get("properties") {
            Some(_) => keys(&mut out, definition)?,
            None => words(&mut out, definition)?,
        }
    }
    writeln!(out, "\n## A complete example\n\n```yaml\n{EXAMPLE}```")?;
    Ok(out)
}

/// Returns the names of the definitions in the order in which a reader comes to them.
fn in_order<'a>(schema: &'a Value, definitions: &'a Map<String, Value>) -> Vec<&'a str> {
    let mut names = Vec::new();
    let mut ahead = vec![schema];
    while let Some(schema) = ahead.pop() {
        let properties = rows(schema).into_iter().rev();
        for (_, property, _) in properties {
            ahead.push(property);
        }
        ahead.extend(schema.get("items"));
        ahead.extend(schema.get("additionalProperties"));
        if let Some(name) = referred(schema).filter(|name| !names.contains(name)) {
            names.push(name);
            ahead.extend(definitions.get(name));
        }
    }
    names
}

/// Returns the properties of an object: the required ones first. The flag says which are.
fn rows(schema: &Value) -> Vec<(&str, &Value, bool)> {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut rows: Vec<(&str, &Value, bool)> = properties
        .into_iter()
        .flatten()
        .map(|(key, property)| (key.as_str(), property, required.contains(&key.as_str())))
        .collect();
    let place = |key: &str| required.iter().position(|required| *required == key);
    rows.sort_by_key(|(key, _, _)| place(key).unwrap_or(usize::MAX));
    rows
}

fn keys(out: &mut String, schema: &Value) -> anyhow::Result<()> {
    writeln!(out, "\n| key | value | | means |\n|---|---|---|---|")?;
    for (key, property, required) in rows(schema) {
        let default = match property.get("default") {
            _ if required => "required".to_owned(),
            Some(default) if !default.is_object() => format!("default: `{}`", shown(default)),
            _ => String::new(),
        };
        let example = property
            .pointer("/examples/0")
            .map(|example| format!(" Example: `{}`", shown(example)))
            .unwrap_or_default();
        let means = format!("{}{example}", text(property));
        writeln!(
            out,
            "| `{key}` | {} | {default} | {} |",
            kind(property),
            cell(&means)
        )?;
    }
    Ok(())
}

fn words(out: &mut String, schema: &Value) -> anyhow::Result<()> {
    writeln!(out, "\n| word | means |\n|---|---|")?;
    let words = schema.get("oneOf").and_then(Value::as_array);
    for word in words.context("a definition without keys has words")? {
        let name = word.get("const").and_then(Value::as_str);
        let name = name.context("each word is one")?;
        writeln!(out, "| `{name}` | {} |", cell(&text(word)))?;
    }
    Ok(())
}

/// Returns what kind of value is asked for.
fn kind(schema: &Value) -> String {
    if let Some(name) = referred(schema) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let inner = |key: &str| schema.get(key).filter(|inner| inner.is_object()).map(kind);
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => format!("list of {}", inner("items").unwrap_or_default()),
        Some("object") => format!(
            "map to {}",
            inner("additionalProperties").unwrap_or_default()
        ),
        Some("integer") => "whole number".to_owned(),
        Some("boolean") => "`true` or `false`".to_owned(),
        _ => "text".to_owned(),
    }
}

fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn text(schema: &Value) -> String {
    let text = schema.get("description").and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// Returns a value as a line of YAML: text without quotes where it is alone.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => flow(other),
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key}: {}", flow(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => other.to_string(),
    }
}
