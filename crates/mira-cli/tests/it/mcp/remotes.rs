//! Servers behind URLs: the real one behind a door that wants a key.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::TestHome;
use serde_json::{Value, json};

use super::client::{Client, add, data, everything};
use crate::support::{VALUE, keyfile_home, mira};

/// A server and its door, ended when this is dropped.
struct Remote {
    server: Child,
    door: Child,
    seen: BufReader<ChildStdout>,
    port: u64,
}

impl Remote {
    /// Starts the server that shows everything, with this transport.
    fn start(transport: &str) -> Self {
        // Somebody else may take it in between; then the server says so, and the test fails.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut server = Command::new("node")
            .args([&everything(), transport])
            .env("PORT", port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(server.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("port") {
            line.clear();
            assert_ne!(
                told.read_line(&mut line).unwrap(),
                0,
                "the server has ended"
            );
        }
        std::thread::spawn(move || {
            std::io::copy(&mut told, &mut std::io::sink()).unwrap_or_default()
        });
        let mut door = Command::new("node")
            .args([&data("door.mjs"), &port.to_string(), VALUE])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let seen = BufReader::new(door.stdout.take().unwrap());
        let mut remote = Self {
            server,
            door,
            seen,
            port: 0,
        };
        remote.port = remote.next()["port"].as_u64().unwrap();
        remote
    }

    /// Returns the next request that came to the door.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.seen.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Returns the next request of a method.
    fn next_of(&mut self, method: &str) -> Value {
        loop {
            let request = self.next();
            if request["method"] == method {
                return request;
            }
        }
    }

    /// Adds it to a home, with this value of its header.
    #[track_caller]
    fn add(&self, home: &TestHome, name: &str, path: &str, value: &str) {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let args = [
            "mcp",
            "add",
            name,
            "--url",
            &url,
            "--header",
            "Authorization",
            "--stdin",
        ];
        mira(home, &args).stdin_bytes(value).run().assert_code(0);
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.door] {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[test]
fn a_session_over_streamable_http_is_as_one_with_a_program() {
    let mut remote = Remote::start("streamableHttp");
    let home = keyfile_home();
    remote.add(&home, "every", "/mcp", &format!("Bearer {VALUE}"));
    let mut client = Client::start(&home, "every");
    let hello = remote.next_of("POST");
    assert_eq!(hello["headers"]["authorization"], format!("Bearer {VALUE}"));
    assert_eq!(hello["headers"].get("mcp-session-id"), None);
    // The server's own stream follows the greeting.
    let stream = remote.next_of("GET");
    assert_eq!(stream["headers"]["mcp-protocol-version"], "2025-06-18");
    let session = stream["headers"]["mcp-session-id"].clone();
    assert!(session.is_string(), "{stream}");

    assert_eq!(
        client.call("get-sum", &json!({"a": 2, "b": 40})),
        "The sum of 2 and 40 is 42."
    );
    // A token that a server repeats without its scheme is a value too.
    assert_eq!(
        client.call("echo", &json!({"message": format!("k {VALUE}")})),
        "Echo: k [redacted:AUTHORIZATION]"
    );
    // Progress comes before the answer, on the same stream.
    let long = json!({"name": "trigger-long-running-operation", "arguments": {"duration": 0.2, "steps": 2}, "_meta": {"progressToken": "p"}});
    let done = client.ask("tools/call", &long);
    assert!(done["result"]["content"].is_array(), "{done}");
    let progress = client
        .unasked
        .iter()
        .filter(|message| message["method"] == "notifications/progress");
    assert_eq!(progress.count(), 2, "{:?}", client.unasked);

    let (code, told) = client.close();
    assert_eq!((code, told.as_str()), (Some(0), ""));
    let end = remote.next_of("DELETE");
    assert_eq!(end["headers"]["mcp-session-id"], session);
    Sweep::new(&[Canary::new("AUTHORIZATION", VALUE)])
        .folder(home.path())
        .assert_clean();
}

#[test]
fn a_session_over_the_older_transport_is_found_out() {
    let mut remote = Remote::start("sse");
    let home = keyfile_home();
    remote.add(&home, "every", "/sse", &format!("Bearer {VALUE}"));
    let mut client = Client::start(&home, "every");
    assert_eq!(
        client.call("echo", &json!({"message": VALUE})),
        "Echo: [redacted:AUTHORIZATION]"
    );
    let (code, told) = client.close();
    assert_eq!((code, told.as_str()), (Some(0), ""));
    assert_eq!(remote.next_of("POST")["url"], "/sse");
    assert_eq!(remote.next_of("GET")["url"], "/sse");
    let post = remote.next_of("POST");
    assert!(
        post["url"]
            .as_str()
            .unwrap()
            .starts_with("/message?sessionId="),
        "{post}"
    );
    assert_eq!(post["headers"]["authorization"], format!("Bearer {VALUE}"));
}

#[test]
fn headers_are_not_sent_on_to_another_origin() {
    let remote = Remote::start("streamableHttp");
    let home = keyfile_home();
    let header = format!("Bearer {VALUE}");
    remote.add(&home, "elsewhere", "/moved", &header);
    let run = mira(&home, &["mcp", "test", "elsewhere"])
        .run()
        .assert_code(1);
    assert!(
        run.stderr_text()
            .contains("sends callers on to http://127.0.0.1:"),
        "{run:?}"
    );
    remote.add(&home, "here", "/moved-here", &header);
    mira(&home, &["mcp", "test", "here"]).run().assert_code(0);
}

#[test]
fn what_is_wrong_with_a_server_behind_a_url_is_said() {
    let remote = Remote::start("streamableHttp");
    let home = keyfile_home();
    remote.add(&home, "key", "/mcp", "Bearer the-wrong-one");
    let refused = mira(&home, &["mcp", "test", "key"]).run().assert_code(1);
    assert!(
        refused
            .stderr_text()
            .contains("refused the credentials (401 Unauthorized)"),
        "{refused:?}"
    );
    assert!(
        refused
            .stderr_text()
            .contains("mira set AUTHORIZATION --scope mcp/key --replace"),
        "{refused:?}"
    );
    assert!(
        !refused.stderr_text().contains("the-wrong-one"),
        "{refused:?}"
    );
    remote.add(&home, "path", "/none", &format!("Bearer {VALUE}"));
    let refused = mira(&home, &["mcp", "test", "path"]).run().assert_code(1);
    assert!(
        refused.stderr_text().contains("answered 404 Not Found"),
        "{refused:?}"
    );
    let gone = format!(
        "http://127.0.0.1:{}/",
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
    );
    add(&home, &["gone", "--url", &gone]);
    let refused = mira(&home, &["mcp", "test", "gone"]).run().assert_code(1);
    assert!(
        refused.stderr_text().contains("cannot be reached: "),
        "{refused:?}"
    );

    for url in [
        "http://mcp.example/mcp",
        "https://user:pass@mcp.example/",
        "ftp://x/",
        "mcp.example",
    ] {
        let run = mira(&home, &["mcp", "add", "x", "--url", url])
            .run()
            .assert_code(2);
        assert!(!run.stderr_text().contains("pass@"), "{run:?}");
    }
    mira(
        &home,
        &[
            "mcp",
            "add",
            "x",
            "--url",
            "https://x.example/",
            "--header",
            "Mcp-Session-Id",
        ],
    )
    .run()
    .assert_code(2);
}
