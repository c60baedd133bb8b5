//! A check of AWS's Signature Version 4, written down from [its description](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html)
//! without the library that makes signatures: what that one does wrong is to be seen here.
//!
//! It takes signed headers only, paths in the way of S3 for `s3` and encoded twice for others, and no dot segments.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::header::{AUTHORIZATION, HOST};
use hyper::http::request::Parts;
use sha2::{Digest as _, Sha256};

/// What requests are to be signed with. They are a test's: a failing one may print them.
#[derive(Clone, Debug)]
pub struct AwsKeys {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token, for keys that have one.
    pub session_token: Option<String>,
}

/// Returns what is wrong with a request's signature.
pub(crate) fn check(head: &Parts, body: &[u8], keys: &AwsKeys) -> Result<(), &'static str> {
    let authorization = header(head, AUTHORIZATION.as_str()).ok_or("it is not signed")?;
    let fields = authorization.strip_prefix("AWS4-HMAC-SHA256 ");
    let fields = fields.ok_or("it is signed in another way")?;
    let field = |name: &str| {
        let mut fields = fields
            .split(',')
            .filter_map(|field| field.trim().split_once('='));
        fields.find_map(|(key, value)| (key == name).then_some(value))
    };
    let [credential, names, signature] = ["Credential", "SignedHeaders", "Signature"].map(field);
    let (id, scope) = credential
        .and_then(|credential| credential.split_once('/'))
        .ok_or("no scope")?;
    if id != keys.access_key_id {
        return Err("another access key id");
    }
    if header(head, "x-amz-security-token") != keys.session_token {
        return Err("another session token");
    }
    let [date, region, service, end] = *scope.split('/').collect::<Vec<_>>() else {
        return Err("no scope");
    };
    let time = header(head, "x-amz-date").ok_or("no time")?;
    if !time.starts_with(date) {
        return Err("another date in the scope");
    }
    let hash = hex(&Sha256::digest(body));
    let payload = header(head, "x-amz-content-sha256").unwrap_or_else(|| hash.clone());
    if payload.len() == hash.len() && payload != hash {
        return Err("another body");
    }
    let names = names.ok_or("no headers")?;
    let request = canonical(head, names, service, &payload);
    let text = format!(
        "AWS4-HMAC-SHA256\n{time}\n{scope}\n{}",
        hex(&Sha256::digest(request))
    );
    let mut key = format!("AWS4{}", keys.secret_access_key).into_bytes();
    for part in [date, region, service, end, &text] {
        key = hmac(&key, part);
    }
    match signature == Some(&hex(&key)) {
        true => Ok(()),
        false => Err("the signature does not match"),
    }
}

fn canonical(head: &Parts, names: &str, service: &str, payload: &str) -> String {
    let path = head.uri.path();
    let path = match service {
        "s3" => path.to_owned(),
        _ => path.bytes().map(encoded).collect(),
    };
    let query = head
        .uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty());
    let mut query: Vec<_> = query
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    query.sort_unstable();
    let query: Vec<String> = query
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", header(head, name).unwrap_or_default()))
        .collect();
    let query = query.join("&");
    format!(
        "{}\n{path}\n{query}\n{headers}\n{names}\n{payload}",
        head.method
    )
}

/// Returns all values of a header, with one space where there are several.
fn header(head: &Parts, name: &str) -> Option<String> {
    let values = head.headers.get_all(name).into_iter().map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
    });
    let values: Vec<String> = values.collect();
    let authority = || head.uri.authority().map(ToString::to_string);
    match values.is_empty() {
        true => (name == HOST.as_str()).then(authority).flatten(),
        false => Some(values.join(",")),
    }
}

fn encoded(byte: u8) -> String {
    match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
