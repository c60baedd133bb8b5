//! Tests of signing again, against signatures that AWS published and that botocore made: nothing that Mira signed itself.

use mira_secret::{SecretBytes, SecretValue};
use serde_json::Value;

use super::*;

/// A request that another implementation signed with a placeholder, and with the real keys.
struct Vector {
    name: String,
    request: Parts,
    body: Vec<u8>,
    secrets: Vec<Brokered>,
    resigned: String,
    real_token: Option<String>,
}

impl Vector {
    fn resign(&mut self, payload: Payload<'_>) -> Result<(), AwsError> {
        let keys = AwsKeys::among(&self.secrets).unwrap();
        verify(&self.request, payload, &keys)?.resign(&mut self.request)
    }

    /// Checks that it comes out as the other implementation signed it with the real keys.
    #[track_caller]
    fn check(mut self) {
        let keys = AwsKeys::among(&self.secrets).unwrap();
        assert!(is_signed(&self.request, &keys), "{}", self.name);
        let body = std::mem::take(&mut self.body);
        let payload = match declares_payload(&self.request.headers) {
            true => Payload::Unread,
            false => Payload::Whole(&body),
        };
        self.resign(payload)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let header = |name: HeaderName| {
            let value = self.request.headers.get(name)?;
            Some(std::str::from_utf8(value.as_bytes()).unwrap())
        };
        assert_eq!(
            header(AUTHORIZATION),
            Some(&*self.resigned),
            "{}",
            self.name
        );
        assert_eq!(
            header(SECURITY_TOKEN),
            self.real_token.as_deref(),
            "{}",
            self.name
        );
    }
}

fn vectors(file: &str) -> Vec<Vector> {
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap();
    vectors.iter().map(vector).collect()
}

fn suite() -> Vec<Vector> {
    vectors(include_str!("../../../../../vectors/sigv4/suite.json"))
}

fn botocore() -> Vec<Vector> {
    vectors(include_str!("../../../../../vectors/sigv4/botocore.json"))
}

fn named(name: &str) -> Vector {
    let mut all = botocore().into_iter();
    all.find(|vector| vector.name == name).unwrap()
}

fn vector(json: &Value) -> Vector {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let [program, account] = [&json["program"], &json["account"]];
    let mut request = http::Request::builder()
        .method(text(&json["method"]).unwrap().as_str())
        .uri(text(&json["target"]).unwrap());
    for header in json["headers"].as_array().unwrap() {
        let [name, value] = [&header[0], &header[1]].map(|part| text(part).unwrap());
        request = request.header(name, value.trim());
    }
    request = request.header(AUTHORIZATION, text(&program["authorization"]).unwrap());
    if let Some(token) = text(&program["session_token"]) {
        request = request.header(SECURITY_TOKEN, token);
    }
    let secrets = [
        (ACCESS_KEY_ID, "access_key_id"),
        (SECRET_ACCESS_KEY, "secret_access_key"),
        (SESSION_TOKEN, "session_token"),
    ];
    let secrets = secrets.into_iter().filter_map(|(name, field)| {
        Some(brokered(
            name,
            &text(&program[field])?,
            &text(&account[field])?,
        ))
    });
    Vector {
        name: text(&json["name"]).unwrap(),
        secrets: secrets.collect(),
        request: request.body(()).unwrap().into_parts().0,
        body: text(&json["body"]).unwrap().into_bytes(),
        resigned: text(&account["authorization"]).unwrap(),
        real_token: text(&account["session_token"]),
    }
}

fn brokered(name: &str, placeholder: &str, value: &str) -> Brokered {
    let name: SecretName = name.parse().unwrap();
    Brokered {
        placeholder: placeholder.into(),
        value: SecretValue::new(&name, SecretBytes::copy_from(value.as_bytes())).unwrap(),
        hosts: Vec::new(),
        query: Vec::new(),
        name,
    }
}

#[test]
fn the_signatures_of_awss_own_test_suite_are_verified_and_made() {
    let vectors = suite();
    assert_eq!(vectors.len(), 35);
    vectors.into_iter().for_each(Vector::check);
}

#[test]
fn a_request_that_botocore_signed_comes_out_as_botocore_signs_it_with_the_real_keys() {
    let vectors = botocore();
    assert_eq!(vectors.len(), 12);
    vectors.into_iter().for_each(Vector::check);
}

#[test]
fn an_access_key_id_that_is_not_brokered_stays() {
    let mut vector = named("dynamodb");
    vector.secrets.remove(0);
    let body = std::mem::take(&mut vector.body);
    vector.resign(Payload::Whole(&body)).unwrap();
    let made = vector.request.headers[AUTHORIZATION].to_str().unwrap();
    let (_, signature) = vector.resigned.rsplit_once('=').unwrap();
    assert!(made.contains("Credential=AKIAPLACEHOLDER23456/"), "{made}");
    assert!(made.ends_with(signature), "{made}");
}

#[test]
fn what_the_gate_changes_in_between_is_signed_as_changed() {
    let changed = |signed_name: &str| {
        let mut vector = named("header-whitespace-and-utf8");
        let keys = AwsKeys::among(&vector.secrets).unwrap();
        let body = std::mem::take(&mut vector.body);
        let signed = verify(&vector.request, Payload::Whole(&body), &keys).unwrap();
        let value = HeaderValue::from_static("changed");
        let name: HeaderName = signed_name.parse().unwrap();
        vector.request.headers.insert(name, value);
        signed.resign(&mut vector.request).unwrap();
        vector.request.headers[AUTHORIZATION] == *vector.resigned
    };
    assert!(!changed("x-amz-meta-note"));
    assert!(changed("accept-encoding"));
}

#[test]
fn the_host_of_an_http_2_request_is_the_one_in_its_address() {
    let mut vector = named("dynamodb");
    let host = vector.request.headers.remove(HOST).unwrap();
    let host = host.to_str().unwrap();
    vector.request.uri = format!("https://{host}/").parse().unwrap();
    vector.check();
}

#[test]
fn the_order_of_the_query_does_not_matter() {
    let mut vector = named("iam-query");
    let (path, query) = ("/", vector.request.uri.query().unwrap());
    let turned: Vec<&str> = query.split('&').rev().collect();
    vector.request.uri = format!("{path}?{}", turned.join("&")).parse().unwrap();
    vector.check();
}

#[test]
fn a_request_that_was_changed_after_it_was_signed_is_refused() {
    let changes: [fn(&mut Parts); 7] = [
        |request| request.method = http::Method::PUT,
        |request| request.uri = "/other".parse().unwrap(),
        |request| request.uri = "/?Action=DeleteTopic".parse().unwrap(),
        |request| {
            drop(
                request
                    .headers
                    .insert(HOST, HeaderValue::from_static("other.test")),
            )
        },
        |request| {
            let later = HeaderValue::from_static("20261124T070510Z");
            drop(request.headers.insert(DATE, later));
        },
        |request| drop(request.headers.remove("x-amz-meta-note")),
        |request| {
            let value = request.headers[AUTHORIZATION].to_str().unwrap();
            let value = value.replace("us-east-1", "us-east-2");
            drop(
                request
                    .headers
                    .insert(AUTHORIZATION, value.parse().unwrap()),
            );
        },
    ];
    for change in changes {
        let mut vector = named("header-whitespace-and-utf8");
        change(&mut vector.request);
        let body = vector.body.clone();
        let before = vector.request.headers.clone();
        assert_eq!(
            vector.resign(Payload::Whole(&body)),
            Err(AwsError::Signature)
        );
        assert_eq!(vector.request.headers, before);
    }
    let mut vector = named("header-whitespace-and-utf8");
    let refused = vector.resign(Payload::Whole(b"another body"));
    assert_eq!(refused, Err(AwsError::Signature));
}

#[test]
fn a_request_that_the_real_key_signed_is_refused_for_it_did_not_come_from_the_placeholder() {
    let mut vector = named("s3-put");
    let real = vector.resigned.parse().unwrap();
    vector.request.headers.insert(AUTHORIZATION, real);
    assert_eq!(vector.resign(Payload::Unread), Err(AwsError::Signature));
}

#[test]
fn a_request_with_another_access_key_is_none_of_the_gates() {
    let mut vector = named("s3-put");
    let other = vector.resigned.parse().unwrap();
    vector.request.headers.insert(AUTHORIZATION, other);
    assert!(!is_signed(
        &vector.request,
        &AwsKeys::among(&vector.secrets).unwrap()
    ));
    vector
        .request
        .headers
        .insert(AUTHORIZATION, HeaderValue::from_static("Bearer AWS4-"));
    assert!(!is_signed(
        &vector.request,
        &AwsKeys::among(&vector.secrets).unwrap()
    ));
    vector.request.headers.remove(AUTHORIZATION);
    assert!(!is_signed(
        &vector.request,
        &AwsKeys::among(&vector.secrets).unwrap()
    ));
}

#[test]
fn a_presigned_url_is_refused_where_a_placeholder_made_it() {
    let mut vector = named("s3-get");
    vector.request.headers.remove(AUTHORIZATION);
    let presigned = |id: &str| {
        let target = format!("/key?X-Amz-Credential={id}%2F20261124&X-Amz-Signature=00");
        target.parse().unwrap()
    };
    vector.request.uri = presigned("AKIAPLACEHOLDER23456");
    assert!(is_signed(
        &vector.request,
        &AwsKeys::among(&vector.secrets).unwrap()
    ));
    vector.request.uri = presigned("AKIASOMEBODYELSE2345");
    assert!(!is_signed(
        &vector.request,
        &AwsKeys::among(&vector.secrets).unwrap()
    ));
    assert_eq!(vector.resign(Payload::Unread), Err(AwsError::Presigned));
}

#[test]
fn what_cannot_be_signed_again_is_told_by_its_reason() {
    #[track_caller]
    fn check(name: HeaderName, value: &str, expected: &AwsError) {
        let mut vector = named("s3-put");
        vector.request.headers.insert(name, value.parse().unwrap());
        assert_eq!(vector.resign(Payload::Unread).as_ref(), Err(expected));
    }
    for chunks in [
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
    ] {
        check(CONTENT_SHA256, chunks, &AwsError::Chunks);
    }
    check(
        CONTENT_SHA256,
        "E3B0",
        &AwsError::Malformed("X-Amz-Content-Sha256"),
    );
    check(DATE, "2026-11-24", &AwsError::Malformed("X-Amz-Date"));
    let scope = "Credential=AKIAPLACEHOLDER23456/20261124/us-east-1/s3/aws4_request";
    let authorization = |text: String, expected| check(AUTHORIZATION, &text, &expected);
    authorization(
        format!("AWS4-ECDSA-P256-SHA256 {scope}, SignedHeaders=host, Signature=00"),
        AwsError::Algorithm,
    );
    authorization(
        format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=host"),
        AwsError::Malformed("the signature"),
    );
    authorization(
        format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders=x-amz-date, Signature=00"),
        AwsError::Malformed("the host is not signed"),
    );
    authorization(
        format!("AWS4-HMAC-SHA256 {scope}, {scope}, SignedHeaders=host, Signature=00"),
        AwsError::Malformed("the credential"),
    );
    authorization(
        "AWS4-HMAC-SHA256 Credential=A/20261124/s3/aws4_request, SignedHeaders=host, Signature=00"
            .to_owned(),
        AwsError::Malformed("the credential's scope"),
    );
    let mut vector = named("dynamodb");
    assert_eq!(vector.resign(Payload::Unread), Err(AwsError::Body));
}

#[test]
fn a_value_that_is_no_key_of_aws_is_told_by_its_name() {
    let mut vector = named("s3-put");
    let secret = &mut vector.secrets[1];
    secret.value = SecretValue::new(&secret.name, SecretBytes::copy_from(b"\xff\xfe")).unwrap();
    let name = secret.name.clone();
    assert_eq!(vector.resign(Payload::Unread), Err(AwsError::Value(name)));
}

#[test]
fn what_was_put_in_is_not_printed_with_the_headers() {
    let mut vector = named("s3-get");
    vector.resign(Payload::Unread).unwrap();
    let printed = format!("{:?}", vector.request.headers);
    assert!(!printed.contains("FwoGZXIvYXdzEXAMPLE"), "{printed}");
    assert!(!printed.contains("AKIAIOSFODNN7EXAMPLE"), "{printed}");
}
