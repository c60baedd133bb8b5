//! What a service that takes events, or tells how the instance fares, knows Mira by, so that no other program of this machine can do so.
//!
//! INVARIANT: a token is made for each start of an instance, and is kept nowhere but in the memory of its supervisor and of the services.

use data_encoding::BASE32_NOPAD;
use hyper::header::HeaderValue;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use zeroize::Zeroizing;

use super::InstanceError;
use crate::service::Value;

/// The variable that it is in.
pub(crate) const TOKEN: &str = "MIRA_DELIVERY_TOKEN";

/// How many random bytes are in it.
const RANDOM_BYTES: usize = 32;

/// Returns the variable's name.
pub(crate) fn token_name() -> SecretName {
    TOKEN.parse().expect("it is a name")
}

/// Returns what Mira shows to a service: the token, as RFC 6750 has it; nothing where that is no text for a header.
#[must_use]
pub fn authorization(token: &SecretBytes) -> Option<HeaderValue> {
    // EXPOSE: to the service that has the same value in its environment; the header's debug form does not show it.
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Makes a token for one start of an instance.
pub(crate) fn make_token() -> Result<Value, InstanceError> {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    getrandom::fill(&mut *random)
        .map_err(|error| InstanceError::NoRandomness(error.to_string()))?;
    let text = BASE32_NOPAD.encode(&*random).to_ascii_lowercase();
    let name = token_name();
    let value = SecretValue::new(&name, SecretBytes::from_vec(text.into_bytes()))
        .expect("letters and digits are a value");
    Ok(Value {
        name,
        value,
        origin: None,
    })
}
