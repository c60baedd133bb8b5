//! How each provider of models says the same things: its paths, where its key is, its lists, answers and errors.
//!
//! The forms are those of the API references of OpenAI, Anthropic, OpenRouter and Ollama.

use hyper::Method;
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use super::reply::Content;

/// Whose API a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    OpenAi,
    Anthropic,
    OpenRouter,
    Ollama,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The models.
    Models,
    /// What is known of the key.
    Key,
    /// A model's answer.
    Chat,
}

impl Dialect {
    /// Returns what a request is, if it is any that is served.
    pub(super) fn of(method: &Method, path: &str, headers: &HeaderMap) -> Option<(Self, Asked)> {
        let is_get = *method == Method::GET;
        match (is_get, path) {
            (true, "/v1/models") if headers.contains_key("anthropic-version") => {
                Some((Self::Anthropic, Asked::Models))
            }
            (true, "/v1/models") => Some((Self::OpenAi, Asked::Models)),
            (true, "/api/v1/models") => Some((Self::OpenRouter, Asked::Models)),
            (true, "/api/v1/key") => Some((Self::OpenRouter, Asked::Key)),
            (true, "/api/tags") => Some((Self::Ollama, Asked::Models)),
            (false, "/v1/chat/completions") => Some((Self::OpenAi, Asked::Chat)),
            (false, "/v1/messages") => Some((Self::Anthropic, Asked::Chat)),
            (false, "/api/v1/chat/completions") => Some((Self::OpenRouter, Asked::Chat)),
            (false, "/api/chat") => Some((Self::Ollama, Asked::Chat)),
            _ => None,
        }
    }

    /// Returns the key that came with a request.
    pub(super) fn key(self, headers: &HeaderMap) -> Option<String> {
        match self {
            Self::Anthropic => headers.get("x-api-key")?.to_str().ok().map(str::to_owned),
            _ => {
                let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
                value.strip_prefix("Bearer ").map(str::to_owned)
            }
        }
    }

    /// Returns whether this is answered to everybody.
    pub(super) fn is_open(self, asked: Asked) -> bool {
        self == Self::Ollama || (self == Self::OpenRouter && asked == Asked::Models)
    }

    pub(super) fn models(self, names: &[String]) -> Value {
        let each = |name: &String| match self {
            Self::OpenAi => {
                json!({"id": name, "object": "model", "created": 0, "owned_by": "testkit"})
            }
            Self::Anthropic => {
                json!({"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"})
            }
            Self::OpenRouter => json!({"id": name, "name": name, "created": 0}),
            Self::Ollama => {
                let name = format!("{name}:latest");
                json!({"name": name, "model": name, "size": 1, "digest": "0"})
            }
        };
        let models: Vec<Value> = names.iter().map(each).collect();
        match self {
            Self::OpenAi => json!({"object": "list", "data": models}),
            Self::Anthropic => json!({"data": models, "has_more": false}),
            Self::OpenRouter => json!({"data": models}),
            Self::Ollama => json!({"models": models}),
        }
    }

    /// Returns the message of a refused key, as careless as the provider's own.
    pub(super) fn bad_key(self, key: Option<&str>) -> String {
        match (self, key) {
            (Self::Anthropic, _) => "invalid x-api-key".to_owned(),
            (Self::OpenRouter, Some(_)) => "User not found.".to_owned(),
            (Self::OpenRouter, None) => "No auth credentials found".to_owned(),
            (_, Some(key)) if key.len() > 12 && key.is_ascii() => {
                let (start, rest) = key.split_at(8);
                let (_, end) = rest.split_at(rest.len() - 4);
                format!(
                    "Incorrect API key provided: {start}************{end}. You can find your API key at https://platform.openai.com/account/api-keys."
                )
            }
            _ => "Incorrect API key provided.".to_owned(),
        }
    }

    pub(super) fn error(self, status: u16, code: &str, message: &str) -> Value {
        let kind = match (status, self) {
            (401, _) => "authentication_error",
            (403, Self::Anthropic) => "permission_error",
            (404, Self::Anthropic) => "not_found_error",
            (429, _) => "rate_limit_error",
            (500.., Self::Anthropic) => "api_error",
            (500.., _) => "server_error",
            _ => "invalid_request_error",
        };
        match self {
            Self::OpenAi => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
            }
            Self::Anthropic => {
                json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
            }
            Self::OpenRouter => json!({"error": {"message": message, "code": status}}),
            Self::Ollama => json!({"error": message}),
        }
    }

    /// Returns the document of an answer that does not stream.
    pub(super) fn document(self, content: &Content, model: &str) -> Value {
        let text = match content {
            Content::Text(text) => text.as_str(),
            _ => "",
        };
        match self {
            Self::Anthropic => json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": model,
                "content": [{"type": "text", "text": text}], "stop_reason": "max_tokens",
                "usage": {"input_tokens": 1, "output_tokens": 1},
            }),
            Self::Ollama => json!({
                "model": model, "message": {"role": "assistant", "content": text}, "done": true,
            }),
            Self::OpenAi | Self::OpenRouter => super::reply::document(content, model),
        }
    }
}
