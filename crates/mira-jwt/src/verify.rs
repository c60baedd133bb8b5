//! Believing tokens.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::DeserializeOwned;

use crate::provider;

/// How far two clocks may be apart, in seconds.
// LIMIT: a minute, as is usual; more would make a stolen token last.
const SKEW_S: u64 = 60;

/// The longest token that is looked at, in bytes.
// LIMIT: tokens with many groups are some KiB; what is longer does not fit into a header either.
const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// The most keys of an issuer that are kept.
// LIMIT: issuers publish two to ten.
const KEYS_MAX: usize = 100;

/// Why a token is not believed. No variant holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It is no token, or its claims are not the ones that are asked for.
    #[error("what came is no signed token, or lacks claims that it has to have")]
    Malformed,
    /// It is signed in a way that is not taken.
    #[error("the token is signed in a way that is not taken: RSA and ECDSA (P-256, P-384) are")]
    Algorithm,
    /// It was signed by a key that the issuer does not publish: it may have published it since.
    #[error("the token was signed by a key that its issuer does not publish")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// It is from somebody else.
    #[error("the token is from another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("the token is meant for another client")]
    Audience,
    /// It is too old, or not valid yet.
    #[error(
        "the token has expired, or is not valid yet: compare this machine's clock with its issuer's"
    )]
    Time,
}

/// What a token has to say before it is believed.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Who made it (`iss`).
    pub issuer: &'a str,
    /// For whom it was made (`aud`).
    pub audience: &'a str,
}

/// The keys that an issuer publishes (RFC 7517).
#[derive(Clone, Debug)]
pub struct KeySet(Vec<Jwk>);

impl KeySet {
    /// Reads the document that an issuer publishes at its `jwks_uri`. Keys of kinds that are not taken are left out.
    ///
    /// # Errors
    ///
    /// Returns [`VerifyError::Malformed`] if it is no such document.
    pub fn from_json(text: &[u8]) -> Result<Self, VerifyError> {
        let set: JwkSet = serde_json::from_slice(text).map_err(|_| VerifyError::Malformed)?;
        let usable = |key: &Jwk| {
            let signs = !matches!(
                key.common.public_key_use,
                Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
            );
            let kind = matches!(
                key.algorithm,
                AlgorithmParameters::RSA(_) | AlgorithmParameters::EllipticCurve(_)
            );
            signs && kind
        };
        Ok(Self(
            set.keys.into_iter().filter(usable).take(KEYS_MAX).collect(),
        ))
    }

    /// Returns a token's claims, once its signature, issuer, audience and times were checked.
    ///
    /// # Errors
    ///
    /// Returns the first check that failed. [`VerifyError::UnknownKey`] may mean that the issuer has published new keys.
    pub fn verify<C: DeserializeOwned + Clone>(
        &self,
        token: &str,
        expected: Expected<'_>,
    ) -> Result<C, VerifyError> {
        provider::install();
        if token.len() > TOKEN_BYTES_MAX {
            return Err(VerifyError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| reason(error.kind()))?;
        let taken = matches!(
            header.alg,
            Algorithm::RS256
                | Algorithm::RS384
                | Algorithm::RS512
                | Algorithm::PS256
                | Algorithm::PS384
                | Algorithm::PS512
                | Algorithm::ES256
                | Algorithm::ES384
        );
        if !taken {
            return Err(VerifyError::Algorithm);
        }
        let key = self
            .key(header.kid.as_deref())
            .ok_or(VerifyError::UnknownKey)?;
        let key = DecodingKey::from_jwk(key).map_err(|_| VerifyError::UnknownKey)?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = SKEW_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[expected.issuer]);
        validation.set_audience(&[expected.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        jsonwebtoken::decode::<C>(token, &key, &validation)
            .map(|token| token.claims)
            .map_err(|error| reason(error.kind()))
    }

    /// Finds a key by its id; a token that names none is meant for the only one.
    fn key(&self, id: Option<&str>) -> Option<&Jwk> {
        match (id, self.0.as_slice()) {
            (Some(id), keys) => keys
                .iter()
                .find(|key| key.common.key_id.as_deref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

fn reason(kind: &ErrorKind) -> VerifyError {
    match kind {
        ErrorKind::InvalidSignature => VerifyError::Signature,
        ErrorKind::InvalidIssuer => VerifyError::Issuer,
        ErrorKind::InvalidAudience => VerifyError::Audience,
        ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => VerifyError::Time,
        ErrorKind::InvalidAlgorithm
        | ErrorKind::InvalidAlgorithmName
        | ErrorKind::UnsupportedAlgorithm => VerifyError::Algorithm,
        _ => VerifyError::Malformed,
    }
}
