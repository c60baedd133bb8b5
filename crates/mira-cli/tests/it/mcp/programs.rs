//! Servers that are programs: what they get, what their clients see of it, and what is kept.

use mira_testkit::canary::{Canary, Sweep};
use serde_json::{Value, json};

use super::client::{Client, add, everything, set_in};
use crate::support::{VALUE, keyfile_home, mira, set};

#[test]
fn a_server_gets_its_secrets_and_its_client_never_sees_one() {
    let home = keyfile_home();
    set_in(&home, "mcp/every", "TOKEN", VALUE);
    set(&home, "MY_KEY", "hunter2-7Fq2mXv9LrT4");
    let bound = ["--bind", "API_KEY=MY_KEY", "--with", "LEVEL=debug"];
    let program = ["--", "node", &everything(), "stdio"];
    add(
        &home,
        &[&["every", "--env", "TOKEN"], &bound[..], &program[..]].concat(),
    );

    let mut client = Client::start(&home, "every");
    let told: Value = serde_json::from_str(&client.call("get-env", &json!({}))).unwrap();
    assert_eq!(told["TOKEN"], "[redacted:TOKEN]");
    assert_eq!(told["API_KEY"], "[redacted:API_KEY]");
    assert_eq!(told["LEVEL"], "debug");
    assert_eq!(told.get("MY_KEY"), None);
    let echoed = client.call("echo", &json!({"message": format!("<{VALUE}> ä\n\"")}));
    assert_eq!(echoed, "Echo: <[redacted:TOKEN]> ä\n\"");
    assert_eq!(
        client.call("get-sum", &json!({"a": 2, "b": 40})),
        "The sum of 2 and 40 is 42."
    );

    let held = mira(&home, &["list", "--json"]).run().assert_code(0);
    let held: Value = serde_json::from_slice(&held.stdout).unwrap();
    let held = held
        .as_array()
        .unwrap()
        .iter()
        .find(|entry| entry["name"] == "TOKEN")
        .unwrap();
    assert_eq!(held["held_by"][0]["program"], "node (mcp every)");

    let (_, told) = client.close();
    assert!(!told.contains(VALUE), "{told}");
    let sweep = Sweep::new(&[
        Canary::new("TOKEN", VALUE),
        Canary::new("MY_KEY", "hunter2-7Fq2mXv9LrT4"),
    ]);
    sweep.folder(home.path()).assert_clean();
}

#[test]
fn bytes_without_a_secret_pass_as_they_are() {
    let home = keyfile_home();
    set_in(&home, "mcp/cat", "KEY", VALUE);
    add(&home, &["cat", "--env", "KEY", "--", "cat"]);
    let mut bytes = Vec::new();
    for line in 0..200 {
        let text = "sk-proj-7Fq2 é \\u00e9 \\n".repeat(fastrand::usize(..40));
        bytes.extend_from_slice(format!("{{\"id\" :{line}, \"a\":\"{text}\"}}").as_bytes());
        bytes.extend_from_slice(if line % 3 == 0 { b"\r\n" } else { b"\n" });
        bytes.extend_from_slice(b"\n[no message \xff\xfe\x00]\n  {\t}\n");
    }
    bytes.extend_from_slice(format!("[\"{}\"]\n", "x".repeat(3 << 20)).as_bytes());
    bytes.extend_from_slice(b"{\"unfinished\": ");
    let run = mira(&home, &["mcp", "run", "cat"])
        .stdin_bytes(bytes.clone())
        .run()
        .assert_code(0);
    assert!(
        run.stdout == bytes,
        "{} of {} bytes",
        run.stdout.len(),
        bytes.len()
    );
    assert_eq!(run.stderr_text(), "");
}

#[test]
fn what_a_server_says_beside_messages_is_redacted_and_its_end_is_passed_on() {
    let home = keyfile_home();
    set_in(&home, "mcp/chatty", "KEY", VALUE);
    let script = "echo \"key=$KEY\" >&2; echo \"{\\\"k\\\":\\\"$KEY\\\"}\"; exit 7";
    add(&home, &["chatty", "--env", "KEY", "--", "sh", "-c", script]);
    let run = mira(&home, &["mcp", "run", "chatty"]).run().assert_code(7);
    assert_eq!(run.stderr_text(), "key=[redacted:KEY]\n");
    assert_eq!(run.stdout_text(), "{\"k\":\"[redacted:KEY]\"}\n");
}

#[test]
fn a_value_on_the_command_line_is_refused_and_not_repeated() {
    let home = keyfile_home();
    let value = format!("TOKEN={VALUE}");
    let run = mira(&home, &["mcp", "add", "x", "--env", &value, "--", "cat"])
        .run()
        .assert_code(2);
    assert!(!run.stderr_text().contains(VALUE), "{run:?}");
    assert!(run.stderr_text().contains("--env NAME"), "{run:?}");
    // Given where it is no secret, it is taken, and said to look like one.
    let run = mira(
        &home,
        &["mcp", "add", "x", "--with", &value, "--", "cat", VALUE],
    )
    .run()
    .assert_code(0);
    assert!(
        run.stderr_text()
            .contains("keep it in the vault with --env TOKEN"),
        "{run:?}"
    );
    assert!(
        run.stderr_text()
            .contains("argument 1 of x looks like a secret"),
        "{run:?}"
    );
    assert!(!run.stderr_text().contains(VALUE), "{run:?}");
}

#[test]
fn what_is_missing_is_named_and_nothing_is_started() {
    let home = keyfile_home();
    let asked = mira(
        &home,
        &[
            "mcp", "add", "x", "--env", "A", "--env", "B", "--", "touch", "ran",
        ],
    )
    .run()
    .assert_code(3);
    assert!(
        asked
            .stderr_text()
            .contains("mira set NAME --scope mcp/x --stdin"),
        "{asked:?}"
    );
    let one = [
        "mcp", "add", "x", "--env", "A", "--stdin", "--", "touch", "ran",
    ];
    mira(&home, &one)
        .stdin_bytes("a-value-of-a\n")
        .run()
        .assert_code(0);
    mira(&home, &["rm", "A", "--yes", "--scope", "mcp/x"])
        .run()
        .assert_code(0);
    let run = mira(&home, &["mcp", "run", "x"]).run().assert_code(3);
    assert!(run.stderr_text().contains("A in scope mcp/x"), "{run:?}");
    assert!(!home.path().join("home/ran").exists());
    mira(&home, &["mcp", "run", "y"]).run().assert_code(3);
    let bound = mira(&home, &["mcp", "add", "z", "--bind", "A=NONE", "--", "cat"])
        .run()
        .assert_code(3);
    assert!(bound.stderr_text().contains("NONE"), "{bound:?}");
}

#[test]
fn a_server_without_secrets_needs_no_vault() {
    let home = mira_testkit::home::TestHome::new();
    add(&home, &["plain", "--", "cat"]);
    let run = mira(&home, &["mcp", "run", "plain"])
        .stdin_bytes("{}\n")
        .run()
        .assert_code(0);
    assert_eq!(run.stdout_text(), "{}\n");
    mira(&home, &["mcp", "rm", "plain", "--yes"])
        .run()
        .assert_code(0);
}

#[test]
fn servers_are_listed_replaced_and_removed_with_their_scope() {
    let home = keyfile_home();
    set_in(&home, "mcp/github", "GITHUB_TOKEN", VALUE);
    add(
        &home,
        &[
            "github",
            "--env",
            "GITHUB_TOKEN",
            "--with",
            "LEVEL=debug",
            "--",
            "npx",
            "-y",
            "server-github",
        ],
    );
    let header = [
        "tracker",
        "--url",
        "https://mcp.tracker.example/mcp?team=1",
        "--header",
        "Authorization",
        "--stdin",
    ];
    mira(&home, &[&["mcp", "add"], &header[..]].concat())
        .stdin_bytes("Bearer abcdefgh")
        .run()
        .assert_code(0);
    let listed = mira(&home, &["mcp", "list"]).run().assert_code(0);
    insta::assert_snapshot!(listed.stdout_text(), @r"
    NAME     SECRETS        RUNS OR CALLS
    github   GITHUB_TOKEN   npx -y server-github
    tracker  Authorization  https://mcp.tracker.example/mcp
    ");
    let listed = mira(&home, &["mcp", "list", "--json"]).run().assert_code(0);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(listed[0]["settings"]["LEVEL"], "debug");
    assert_eq!(listed[1]["secrets"][0]["saved_as"], "AUTHORIZATION");

    mira(&home, &["mcp", "add", "github", "--", "cat"])
        .run()
        .assert_code(3);
    add(
        &home,
        &["github", "--replace", "--env", "GITHUB_TOKEN", "--", "cat"],
    );
    let removed = mira(&home, &["mcp", "rm", "github", "--yes"])
        .run()
        .assert_code(0);
    assert!(
        removed
            .stderr_text()
            .contains("removed github and 1 secret"),
        "{removed:?}"
    );
    let secrets = crate::support::list(&home);
    assert_eq!(secrets.len(), 1, "{secrets:?}");
    mira(&home, &["mcp", "rm", "github", "--yes"])
        .run()
        .assert_code(3);

    std::fs::write(
        home.mira_home().join("mcp.json"),
        "{\"version\": 1, \"servers\": {\"a\": {}}}",
    )
    .unwrap();
    let damaged = mira(&home, &["mcp", "list"]).run().assert_code(5);
    assert!(
        damaged.stderr_text().contains("server \"a\""),
        "{damaged:?}"
    );
}

#[test]
fn a_test_tells_who_a_server_is_or_what_is_wrong() {
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
    let found = mira(&home, &["mcp", "test", "every", "--json"])
        .run()
        .assert_code(0);
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["server"]["name"], "mcp-servers/everything");
    assert!(
        found["tools"]
            .as_array()
            .unwrap()
            .iter()
            .any(|tool| tool == "echo"),
        "{found}"
    );

    let fails = |name: &str, program: &[&str], code: i32, expect: &[&str]| {
        add(&home, &[&[name, "--"], program].concat());
        let run = mira(&home, &["mcp", "test", name, "--timeout", "20"])
            .run()
            .assert_code(code);
        for text in expect {
            assert!(run.stderr_text().contains(text), "{text}: {run:?}");
        }
    };
    fails(
        "none",
        &["no-such-program", "-y"],
        1,
        &[
            "none cannot be started: no-such-program -y",
            "command not found",
        ],
    );
    fails(
        "ends",
        &["sh", "-c", "echo 'no such database' >&2; exit 9"],
        1,
        &["exit code 9", "no such database"],
    );
    add(
        &home,
        &["hangs", "--", "sh", "-c", "exec 3<&0; cat <&3 >/dev/null"],
    );
    let run = mira(&home, &["mcp", "test", "hangs", "--timeout", "1"])
        .run()
        .assert_code(1);
    assert!(
        run.stderr_text().contains("did not answer within 1s"),
        "{run:?}"
    );
    mira(&home, &["rm", "TOKEN", "--yes", "--scope", "mcp/every"])
        .run()
        .assert_code(0);
    let run = mira(&home, &["mcp", "test", "every"]).run().assert_code(3);
    assert!(
        run.stderr_text().contains("TOKEN in scope mcp/every"),
        "{run:?}"
    );
}
