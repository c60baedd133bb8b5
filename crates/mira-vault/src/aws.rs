//! AWS credentials: one secret that is delivered as several variables.
//!
//! Its value is a small JSON document, closed: `access_key_id`, `secret_access_key`, and where there are any `session_token` and
//! `expires`. INVARIANT: what is held has the shape of what AWS gives out, so a key in the wrong field is noticed before it is saved.

use std::fmt;

use jiff::Timestamp;
use mira_secret::{SecretBytes, SecretName, SecretValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The name under which AWS credentials are saved in scope `user`.
pub const AWS_CREDENTIALS: &str = "AWS_CREDENTIALS";

/// The variables that they are delivered as, as AWS's own tools name them.
pub const AWS_VARIABLES: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// The variables that say which region they are used in, which is no secret.
pub const AWS_REGION_VARIABLES: [&str; 2] = ["AWS_REGION", "AWS_DEFAULT_REGION"];

/// How long an access key id is.
// LIMIT: a prefix of 4 and 16 more (IAM's reference of unique ids); longer ones are not given out.
const KEY_ID_BYTES: usize = 20;
/// How long a secret access key is.
// LIMIT: 30 bytes as base64, in every key that AWS gives out.
const SECRET_KEY_BYTES: usize = 40;
/// The shortest and the longest session token, in bytes.
// LIMIT: AWS states no length; real ones have several hundred bytes, and STS refuses to make ones beyond 4 KiB or so.
const TOKEN_BYTES: (usize, usize) = (16, 16 * 1024);

/// The keys of an AWS account.
pub struct AwsCredentials {
    access_key_id: SecretBytes,
    secret_access_key: SecretBytes,
    session_token: Option<SecretBytes>,
    expires: Option<Timestamp>,
}

/// Why bytes are no AWS credentials. No variant holds any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AwsCredentialsError {
    /// The access key id is none.
    #[error(
        "that is no access key id: it has {KEY_ID_BYTES} capital letters and digits, and begins with AKIA (long-term) or ASIA (temporary)"
    )]
    AccessKeyId,
    /// What was given as the access key id is the id of something else.
    #[error(
        "that is the id of an IAM user, role or group, not of an access key: an access key id begins with AKIA or ASIA"
    )]
    OtherId,
    /// The secret access key is none.
    #[error(
        "that is no secret access key: it has {SECRET_KEY_BYTES} letters, digits, `+` and `/`, and {found} characters were given"
    )]
    SecretAccessKey {
        /// How many there are.
        found: usize,
    },
    /// The session token is none.
    #[error("that is no session token: it is one long line of letters, digits, `+`, `/` and `=`")]
    SessionToken,
    /// A temporary key without its token.
    #[error(
        "an access key that begins with ASIA is temporary and is good for nothing without its session token"
    )]
    TokenMissing,
    /// A long-term key with a token.
    #[error(
        "an access key that begins with AKIA is long-term and has no session token: one of the two belongs to another key"
    )]
    TokenTooMany,
    /// Only session tokens expire.
    #[error("only a temporary key, with a session token, expires")]
    NoToken,
    /// The document is not one.
    #[error("the value is not the JSON document that holds AWS credentials")]
    Document,
}

/// The document, on its way in and out.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    access_key_id: Zeroizing<String>,
    secret_access_key: Zeroizing<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session_token: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

impl AwsCredentials {
    /// Checks that the parts have the shapes that AWS gives them.
    ///
    /// # Errors
    ///
    /// Returns which does not.
    pub fn new(
        access_key_id: SecretBytes,
        secret_access_key: SecretBytes,
        session_token: Option<SecretBytes>,
        expires: Option<Timestamp>,
    ) -> Result<Self, AwsCredentialsError> {
        let is_temporary = check_key_id(&access_key_id)?;
        check_secret_key(&secret_access_key)?;
        match &session_token {
            None if is_temporary => return Err(AwsCredentialsError::TokenMissing),
            None if expires.is_some() => return Err(AwsCredentialsError::NoToken),
            Some(_) if !is_temporary => return Err(AwsCredentialsError::TokenTooMany),
            Some(token) => check_token(token)?,
            None => {}
        }
        Ok(Self {
            access_key_id,
            secret_access_key,
            session_token,
            expires,
        })
    }

    /// Reads a secret's value.
    ///
    /// # Errors
    ///
    /// It is not the document, or a part has not its shape.
    pub fn from_value(value: &SecretValue) -> Result<Self, AwsCredentialsError> {
        // EXPOSE: to the parser, whose copies are wiped.
        let wire: Wire =
            serde_json::from_slice(value.expose()).map_err(|_| AwsCredentialsError::Document)?;
        let bytes = |text: Zeroizing<String>| SecretBytes::copy_from(text.as_bytes());
        let expires = wire.expires.map(|text| text.parse()).transpose();
        Self::new(
            bytes(wire.access_key_id),
            bytes(wire.secret_access_key),
            wire.session_token.map(bytes),
            expires.map_err(|_| AwsCredentialsError::Document)?,
        )
    }

    /// Returns the value to save.
    ///
    /// # Errors
    ///
    /// None: what is held fits a variable.
    pub fn to_value(&self) -> Result<SecretValue, mira_secret::ValueError> {
        // EXPOSE: to the document that is saved, whose copies are wiped.
        let text =
            |bytes: &SecretBytes| Zeroizing::new(String::from_utf8_lossy(bytes.expose()).into());
        let wire = Wire {
            access_key_id: text(&self.access_key_id),
            secret_access_key: text(&self.secret_access_key),
            session_token: self.session_token.as_ref().map(text),
            expires: self.expires.map(|time| time.to_string()),
        };
        // Made with all the room that it needs, so that it never moves: no character in it is escaped.
        let mut document = Vec::with_capacity(TOKEN_BYTES.1 + 1024);
        serde_json::to_writer(&mut document, &wire).expect("text can be written to memory");
        SecretValue::new(&name(AWS_CREDENTIALS), SecretBytes::from_vec(document))
    }

    /// Says when they end.
    ///
    /// # Errors
    ///
    /// They are a long-term key, which does not.
    pub fn with_expiry(self, expires: Timestamp) -> Result<Self, AwsCredentialsError> {
        match self.session_token {
            None => Err(AwsCredentialsError::NoToken),
            Some(_) => Ok(Self {
                expires: Some(expires),
                ..self
            }),
        }
    }

    /// Returns the access key id.
    #[must_use]
    pub fn access_key_id(&self) -> &SecretBytes {
        &self.access_key_id
    }

    /// Returns the secret access key.
    #[must_use]
    pub fn secret_access_key(&self) -> &SecretBytes {
        &self.secret_access_key
    }

    /// Returns the session token of a temporary key.
    #[must_use]
    pub fn session_token(&self) -> Option<&SecretBytes> {
        self.session_token.as_ref()
    }

    /// Returns when a temporary key ends, where that is known.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Returns as much of the access key id as tells one key from another: its kind and its last four characters.
    #[must_use]
    pub fn masked_key_id(&self) -> String {
        // EXPOSE: to the person, eight of twenty characters, which say which key it is and not what it is.
        let id = String::from_utf8_lossy(self.access_key_id.expose());
        let start: String = id.chars().take(4).collect();
        let end: String = id.chars().skip(KEY_ID_BYTES - 4).collect();
        format!("{start}…{end}")
    }

    /// Returns the variables that they are delivered as.
    ///
    /// # Errors
    ///
    /// None: what is held fits a variable.
    pub fn variables(&self) -> Result<Vec<(SecretName, SecretValue)>, mira_secret::ValueError> {
        let parts = [
            Some(&self.access_key_id),
            Some(&self.secret_access_key),
            self.session_token.as_ref(),
        ];
        let parts = AWS_VARIABLES.into_iter().zip(parts);
        parts
            .filter_map(|(variable, part)| Some((name(variable), part?)))
            .map(|(name, part)| {
                // EXPOSE: to the value that is delivered.
                let value = SecretValue::new(&name, SecretBytes::copy_from(part.expose()))?;
                Ok((name, value))
            })
            .collect()
    }
}

fn name(text: &str) -> SecretName {
    let name = text.parse();
    name.expect("it is made of capital letters and underscores")
}

/// Checks an access key id; returns whether it is a temporary key's.
///
/// The prefixes are those of IAM's reference, "Understanding unique ID prefixes".
fn check_key_id(id: &SecretBytes) -> Result<bool, AwsCredentialsError> {
    const OTHERS: [&[u8]; 6] = [b"AIDA", b"AROA", b"AGPA", b"AIPA", b"ANPA", b"ANVA"];
    // EXPOSE: to the check of its shape, which tells only which rule it breaks.
    let id = id.expose();
    if OTHERS.iter().any(|prefix| id.starts_with(prefix)) {
        return Err(AwsCredentialsError::OtherId);
    }
    let is_temporary = id.starts_with(b"ASIA");
    let is_key = is_temporary || id.starts_with(b"AKIA");
    let holds_well = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    if is_key && id.len() == KEY_ID_BYTES && id.iter().all(holds_well) {
        Ok(is_temporary)
    } else {
        Err(AwsCredentialsError::AccessKeyId)
    }
}

fn check_secret_key(key: &SecretBytes) -> Result<(), AwsCredentialsError> {
    // EXPOSE: to the check of its shape, which tells only its length.
    let holds_well = key.expose().iter().all(|&byte| is_base64(byte));
    match holds_well && key.len() == SECRET_KEY_BYTES {
        true => Ok(()),
        false => Err(AwsCredentialsError::SecretAccessKey { found: key.len() }),
    }
}

fn check_token(token: &SecretBytes) -> Result<(), AwsCredentialsError> {
    let (min, max) = TOKEN_BYTES;
    // EXPOSE: to the check of its shape, which tells yes or no.
    let mut bytes = token.expose().iter();
    match bytes.all(|&byte| is_base64(byte) || byte == b'=') && (min..=max).contains(&token.len()) {
        true => Ok(()),
        false => Err(AwsCredentialsError::SessionToken),
    }
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The examples of AWS's documentation.
    const LONG: &str = "AKIAIOSFODNN7EXAMPLE";
    const SHORT: &str = "ASIAIOSFODNN7EXAMPLE";
    const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    const TOKEN: &str = "AQoDYXdzEJr1K8Ejd1ez+o/GLvgJ8l==";

    fn made(
        id: &str,
        key: &str,
        token: Option<&str>,
        expires: Option<&str>,
    ) -> Result<AwsCredentials, AwsCredentialsError> {
        let bytes = |text: &str| SecretBytes::copy_from(text.as_bytes());
        let expires = expires.map(|text| text.parse().unwrap());
        AwsCredentials::new(bytes(id), bytes(key), token.map(bytes), expires)
    }

    #[test]
    fn a_part_that_is_something_else_is_refused() {
        use AwsCredentialsError as Error;
        let check = |id: &str, key: &str, token: Option<&str>, expires, expect: Error| {
            assert_eq!(made(id, key, token, expires).err(), Some(expect), "{id}");
        };
        check("AKIA", KEY, None, None, Error::AccessKeyId);
        check(&LONG.to_lowercase(), KEY, None, None, Error::AccessKeyId);
        check(KEY, LONG, None, None, Error::AccessKeyId);
        check("AROAIOSFODNN7EXAMPLE", KEY, None, None, Error::OtherId);
        let found = LONG.len();
        check(LONG, LONG, None, None, Error::SecretAccessKey { found });
        check(SHORT, KEY, None, None, Error::TokenMissing);
        check(LONG, KEY, Some(TOKEN), None, Error::TokenTooMany);
        check(SHORT, KEY, Some("a b"), None, Error::SessionToken);
        let end = Some("2026-11-24T07:05:09Z");
        check(LONG, KEY, None, end, Error::NoToken);
    }

    #[test]
    fn what_is_saved_is_read_again() {
        for (id, token, expires) in [
            (LONG, None, None),
            (SHORT, Some(TOKEN), None),
            (SHORT, Some(TOKEN), Some("2026-11-24T07:05:09Z")),
        ] {
            let saved = made(id, KEY, token, expires).unwrap().to_value().unwrap();
            let read = AwsCredentials::from_value(&saved).unwrap();
            assert_eq!(
                read.expires().map(|time| time.to_string()).as_deref(),
                expires
            );
            let variables = read.variables().unwrap();
            let told = variables
                .iter()
                .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value.expose())));
            let told: Vec<String> = told.collect();
            let mut expect = vec![
                format!("AWS_ACCESS_KEY_ID={id}"),
                format!("AWS_SECRET_ACCESS_KEY={KEY}"),
            ];
            expect.extend(token.map(|token| format!("AWS_SESSION_TOKEN={token}")));
            assert_eq!(told, expect);
        }
    }

    #[test]
    fn a_document_with_more_or_less_in_it_is_refused() {
        let check = |text: &str| {
            let value = SecretValue::new(&name("X"), SecretBytes::copy_from(text.as_bytes()));
            let read = AwsCredentials::from_value(&value.unwrap());
            assert_eq!(read.err(), Some(AwsCredentialsError::Document), "{text}");
        };
        check("sk-1");
        check(&format!(r#"{{"access_key_id":"{LONG}"}}"#));
        check(&format!(
            r#"{{"access_key_id":"{LONG}","secret_access_key":"{KEY}","region":"x"}}"#
        ));
        check(&format!(
            r#"{{"access_key_id":"{SHORT}","secret_access_key":"{KEY}","session_token":"{TOKEN}","expires":"soon"}}"#
        ));
    }

    #[test]
    fn only_the_ends_of_a_key_id_are_shown() {
        let credentials = made(LONG, KEY, None, None).unwrap();
        assert_eq!(credentials.masked_key_id(), "AKIA…MPLE");
        assert_eq!(
            format!("{credentials:?}"),
            "AwsCredentials { expires: None, .. }"
        );
    }
}
