//! What the API is sent.
//!
//! INVARIANT: whatever of a body is a secret is in memory that is wiped, and is got at only by telling the log of it.

use axum::body;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use mira_secret::SecretBytes;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::Desk;
use crate::error::DeskError;

/// The longest body of a request, in bytes.
// LIMIT: a value of 128 KiB in which every byte is escaped.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// A body of JSON. What has nothing but optional fields need not be sent.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Body<T> {
    type Rejection = DeskError;

    async fn from_request(request: Request, _: &S) -> Result<Self, DeskError> {
        let received = body::to_bytes(request.into_body(), BODY_BYTES_MAX).await;
        let received = received.map_err(|_| {
            DeskError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("a body has at most {BODY_BYTES_MAX} bytes, and has to come whole"),
            )
        })?;
        let text = match &*received {
            [] => b"{}",
            text => text,
        };
        // The error's words are of our own: a parser's may repeat what it read.
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| DeskError::unfit(format!("the body does not fit what `/api/v1/openapi.json` describes, at line {}, column {}", error.line(), error.column())))
    }
}

/// A secret value in a body.
pub(super) struct SecretText(SecretBytes);

impl SecretText {
    /// Takes the value, and tells the log of it.
    pub(super) fn told(self, desk: &Desk, name: &str) -> SecretBytes {
        // EXPOSE: to the log, which is kept free of it.
        desk.opened.tell(name, self.0.expose());
        self.0
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        Ok(Self(SecretBytes::copy_from(text.as_bytes())))
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({"type": "string", "writeOnly": true, "minLength": 1})
    }
}
