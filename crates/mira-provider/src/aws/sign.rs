//! Signature Version 4 over a request, by the `aws-sigv4` crate.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign as made};
use aws_sigv4::sign::v4::SigningParams;
use http::Request;
use mira_secret::SecretBytes;
use mira_vault::AwsCredentials;

use mira_vault::settings::Region;

/// Signs a request with the keys, as of now.
pub(super) fn sign(
    request: &mut Request<Vec<u8>>,
    credentials: &AwsCredentials,
    region: &Region,
    service: &str,
) {
    // EXPOSE: to the signature, which holds none of it, and the session token to the header of a request to AWS.
    let text = |part: &SecretBytes| String::from_utf8_lossy(part.expose()).into_owned();
    let identity = Credentials::new(
        text(credentials.access_key_id()),
        text(credentials.secret_access_key()),
        credentials.session_token().map(text),
        None,
        "mira",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region.as_str())
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .expect("nothing is missing")
        .into();
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers,
        SignableBody::Bytes(request.body()),
    );
    let instructions = signable.and_then(|signable| made(signable, &params));
    let (instructions, _) = instructions
        .expect("a request of our own can be signed")
        .into_parts();
    instructions.apply_to_request_http1x(request);
}
