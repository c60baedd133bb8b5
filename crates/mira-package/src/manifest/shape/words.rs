//! What to say of a value that the schema does not allow, and what to do about it.

use serde_json::Value;

use super::Kind;
use crate::manifest::fault::{any_of, did_you_mean, shown};
use crate::manifest::tree::Data;

/// Words without quotes that YAML 1.1 takes for booleans: text here, and something else to other readers of the file.
pub(super) fn is_doubtful(text: &str) -> bool {
    ["y", "n", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str())
}

/// Returns what is wrong about a value's size, and what to do.
pub(super) fn out_of_bounds(value: &Value, schema: &Value) -> Option<(String, Option<String>)> {
    let limit = |word: &str| schema.get(word).and_then(Value::as_i64);
    let (size, least, most, what) = match value {
        Value::Number(number) => {
            let (least, most) = (
                limit("minimum").unwrap_or(0),
                limit("maximum").unwrap_or(i64::MAX),
            );
            let fits = number
                .as_i64()
                .is_some_and(|number| (least..=most).contains(&number));
            return (!fits).then(|| {
                (
                    format!("the number is not between {least} and {most}"),
                    None,
                )
            });
        }
        Value::String(text) => (
            text.chars().count(),
            limit("minLength"),
            limit("maxLength"),
            "characters",
        ),
        Value::Array(items) => (items.len(), limit("minItems"), limit("maxItems"), "items"),
        Value::Object(members) => (
            members.len(),
            limit("minProperties"),
            limit("maxProperties"),
            "keys",
        ),
        Value::Null | Value::Bool(_) => return None,
    };
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if size < least.unwrap_or(0) {
        return Some((
            "it is empty".to_owned(),
            Some("fill it, or take the key away if it may be left out".to_owned()),
        ));
    }
    most.filter(|most| size > *most).map(|most| {
        (
            format!("it has {size} {what}; at most {most} are allowed"),
            None,
        )
    })
}

/// Returns why a value is not of the kind that is asked for, and what to do.
pub(super) fn mismatch(kind: &Kind<'_>, data: &Data, schema: &Value) -> (String, Option<String>) {
    if let (Kind::Integer, Data::Float(text)) = (kind, data)
        && text.bytes().all(|byte| byte.is_ascii_digit())
    {
        return ("the number is too large".to_owned(), such_as(schema));
    }
    let wanted = match kind {
        Kind::Map { .. } => "a map (`key: value`)",
        Kind::List(_) => "a list",
        Kind::Words(words) => return unknown_word(words, data),
        Kind::Text => "text",
        Kind::Integer => "a whole number",
        Kind::Boolean => "`true` or `false`",
    };
    let found = match data {
        Data::Nothing => "nothing is here".to_owned(),
        Data::Boolean(_, text) => format!("`{text}` is a boolean"),
        Data::Integer(_, text) | Data::Float(text) => format!("{} is a number", shown(text)),
        Data::Text { text, plain: true } if matches!(kind, Kind::Text) => {
            format!("`{text}` without quotes is a boolean to some readers of YAML")
        }
        Data::Text { .. } => "text is here".to_owned(),
        Data::List(_) => "a list is here".to_owned(),
        Data::Map(_) | Data::Broken => "a map is here".to_owned(),
    };
    let is_spelled = schema.get("pattern").is_some();
    let suggestion = match (kind, data) {
        (Kind::Text, Data::Integer(..) | Data::Float(_)) if is_spelled => such_as(schema),
        (
            Kind::Text,
            Data::Boolean(_, text)
            | Data::Integer(_, text)
            | Data::Float(text)
            | Data::Text { text, .. },
        ) => Some(match text.len() {
            0..=40 => format!("put it in quotes: \"{text}\""),
            _ => "put it in quotes".to_owned(),
        }),
        (Kind::Text, Data::Nothing) if !is_spelled => {
            Some("write `\"\"` for an empty text".to_owned())
        }
        (Kind::Boolean, Data::Text { text, .. }) => match text.to_ascii_lowercase().as_str() {
            "yes" | "y" | "on" | "true" => Some("write `true`".to_owned()),
            "no" | "n" | "off" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        (Kind::Integer, Data::Text { text, .. }) if text.parse::<i64>().is_ok() => {
            Some(format!("take the quotes away: {text}"))
        }
        _ => such_as(schema),
    };
    (format!("{found}, and {wanted} is wanted"), suggestion)
}

fn unknown_word(words: &[&str], data: &Data) -> (String, Option<String>) {
    let text = match data {
        Data::Text { text, .. }
        | Data::Boolean(_, text)
        | Data::Integer(_, text)
        | Data::Float(text) => text,
        _ => {
            let message = format!("one word is wanted: {}", any_of(words.iter().copied()));
            return (message, None);
        }
    };
    let suggestion = did_you_mean(text, words.iter().copied())
        .unwrap_or_else(|| format!("write {}", any_of(words.iter().copied())));
    (
        format!("{} is no word that fits here", shown(text)),
        Some(suggestion),
    )
}

fn such_as(schema: &Value) -> Option<String> {
    example(schema).map(|example| format!("such as `{example}`"))
}

/// Returns the first example of a schema, as YAML.
pub(super) fn example(schema: &Value) -> Option<String> {
    match schema.get("examples")?.get(0)? {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            Some(format!("[{}]", items.join(", ")))
        }
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{key}: {}", plain(value)))
                .collect();
            Some(format!("{{{}}}", members.join(", ")))
        }
        other => Some(other.to_string()),
    }
}

/// Returns a value inside of an example: in quotes where YAML needs them.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains(['$', '*', ':', '{']) => value.to_string(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
