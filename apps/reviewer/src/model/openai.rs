//! The chat API of OpenAI, which OpenRouter, Ollama, vLLM and many others speak too.

use serde_json::{Value, json};

use super::{Answer, Ask, Prepared};
use crate::secret::Key;

pub(super) fn prepare(base: &str, key: Option<&Key>, model: &str, ask: &Ask) -> Option<Prepared> {
    let mut body = json!({
        "model": model,
        "max_tokens": ask.max_tokens,
        "messages": [{"role": "system", "content": ask.system}, {"role": "user", "content": ask.user}],
    });
    if let Some(temperature) = ask.temperature {
        body["temperature"] = temperature.into();
    }
    if let Some((name, schema)) = &ask.tool {
        body["tools"] =
            json!([{"type": "function", "function": {"name": name, "parameters": schema}}]);
        body["tool_choice"] = json!({"type": "function", "function": {"name": name}});
    }
    let mut headers = vec![(
        "content-type".to_owned(),
        Key::new("application/json".to_owned()),
    )];
    if let Some(key) = key {
        // EXPOSE: to the service that the key is for.
        headers.push((
            "authorization".to_owned(),
            Key::new(format!("Bearer {}", key.expose())),
        ));
    }
    Some(Prepared {
        url: format!("{base}/chat/completions"),
        headers,
        body: body.to_string().into_bytes(),
    })
}

pub(super) fn read(value: &Value) -> Option<Answer> {
    let message = value["choices"].get(0)?.get("message")?;
    let call = message["tool_calls"]
        .get(0)
        .map(|call| &call["function"]["arguments"]);
    let call = match call {
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        Some(Value::Object(fields)) => Some(Value::Object(fields.clone())),
        _ => None,
    };
    Some(Answer {
        call,
        text: message["content"].as_str().unwrap_or_default().to_owned(),
        input_tokens: value["usage"]["prompt_tokens"].as_u64().unwrap_or(0),
        output_tokens: value["usage"]["completion_tokens"].as_u64().unwrap_or(0),
        model: String::new(),
    })
}
