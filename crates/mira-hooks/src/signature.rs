//! Signatures of bodies: HMAC-SHA256 with a shared secret, as GitHub signs
//! (<https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>).
//!
//! INVARIANT: signatures are compared in constant time; a secret is at least [`SECRET_BYTES_MIN`] bytes long.

use std::collections::BTreeMap;
use std::fmt;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use mira_secret::SecretBytes;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

/// The header with the signature.
pub(crate) const HEADER: &str = "x-hub-signature-256";

/// What a signature begins with: the method.
const PREFIX: &str = "sha256=";

/// The shortest secret.
// LIMIT: as many bytes as the signature has; fewer could be guessed from one captured delivery.
const SECRET_BYTES_MIN: usize = 32;

/// A secret that bodies are signed with.
pub struct WebhookSecret {
    /// What it is called in the vault.
    pub name: String,
    /// Its value.
    pub value: SecretBytes,
    /// Whether another one has taken its place, and it counts only until the sender has that one.
    pub is_previous: bool,
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why secrets are not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretsError {
    /// One is too short.
    #[error(
        "{name} has {bytes} bytes, and a webhook secret has at least {SECRET_BYTES_MIN}; make a new one, say with `openssl rand -hex 32`, \
         and give it to the sender too"
    )]
    Short {
        /// Which.
        name: String,
        /// How long it is.
        bytes: usize,
    },
    /// There is none that counts.
    #[error("there is no webhook secret; save one first: mira set MIRA_WEBHOOK_SECRET")]
    None,
}

/// The secrets that signatures are checked with: those of an App by its id, and those of all others.
#[derive(Debug)]
pub struct Secrets {
    general: Vec<WebhookSecret>,
    by_app: BTreeMap<String, Vec<WebhookSecret>>,
}

impl Secrets {
    /// Takes secrets, each with the id of the App whose webhooks it is for, or for all Apps that have none of their own.
    ///
    /// # Errors
    ///
    /// Refuses one that is too short, and none at all.
    pub fn new(
        secrets: impl IntoIterator<Item = (Option<String>, WebhookSecret)>,
    ) -> Result<Self, SecretsError> {
        let mut taken = Self {
            general: Vec::new(),
            by_app: BTreeMap::new(),
        };
        for (app, secret) in secrets {
            if secret.value.len() < SECRET_BYTES_MIN {
                let (name, bytes) = (secret.name, secret.value.len());
                return Err(SecretsError::Short { name, bytes });
            }
            match app {
                Some(app) => taken.by_app.entry(app).or_default().push(secret),
                None => taken.general.push(secret),
            }
        }
        match taken.general.is_empty() && taken.by_app.is_empty() {
            true => Err(SecretsError::None),
            false => Ok(taken),
        }
    }

    /// Begins to check a body that was sent to this App; the sender's word for it only chooses the secrets.
    pub(crate) fn check(&self, app: Option<&str>) -> Check {
        let own = app.and_then(|app| self.by_app.get(app));
        let secrets = own.unwrap_or(&self.general).iter();
        Check(
            secrets
                .map(|secret| (mac(&secret.value), secret.is_previous))
                .collect(),
        )
    }
}

fn mac(secret: &SecretBytes) -> Hmac<Sha256> {
    // EXPOSE: to the computation of a signature, which wipes what it keeps of it.
    Hmac::new_from_slice(secret.expose()).expect("HMAC takes keys of any length")
}

/// A body being checked, with each secret that may have signed it.
pub(crate) struct Check(Vec<(Hmac<Sha256>, bool)>);

/// Which secret has signed a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignedBy {
    Current,
    Previous,
    Nobody,
}

impl Check {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for (mac, _) in &mut self.0 {
            mac.update(bytes);
        }
    }

    pub(crate) fn end(self, signature: &Signature) -> SignedBy {
        let (mut current, mut previous) = (Choice::from(0), Choice::from(0));
        for (mac, is_previous) in self.0 {
            let is_right = mac.finalize().into_bytes().ct_eq(&signature.0);
            match is_previous {
                true => previous |= is_right,
                false => current |= is_right,
            }
        }
        match (current.into(), previous.into()) {
            (true, _) => SignedBy::Current,
            (false, true) => SignedBy::Previous,
            (false, false) => SignedBy::Nobody,
        }
    }
}

/// A signature that came with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature([u8; 32]);

/// Why there is no signature.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoSignature {
    Missing,
    Malformed,
}

impl Signature {
    /// Reads the one signature of a request.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, NoSignature> {
        let mut values = headers.get_all(HEADER).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(match headers.contains_key(HEADER) {
                true => NoSignature::Malformed,
                false => NoSignature::Missing,
            });
        };
        let hex = value.as_bytes().strip_prefix(PREFIX.as_bytes());
        let mut signature = [0; 32];
        // The decoder takes a text of the right length alone.
        let hex = hex.filter(|hex| hex.len() == 2 * signature.len());
        let decoded = hex.map(|hex| HEXLOWER_PERMISSIVE.decode_mut(hex, &mut signature));
        match decoded {
            Some(Ok(_)) => Ok(Self(signature)),
            _ => Err(NoSignature::Malformed),
        }
    }
}

/// Returns the signature of a body, as the header `X-Hub-Signature-256` holds it.
#[must_use]
pub fn sign(secret: &SecretBytes, body: &[u8]) -> String {
    let signature = mac(secret).chain_update(body).finalize().into_bytes();
    format!("{PREFIX}{}", HEXLOWER.encode(&signature))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: &str, is_previous: bool) -> WebhookSecret {
        WebhookSecret {
            name: "MIRA_WEBHOOK_SECRET".to_owned(),
            value: SecretBytes::copy_from(value.as_bytes()),
            is_previous,
        }
    }

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = http::HeaderValue::from_bytes(value).unwrap();
            headers.append(HEADER, value);
        }
        headers
    }

    /// The vector of GitHub's documentation.
    #[test]
    fn the_documented_vector_is_right() {
        let secret = SecretBytes::copy_from(b"It's a Secret to Everybody");
        assert_eq!(
            sign(&secret, b"Hello, World!"),
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_signature_is_64_hex_digits_and_nothing_else() {
        let right = format!("sha256={}", "0aF".repeat(21) + "0");
        assert!(Signature::of(&headers(&[right.as_bytes()])).is_ok());
        assert_eq!(Signature::of(&headers(&[])), Err(NoSignature::Missing));
        let short = right.get(..70).unwrap();
        for wrong in [
            &[b"".as_slice()] as &[&[u8]],
            &[b"sha256="],
            &[short.as_bytes()],
            &[format!("{right}0").as_bytes()],
            &[format!(" {right} x").as_bytes()],
            &[format!("sha1={}", "0".repeat(64)).as_bytes()],
            &[format!("sha256={}g", "0".repeat(63)).as_bytes()],
            &[&[b"sha256=".as_slice(), &[0xe4; 64]].concat()],
            &["sha256=ä".as_bytes()],
            &[right.as_bytes(), right.as_bytes()],
        ] {
            assert_eq!(
                Signature::of(&headers(wrong)),
                Err(NoSignature::Malformed),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn each_secret_signs_for_its_own_app_and_the_previous_one_is_told_apart() {
        let (old, new, app) = ("o".repeat(32), "n".repeat(32), "a".repeat(32));
        let secrets = Secrets::new([
            (None, secret(&new, false)),
            (None, secret(&old, true)),
            (Some("7".to_owned()), secret(&app, false)),
        ])
        .unwrap();
        let by = |signer: &str, app: Option<&str>| {
            let signer = SecretBytes::copy_from(signer.as_bytes());
            let header = sign(&signer, b"body");
            let signature = Signature::of(&headers(&[header.as_bytes()])).unwrap();
            let mut check = secrets.check(app);
            check.update(b"bo");
            check.update(b"dy");
            check.end(&signature)
        };
        assert_eq!(by(&new, None), SignedBy::Current);
        assert_eq!(by(&new, Some("8")), SignedBy::Current);
        assert_eq!(by(&old, None), SignedBy::Previous);
        assert_eq!(by(&app, Some("7")), SignedBy::Current);
        assert_eq!(by(&app, None), SignedBy::Nobody);
        assert_eq!(by(&app, Some("8")), SignedBy::Nobody);
        assert_eq!(by(&new, Some("7")), SignedBy::Nobody);
        assert_eq!(by(&"x".repeat(32), None), SignedBy::Nobody);
    }

    #[test]
    fn short_secrets_and_none_are_refused_without_being_shown() {
        assert_eq!(Secrets::new([]).unwrap_err(), SecretsError::None);
        let short = Secrets::new([(None, secret("canary-31-bytes-long-0123456789", false))]);
        let told = short.unwrap_err().to_string();
        assert!(
            told.contains("31 bytes") && told.contains("MIRA_WEBHOOK_SECRET"),
            "{told}"
        );
        assert!(!told.contains("canary"));
        let shown = format!("{:?}", secret("canary", false));
        assert!(!shown.contains("canary"), "{shown}");
    }
}
