//! A model service, asked for one tool call or a text: three dialects, one client.
//!
//! It tries again after a time-out, 429 and 5xx, and asks the fallback model when the first one stays away; all else is told at once.
//! INVARIANT: redirects are not followed, and no error holds a key or what the service said of it.

mod anthropic;
mod bedrock;
mod openai;

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::budget::{BudgetError, Purse};
use crate::secret::Key;

/// How long one request may take, unless the operator says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(180);

/// The longest answer that is read, in bytes.
// LIMIT: the longest answer in tokens has less than 1 MiB.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long a service may ask to wait.
// LIMIT: a review takes minutes; who wants more is asked again with the next try of the whole job.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// How many bytes a token has at least, on the average of a whole request.
// LIMIT: code has some three; what is set aside must not be too little.
const TOKEN_BYTES_MIN: u64 = 2;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) system: String,
    pub(crate) user: String,
    /// The tool to call, as its name and schema; without one, an answer in words is asked for.
    pub(crate) tool: Option<(&'static str, Value)>,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_tokens: u32,
}

/// What a model answered, and what it took.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    /// The arguments of the tool call, or the JSON that came as text instead.
    pub(crate) call: Option<Value>,
    pub(crate) text: String,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) model: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ModelError {
    #[error(
        "the model service did not accept the key (status {0}); check it, and its rights to the model {1}"
    )]
    Key(u16, String),
    #[error("the model service refused the request (status {status}): {said}")]
    Refused { status: u16, said: String },
    #[error("the model service cannot be reached ({0})")]
    Unreached(&'static str),
    #[error("the model service has trouble ({0})")]
    Away(String),
    #[error("the model service answered with what is no answer of its API")]
    Nonsense,
    #[error(transparent)]
    Budget(#[from] BudgetError),
}

impl ModelError {
    /// Returns whether it may go better later.
    pub(crate) fn may_pass(&self) -> bool {
        self.is_away() || matches!(self, Self::Budget(BudgetError::Database(_)))
    }

    fn is_away(&self) -> bool {
        matches!(self, Self::Unreached(_) | Self::Away(_))
    }
}

/// Which API a service speaks, with what it wants to be asked with.
#[derive(Clone, Debug)]
pub(crate) enum Api {
    OpenAi {
        key: Option<Key>,
    },
    Anthropic {
        key: Key,
    },
    Bedrock {
        access: Key,
        secret: Key,
        session: Option<Key>,
        region: String,
    },
}

/// A service and its models.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) client: Client,
    pub(crate) api: Api,
    /// Without a slash at its end.
    pub(crate) base_url: String,
    pub(crate) name: String,
    pub(crate) fallback: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) retries: u32,
    /// How long the first wait before another try is; each further one is twice as long.
    pub(crate) backoff: Duration,
}

/// A request that is ready to be sent.
struct Prepared {
    url: String,
    headers: Vec<(String, Key)>,
    body: Vec<u8>,
}

impl Model {
    /// Returns its keys, so that no text that is posted says one.
    pub(crate) fn keys(&self) -> Vec<Key> {
        match &self.api {
            Api::OpenAi { key } => key.iter().cloned().collect(),
            Api::Anthropic { key } => vec![key.clone()],
            Api::Bedrock {
                secret, session, ..
            } => session.iter().chain([secret]).cloned().collect(),
        }
    }

    /// Asks the model, and the fallback where it stays away. Each request is paid from the purse, if there is one.
    pub(crate) async fn ask(&self, ask: &Ask, purse: Option<&Purse>) -> Result<Answer, ModelError> {
        let first = self.ask_one(&self.name, ask, purse).await;
        match (&first, &self.fallback) {
            (Err(error), Some(fallback)) if error.is_away() => {
                let purse = purse.map(Purse::of_the_fallback);
                self.ask_one(fallback, ask, purse.as_ref()).await
            }
            _ => first,
        }
    }

    async fn ask_one(
        &self,
        model: &str,
        ask: &Ask,
        purse: Option<&Purse>,
    ) -> Result<Answer, ModelError> {
        let mut ask = ask.clone();
        let mut tries = 0;
        loop {
            let (error, wait) = match self.paid(model, &ask, purse).await {
                Ok(answer) => return Ok(answer),
                // Some models take no temperature, or no forced tool: they are asked without.
                Err((ModelError::Refused { status: 400, said }, _))
                    if ask.temperature.is_some() && said.contains("temperature") =>
                {
                    ask.temperature = None;
                    continue;
                }
                Err((
                    ModelError::Refused {
                        status: 400 | 404,
                        said,
                    },
                    _,
                )) if said.contains("tool") && ask.tool.is_some() => {
                    let (_, schema) = ask.tool.take().unwrap_or_default();
                    ask.system.push_str(&format!(
                        "\nAnswer with one JSON object of this schema and nothing else:\n{schema}"
                    ));
                    continue;
                }
                Err(failed) => failed,
            };
            if !error.may_pass() || tries >= self.retries {
                return Err(error);
            }
            let backoff = self.backoff.saturating_mul(1 << tries.min(10));
            tries += 1;
            // Nothing else ends this wait: it is the service's own, or grows with each failure.
            let pause = wait.unwrap_or(backoff).min(WAIT_MAX);
            drop(tokio::time::timeout(pause, std::future::pending::<()>()).await);
        }
    }

    /// Sends one request, with what it takes at most set aside before and what it took counted after.
    async fn paid(
        &self,
        model: &str,
        ask: &Ask,
        purse: Option<&Purse>,
    ) -> Result<Answer, (ModelError, Option<Duration>)> {
        let Some(purse) = purse else {
            return self.once(model, ask).await;
        };
        let budget = |error| (ModelError::Budget(error), None);
        let tool = ask
            .tool
            .as_ref()
            .map_or(0, |(_, schema)| schema.to_string().len());
        let bytes = (ask.system.len() + ask.user.len() + tool) as u64;
        let held = purse
            .hold(bytes / TOKEN_BYTES_MIN, ask.max_tokens.into())
            .await;
        held.map_err(budget)?;
        let done = self.once(model, ask).await;
        let counted = match &done {
            Ok(answer) => purse.spend(answer.input_tokens, answer.output_tokens).await,
            Err(_) => purse.release().await,
        };
        counted.map_err(|error| budget(error.into()))?;
        done
    }

    async fn once(&self, model: &str, ask: &Ask) -> Result<Answer, (ModelError, Option<Duration>)> {
        let fail = |error| (error, None);
        let prepared = match &self.api {
            Api::OpenAi { key } => openai::prepare(&self.base_url, key.as_ref(), model, ask),
            Api::Anthropic { key } => anthropic::prepare(&self.base_url, key, model, ask),
            Api::Bedrock {
                access,
                secret,
                session,
                region,
            } => bedrock::prepare(
                &self.base_url,
                (access, secret, session.as_ref()),
                region,
                model,
                ask,
            ),
        }
        .ok_or(fail(ModelError::Nonsense))?;
        let away = |error: reqwest::Error| fail(in_words(&error));
        let mut request = self.client.post(prepared.url).timeout(self.timeout);
        for (name, value) in &prepared.headers {
            // EXPOSE: to the model's service, whose key it is.
            request = request.header(name, value.expose());
        }
        let mut response = request.body(prepared.body).send().await.map_err(away)?;
        let status = response.status();
        if is_refused_on_the_way(response.headers()) {
            return Err(fail(ModelError::Unreached("refused on the way")));
        }
        let wait = response.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|wait| wait.to_str().ok()?.parse().ok());
        let wait = wait.map(Duration::from_secs);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                return Err(fail(ModelError::Nonsense));
            }
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            let answer = match &self.api {
                Api::OpenAi { .. } => openai::read(&value),
                Api::Anthropic { .. } => anthropic::read(&value),
                Api::Bedrock { .. } => bedrock::read(&value),
            };
            let mut answer = answer.ok_or(fail(ModelError::Nonsense))?;
            answer.model = model.to_owned();
            if answer.call.is_none() {
                answer.call = json_in(&answer.text);
            }
            return Ok(answer);
        }
        Err((refusal(status, model, &value), wait))
    }
}

fn refusal(status: StatusCode, model: &str, body: &Value) -> ModelError {
    let code = body["error"]["code"].as_str().unwrap_or_default();
    match status.as_u16() {
        401 | 403 => ModelError::Key(status.as_u16(), model.to_owned()),
        429 if code == "insufficient_quota" => ModelError::Refused {
            status: 429,
            said: "the account has no credit left".to_owned(),
        },
        408 | 429 | 500.. => ModelError::Away(format!("status {}", status.as_u16())),
        code => {
            let said = body["error"]["message"]
                .as_str()
                .or(body["message"].as_str());
            let said: String = said
                .unwrap_or("without a reason")
                .chars()
                .take(200)
                .collect();
            ModelError::Refused { status: code, said }
        }
    }
}

/// Returns whether Mira answered in the place of the service, because nobody allowed it to be called.
fn is_refused_on_the_way(headers: &HeaderMap) -> bool {
    let why = headers.get("x-mira-denied").map(HeaderValue::as_bytes);
    matches!(why, Some(b"not-listed" | b"rule" | b"address"))
}

/// Says what went wrong on the way, without the address, which may hold a password of a proxy.
fn in_words(error: &reqwest::Error) -> ModelError {
    if error.is_connect() {
        ModelError::Unreached("no connection")
    } else if error.is_timeout() {
        ModelError::Away("it took too long".to_owned())
    } else {
        ModelError::Away("the connection broke off".to_owned())
    }
}

/// Returns the JSON object that a text is, or has in a block of code.
fn json_in(text: &str) -> Option<Value> {
    let start = text.find('{')?;
    let end = text.rfind('}')?;
    serde_json::from_str(text.get(start..=end)?).ok()
}

#[cfg(test)]
mod tests;
