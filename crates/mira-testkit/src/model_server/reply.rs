//! What a model service says: an answer or an error, and how it goes wrong on the way.

use serde_json::{Value, json};

/// How many characters of an answer one event carries.
const EVENT_CHARS: usize = 8;

/// What one request is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub(super) content: Content,
    pub(super) held: bool,
    pub(super) cut: bool,
    pub(super) echoes_key: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Text(String),
    ToolCall {
        name: String,
        arguments: String,
    },
    Error {
        status: u16,
        code: String,
        message: String,
        retry_after_secs: Option<u64>,
    },
    /// Not in the form of any API.
    Other {
        status: u16,
        kind: &'static str,
        location: Option<String>,
        body: String,
    },
}

impl Reply {
    fn new(content: Content) -> Self {
        Self {
            content,
            held: false,
            cut: false,
            echoes_key: false,
        }
    }

    /// An answer of text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Content::Text(text.into()))
    }

    /// An answer of JSON, as a model gives it: as text.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::text(value.to_string())
    }

    /// An answer that calls a tool.
    #[must_use]
    pub fn tool_call(name: impl Into<String>, arguments: &Value) -> Self {
        Self::new(Content::ToolCall {
            name: name.into(),
            arguments: arguments.to_string(),
        })
    }

    /// An error with the service's own code and words.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::new(Content::Error {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
            retry_after_secs: None,
        })
    }

    /// 401: the key is not accepted.
    #[must_use]
    pub fn bad_key() -> Self {
        Self::error(401, "invalid_api_key", "Incorrect API key provided.")
    }

    /// 404: there is no such model.
    #[must_use]
    pub fn no_such_model() -> Self {
        let message = "The model does not exist or you do not have access to it.";
        Self::error(404, "model_not_found", message)
    }

    /// 400: the service or model takes no `response_format` of this type.
    #[must_use]
    pub fn no_such_format() -> Self {
        let message = "Invalid parameter: 'response_format' of this type is not supported.";
        Self::error(400, "invalid_value", message)
    }

    /// 429 with `Retry-After`.
    #[must_use]
    pub fn rate_limited(retry_after_secs: u64) -> Self {
        let mut reply = Self::error(429, "rate_limit_exceeded", "Rate limit reached.");
        if let Content::Error {
            retry_after_secs: header,
            ..
        } = &mut reply.content
        {
            *header = Some(retry_after_secs);
        }
        reply
    }

    /// 429 of an account without credit, in OpenAI's words.
    #[must_use]
    pub fn quota_exhausted() -> Self {
        let message =
            "You exceeded your current quota, please check your plan and billing details.";
        Self::error(429, "insufficient_quota", message)
    }

    /// A web page, as from something that is not the service.
    #[must_use]
    pub fn page(status: u16) -> Self {
        Self::new(Content::Other {
            status,
            kind: "text/html; charset=utf-8",
            location: None,
            body: "<!doctype html><title>Sign in</title>".to_owned(),
        })
    }

    /// 302 to another address.
    #[must_use]
    pub fn redirect(to: impl Into<String>) -> Self {
        Self::new(Content::Other {
            status: 302,
            kind: "text/plain",
            location: Some(to.into()),
            body: String::new(),
        })
    }

    /// 200 with as many bytes as are asked for, which say nothing.
    #[must_use]
    pub fn bytes(count: usize) -> Self {
        Self::new(Content::Other {
            status: 200,
            kind: "application/json",
            location: None,
            body: " ".repeat(count),
        })
    }

    /// 500.
    #[must_use]
    pub fn trouble() -> Self {
        Self::error(500, "server_error", "The server had an error.")
    }

    /// Holds this back until [`ModelServer::release`](super::ModelServer::release): a slow service. Of a stream the
    /// first event goes out before.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Hangs up after half of it.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.cut = true;
        self
    }

    /// Says the key that came with the request, at the end of the text or in the error's message, as a careless service does.
    #[must_use]
    pub fn echoes_key(mut self) -> Self {
        self.echoes_key = true;
        self
    }

    /// Adds the key where this reply says it.
    pub(super) fn with_key(mut self, bearer: Option<&str>) -> Self {
        let Some(key) = bearer.filter(|_| self.echoes_key) else {
            return self;
        };
        match &mut self.content {
            Content::Text(text) => text.push_str(key),
            Content::ToolCall { .. } => {}
            Content::Error { message: text, .. } | Content::Other { body: text, .. } => {
                text.push(' ');
                text.push_str(key);
            }
        }
        self
    }
}

/// The document of an answer that does not stream.
pub(super) fn document(content: &Content, model: &str) -> Value {
    let (message, finish) = match content {
        Content::Text(text) => (json!({"role": "assistant", "content": text}), "stop"),
        Content::ToolCall { name, arguments } => {
            let call = json!([{"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}]);
            (
                json!({"role": "assistant", "content": null, "tool_calls": call}),
                "tool_calls",
            )
        }
        Content::Error { .. } | Content::Other { .. } => (json!(null), "stop"),
    };
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
}

/// The events of an answer that streams, the last without its `[DONE]`.
pub(super) fn events(content: &Content, model: &str) -> Vec<Value> {
    let event = |delta: Value, finish: Option<&str>| {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        })
    };
    let mut events = Vec::new();
    match content {
        Content::Text(text) => {
            events.push(event(json!({"role": "assistant", "content": ""}), None));
            events.extend(pieces(text).map(|piece| event(json!({"content": piece}), None)));
            events.push(event(json!({}), Some("stop")));
        }
        Content::ToolCall { name, arguments } => {
            let call = json!([{"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}]);
            events.push(event(
                json!({"role": "assistant", "content": null, "tool_calls": call}),
                None,
            ));
            events.extend(pieces(arguments).map(|piece| {
                let call = json!([{"index": 0, "function": {"arguments": piece}}]);
                event(json!({"tool_calls": call}), None)
            }));
            events.push(event(json!({}), Some("tool_calls")));
        }
        Content::Error { .. } | Content::Other { .. } => {}
    }
    events
}

fn pieces(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = chars
        .chunks(EVENT_CHARS)
        .map(|piece| piece.iter().collect())
        .collect();
    pieces.into_iter()
}
