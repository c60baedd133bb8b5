//! RSA key pairs, made by `openssl` for one test, and tokens that they sign or check (RFC 7515, RS256).

use std::io::Write as _;
use std::process::{Command, Stdio};

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

/// An RSA key pair. Whoever asks for its private half gets a canary: a test looks for it where it must not be.
#[derive(Clone)]
pub struct RsaKey {
    pem: String,
    public: Vec<u8>,
}

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaKey")
    }
}

impl RsaKey {
    /// Makes one of 2048 bits, as GitHub hands them out: PKCS #1.
    ///
    /// # Panics
    ///
    /// If there is no `openssl` on this machine.
    #[must_use]
    pub fn make() -> Self {
        let pem = openssl(&["genrsa", "-traditional", "2048"], "");
        let pem = String::from_utf8(pem).expect("PEM is text");
        let der = ["rsa", "-RSAPublicKey_out", "-outform", "DER"];
        Self {
            public: openssl(&der, &pem),
            pem,
        }
    }

    /// Returns the private half, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the private half as PKCS #8, in PEM.
    ///
    /// # Panics
    ///
    /// As [`RsaKey::make`].
    #[must_use]
    pub fn pkcs8_pem(&self) -> String {
        let pem = openssl(&["pkcs8", "-topk8", "-nocrypt"], &self.pem);
        String::from_utf8(pem).expect("PEM is text")
    }

    fn pair(&self) -> KeyPair {
        let der = openssl(&["rsa", "-traditional", "-outform", "DER"], &self.pem);
        KeyPair::from_der(&der).expect("openssl makes RSA keys")
    }

    /// Returns the public half as a provider publishes it (RFC 7517), under an id.
    pub(crate) fn published(&self, id: &str) -> Value {
        let public: PublicKeyComponents<Vec<u8>> = self.pair().public().into();
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id,
            "n": BASE64URL_NOPAD.encode(&public.n), "e": BASE64URL_NOPAD.encode(&public.e),
        })
    }

    /// Returns a token with these claims, signed under the key's id.
    pub(crate) fn sign(&self, id: &str, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": id}).to_string();
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims.to_string()));
        let pair = self.pair();
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            signed.as_bytes(),
            &mut signature,
        )
        .expect("the buffer fits");
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    /// Returns the claims of a token that this key signed, by RS256.
    pub(crate) fn claims(&self, token: &str) -> Option<Value> {
        let mut parts = token.split('.');
        let (head, claims, signature) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let read = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        let header: Value = serde_json::from_slice(&read(head)?).ok()?;
        if header.get("alg")? != "RS256" {
            return None;
        }
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public)
            .verify(format!("{head}.{claims}").as_bytes(), &read(signature)?)
            .ok()?;
        serde_json::from_slice(&read(claims)?).ok()
    }
}

fn openssl(arguments: &[&str], input: &str) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl is installed");
    let mut stdin = child.stdin.take().expect("it is piped");
    // One that wants no input may have ended already.
    stdin.write_all(input.as_bytes()).ok();
    drop(stdin);
    let output = child.wait_with_output().expect("it was started");
    assert!(output.status.success(), "openssl {arguments:?} failed");
    output.stdout
}
