//! What of a value comes back: nothing.

use std::net::Ipv4Addr;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use http_body_util::Full;

use super::world::{API, KEY, PLACEHOLDER, World, request};

async fn answer(world: &World, target: &str, protocol: &[u8], body: &str) -> (String, String) {
    let mut asked = request(target, protocol)
        .method("POST")
        .header("x-secret", PLACEHOLDER);
    if target.starts_with("/trailers") {
        asked = asked.header("te", "trailers");
    }
    let body = Full::from(Bytes::copy_from_slice(body.as_bytes()));
    let (response, trailers) = world.call(asked.body(body).unwrap(), protocol).await;
    let head = format!("{:?} {:?}", response.headers(), trailers);
    (head, String::from_utf8_lossy(response.body()).into_owned())
}

#[tokio::test]
async fn an_echoed_value_is_replaced_whatever_the_encoding_and_the_framing() {
    let world = World::new().await;
    for protocol in [&b"http/1.1"[..], b"h2"] {
        for target in [
            "/echo",
            "/echo?encoding=gzip",
            "/echo?encoding=deflate",
            "/echo?encoding=br",
            "/echo?encoding=zstd",
            "/bytes",
        ] {
            let (head, body) = answer(&world, target, protocol, "Said").await;
            let expected = "Said and [redacted:KEY] it was";
            assert_eq!(body, expected, "{target}");
            assert!(
                head.contains("[redacted:KEY]") && !head.contains(KEY),
                "{target} {head}"
            );
            assert!(!head.contains("content-encoding"), "{target} {head}");
            let row = world.rows().pop().unwrap();
            assert_eq!(row.redacted, 2, "{target}");
            assert_eq!(row.received, expected.len() as u64, "{target}");
            assert_eq!(row.address, Some(Ipv4Addr::LOCALHOST.into()), "{target}");
        }
        let (head, _) = answer(&world, "/trailers", protocol, "").await;
        assert!(
            head.matches("[redacted:KEY]").count() == 2 && !head.contains(KEY),
            "{head}"
        );
    }
}

#[tokio::test]
async fn other_spellings_of_a_value_are_replaced_too() {
    let world = World::new().await;
    // The program does not know the value; a host that does may write it as it likes.
    for spelled in [
        BASE64.encode(KEY.as_bytes()),
        BASE64.encode(format!("user:{KEY}").as_bytes()),
        HEXLOWER.encode(KEY.as_bytes()),
        KEY.replace('-', "%2D"),
        format!("{}{KEY}{}", "x".repeat(20_000), "y".repeat(20_000)),
    ] {
        let (_, body) = answer(&world, "/echo", b"http/1.1", &spelled).await;
        assert!(body.contains("[redacted:KEY]"), "{body}");
        assert!(!body.contains(&spelled), "{body}");
    }
}

#[tokio::test]
async fn an_answer_that_ends_within_a_value_shows_no_more_of_it_than_a_pause_does() {
    let world = World::new().await;
    for (target, protocol) in [
        ("/said", &b"http/1.1"[..]),
        ("/said", b"h2"),
        ("/said-in-pieces", b"http/1.1"),
        ("/said-in-pieces", b"h2"),
    ] {
        let (said, _) = KEY.split_at(KEY.len() - 1);
        let (_, body) = answer(&world, target, protocol, &format!("key={said}")).await;
        assert_eq!(body, "key=[redacted:KEY]", "{target}");
        // What could be anything goes out as it is.
        let (said, _) = KEY.split_at(3);
        let (_, body) = answer(&world, target, protocol, &format!("key={said}")).await;
        assert_eq!(body, format!("key={said}"), "{target}");
    }
}

#[tokio::test]
async fn a_header_with_a_value_in_its_name_is_left_out() {
    let world = World::new().await;
    for protocol in [&b"http/1.1"[..], b"h2"] {
        let (head, body) = answer(&world, "/named", protocol, "").await;
        assert_eq!(body, "named");
        assert!(!head.to_lowercase().contains(&KEY.to_lowercase()), "{head}");
        assert_eq!(world.rows().pop().unwrap().redacted, 2);
    }
}

#[tokio::test]
async fn an_answer_that_is_encoded_for_the_way_alone_is_not_passed_on() {
    let world = World::new().await;
    let asked = format!(
        "GET /twice-encoded HTTP/1.1\r\nHost: {API}\r\nX-Secret: {PLACEHOLDER}\r\nConnection: close\r\n\r\n"
    );
    let answer = world.raw(API, &asked).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.contains("encoded on the way"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_decoded_is_not_passed_on() {
    let world = World::new().await;
    for unknown in ["compress", "gzip,br"] {
        let target = format!("/echo?encoding={unknown}");
        let asked = format!(
            "GET {target} HTTP/1.1\r\nHost: {API}\r\nX-Secret: {PLACEHOLDER}\r\nConnection: close\r\n\r\n"
        );
        let answer = world.raw(API, &asked).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        assert!(!answer.contains("it was"), "{answer}");
        assert_eq!(world.rows().pop().unwrap().status, Some(502));
    }
}

#[tokio::test]
async fn a_short_answer_keeps_its_length_and_a_changed_one_has_its_own() {
    let world = World::new().await;
    let asked = format!("GET /a HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n");
    let answer = world.raw(API, &asked).await.to_lowercase();
    assert!(answer.contains("content-length: 4\r\n"), "{answer}");
    let asked = format!(
        "GET /echo HTTP/1.1\r\nHost: {API}\r\nX-Secret: {PLACEHOLDER}\r\nConnection: close\r\n\r\n"
    );
    let answer = world.raw(API, &asked).await;
    let length = " and [redacted:KEY] it was".len();
    let header = format!("content-length: {length}\r\n");
    assert!(answer.to_lowercase().contains(&header), "{answer}");
}

#[tokio::test]
async fn an_answer_of_a_host_without_secrets_is_passed_as_it_is() {
    let world = World::new().await;
    let asked = format!(
        "POST /echo?encoding=compress HTTP/1.1\r\nHost: other.example.org\r\nAccept-Encoding: br\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{KEY}",
        KEY.len()
    );
    let answer = world.raw("other.example.org", &asked).await;
    assert!(answer.contains(KEY), "{answer}");
    assert!(answer.contains("content-encoding: compress"), "{answer}");
    let seen = world.origin.seen().pop().unwrap();
    assert_eq!(seen.header("accept-encoding"), "br");
}
