//! What does not get through, and that nothing of it reaches the host.

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::world::{API, KEY, OTHER_PLACEHOLDER, PLACEHOLDER, World, connector, name, request};
use crate::audit::Outcome;
use crate::denial::Denial;
use crate::http::{refuse_plain, refuse_tls};
use crate::policy::{Policy, Reason};
use mira_package::manifest::Host;

/// Sends a request, expects this status and reason, and nothing at the host.
async fn refused(host: &str, request: &str, status: &str, why: &str) {
    let world = World::new().await;
    let answer = world.raw(host, request).await;
    let expected = format!("HTTP/1.1 {status} ");
    assert!(answer.starts_with(&expected), "{request}\n\n{answer}");
    assert!(answer.contains(why), "{request}\n\n{answer}");
    assert!(!answer.contains(KEY));
    assert!(world.origin.seen().is_empty(), "{request}");
    assert!(!world.is_recorded(PLACEHOLDER));
}

#[tokio::test]
async fn a_placeholder_in_a_wrong_place_ends_the_request_before_it_is_sent() {
    let p = PLACEHOLDER;
    let head = format!("Host: {API}\r\nConnection: close\r\n");
    let long = "x".repeat(3000);
    let escaped = format!("%73{}", p.split_at(1).1);
    let half = p.split_at(9);
    let wrong = [
        format!("GET /{p} HTTP/1.1\r\n{head}\r\n"),
        format!("GET /{escaped} HTTP/1.1\r\n{head}\r\n"),
        format!("GET /?token={p} HTTP/1.1\r\n{head}\r\n"),
        format!("GET /?a=b&token={escaped} HTTP/1.1\r\n{head}\r\n"),
        format!("GET /?{p} HTTP/1.1\r\n{head}\r\n"),
        format!("GET / HTTP/1.1\r\n{head}X-{p}: 1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{head}Authorization: Bearer {OTHER_PLACEHOLDER}\r\n\r\n"),
        format!(
            "POST / HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{long}{p}",
            3000 + p.len()
        ),
        format!(
            "POST / HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\nb\r\nk={}\r\n12\r\n{}\r\n0\r\n\r\n",
            half.0, half.1
        ),
        format!(
            "POST / HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n1\r\na\r\n0\r\nX-T: {p}\r\n\r\n"
        ),
    ];
    for request in wrong {
        refused(API, &request, "403", "the placeholder of").await;
    }
    let elsewhere = format!(
        "GET / HTTP/1.1\r\nHost: other.example.org\r\nX-Key: {p}\r\nConnection: close\r\n\r\n"
    );
    refused(
        "other.example.org",
        &elsewhere,
        "403",
        "the placeholder of KEY",
    )
    .await;
}

#[tokio::test]
async fn a_request_for_another_host_than_the_connections_is_misdirected() {
    let close = "Connection: close\r\n\r\n";
    for (host, target) in [
        ("other.example.org", "/"),
        ("api.example.org.evil.test", "/"),
        ("api.example.org:444", "/"),
        ("api.example.org:0443x", "/"),
        ("user@api.example.org", "/"),
        ("", "/"),
        (API, "https://other.example.org/"),
        (API, "https://api.example.org:8443/"),
        (API, "https://user@api.example.org/"),
        (API, "http://api.example.org/"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{close}");
        refused(API, &request, "421", "names another host").await;
    }
}

#[tokio::test]
async fn each_request_of_a_connection_is_checked() {
    let world = World::new().await;
    let requests = format!(
        "GET /first HTTP/1.1\r\nHost: API.example.org.\r\n\r\nGET /second HTTP/1.1\r\nHost: other.example.org\r\nX-Key: {PLACEHOLDER}\r\n\r\n"
    );
    let answer = world.raw(API, &requests).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("HTTP/1.1 421 "), "{answer}");
    let seen = world.origin.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen.first().unwrap().header("host"), API);
}

#[tokio::test]
async fn a_request_that_could_be_read_in_two_ways_is_refused() {
    let end = "Connection: close\r\n\r\n";
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\n{end}"), "400"),
        (
            format!("GET / HTTP/1.1\r\nHost: {API}\r\nHost: {API}\r\n{end}"),
            "400",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: {API}\r\n Folded: 1\r\n{end}"),
            "400",
        ),
        (format!("GET / HTTP/1.1\r\nHost : {API}\r\n{end}"), "400"),
        (format!("TRACE / HTTP/1.1\r\nHost: {API}\r\n{end}"), "400"),
        (
            format!("CONNECT {API}:443 HTTP/1.1\r\nHost: {API}\r\n{end}"),
            "400",
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {API}\r\nContent-Length: 3\r\nContent-Length: 4\r\n{end}abcd"
            ),
            "400",
        ),
        (
            format!("POST / HTTP/1.1\r\nHost: {API}\r\nContent-Length: +3\r\n{end}abc"),
            "400",
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {API}\r\nTransfer-Encoding: chunked, gzip\r\n{end}0\r\n\r\n"
            ),
            "400",
        ),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: {API}\r\nTransfer-Encoding: gzip, chunked\r\n{end}0\r\n\r\n"
            ),
            "400",
        ),
        (
            format!(
                "POST / HTTP/1.0\r\nHost: {API}\r\nTransfer-Encoding: chunked\r\n{end}0\r\n\r\n"
            ),
            "400",
        ),
    ] {
        refused(API, &request, status, "").await;
    }
}

#[tokio::test]
async fn a_length_beside_a_transfer_encoding_smuggles_nothing() {
    let inner = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: api.example.org\r\n\r\n";
    for first in [true, false] {
        let world = World::new().await;
        let length = format!("Content-Length: {}\r\n", inner.len());
        let (a, b) = if first {
            (&*length, "")
        } else {
            ("", &*length)
        };
        let request = format!(
            "POST /outer HTTP/1.1\r\nHost: {API}\r\n{a}Transfer-Encoding: chunked\r\n{b}\r\n{inner}"
        );
        let mut tls = world.tls(API, b"http/1.1").await;
        tls.write_all(request.as_bytes()).await.unwrap();
        tls.shutdown().await.unwrap();
        let mut answer = String::new();
        tls.read_to_string(&mut answer).await.ok();
        for seen in world.origin.seen() {
            // What comes through is what the gate read itself, request by request, with one framing each.
            assert_eq!(seen.header("content-length"), "", "{}", seen.target);
            assert_eq!(&*seen.body, b"");
        }
        assert_eq!(world.rows().len(), world.origin.seen().len());
    }
}

#[tokio::test]
async fn http2_cannot_name_another_host_either() {
    let world = World::new().await;
    for (uri, host) in [
        ("https://other.example.org/", ""),
        ("http://api.example.org/", ""),
        ("https://api.example.org/", "other.example.org"),
    ] {
        let mut asked = http::Request::builder().uri(uri);
        if !host.is_empty() {
            asked = asked.header("host", host);
        }
        let (answer, _) = world
            .call(asked.body(Full::<Bytes>::default()).unwrap(), b"h2")
            .await;
        assert_eq!(answer.status(), 421, "{uri}");
    }
    assert!(world.origin.seen().is_empty());
}

#[tokio::test]
async fn a_new_policy_counts_from_the_next_request_of_an_open_connection() {
    let world = World::new().await;
    let mut tls = world.tls(API, b"http/1.1").await;
    let asked = format!("HEAD /a HTTP/1.1\r\nHost: {API}\r\n\r\n");
    tls.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tls.read_u8().await.unwrap());
    }
    world.replace(Policy::builder("app").build());
    tls.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await.ok();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let last = world.rows().pop().unwrap();
    assert_eq!(
        (last.verdict, last.rule.as_str()),
        (Outcome::Refused, "not listed")
    );
    assert_eq!(world.origin.seen().len(), 1);
}

#[tokio::test]
async fn a_host_that_cannot_be_reached_is_told_as_such() {
    let world = World::new().await;
    // Its certificate is for other names.
    let mut policy = super::world::policy();
    let host = "stranger.example.org";
    policy.allow(host.parse().unwrap(), crate::policy::Origin::Manifest);
    world.replace(policy.build());
    let asked = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = world.raw(host, &asked).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("certificate"), "{answer}");
    assert_eq!(world.rows().pop().unwrap().status, Some(502));
}

#[tokio::test]
async fn a_program_that_does_not_trust_the_gate_is_in_the_record() {
    let world = World::new().await;
    let tcp = world.tcp(API, 443).await;
    let stranger = World::new().await;
    let connector = connector(&stranger.gate, b"http/1.1");
    assert!(connector.connect(name(API), tcp).await.is_err());
    let (mut told, rows) = (String::new(), || world.rows());
    while told.is_empty() {
        tokio::task::yield_now().await;
        told = rows().pop().map(|row| row.rule).unwrap_or_default();
    }
    assert!(told.contains("trust"), "{told}");
}

#[tokio::test]
async fn a_refusal_is_told_in_plain_and_inside_of_tls() {
    let world = World::new().await;
    let policy = Policy::builder("app").build();
    let denial = Denial::new(&policy, "api.example.org", 443, Reason::NotListed);
    let asked = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    let check = |answer: &[u8]| {
        let answer = String::from_utf8_lossy(answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        assert!(answer.contains("not listed"), "{answer}");
    };
    let (mut program, gate) = tokio::io::duplex(4096);
    let mut answer = Vec::new();
    program.write_all(asked).await.unwrap();
    tokio::join!(refuse_plain(gate, &denial), async {
        program.read_to_end(&mut answer).await.unwrap();
        check(&answer);
    });
    let (program, gate) = tokio::io::duplex(4096);
    let host = Host::requested(API).unwrap();
    tokio::join!(refuse_tls(gate, &host, &denial, &world.gate), async {
        let connector = connector(&world.gate, b"http/1.1");
        let mut tls = connector.connect(name(API), program).await.unwrap();
        tls.write_all(asked).await.unwrap();
        let mut answer = Vec::new();
        tls.read_to_end(&mut answer).await.ok();
        check(&answer);
    });
}

#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_value() {
    let world = World::new().await;
    let asked = request("/a", b"h2").header("x-secret", PLACEHOLDER);
    world
        .call(asked.body(Full::<Bytes>::default()).unwrap(), b"h2")
        .await;
    let current = world.gate.current.load();
    let printed = format!("{:?} {:?}", current.policy, world.gate.roots);
    assert!(!printed.contains(KEY));
}
