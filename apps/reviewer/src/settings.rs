//! What the environment says: which model is asked, with which key, where rows are kept, and who may post events.
//!
//! INVARIANT: a key goes to the service that it is named after: OpenRouter's to OpenRouter, OpenAI's to any other address.

use crate::model::{Api, Model, ModelError, TIMEOUT};
use crate::secret::Key;
use std::time::Duration;

const OPENROUTER: &str = "https://openrouter.ai/api/v1";

/// Looks a variable up; an empty one counts as not there.
pub(crate) struct Env<'a>(pub(crate) &'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    pub(crate) fn key(&self, name: &str) -> Option<Key> {
        self.text(name).map(Key::new)
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Returns a number of which something depends: one that cannot be read is no default.
    pub(crate) fn count(&self, name: &'static str) -> Result<Option<u64>, SettingError> {
        let number = self.text(name).map(|text| text.trim().parse());
        number.transpose().map_err(|_| SettingError::NoNumber(name))
    }

    /// The same for a sum of money.
    pub(crate) fn money(&self, name: &'static str) -> Result<Option<f64>, SettingError> {
        let sum = self.text(name).map(|text| text.trim().parse::<f64>());
        let sum = sum.transpose().map_err(|_| SettingError::NoNumber(name))?;
        match sum {
            Some(sum) if !sum.is_finite() || sum < 0.0 => Err(SettingError::NoNumber(name)),
            other => Ok(other),
        }
    }
}

/// What is wrong with a setting.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum SettingError {
    #[error("{0} is no number; give one, or leave it empty")]
    NoNumber(&'static str),
    #[error("a limit of money wants prices: set REVIEWER_PRICE_INPUT and REVIEWER_PRICE_OUTPUT")]
    NoPrices,
    #[error(
        "a limit of money wants prices of the fallback model too: set REVIEWER_PRICE_FALLBACK_INPUT and REVIEWER_PRICE_FALLBACK_OUTPUT"
    )]
    PricelessFallback,
}

/// Returns the model service that the environment names.
///
/// # Errors
///
/// Returns [`ModelError::NoKey`] where the service wants a key and there is none.
pub(crate) fn model(env: &Env<'_>, client: reqwest::Client) -> Result<Model, ModelError> {
    let base = env.text("REVIEWER_MODEL_BASE_URL");
    let (api, default, name) = match env.text("REVIEWER_MODEL_API").as_deref() {
        Some("anthropic") => {
            let key = env
                .key("ANTHROPIC_API_KEY")
                .ok_or(ModelError::NoKey("ANTHROPIC_API_KEY"))?;
            (
                Api::Anthropic { key },
                "https://api.anthropic.com/v1".to_owned(),
                "claude-sonnet-4-5",
            )
        }
        Some("bedrock") => {
            let region = env
                .text("AWS_REGION")
                .unwrap_or_else(|| "us-east-1".to_owned());
            let part = |name: &'static str| env.key(name).ok_or(ModelError::NoKey(name));
            let url = format!("https://bedrock-runtime.{region}.amazonaws.com");
            let api = Api::Bedrock {
                access: part("AWS_ACCESS_KEY_ID")?,
                secret: part("AWS_SECRET_ACCESS_KEY")?,
                session: env.key("AWS_SESSION_TOKEN"),
                region,
            };
            (api, url, "anthropic.claude-sonnet-4-5-20250929-v1:0")
        }
        _ => {
            let url = base.as_deref().unwrap_or(OPENROUTER);
            let host = reqwest::Url::parse(url).ok();
            let host = host
                .as_ref()
                .and_then(|url| url.host_str())
                .unwrap_or_default()
                .to_owned();
            let name = match host.as_str() {
                "openrouter.ai" => "OPENROUTER_API_KEY",
                _ => "OPENAI_API_KEY",
            };
            let key = env.key(name);
            if key.is_none() && matches!(host.as_str(), "openrouter.ai" | "api.openai.com") {
                return Err(ModelError::NoKey(name));
            }
            (
                Api::OpenAi { key },
                OPENROUTER.to_owned(),
                "anthropic/claude-sonnet-4.5",
            )
        }
    };
    Ok(Model {
        client,
        api,
        base_url: base.unwrap_or(default).trim_end_matches('/').to_owned(),
        name: env
            .text("REVIEWER_MODEL")
            .unwrap_or_else(|| name.to_owned()),
        fallback: env.text("REVIEWER_MODEL_FALLBACK"),
        timeout: env
            .number("REVIEWER_MODEL_TIMEOUT")
            .map_or(TIMEOUT, Duration::from_secs),
        retries: env
            .number("REVIEWER_MODEL_RETRIES")
            .map_or(2, |count| count.min(10) as u32),
        backoff: Duration::from_secs(2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_only_to_the_service_that_it_is_named_after() {
        let at = |base: &'static str| {
            let all = move |name: &str| match name {
                "REVIEWER_MODEL_BASE_URL" => Some(base.to_owned()),
                "OPENROUTER_API_KEY" | "OPENAI_API_KEY" => Some(name.to_owned()),
                _ => None,
            };
            let model = model(&Env(&all), crate::net::client().unwrap()).unwrap();
            match model.api {
                Api::OpenAi { key } => key.unwrap().expose().to_owned(),
                _ => String::new(),
            }
        };
        assert_eq!(at("https://openrouter.ai/api/v1"), "OPENROUTER_API_KEY");
        assert_eq!(at("https://openrouter.ai.evil.test/v1"), "OPENAI_API_KEY");
        assert_eq!(at("http://127.0.0.1:11434/v1"), "OPENAI_API_KEY");
        let none = |_: &str| None;
        assert!(matches!(
            model(&Env(&none), crate::net::client().unwrap()),
            Err(ModelError::NoKey("OPENROUTER_API_KEY"))
        ));
    }
}
