//! The messages API of Anthropic.

use serde_json::{Value, json};

use super::{Answer, Ask, Prepared};
use crate::secret::Key;

pub(super) fn prepare(base: &str, key: &Key, model: &str, ask: &Ask) -> Option<Prepared> {
    let mut body = json!({
        "model": model,
        "max_tokens": ask.max_tokens,
        "system": ask.system,
        "messages": [{"role": "user", "content": ask.user}],
    });
    if let Some(temperature) = ask.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some((name, schema)) = &ask.tool {
        body["tools"] =
            json!([{"name": name, "description": "Reports the result.", "input_schema": schema}]);
        body["tool_choice"] = json!({"type": "tool", "name": name});
    }
    let header = |name: &str, value: &str| (name.to_owned(), Key::new(value.to_owned()));
    Some(Prepared {
        url: format!("{base}/messages"),
        headers: vec![
            header("content-type", "application/json"),
            header("anthropic-version", "2023-06-01"),
            // EXPOSE: to the service that the key is for.
            header("x-api-key", key.expose()),
        ],
        body: body.to_string().into_bytes(),
    })
}

pub(super) fn read(value: &Value) -> Option<Answer> {
    let blocks = value["content"].as_array()?;
    let of = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == *kind);
    Some(Answer {
        call: of("tool_use").next().map(|block| block["input"].clone()),
        text: of("text")
            .filter_map(|block| block["text"].as_str())
            .collect(),
        input_tokens: value["usage"]["input_tokens"].as_u64().unwrap_or(0),
        output_tokens: value["usage"]["output_tokens"].as_u64().unwrap_or(0),
        model: String::new(),
    })
}
