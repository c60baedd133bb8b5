//! Where values are put, and what else reaches the host.

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::Full;

use super::world::{API, KEY, PLACEHOLDER, World, policy, request, secret};
use crate::broker::aws::{self, AwsKeys, Payload};
use crate::policy::Policy;

const VERSIONS: [&[u8]; 2] = [b"http/1.1", b"h2"];

fn empty() -> Full<Bytes> {
    Full::default()
}

#[tokio::test]
async fn a_placeholder_becomes_the_value_in_headers_basic_credentials_and_the_named_parameter() {
    for (program, host) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let protocols: &[&[&[u8]]] = &[&[b"http/1.1"], &[b"h2"]];
        let world = World::with(protocols[host]).await;
        let protocol = VERSIONS[program];
        let basic = BASE64.encode(format!("user:{PLACEHOLDER}").as_bytes());
        let target = format!(
            "/a?x=%41&key={PLACEHOLDER}&key=%73k-{}&y",
            PLACEHOLDER.split_at(3).1
        );
        let asked = request(&target, protocol)
            .header("authorization", format!("Bearer {PLACEHOLDER}"))
            .header("x-api-key", PLACEHOLDER)
            .header("x-twice", format!("{PLACEHOLDER},{PLACEHOLDER}"))
            .header("x-basic", format!("Basic {basic}"))
            .header("proxy-authorization", "Basic eDp5")
            .header("accept-encoding", "gzip, br")
            .header("x-plain", "stays")
            .body(empty())
            .unwrap();
        let (response, _) = world.call(asked, protocol).await;
        assert_eq!(response.status(), 200);
        let seen = world.origin.seen().pop().unwrap();
        assert_eq!(seen.header("authorization"), format!("Bearer {KEY}"));
        assert_eq!(seen.header("x-api-key"), KEY);
        assert_eq!(seen.header("x-twice"), format!("{KEY},{KEY}"));
        let basic = BASE64.encode(format!("user:{KEY}").as_bytes());
        assert_eq!(seen.header("x-basic"), format!("Basic {basic}"));
        assert_eq!(seen.header("x-plain"), "stays");
        assert_eq!(seen.header("accept-encoding"), "identity");
        assert_eq!(seen.header("proxy-authorization"), "");
        assert_eq!(seen.target, format!("/a?x=%41&key={KEY}&key={KEY}&y"));
        let host = if host == 0 { API } else { "" };
        assert_eq!(seen.header("host"), host);
        drop(response);
        let row = world.rows().pop().unwrap();
        assert_eq!(
            (row.secrets, row.status),
            (vec!["KEY".to_owned()], Some(200))
        );
        assert!(!world.is_recorded(KEY));
        assert!(!world.is_recorded(PLACEHOLDER));
    }
}

#[tokio::test]
async fn what_is_sent_is_framed_anew_and_says_nothing_of_the_programs_connection() {
    let world = World::new().await;
    let asked = format!(
        "POST /a HTTP/1.1\r\nHost: {API}:443\r\nConnection: x-hop, close, Upgrade\r\nX-Hop: 1\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAAA\r\nKeep-Alive: 3\r\nTE: gzip, trailers\r\nTransfer-Encoding: chunked\r\nProxy-Connection: close\r\n\r\n\
         3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    );
    let answer = world.raw(API, &asked).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = world.origin.seen().pop().unwrap();
    assert_eq!(
        (seen.method.as_str(), &*seen.body),
        ("POST", &b"abcdef"[..])
    );
    let mut names: Vec<&str> = seen.headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    let expected = ["accept-encoding", "host", "te", "transfer-encoding"];
    assert_eq!(names, expected);
    assert_eq!(seen.header("te"), "trailers");
    assert_eq!(seen.header("host"), API);
}

#[tokio::test]
async fn a_body_waits_for_its_continue_and_cookies_are_joined_for_an_older_host() {
    let world = World::new().await;
    let asked = format!(
        "PUT /a HTTP/1.1\r\nHost: {API}\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    );
    let answer = world.raw(API, &asked).await;
    let told = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n";
    assert!(answer.starts_with(told), "{answer}");
    assert_eq!(&*world.origin.seen().pop().unwrap().body, b"abc");

    let asked = request("/a", b"h2")
        .header("cookie", "a=1")
        .header("cookie", format!("b={PLACEHOLDER}"))
        .body(empty())
        .unwrap();
    world.call(asked, b"h2").await;
    let seen = world.origin.seen().pop().unwrap();
    assert_eq!(seen.header("cookie"), format!("a=1; b={KEY}"));
}

#[tokio::test]
async fn answers_without_a_body_keep_their_heads() {
    let world = World::new().await;
    let asked = format!("HEAD /echo HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n");
    let answer = world.raw(API, &asked).await;
    assert!(
        answer.to_lowercase().contains("content-length: 12\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    for status in ["204", "304"] {
        let asked =
            format!("GET /status?is={status} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n");
        let answer = world.raw(API, &asked).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn connections_to_the_host_are_used_again_and_a_stale_one_is_replaced() {
    let world = World::new().await;
    for _ in 0..3 {
        let asked = request("/a", b"http/1.1").body(empty()).unwrap();
        assert_eq!(world.call(asked, b"http/1.1").await.0.status(), 200);
    }
    let dials = || world.dials.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(dials(), 1);
    // Another policy is another pool.
    world.replace(policy().build());
    let asked = request("/a", b"http/1.1").body(empty()).unwrap();
    assert_eq!(world.call(asked, b"http/1.1").await.0.status(), 200);
    assert_eq!(dials(), 2);
}

#[tokio::test]
async fn a_value_that_no_header_can_hold_is_told_without_being_shown() {
    let world = World::new().await;
    let mut policy = Policy::builder("app");
    policy.broker(secret("KEY", PLACEHOLDER, "canary-line\nbreak", API));
    world.replace(policy.build());
    let asked = format!(
        "GET /a HTTP/1.1\r\nHost: {API}\r\nAuthorization: Bearer {PLACEHOLDER}\r\nConnection: close\r\n\r\n"
    );
    let answer = world.raw(API, &asked).await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    assert!(
        answer.contains("the value of KEY cannot stand in a header"),
        "{answer}"
    );
    assert!(!answer.contains("canary"), "{answer}");
    // In the query it can.
    let asked =
        format!("GET /a?key={PLACEHOLDER} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n");
    world.raw(API, &asked).await;
    let seen = world.origin.seen().pop().unwrap();
    assert_eq!(seen.target, "/a?key=canary-line%0Abreak");
}

#[tokio::test]
async fn plain_http_to_a_host_of_a_secret_gets_it_too() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let world = World::new().await;
    let mut tcp = world.tcp(API, 80).await;
    let asked = format!(
        "GET http://{API}/echo HTTP/1.1\r\nHost: {API}\r\nX-Secret: {PLACEHOLDER}\r\nConnection: close\r\n\r\n"
    );
    tcp.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let seen = world.origin.seen().pop().unwrap();
    assert_eq!(seen.header("x-secret"), KEY);
    assert_eq!(seen.target, "/echo");
    assert!(
        answer.contains("[redacted:KEY]") && !answer.contains(KEY),
        "{answer}"
    );
}

#[tokio::test]
async fn a_request_that_was_signed_for_aws_with_the_placeholder_is_signed_with_the_key() {
    use aws_credential_types::Credentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;

    let key = "wJalrXUtnFEMIcanaryMDENGbPxRfiCYEXAMPLEK";
    let placeholder = "pL4ceh0lderpL4ceh0lderpL4ceh0lderpL4ceh0";
    let world = World::new().await;
    let mut policy = Policy::builder("app");
    policy.broker(secret("AWS_SECRET_ACCESS_KEY", placeholder, key, API));
    world.replace(policy.build());

    let body = b"{}";
    let asked = |signed_body: &[u8]| {
        let identity = Credentials::new("AKIDEXAMPLE", placeholder, None, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("eu-west-1")
            .name("dynamodb")
            .time(std::time::SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers = [("host", API), ("x-amz-target", "List")].into_iter();
        let signed_body = SignableBody::Bytes(signed_body);
        let signable = SignableRequest::new("POST", "/a?b=1", headers, signed_body).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let asked = request("/a?b=1", b"http/1.1").method("POST");
        let asked = asked.header("x-amz-target", "List");
        let mut asked = asked.body(Full::from(&body[..])).unwrap();
        instructions.apply_to_request_http1x(&mut asked);
        asked
    };
    let (response, _) = world.call(asked(body), b"http/1.1").await;
    assert_eq!(response.status(), 200);
    let seen = world.origin.seen().pop().unwrap();
    let sent = http::Request::builder().method("POST").uri(&seen.target);
    let (mut head, ()) = sent.body(()).unwrap().into_parts();
    head.headers = seen.headers.clone();
    // Who holds the key itself can tell that it made the signature.
    let holder = secret("AWS_SECRET_ACCESS_KEY", key, key, API);
    let keys = AwsKeys::among([&holder]).unwrap();
    aws::verify(&head, Payload::Whole(&seen.body), &keys).unwrap();
    assert_eq!(
        world.rows().pop().unwrap().secrets,
        ["AWS_SECRET_ACCESS_KEY"]
    );

    let (response, _) = world.call(asked(b"{ }"), b"http/1.1").await;
    assert_eq!(response.status(), 403);
    assert_eq!(world.origin.seen().len(), 1);
}
