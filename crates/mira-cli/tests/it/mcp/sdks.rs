//! The official clients, talking to real servers through `mira mcp run`.

use std::path::Path;
use std::process::Command;

use mira_testkit::home::TestHome;
use serde_json::{Value, json};

use super::client::{add, data, everything, installed, set_in};
use crate::support::{MIRA, VALUE, keyfile_home};

/// Runs a client of one server; returns what it prints.
#[track_caller]
fn talk(home: &TestHome, client: &[&str], server: &str, calls: &Value) -> String {
    let (program, script) = client.split_first().unwrap();
    let output = Command::new(program)
        .args(script)
        .args([MIRA, "mcp", "run", server])
        .env_clear()
        .envs(home.env().iter().cloned())
        .env("NODE_PATH", installed("node/node_modules"))
        .env(
            "PYTHONPYCACHEPREFIX",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-cache"),
        )
        .env("CALLS", calls.to_string())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{told}");
    assert!(!told.contains(VALUE), "{told}");
    said
}

fn typescript() -> [String; 2] {
    ["node".to_owned(), data("client.mjs")]
}

fn python() -> [String; 2] {
    [installed("mcp/bin/python"), data("client.py")]
}

/// Lets both clients talk to a server.
fn both(home: &TestHome, server: &str, calls: &Value, expect: &[&str]) {
    for client in [typescript(), python()] {
        let client: Vec<_> = client.iter().map(String::as_str).collect();
        let said = talk(home, &client, server, calls);
        for text in expect {
            assert!(said.contains(text), "{client:?}, {text}: {said}");
        }
        assert!(!said.contains(VALUE), "{client:?}: {said}");
    }
}

#[test]
fn the_official_clients_use_the_server_that_shows_everything() {
    let home = keyfile_home();
    set_in(&home, "mcp/every", "TOKEN", VALUE);
    add(
        &home,
        &[
            "every",
            "--env",
            "TOKEN",
            "--",
            "node",
            &everything(),
            "stdio",
        ],
    );
    let calls = json!([["get-sum", {"a": 2, "b": 40}], ["get-env", {}]]);
    let expect = [
        "get-sum The sum of 2 and 40 is 42.",
        "\"TOKEN\": \"[redacted:TOKEN]\"",
    ];
    both(&home, "every", &calls, &expect);
}

#[test]
fn the_official_clients_read_files_with_a_value_in_them() {
    let home = keyfile_home();
    set_in(&home, "mcp/files", "TOKEN", VALUE);
    let folder = home.path().join("home/docs");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("notes.txt");
    std::fs::write(&file, format!("first\nkey: {VALUE} \"quoted\"\n")).unwrap();
    let server =
        installed("node/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js");
    add(
        &home,
        &[
            "files",
            "--env",
            "TOKEN",
            "--",
            "node",
            &server,
            folder.to_str().unwrap(),
        ],
    );
    let calls = json!([["read_text_file", {"path": file}]]);
    both(
        &home,
        "files",
        &calls,
        &["read_text_file first\nkey: [redacted:TOKEN] \"quoted\""],
    );
}

#[test]
fn the_official_clients_fetch_a_page() {
    let home = keyfile_home();
    set_in(&home, "mcp/fetch", "TOKEN", VALUE);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let page = format!("<html><body><p>Hello from the page, {VALUE}.</p></body></html>");
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            drop(stream.read(&mut request));
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close";
            drop(write!(
                stream,
                "{head}\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            ));
        }
    });
    let server = installed("mcp/bin/mcp-server-fetch");
    add(
        &home,
        &[
            "fetch",
            "--env",
            "TOKEN",
            "--",
            &server,
            "--ignore-robots-txt",
            "--allow-private-ips",
        ],
    );
    let calls = json!([["fetch", {"url": format!("http://{address}/"), "raw": true}]]);
    both(
        &home,
        "fetch",
        &calls,
        &["Hello from the page, [redacted:TOKEN]."],
    );
}
