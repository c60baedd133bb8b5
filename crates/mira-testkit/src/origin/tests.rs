//! Tests of the server with clients that are not ours, `curl` above all.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::ca::Ca;

/// Of `the body`.
const SHA256_OF_THE_BODY: &str = "fa8242e99f48966ca514092b4233b446851f42b57ad5031bf133e1dd76787f3e";

fn loopback() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*"]);
    curl
}

fn said(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&said(command)).unwrap()
}

#[test]
fn a_request_is_echoed_and_recorded_in_each_version_of_http_with_tls_and_without() {
    let ca = Ca::new();
    for (tls, version, expected) in [
        (true, "--http2", "HTTP/2.0"),
        (true, "--http1.1", "HTTP/1.1"),
        (false, "--http1.1", "HTTP/1.1"),
        (false, "--http2-prior-knowledge", "HTTP/2.0"),
    ] {
        let origin = Origin::start(loopback(), tls.then(|| ca.server(&["api.example.com"])));
        let port = origin.address().port();
        let scheme = if tls { "https" } else { "http" };
        let answer = json(
            curl()
                .args([version, "--connect-to", &format!("::127.0.0.1:{port}")])
                .args(["--data", "the body", "--header", "X-Mine: a value"])
                .arg(format!("{scheme}://api.example.com/echo?a=b"))
                .arg("--cacert")
                .arg(ca.bundle()),
        );
        let [seen] = &origin.wait_for_requests(1)[..] else {
            panic!("more than one request");
        };
        assert_eq!(answer, Value::from(seen));
        assert_eq!(seen.version, expected);
        assert_eq!(seen.method, "POST");
        assert_eq!(seen.authority, "api.example.com");
        assert_eq!(seen.sni.as_deref(), tls.then_some("api.example.com"));
        assert_eq!(seen.target, "/echo?a=b");
        assert_eq!(seen.header("x-mine"), Some("a value"));
        assert_eq!(seen.body, "the body");

        assert_eq!(seen.body_sha256, SHA256_OF_THE_BODY);
        assert_eq!(origin.connections(), 1);
    }
}

#[test]
fn a_client_that_does_not_trust_the_authority_is_a_connection_without_a_request() {
    let ca = Ca::new();
    let origin = Origin::start(loopback(), Some(ca.server(&["127.0.0.1"])));
    let url = format!("https://{}/echo", origin.address());
    let output = curl().arg(&url).stderr(Stdio::null()).status().unwrap();
    assert!(!output.success());
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.requests(), []);
    assert!(said(curl().arg(&url).arg("--cacert").arg(ca.bundle())).contains("/echo"));
}

#[test]
fn headers_come_back_and_encodings_are_what_they_say() {
    let origin = Origin::start(loopback(), None);
    let url = format!("http://{}", origin.address());
    let text = said(
        curl()
            .args(["--include", "--header", "X-Mine: a value"])
            .arg(format!("{url}/echo")),
    );
    assert!(text.contains("x-echo-x-mine: a value"), "{text}");
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let address = format!("{url}/{encoding}");
        let plain = json(curl().args(["--compressed", "--header", "X-Mine: a value", &address]));
        assert_eq!(plain["target"], format!("/{encoding}"));
        let head = said(curl().args(["--head", "--request", "GET", &address]));
        assert!(
            head.contains(&format!("content-encoding: {encoding}")),
            "{head}"
        );
    }
}

#[test]
fn an_event_is_there_as_soon_as_it_was_emitted() {
    let origin = Origin::start(loopback(), None);
    origin.emit("before");
    let mut child = curl()
        .args(["--no-buffer", &format!("http://{}/sse", origin.address())])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut event = || {
        let line = lines.next()?.unwrap();
        assert_eq!(lines.next()?.unwrap(), "");
        Some(line)
    };
    assert_eq!(event().as_deref(), Some("data: before"));
    for number in 0..3 {
        origin.emit(&number.to_string());
        assert_eq!(event(), Some(format!("data: {number}")));
    }
    origin.end_events();
    assert_eq!(event(), None);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_web_socket_says_again_what_it_is_told() {
    use futures_util::{SinkExt as _, StreamExt as _};
    let origin = Origin::start(loopback(), None);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(origin.address())
            .await
            .unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async("ws://api.example.com/ws", stream)
            .await
            .unwrap();
        for message in [Message::text("a text"), Message::binary(vec![0, 255])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.close(None).await.unwrap();
    });
    assert_eq!(origin.requests()[0].authority, "api.example.com");
}

#[test]
fn redirects_and_big_bodies_are_as_asked_for() {
    let origin = Origin::start(loopback(), None);
    let url = format!("http://{}", origin.address());
    let seen = json(curl().args(["--location", &format!("{url}/redirect?to=/echo")]));
    assert_eq!(seen["target"], "/echo");
    let count = "3000001";
    let big = said(curl().arg(format!("{url}/big?bytes={count}")));
    assert_eq!(big.len().to_string(), count);
    assert!(big.bytes().all(|byte| byte == b'x'));
}

#[test]
fn a_request_that_curl_signed_for_aws_is_told_from_one_with_another_key() {
    let origin = Origin::start(loopback(), None);
    origin.set_aws_keys(AwsKeys {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret_access_key: "right".to_owned(),
        session_token: None,
    });
    let mut answers = ["right", "wrong"].map(|key| {
        let user = format!("AKIAIOSFODNN7EXAMPLE:{key}");
        json(
            curl()
                .args([
                    "--aws-sigv4",
                    "aws:amz:us-east-1:execute-api",
                    "--user",
                    &user,
                ])
                .args([
                    "--data",
                    "{}",
                    &format!("http://{}/aws/x?a=1&b=2", origin.address()),
                ]),
        )
    });
    assert_eq!(answers[0].take(), serde_json::json!({"signed": true}));
    assert_eq!(answers[1]["reason"], "the signature does not match");
}

#[test]
fn the_check_of_signatures_agrees_with_botocore() {
    let text = include_str!("../../../../vectors/sigv4/botocore.json");
    let vectors: Vec<Value> = serde_json::from_str(text).unwrap();
    // The check leaves dot segments out.
    let vectors = vectors
        .iter()
        .filter(|vector| vector["name"] != "api-with-dots-in-path");
    let mut count = 0;
    for vector in vectors {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let mut request = hyper::Request::builder()
            .method(text(&vector["method"]).unwrap().as_str())
            .uri(text(&vector["target"]).unwrap());
        for header in vector["headers"].as_array().unwrap() {
            let [name, value] = [&header[0], &header[1]].map(|part| text(part).unwrap());
            request = request.header(name, value.trim());
        }
        let signed = &vector["account"];
        request = request.header("authorization", text(&signed["authorization"]).unwrap());
        if let Some(token) = text(&signed["session_token"]) {
            request = request.header("x-amz-security-token", token);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let body = text(&vector["body"]).unwrap();
        let mut keys = AwsKeys {
            access_key_id: text(&signed["access_key_id"]).unwrap(),
            secret_access_key: text(&signed["secret_access_key"]).unwrap(),
            session_token: text(&signed["session_token"]),
        };
        assert_eq!(
            sigv4::check(&head, body.as_bytes(), &keys),
            Ok(()),
            "{}",
            vector["name"]
        );
        keys.secret_access_key.push('x');
        let refused = sigv4::check(&head, body.as_bytes(), &keys);
        assert_eq!(refused, Err("the signature does not match"));
        count += 1;
    }
    assert_eq!(count, 11);
}
