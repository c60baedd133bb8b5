//! `reviewer review --diff -`.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use mira_testkit::model_server::{ModelServer, Reply};
use serde_json::{Value, json};

const DIFF: &str =
    "--- a/src/a.rs\n+++ b/src/a.rs\n@@ -1 +1,2 @@ fn main\n fn main() {\n+    open().unwrap();\n";

fn answer() -> Reply {
    let finding = json!({"path": "src/a.rs", "line": 2, "quote": "open().unwrap();", "severity": "warning", "category": "bug",
        "title": "It panics\u{1b}[31m", "body": "Handle the error.", "confidence": 0.9});
    let made_up = json!({"path": "src/b.rs", "line": 2, "quote": "x", "severity": "blocker", "category": "bug", "title": "no", "body": "", "confidence": 1});
    Reply::tool_call(
        "report_review",
        &json!({"summary": "Opens.", "confidence": 5, "findings": [finding, made_up, 7]}),
    )
}

fn review(server: &ModelServer, diff: &str, format: &str) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(env!("CARGO_BIN_EXE_reviewer"))
        .args(["review", "--diff", "-", "--format", format])
        .current_dir(folder.path())
        .env_clear()
        .env("REVIEWER_MODEL_BASE_URL", server.base_url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(diff.as_bytes())
        .expect("it reads");
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_local_diff_is_reviewed_as_text_json_and_sarif() {
    let server = ModelServer::start_with(None, |_| answer());
    let text = String::from_utf8(review(&server, DIFF, "text").stdout).unwrap();
    assert!(
        text.starts_with("src/a.rs:2: warning (bug): It panics[31m\n    Handle the error.\n"),
        "{text}"
    );
    assert!(
        text.contains("1 findings in 1 files, 2 left out; confidence 4 of 5"),
        "{text}"
    );

    let json: Value = serde_json::from_slice(&review(&server, DIFF, "json").stdout).unwrap();
    assert_eq!(json["findings"][0]["line"], 2);
    assert_eq!(json["dropped"][0]["why"], "not_in_diff");
    assert_eq!(json["dropped"][1]["why"], "unreadable");

    let sarif: Value = serde_json::from_slice(&review(&server, DIFF, "sarif").stdout).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["level"], "warning");
    assert_eq!(
        result["locations"][0]["physicalLocation"]["region"]["startLine"],
        2
    );
}

#[test]
fn what_is_no_diff_is_wrong_usage_and_no_key_is_told_by_name() {
    let server = ModelServer::start();
    assert_eq!(
        review(&server, "@@ -1 +1 @@\n+a\n", "text").status.code(),
        Some(2)
    );
    assert!(server.requests().is_empty());
    let output = Command::new(env!("CARGO_BIN_EXE_reviewer"))
        .args(["review", "--diff", "/dev/null"])
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("OPENROUTER_API_KEY"));
}
