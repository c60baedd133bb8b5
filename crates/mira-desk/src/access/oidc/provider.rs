//! The provider's side of signing in: what it publishes of itself, and the exchange of a code for what it says of a person.
//!
//! Sources: OpenID Connect Discovery 1.0, OpenID Connect Core 1.0 (section 3.1), RFC 6749 (section 4.1), RFC 7636.

use std::sync::Arc;

use axum::http::{Method, Request, header};
use data_encoding::BASE64;
use form_urlencoded::Serializer;
use jiff::{SignedDuration, Timestamp};
use mira_jwt::{Expected, KeySet, VerifyError};
use mira_provider::{Caller, Fault};
use mira_secret::SecretValue;
use reqwest::Url;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

/// How long what a provider publishes of itself is taken as known.
// LIMIT: an hour: addresses and keys change some times a year, and a new key is asked for once it is met.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// How long keys are not asked for again because of a token that none of them signed.
// LIMIT: a minute: whoever sends forged tokens makes one call a minute, and a key that is new is known a minute later.
const KEYS_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// Why a person's word was not had.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProviderError {
    /// The provider was not reached.
    #[error(transparent)]
    Call(#[from] Fault),
    /// What it publishes of itself is not what it should be.
    #[error("{0}")]
    Odd(String),
    /// It does not take the code.
    #[error("the provider does not take the sign-in: {0}")]
    Refused(String),
    /// Its token is not believed.
    #[error(transparent)]
    Token(#[from] VerifyError),
}

/// What a provider publishes of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    #[serde(deserialize_with = "address")]
    pub(super) authorization_endpoint: Url,
    #[serde(deserialize_with = "address")]
    token_endpoint: Url,
    #[serde(deserialize_with = "address")]
    jwks_uri: Url,
    /// By which a secret is sent; by the standard `client_secret_basic` where it does not say.
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    /// Whether it names itself in the answer (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|_| D::Error::custom("an endpoint is no address"))
}

/// What is known of the provider, and since when.
#[derive(Debug)]
struct Known {
    metadata: Arc<Metadata>,
    keys: Arc<KeySet>,
    since: Timestamp,
}

/// What signs people in.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: String,
    caller: Caller,
    known: Mutex<Option<Known>>,
}

/// A code, and what it was asked for with.
pub(super) struct Exchange<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) redirect: &'a str,
    pub(super) client: &'a str,
    pub(super) secret: Option<&'a SecretValue>,
}

impl Provider {
    pub(super) fn new(issuer: String, caller: Caller) -> Self {
        Self {
            issuer,
            caller,
            known: Mutex::new(None),
        }
    }

    /// Returns what the provider publishes of itself.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let mut known = self.known.lock().await;
        Ok(Arc::clone(&self.current(&mut known).await?.metadata))
    }

    async fn current<'a>(
        &self,
        known: &'a mut Option<Known>,
    ) -> Result<&'a mut Known, ProviderError> {
        let now = Timestamp::now();
        // A clock that was set back makes it old too.
        let fresh = |known: &Known| {
            let age = now.duration_since(known.since);
            !age.is_negative() && age < KNOWN_FOR
        };
        if !known.as_ref().is_some_and(fresh) {
            let metadata = self.discover().await?;
            let keys = self.keys(&metadata).await?;
            *known = Some(Known {
                metadata: Arc::new(metadata),
                keys: Arc::new(keys),
                since: now,
            });
        }
        known
            .as_mut()
            .ok_or_else(|| ProviderError::Odd("the provider is not known".to_owned()))
    }

    async fn discover(&self) -> Result<Metadata, ProviderError> {
        let issuer = self.issuer.trim_end_matches('/');
        let place = format!("{issuer}/.well-known/openid-configuration");
        let found: Metadata = serde_json::from_value(self.get(&place).await?)
            .map_err(|error| ProviderError::Odd(format!("{place} is no document of a provider of OpenID Connect ({error}); see that --oidc-issuer is right")))?;
        if found.issuer != self.issuer {
            return Err(ProviderError::Odd(format!(
                "{place} is of another issuer, {:?}: give that to --oidc-issuer, letter by letter, if it is meant",
                found.issuer
            )));
        }
        Ok(found)
    }

    async fn keys(&self, metadata: &Metadata) -> Result<KeySet, ProviderError> {
        let document = self.get(metadata.jwks_uri.as_str()).await?;
        Ok(KeySet::from_json(document.to_string().as_bytes())?)
    }

    async fn get(&self, place: &str) -> Result<Value, ProviderError> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(place)
            .header(header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| ProviderError::Odd(format!("{place:?} is no address")))?;
        // What comes decides who is let in, so it is read over lines that keep a key.
        let answer = self.caller.call(request, true).await?;
        match answer.json() {
            Some(document) if answer.status.is_success() => Ok(document),
            _ => Err(ProviderError::Odd(format!(
                "{place} answers {}, and no JSON document",
                answer.status
            ))),
        }
    }

    /// Exchanges a code for what the provider says of the person, and checks all of it but the nonce.
    pub(super) async fn exchange(&self, exchange: &Exchange<'_>) -> Result<Value, ProviderError> {
        let metadata = self.metadata().await?;
        let answer = self
            .caller
            .call(token_request(&metadata, exchange)?, true)
            .await?;
        let body = answer.json().unwrap_or_default();
        let Some(token) = body["id_token"]
            .as_str()
            .filter(|_| answer.status.is_success())
        else {
            // A word of a closed set (RFC 6749, section 5.2); its description is the provider's own.
            let word = body["error"].as_str().unwrap_or("it sends no token");
            return Err(ProviderError::Refused(word.chars().take(80).collect()));
        };
        let expected = Expected {
            issuer: &self.issuer,
            audience: exchange.client,
        };
        let keys = {
            let mut known = self.known.lock().await;
            Arc::clone(&self.current(&mut known).await?.keys)
        };
        let claims: Value = match keys.verify(token, expected) {
            Err(VerifyError::UnknownKey) => {
                self.newer_keys(&metadata).await?.verify(token, expected)?
            }
            claims => claims?,
        };
        // OpenID Connect Core, section 3.1.3.7: who asked for it, where it is for several.
        match claims["azp"].as_str() {
            Some(party) if party != exchange.client => Err(VerifyError::Audience.into()),
            _ => Ok(claims),
        }
    }

    /// Asks for the keys again, unless that was done just now.
    async fn newer_keys(&self, metadata: &Metadata) -> Result<Arc<KeySet>, ProviderError> {
        let mut known = self.known.lock().await;
        let known = self.current(&mut known).await?;
        let now = Timestamp::now();
        let age = now.duration_since(known.since);
        if age.is_negative() || age >= KEYS_AGAIN_AFTER {
            known.keys = Arc::new(self.keys(metadata).await?);
            known.since = now;
        }
        Ok(Arc::clone(&known.keys))
    }
}

fn token_request(
    metadata: &Metadata,
    exchange: &Exchange<'_>,
) -> Result<Request<Vec<u8>>, ProviderError> {
    let odd = |_| ProviderError::Odd("the provider's token endpoint is no address".to_owned());
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", exchange.code)
        .append_pair("redirect_uri", exchange.redirect)
        .append_pair("code_verifier", exchange.verifier);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(metadata.token_endpoint.as_str())
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let methods = &metadata.token_endpoint_auth_methods_supported;
    let takes = |method: &str| methods.iter().any(|known| known == method);
    match exchange.secret {
        // A client without a secret: the code's verifier is what shows that it is the same one.
        None => {
            form.append_pair("client_id", exchange.client);
        }
        Some(secret) => {
            // EXPOSE: to the provider that gave it, over TLS or on this machine; as text, since it is sent as some.
            let secret = std::str::from_utf8(secret.expose())
                .map_err(|_| ProviderError::Odd("MIRA_OIDC_CLIENT_SECRET is no text".to_owned()))?;
            if takes("client_secret_post") && !takes("client_secret_basic") {
                form.append_pair("client_id", exchange.client)
                    .append_pair("client_secret", secret);
            } else {
                // RFC 6749, section 2.3.1: each half is written as in a form first.
                let half = |text: &str| -> Zeroizing<String> {
                    Zeroizing::new(form_urlencoded::byte_serialize(text.as_bytes()).collect())
                };
                let both = Zeroizing::new(format!("{}:{}", *half(exchange.client), *half(secret)));
                let value = Zeroizing::new(format!("Basic {}", BASE64.encode(both.as_bytes())));
                let mut value =
                    header::HeaderValue::from_str(&value).map_err(|error| odd(error.into()))?;
                value.set_sensitive(true);
                request = request.header(header::AUTHORIZATION, value);
            }
        }
    }
    request.body(form.finish().into_bytes()).map_err(odd)
}
