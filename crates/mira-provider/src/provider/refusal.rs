//! What the errors of providers mean.

use http::StatusCode;
use serde_json::Value;

use super::Api;
use crate::call::Answer;
use crate::fault::Fault;
use crate::said::Keys;
use mira_vault::settings::ModelName;

/// What was asked for.
pub(super) struct Asked<'a> {
    pub(super) api: Api,
    /// What the key was to do: a verb.
    pub(super) action: &'a str,
    /// The model, if one was.
    pub(super) model: Option<&'a ModelName>,
    pub(super) keys: &'a Keys,
}

/// Says what a refusal means.
pub(super) fn fault(answer: &Answer, asked: &Asked<'_>) -> Fault {
    let Some(refusal) = Refusal::read(answer) else {
        return unnamed(answer, asked);
    };
    let said = asked.keys.clean(&refusal.message);
    if refusal.is_of_credit(answer.status) {
        return Fault::QuotaExhausted { said };
    }
    let status = answer.status.as_u16();
    let at = answer.at.clone();
    match (answer.status, asked.model) {
        (StatusCode::UNAUTHORIZED, _) => Fault::BadKey { said },
        (StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, Some(model)) => {
            let model = model.to_string();
            Fault::NoModel { model, said }
        }
        (StatusCode::FORBIDDEN, None) => {
            let action = asked.action.to_owned();
            Fault::NoPermission { action, said }
        }
        (StatusCode::NOT_FOUND, None) => not_this_api(asked.api, answer),
        (StatusCode::TOO_MANY_REQUESTS, _) => {
            let retry_after_s = answer.retry_after_s();
            Fault::RateLimited {
                retry_after_s,
                said,
            }
        }
        (code, _) if code.is_server_error() => Fault::Trouble { at, status, said },
        _ => Fault::Refused { at, status, said },
    }
}

/// What a refusal means that says nothing in the API's own form.
fn unnamed(answer: &Answer, asked: &Asked<'_>) -> Fault {
    let said = String::new();
    let status = answer.status.as_u16();
    let at = answer.at.clone();
    match answer.status {
        // A gateway in front of the API may say no more than this.
        StatusCode::UNAUTHORIZED => Fault::BadKey { said },
        StatusCode::TOO_MANY_REQUESTS => {
            let retry_after_s = answer.retry_after_s();
            Fault::RateLimited {
                retry_after_s,
                said,
            }
        }
        code if code.is_server_error() => Fault::Trouble { at, status, said },
        _ => not_this_api(asked.api, answer),
    }
}

pub(super) fn not_this_api(api: Api, answer: &Answer) -> Fault {
    Fault::NotThisApi {
        at: answer.at.clone(),
        api: api.title().to_owned(),
        found: answer.kind(),
    }
}

/// An error as a provider tells it.
struct Refusal {
    message: String,
    /// Its type and code, in one text.
    code: String,
}

impl Refusal {
    /// Reads `{"error": {"message", "type", "code"}}`, or Ollama's `{"error": "message"}`.
    fn read(answer: &Answer) -> Option<Self> {
        let body = answer.json()?;
        let error = body.get("error")?;
        if let Some(message) = error.as_str() {
            let code = String::new();
            return Some(Self {
                message: message.to_owned(),
                code,
            });
        }
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let code = format!("{} {}", text("type"), text("code"));
        Some(Self {
            message: error.get("message")?.as_str()?.to_owned(),
            code,
        })
    }

    /// Returns whether it is about money rather than the key: each provider has its own way to say that.
    fn is_of_credit(&self, status: StatusCode) -> bool {
        // OpenRouter's 402, OpenAI's code, Anthropic's 400 whose message alone says it.
        status == StatusCode::PAYMENT_REQUIRED
            || [
                "insufficient_quota",
                "billing_error",
                "billing_hard_limit_reached",
            ]
            .iter()
            .any(|code| self.code.contains(code))
            || (status == StatusCode::BAD_REQUEST && self.message.contains("credit balance"))
    }
}
