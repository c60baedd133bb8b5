//! Providers of models: which there are, and whether a key of one works.
//!
//! What is called, and what errors mean, is in the API references of OpenAI, Anthropic, OpenRouter and Ollama.

mod refusal;

use std::fmt;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request};
use mira_secret::{SecretName, SecretValue};
use serde_json::{Value, json};

use crate::call::{Answer, Caller};
use crate::fault::Fault;
use crate::said::Keys;
use mira_vault::settings::BaseUrl;
use mira_vault::settings::{ModelName, ProviderName, ProviderSettings, Settings};

/// The version of Anthropic's API (its reference, "Versions").
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// How a provider is talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Api {
    /// OpenAI.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// OpenRouter.
    OpenRouter,
    /// Ollama, which needs no key.
    Ollama,
    /// Amazon Bedrock: see [`crate::aws`].
    Bedrock,
    /// Anything that speaks as OpenAI does.
    Compatible,
}

impl Api {
    /// Those that are known by a name of their own.
    pub const NAMED: [Self; 5] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::OpenRouter,
        Self::Ollama,
        Self::Bedrock,
    ];

    /// Returns the name of the provider that has this API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::OpenRouter => "openrouter",
            Self::Ollama => "ollama",
            Self::Bedrock => "bedrock",
            Self::Compatible => "openai-compatible",
        }
    }

    /// Returns what people call it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::OpenAi => "OpenAI",
            Self::Anthropic => "Anthropic",
            Self::OpenRouter => "OpenRouter",
            Self::Ollama => "Ollama",
            Self::Bedrock => "Amazon Bedrock",
            Self::Compatible => "an OpenAI-compatible API",
        }
    }

    /// Returns where it is, unless something else is set.
    const fn base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::OpenRouter => Some("https://openrouter.ai/api/v1"),
            Self::Ollama => Some("http://localhost:11434"),
            Self::Bedrock | Self::Compatible => None,
        }
    }

    /// Returns the name of its key, unless something else is set.
    const fn key(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::OpenRouter => Some("OPENROUTER_API_KEY"),
            Self::Bedrock => Some(mira_vault::AWS_CREDENTIALS),
            Self::Ollama | Self::Compatible => None,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A provider, with what is set for it and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: ProviderName,
    /// How it is talked to.
    pub api: Api,
    /// Where it is; Bedrock is where its region is.
    pub base_url: Option<BaseUrl>,
    /// The secret of scope `user` that is its key.
    pub key: Option<SecretName>,
    /// The model that is used.
    pub model: Option<ModelName>,
    /// Whether anything was set for it.
    pub is_set: bool,
}

/// What a provider said of a key that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Working {
    /// How many models it lists.
    pub models: usize,
    /// Whether the model that is set, or was asked for, is there; nothing where none is.
    pub model: Option<ModelName>,
}

impl Provider {
    /// Returns all providers: those that are known, and those that were set.
    #[must_use]
    pub fn all(settings: &Settings) -> Vec<Self> {
        let known = Api::NAMED.into_iter().map(|api| {
            let name = api.as_str().parse();
            name.expect("it is made of lower-case letters")
        });
        let known: Vec<ProviderName> = known.collect();
        let others = settings
            .providers
            .keys()
            .filter(|name| !known.contains(name));
        let names = known.iter().chain(others);
        names.map(|name| Self::of(settings, name)).collect()
    }

    /// Returns the provider of this name, with what is set for it.
    #[must_use]
    pub fn of(settings: &Settings, name: &ProviderName) -> Self {
        let mut named = Api::NAMED.into_iter();
        let api = named.find(|api| api.as_str() == name.as_str());
        let api = api.unwrap_or(Api::Compatible);
        let own = settings.providers.get(name);
        let ProviderSettings {
            base_url,
            key,
            model,
        } = own.cloned().unwrap_or_default();
        let default_url = || Some(api.base_url()?.parse().expect("it is an address"));
        let default_key = || Some(api.key()?.parse().expect("it is a name"));
        Self {
            name: name.clone(),
            api,
            base_url: base_url.or_else(default_url),
            key: key.or_else(default_key),
            model,
            is_set: own.is_some(),
        }
    }
}

/// Tries a provider's key; with `ask`, also whether that model answers with a token, which may cost a fraction of a cent.
///
/// Bedrock is tried by [`crate::aws::test`]: here it is as if it had no address.
///
/// # Errors
///
/// Returns what is wrong.
pub async fn test(
    caller: &Caller,
    provider: &Provider,
    key: Option<&SecretValue>,
    ask: Option<&ModelName>,
) -> Result<Working, Fault> {
    let Some(base_url) = &provider.base_url else {
        let host = provider.name.to_string();
        return Err(Fault::NoAddress { host });
    };
    let name = provider.key.as_ref().map_or("API_KEY", SecretName::as_str);
    // EXPOSE: to the redactor, which takes it out of what the provider says.
    let keys = Keys::new(key.map(|key| (name, key.expose())));
    let trying = Trying {
        caller,
        api: provider.api,
        base_url,
        name,
        key,
        keys,
    };
    if provider.api == Api::OpenRouter {
        trying.credit().await?;
    }
    let models = trying.models().await?;
    match (ask, &provider.model) {
        (Some(asked), _) => trying.ask(asked).await?,
        (None, Some(set)) if !models.iter().any(|model| is_model(model, set)) => {
            return Err(Fault::NoModel {
                model: set.to_string(),
                said: String::new(),
            });
        }
        _ => {}
    }
    Ok(Working {
        models: models.len(),
        model: ask.or(provider.model.as_ref()).cloned(),
    })
}

/// Returns whether a listed model is the one that is meant: Ollama's `llama3` is `llama3:latest`.
fn is_model(listed: &str, meant: &ModelName) -> bool {
    listed == meant.as_str() || listed.strip_suffix(":latest") == Some(meant.as_str())
}

struct Trying<'a> {
    caller: &'a Caller,
    api: Api,
    base_url: &'a BaseUrl,
    name: &'a str,
    key: Option<&'a SecretValue>,
    keys: Keys,
}

impl Trying<'_> {
    /// Asks OpenRouter for the key itself: its models are listed for everybody.
    async fn credit(&self) -> Result<(), Fault> {
        let answer = self.call(Method::GET, "/key", None).await?;
        self.check(&answer, "tell of itself", None)?;
        let body = answer.json();
        let Some(data) = body.as_ref().and_then(|body| body.get("data")) else {
            return Err(self.not_this_api(&answer));
        };
        match data.get("limit_remaining").and_then(Value::as_f64) {
            Some(rest) if rest <= 0.0 => Err(Fault::QuotaExhausted {
                said: String::new(),
            }),
            _ => Ok(()),
        }
    }

    async fn models(&self) -> Result<Vec<String>, Fault> {
        let (path, list, id) = match self.api {
            Api::Ollama => ("/api/tags", "models", "name"),
            // LIMIT: the most that one page can have.
            Api::Anthropic => ("/v1/models?limit=1000", "data", "id"),
            _ => ("/models", "data", "id"),
        };
        let answer = self.call(Method::GET, path, None).await?;
        self.check(&answer, "list models", None)?;
        let body = answer.json();
        let models = body.as_ref().and_then(|body| body.get(list)?.as_array());
        let models = models.ok_or_else(|| self.not_this_api(&answer))?;
        let names = models.iter().filter_map(|model| model.get(id)?.as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Asks a model for one token.
    async fn ask(&self, model: &ModelName) -> Result<(), Fault> {
        let messages = json!([{"role": "user", "content": "Hi"}]);
        let model_name = model.as_str();
        let (path, body) = match self.api {
            Api::Anthropic => (
                "/v1/messages",
                json!({"model": model_name, "messages": messages, "max_tokens": 1}),
            ),
            Api::Ollama => (
                "/api/chat",
                json!({"model": model_name, "messages": messages, "stream": false, "options": {"num_predict": 1}}),
            ),
            // The smallest that all of its models take.
            Api::OpenAi => (
                "/chat/completions",
                json!({"model": model_name, "messages": messages, "max_completion_tokens": 16}),
            ),
            _ => (
                "/chat/completions",
                json!({"model": model_name, "messages": messages, "max_tokens": 16}),
            ),
        };
        let answer = self.call(Method::POST, path, Some(&body)).await?;
        self.check(&answer, "use the model", Some(model))?;
        let says = |body: Value| {
            ["choices", "content", "message"]
                .iter()
                .any(|field| body.get(field).is_some())
        };
        match answer.json().is_some_and(says) {
            true => Ok(()),
            false => Err(self.not_this_api(&answer)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Fault> {
        let mut request = Request::builder()
            .method(method)
            .uri(self.base_url.below(path).as_str());
        if self.api == Api::Anthropic {
            request = request.header("anthropic-version", ANTHROPIC_VERSION);
        }
        if let Some(key) = self.key {
            let (name, value) = self.authorization(key)?;
            request = request.header(name, value);
        }
        let mut bytes = Vec::new();
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json");
            bytes = body.to_string().into_bytes();
        }
        let request = request.body(bytes).expect("its parts are well-formed");
        self.caller.call(request, self.key.is_some()).await
    }

    /// Returns the header that carries the key.
    fn authorization(&self, key: &SecretValue) -> Result<(HeaderName, HeaderValue), Fault> {
        let (name, before) = match self.api {
            Api::Anthropic => (HeaderName::from_static("x-api-key"), ""),
            _ => (AUTHORIZATION, "Bearer "),
        };
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(before.len() + key.len()));
        bytes.extend_from_slice(before.as_bytes());
        // EXPOSE: to the header of a request to the provider that the key is for.
        bytes.extend_from_slice(key.expose());
        let mut value = HeaderValue::from_bytes(&bytes).map_err(|_| Fault::KeyShape {
            name: self.name.to_owned(),
        })?;
        value.set_sensitive(true);
        Ok((name, value))
    }

    fn check(&self, answer: &Answer, action: &str, model: Option<&ModelName>) -> Result<(), Fault> {
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(refusal::fault(
                answer,
                &refusal::Asked {
                    api: self.api,
                    action,
                    model,
                    keys: &self.keys,
                },
            )),
        }
    }

    fn not_this_api(&self, answer: &Answer) -> Fault {
        refusal::not_this_api(self.api, answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_stands_before_what_is_known() {
        let mut settings = Settings::default();
        let own = ProviderSettings {
            base_url: Some("https://gateway.example/openai".parse().unwrap()),
            key: None,
            model: Some("small".parse().unwrap()),
        };
        settings.providers.insert("openai".parse().unwrap(), own);
        let groq = ProviderSettings {
            base_url: Some("https://api.groq.example/v1".parse().unwrap()),
            key: Some("GROQ_API_KEY".parse().unwrap()),
            model: None,
        };
        settings.providers.insert("groq".parse().unwrap(), groq);
        let all = Provider::all(&settings);
        let told = all.iter().map(|provider| {
            let url = provider.base_url.as_ref().map(ToString::to_string);
            let key = provider.key.as_ref().map(ToString::to_string);
            format!(
                "{} {} {} {}",
                provider.name,
                provider.api,
                url.unwrap_or_default(),
                key.unwrap_or_default()
            )
        });
        assert_eq!(
            told.collect::<Vec<_>>(),
            [
                "openai openai https://gateway.example/openai OPENAI_API_KEY",
                "anthropic anthropic https://api.anthropic.com ANTHROPIC_API_KEY",
                "openrouter openrouter https://openrouter.ai/api/v1 OPENROUTER_API_KEY",
                "ollama ollama http://localhost:11434 ",
                "bedrock bedrock  AWS_CREDENTIALS",
                "groq openai-compatible https://api.groq.example/v1 GROQ_API_KEY",
            ]
        );
    }

    #[test]
    fn a_model_without_its_tag_is_the_latest() {
        let llama: ModelName = "llama3".parse().unwrap();
        assert!(is_model("llama3:latest", &llama));
        assert!(is_model("llama3", &llama));
        assert!(!is_model("llama3:8b", &llama));
    }
}
