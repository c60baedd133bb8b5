//! Requests to AWS: signed by the program with its placeholder, signed again by the gate with the real key.
//!
//! AWS's keys are in no request. A secret access key makes a signature over the request, so the gate cannot put it where its placeholder was: it
//! makes the signature anew, with the `aws-sigv4` crate. What was signed (which headers, which region and service) is the program's to say and is in its
//! signature; how it wrote the path down for signing differs between services, and is found by trying which way its own signature comes out.
//!
//! First [`verify`], with the request as the program sent it; then whatever the gate changes in it; then [`Signed::resign`].
//!
//! INVARIANT: the real key signs only what was signed with its placeholder: the same request, but for values that the gate itself put in place of
//! placeholders.
//!
//! Not here: signed chunks of a body, presigned URLs, and signatures with several regions (`SigV4A`); such a request is refused.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4::SigningParams;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use mira_secret::SecretName;

use crate::policy::Brokered;

/// The longest body that is read whole for its hash, in bytes.
// LIMIT: AWS's services take 16 MiB at most (DynamoDB's batches); S3, where bodies are larger, has the hash in a header.
pub(crate) const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The ways in which a path is written down for signing: that of most services, that of S3, and those of clients in between.
const PATH_RULES: [PathRule; 4] = [
    (
        PercentEncodingMode::Double,
        UriPathNormalizationMode::Enabled,
    ),
    (
        PercentEncodingMode::Single,
        UriPathNormalizationMode::Disabled,
    ),
    (
        PercentEncodingMode::Double,
        UriPathNormalizationMode::Disabled,
    ),
    (
        PercentEncodingMode::Single,
        UriPathNormalizationMode::Enabled,
    ),
];

type PathRule = (PercentEncodingMode, UriPathNormalizationMode);

/// The brokered keys of an AWS account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AwsKeys<'a> {
    /// Not there where the program has the real one, which is no secret by itself.
    access_key_id: Option<&'a Brokered>,
    secret_access_key: &'a Brokered,
    session_token: Option<&'a Brokered>,
}

impl<'a> AwsKeys<'a> {
    /// Returns the keys that are among these secrets, by their names; nothing if there is no secret access key.
    pub(crate) fn among(secrets: impl IntoIterator<Item = &'a Brokered>) -> Option<Self> {
        let [mut access_key_id, mut secret_access_key, mut session_token] = [None; 3];
        for secret in secrets {
            match secret.name.as_str() {
                ACCESS_KEY_ID => access_key_id = Some(secret),
                SECRET_ACCESS_KEY => secret_access_key = Some(secret),
                SESSION_TOKEN => session_token = Some(secret),
                _ => {}
            }
        }
        Some(Self {
            access_key_id,
            secret_access_key: secret_access_key?,
            session_token,
        })
    }

    /// Returns the name of the key that signs.
    pub(crate) fn name(&self) -> &'a SecretName {
        &self.secret_access_key.name
    }
}

/// What is known of a request's body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Payload<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// Nothing yet: it is passed on as it comes.
    Unread,
}

/// Why a request cannot be signed again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AwsError {
    /// The URL carries the signature.
    #[error("a presigned URL made with a placeholder is good for nobody: sign the headers")]
    Presigned,
    /// Each chunk of the body has a signature of its own.
    #[error("the chunks of the body are signed one by one: sign its hash, or leave it unsigned")]
    Chunks,
    /// It is signed by another rule than Signature Version 4.
    #[error(
        "the signature is not one of {ALGORITHM}; a signature for several regions cannot be made again"
    )]
    Algorithm,
    /// A part of the signature is missing or not what it should be.
    #[error("the AWS signature cannot be read: {0}")]
    Malformed(&'static str),
    /// The body was not read, and no header says what its hash is.
    #[error("the body is too long to be signed: more than {BODY_BYTES_MAX} bytes")]
    Body,
    /// The signature does not come out.
    #[error(
        "the AWS signature was not made over this request with the placeholder of {SECRET_ACCESS_KEY}"
    )]
    Signature,
    /// A value is not text.
    #[error("the value of {0} is not one that AWS gives out")]
    Value(SecretName),
}

/// Returns whether a request is signed with the placeholders of these keys, or seems to be: then it goes through [`verify`].
///
/// One that was signed with another access key, which the program got elsewhere, is none of the gate's.
pub(crate) fn is_signed(request: &Parts, keys: &AwsKeys<'_>) -> bool {
    let authorization = request
        .headers
        .get(AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    if let Some(authorization) = authorization.filter(|value| value.starts_with(b"AWS4-")) {
        return keys.access_key_id.is_none_or(|id| {
            let id = id.placeholder.as_bytes();
            authorization.windows(id.len()).any(|window| window == id)
        });
    }
    let query = request.uri.query().unwrap_or_default();
    let is_placeholder = |id: &Brokered| query.contains(&*id.placeholder);
    query.contains("X-Amz-Signature=") && keys.access_key_id.is_some_and(is_placeholder)
}

/// Returns whether the headers say what is signed of the body, so that it need not be read for that.
pub(crate) fn declares_payload(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_SHA256)
}

/// A request that was signed with the placeholder.
#[derive(Debug)]
pub(crate) struct Signed<'k> {
    keys: AwsKeys<'k>,
    access_key_id: Box<str>,
    region: Box<str>,
    service: Box<str>,
    time: SystemTime,
    headers: Vec<HeaderName>,
    payload: SignableBody<'static>,
    path_rule: PathRule,
}

/// Checks the signature that the program made.
///
/// # Errors
///
/// Returns why the request may not be signed again.
pub(crate) fn verify<'k>(
    request: &Parts,
    payload: Payload<'_>,
    keys: &AwsKeys<'k>,
) -> Result<Signed<'k>, AwsError> {
    let authorization = Authorization::read(&request.headers)?;
    let mut signed = Signed {
        keys: *keys,
        access_key_id: authorization.access_key_id.into(),
        region: authorization.region.into(),
        service: authorization.service.into(),
        time: time(&request.headers)?,
        headers: authorization.headers()?,
        payload: signable(&request.headers, payload)?,
        path_rule: PATH_RULES[0],
    };
    let placeholder = &*keys.secret_access_key.placeholder;
    for rule in PATH_RULES {
        signed.path_rule = rule;
        let made = signed.sign(request, &signed.access_key_id, placeholder)?;
        // The program knows its placeholder, so there is nothing to be learnt from how long this takes.
        if made.signature == authorization.signature {
            return Ok(signed);
        }
    }
    Err(AwsError::Signature)
}

impl Signed<'_> {
    /// Puts the real access key id and session token into a request, and the signature that the real key makes over it.
    ///
    /// Its headers may have changed since it was verified; its method, its path, its query and its body have not.
    ///
    /// # Errors
    ///
    /// Returns why there is no signature; the request is not to be sent then.
    pub(crate) fn resign(self, request: &mut Parts) -> Result<(), AwsError> {
        if let Some(token) = self.keys.session_token
            && let Some(header) = request.headers.get_mut(SECURITY_TOKEN)
            && header.as_bytes() == token.placeholder.as_bytes()
        {
            // EXPOSE: to the header of a request to a host that this secret is for.
            *header = sensitive(token.value.expose()).ok_or_else(|| bad_value(token))?;
        }
        let id = match self.keys.access_key_id {
            Some(id) => text(id)?,
            None => &*self.access_key_id,
        };
        let made = self.sign(request, id, text(self.keys.secret_access_key)?)?;
        let value = sensitive(made.authorization.as_bytes());
        let value = value.ok_or(AwsError::Malformed("the credential's scope"))?;
        request.headers.insert(AUTHORIZATION, value);
        Ok(())
    }

    fn sign(&self, request: &Parts, id: &str, key: &str) -> Result<Made, AwsError> {
        let mut headers = Vec::new();
        let mut token = None;
        for name in &self.headers {
            if *name == HOST {
                headers.push((HOST.as_str(), host(request)?));
                continue;
            }
            for value in request.headers.get_all(name) {
                let value = std::str::from_utf8(value.as_bytes());
                let value = value.map_err(|_| AwsError::Malformed("a header that is not text"))?;
                // Handed over beside the headers: there it is kept out of what the library may log.
                match *name == SECURITY_TOKEN {
                    true => token = Some(value.to_owned()),
                    false => headers.push((name.as_str(), value)),
                }
            }
        }
        let mut settings = SigningSettings::default();
        (
            settings.percent_encoding_mode,
            settings.uri_path_normalization_mode,
        ) = self.path_rule;
        // The headers are those that the program chose.
        settings.excluded_headers = None;
        let identity = Credentials::new(id, key, token, None, "mira").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.time)
            .settings(settings)
            .build()
            .expect("nothing is missing")
            .into();
        let target = request
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let unsignable = |_| AwsError::Malformed("a request that cannot be signed");
        let method = request.method.as_str();
        let signable =
            SignableRequest::new(method, target, headers.into_iter(), self.payload.clone())
                .map_err(unsignable)?;
        let (instructions, signature) = sign(signable, &params).map_err(unsignable)?.into_parts();
        let mut made = instructions.headers();
        let authorization = made.find(|(name, _)| *name == AUTHORIZATION.as_str());
        let (_, authorization) = authorization.expect("a signature in the headers is one of them");
        Ok(Made {
            authorization: authorization.to_owned(),
            signature,
        })
    }
}

struct Made {
    authorization: String,
    signature: String,
}

/// The parts of an `Authorization` header.
struct Authorization<'a> {
    access_key_id: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, AwsError> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next().ok_or(AwsError::Presigned)?;
        if values.next().is_some() {
            return Err(AwsError::Malformed("more than one"));
        }
        let value = value
            .to_str()
            .map_err(|_| AwsError::Malformed("not text"))?;
        let (algorithm, fields) = value.split_once(' ').ok_or(AwsError::Algorithm)?;
        match algorithm {
            ALGORITHM => {}
            _ if algorithm.starts_with("AWS4-") => return Err(AwsError::Algorithm),
            _ => return Err(AwsError::Presigned),
        }
        let field = |name: &str| {
            let mut fields = fields
                .split(',')
                .filter_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            fields.next().filter(|_| fields.next().is_none())
        };
        let credential = field("Credential").ok_or(AwsError::Malformed("the credential"))?;
        let scope: Vec<&str> = credential.split('/').collect();
        // The date is that of the header `X-Amz-Date`: with another one the signature does not come out.
        let [access_key_id, _date, region, service, "aws4_request"] = *scope else {
            return Err(AwsError::Malformed("the credential's scope"));
        };
        Ok(Self {
            access_key_id,
            region,
            service,
            signed_headers: field("SignedHeaders").ok_or(AwsError::Malformed("signed headers"))?,
            signature: field("Signature").ok_or(AwsError::Malformed("the signature"))?,
        })
    }

    fn headers(&self) -> Result<Vec<HeaderName>, AwsError> {
        let names = self.signed_headers.split(';').map(str::parse);
        let names: Result<Vec<HeaderName>, _> = names.collect();
        let names = names.map_err(|_| AwsError::Malformed("signed headers"))?;
        // Without the host, the signature would be good elsewhere too.
        match names.contains(&HOST) {
            true => Ok(names),
            false => Err(AwsError::Malformed("the host is not signed")),
        }
    }
}

fn time(headers: &HeaderMap) -> Result<SystemTime, AwsError> {
    let text = headers.get(DATE).and_then(|value| value.to_str().ok());
    let time = text.and_then(|text| DateTime::strptime("%Y%m%dT%H%M%SZ", text.trim()).ok());
    let time = time.and_then(|time| TimeZone::UTC.to_timestamp(time).ok());
    let time = time.and_then(|time| SystemTime::try_from(time).ok());
    time.ok_or(AwsError::Malformed("X-Amz-Date"))
}

/// Returns what is signed of the body: what a header says, else its hash.
fn signable(headers: &HeaderMap, payload: Payload<'_>) -> Result<SignableBody<'static>, AwsError> {
    use data_encoding::HEXLOWER;
    use sha2::{Digest as _, Sha256};
    let Some(declared) = headers.get(CONTENT_SHA256) else {
        let Payload::Whole(body) = payload else {
            return Err(AwsError::Body);
        };
        return Ok(SignableBody::Precomputed(
            HEXLOWER.encode(&Sha256::digest(body)),
        ));
    };
    match declared.to_str().unwrap_or_default() {
        "UNSIGNED-PAYLOAD" => Ok(SignableBody::UnsignedPayload),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(SignableBody::StreamingUnsignedPayloadTrailer),
        text if text.starts_with("STREAMING-") => Err(AwsError::Chunks),
        text if HEXLOWER
            .decode(text.as_bytes())
            .is_ok_and(|hash| hash.len() == 32) =>
        {
            Ok(SignableBody::Precomputed(text.to_owned()))
        }
        _ => Err(AwsError::Malformed("X-Amz-Content-Sha256")),
    }
}

/// Returns the host as it was signed: in HTTP/2 it is part of the address.
fn host(request: &Parts) -> Result<&str, AwsError> {
    let host = match request.headers.get(HOST) {
        Some(host) => host.to_str().ok(),
        None => request.uri.authority().map(|authority| authority.as_str()),
    };
    host.ok_or(AwsError::Malformed("the host"))
}

fn text(secret: &Brokered) -> Result<&str, AwsError> {
    // EXPOSE: to the library that signs with it, or writes it beside the signature.
    std::str::from_utf8(secret.value.expose()).map_err(|_| bad_value(secret))
}

fn bad_value(secret: &Brokered) -> AwsError {
    AwsError::Value(secret.name.clone())
}

fn sensitive(value: &[u8]) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests;
