//! Making tokens.

use std::fmt;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mira_secret::SecretBytes;
use serde::Serialize;
use zeroize::{Zeroize as _, Zeroizing};

use crate::provider;

/// Labels of the PEM blocks that hold an RSA key: PKCS #1 (RFC 8017), which GitHub hands out, and PKCS #8 (RFC 5208).
const LABELS: [&str; 2] = ["RSA PRIVATE KEY", "PRIVATE KEY"];

/// Why a text is no key that tokens can be signed with. No variant holds any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no PEM block.
    #[error(
        "this is no PEM file: it begins with `-----BEGIN RSA PRIVATE KEY-----`, as GitHub hands it out"
    )]
    NotPem,
    /// The block is not a private key, or one under a password.
    #[error(
        "the PEM file holds something else than a plain RSA private key (`RSA PRIVATE KEY` or `PRIVATE KEY`)"
    )]
    OtherBlock,
    /// The key is damaged, of another kind, or too short.
    #[error(
        "the PEM file holds no RSA private key of 2048 to 4096 bits: it is damaged, or of another kind"
    )]
    NotRsa,
}

/// An RSA key that signs tokens. It is wiped when dropped, and `Debug` prints nothing of it.
pub struct SigningKey(EncodingKey);

impl SigningKey {
    /// Reads a key from PEM text, as PKCS #1 or PKCS #8.
    ///
    /// # Errors
    ///
    /// Returns which of the conditions of [`KeyError`] does not hold.
    pub fn from_pem(text: &SecretBytes) -> Result<Self, KeyError> {
        provider::install();
        // EXPOSE: to the reader of PEM, in this process; what it makes of it is wiped below.
        let block = pem::parse(text.expose()).map_err(|_| KeyError::NotPem)?;
        let known = LABELS.contains(&block.tag()) && block.headers().iter().next().is_none();
        let mut der = block.into_contents();
        if !known {
            der.zeroize();
            return Err(KeyError::OtherBlock);
        }
        let der = Zeroizing::new(der);
        if provider::rsa_key(&der).is_none() {
            return Err(KeyError::NotRsa);
        }
        Ok(Self(EncodingKey::from_rsa_der(&der)))
    }

    /// Signs claims by RS256 (RFC 7518, section 3.3). The token is itself a secret as long as it is valid.
    ///
    /// # Errors
    ///
    /// Returns an error if the claims are no JSON object.
    pub fn sign(&self, claims: &impl Serialize) -> Result<SecretBytes, SignError> {
        provider::install();
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &self.0)
            .map(|token| SecretBytes::from_vec(token.into_bytes()))
            .map_err(|_| SignError)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Claims could not be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claims of a token could not be written as a JSON object")]
pub struct SignError;
