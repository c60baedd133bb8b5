//! Tokens: put in where their source says so, taken out of answers, and their placeholders stopped everywhere else.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::Full;
use mira_package::manifest::HostPattern;
use mira_secret::SecretBytes;

use super::world::{API, World, request};
use crate::broker::token::{Asking, TokenRequest, TokenSource};
use crate::policy::{Origin, Policy};

const PLACEHOLDER: &str = "mira_ght_abcdefghijABCDEFGHIJ0123456789abcdefghij";

/// Gives out what a test says, and records what it is asked.
#[derive(Debug, Default)]
struct Source {
    token: Mutex<Option<Arc<SecretBytes>>>,
    asked: Mutex<Vec<String>>,
}

impl Source {
    fn give(&self, token: Option<&str>) {
        let token = token.map(|token| Arc::new(SecretBytes::copy_from(token.as_bytes())));
        *self.token.lock().unwrap() = token;
    }
}

impl TokenSource for Source {
    fn hosts(&self) -> Vec<HostPattern> {
        vec![API.parse().unwrap()]
    }

    fn token<'a>(&'a self, asked: TokenRequest<'a>) -> Asking<'a> {
        let TokenRequest {
            placeholder,
            instance,
            host,
            port,
            secure,
            path,
        } = asked;
        let line = format!("{placeholder} {instance} {host} {port} {secure} {path}");
        self.asked.lock().unwrap().push(line);
        let token = self.token.lock().unwrap().clone();
        Box::pin(async move { token.ok_or_else(|| "the placeholder has ended".into()) })
    }

    fn ended(&self, _: &str) {}
}

/// A gate whose policy names nothing but what the source does, and another host.
async fn world(token: &str) -> (World, Arc<Source>) {
    let world = World::new().await;
    let source = Arc::new(Source::default());
    source.give(Some(token));
    let mut policy = Policy::builder("app");
    policy.allow("other.example.org".parse().unwrap(), Origin::Manifest);
    policy.tokens(Arc::clone(&source) as Arc<dyn TokenSource>, "instance-1");
    world.replace(policy.build());
    (world, source)
}

async fn call(world: &World, target: &str, authorization: &str) -> (u16, Bytes) {
    let asked = request(target, b"http/1.1").header("authorization", authorization);
    let (response, _) = world
        .call(asked.body(Full::default()).unwrap(), b"http/1.1")
        .await;
    (response.status().as_u16(), response.into_body())
}

#[tokio::test]
async fn a_token_is_put_into_the_credentials_and_asked_for_with_each_request() {
    let (world, source) = world("ghs_first7Rk4fXyB2nZq81Lm0").await;
    let pair = |password: &str| BASE64.encode(format!("x-access-token:{password}").as_bytes());
    for (number, (before, after)) in [
        (
            format!("Bearer {PLACEHOLDER}"),
            "Bearer ghs_first7Rk4fXyB2nZq81Lm0".to_owned(),
        ),
        (
            format!("token {PLACEHOLDER}"),
            "token ghs_first7Rk4fXyB2nZq81Lm0".to_owned(),
        ),
        (
            format!("Basic {}", pair(PLACEHOLDER)),
            format!("Basic {}", pair("ghs_first7Rk4fXyB2nZq81Lm0")),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(call(&world, "/repos/o/r?x=1", &before).await.0, 200);
        let seen = world.origin.seen();
        assert_eq!(seen.len(), number + 1);
        assert_eq!(seen.last().unwrap().header("authorization"), after);
        assert_eq!(seen.last().unwrap().header("accept-encoding"), "identity");
    }
    let asked = source.asked.lock().unwrap().clone();
    assert_eq!(
        asked,
        vec![format!("{PLACEHOLDER} instance-1 {API} 443 true /repos/o/r"); 3]
    );
    let row = world.rows().pop().unwrap();
    assert_eq!(row.secrets, ["GITHUB_TOKEN"]);
    assert!(!world.is_recorded("ghs_first") && !world.is_recorded(PLACEHOLDER));
    // Another one from now on, and then none: nothing of the one before is kept for requests.
    source.give(Some("ghs_second4fXyB2nZq81Lm07R"));
    assert_eq!(
        call(&world, "/repos/o/r", &format!("Bearer {PLACEHOLDER}"))
            .await
            .0,
        200
    );
    let seen = world.origin.seen().pop().unwrap();
    assert_eq!(
        seen.header("authorization"),
        "Bearer ghs_second4fXyB2nZq81Lm07R"
    );
    source.give(None);
    let (status, told) = call(&world, "/repos/o/r", &format!("Bearer {PLACEHOLDER}")).await;
    assert_eq!(status, 403);
    assert!(
        String::from_utf8_lossy(&told).contains("the placeholder has ended"),
        "{told:?}"
    );
    assert_eq!(world.origin.seen().len(), 4);
    assert!(world.is_recorded("the placeholder has ended"));
}

#[tokio::test]
async fn a_placeholder_goes_nowhere_else() {
    let (world, source) = world("ghs_first7Rk4fXyB2nZq81Lm0").await;
    let head = |line: &str| {
        format!("GET / HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n{line}\r\n\r\n")
    };
    let len = PLACEHOLDER.len();
    for asked in [
        head(&format!("X-Token: {PLACEHOLDER}")),
        head(&format!("Cookie: t={PLACEHOLDER}")),
        head(&format!("Authorization: Bearer x{PLACEHOLDER}")),
        head(&format!("Authorization: Digest {PLACEHOLDER}")),
        head(&format!(
            "Authorization: Bearer {PLACEHOLDER}\r\nAuthorization: Bearer {PLACEHOLDER}"
        )),
        head(&format!("{PLACEHOLDER}: 1")),
        format!("GET /?t={PLACEHOLDER} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n"),
        format!("GET /{PLACEHOLDER} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n"),
        format!(
            "GET /?t=%6D{} HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\n\r\n",
            PLACEHOLDER.split_at(1).1
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: {API}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{PLACEHOLDER}"
        ),
    ] {
        let answer = world.raw(API, &asked).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{asked}: {answer}");
    }
    assert!(world.origin.seen().is_empty());
    assert!(source.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_token_is_taken_out_of_answers() {
    let token = "ghs_first7Rk4fXyB2nZq81Lm0";
    let (world, _source) = world(token).await;
    // The host says again what it was sent; here it is the program that says what the host knows.
    let echo = async |authorization: &str| {
        let said = format!("it is {token}, or {}", BASE64.encode(token.as_bytes()));
        let asked = request("/echo", b"http/1.1")
            .method("POST")
            .header("authorization", authorization)
            .body(Full::from(said))
            .unwrap();
        let (response, _) = world.call(asked, b"http/1.1").await;
        String::from_utf8_lossy(response.body()).into_owned()
    };
    let clean = "it is [redacted:GITHUB_TOKEN], or [redacted:GITHUB_TOKEN] and  it was";
    assert_eq!(echo(&format!("Bearer {PLACEHOLDER}")).await, clean);
    // And out of those to requests that carried none, on other connections too.
    assert_eq!(echo("Bearer none").await, clean);
}
