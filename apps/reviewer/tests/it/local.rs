//! `reviewer review --diff -`.

use std::io::Write as _;
use std::path::Path;
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
    let args = ["review", "--diff", "-", "--format", format];
    run(server, folder.path(), &args, diff)
}

/// Runs the program in a folder, with a text on its standard input.
fn run(server: &ModelServer, folder: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_reviewer"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("REVIEWER_MODEL_BASE_URL", server.base_url())
        .env("REVIEWER_MODEL_RETRIES", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    child
        .stdin
        .take()
        .expect("it is piped")
        .write_all(input.as_bytes())
        // It may have ended already, for its arguments.
        .ok();
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

#[track_caller]
fn fails(output: &Output, code: i32, expect: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expect), "{said}");
    assert!(output.stdout.is_empty(), "data only where it is done");
}

#[test]
fn a_diff_in_a_file_is_reviewed_by_the_rules_of_the_configuration() {
    let server = ModelServer::start_with(None, |_| answer());
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.diff"), DIFF).unwrap();
    let args = ["review", "--diff", "c.diff", "--format", "json"];
    let found = |output: Output| -> Value { serde_json::from_slice(&output.stdout).unwrap() };
    let json = found(run(&server, folder.path(), &args, ""));
    assert_eq!(json["findings"].as_array().unwrap().len(), 1);
    assert_eq!(json["tokens"], json!({"input": 1, "output": 1}));

    // The usual name is taken by itself, another one by its option.
    let strict = "filter: {min_severity: blocker}\n";
    std::fs::write(folder.path().join(".mira.yaml"), strict).unwrap();
    let json = found(run(&server, folder.path(), &args, ""));
    assert_eq!(json["dropped"][0]["why"], "too_minor");
    let without = "filter: {exclude_patterns: ['src/']}\n";
    std::fs::write(folder.path().join("other.yaml"), without).unwrap();
    let before = server.requests().len();
    let args = [&args[..], &["--config", "other.yaml"]].concat();
    let json = found(run(&server, folder.path(), &args, ""));
    let skipped = json!([{"path": "src/a.rs", "why": "excluded by .mira.yaml"}]);
    assert_eq!(json["skipped"], skipped);
    assert_eq!(server.requests().len(), before, "there was nothing to ask");
}

#[test]
fn what_git_writes_is_read_as_it_is() {
    let server = ModelServer::start_with(None, |_| answer());
    let folder = tempfile::tempdir().unwrap();
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org"])
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "--quiet"]);
    std::fs::create_dir(folder.path().join("src")).unwrap();
    let source = folder.path().join("src/a.rs");
    std::fs::write(&source, "fn main() {\n").unwrap();
    std::fs::write(folder.path().join("old name.txt"), "stays\n").unwrap();
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "One"]);
    std::fs::write(&source, "fn main() {\n    open().unwrap();\n").unwrap();
    std::fs::write(folder.path().join("logo.png"), b"\x89PNG\0\0").unwrap();
    git(&["mv", "old name.txt", "new name.txt"]);
    git(&["add", "."]);
    let diff = git(&["diff", "--cached", "-M"]);
    let args = ["review", "--diff", "-"];
    let output = run(&server, folder.path(), &args, &diff);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("src/a.rs:2: warning (bug)"), "{text}");
    assert!(text.contains("not looked at: logo.png ("), "{text}");
    assert!(text.contains("not looked at: new name.txt ("), "{text}");
}

#[test]
fn wrong_inputs_are_told_with_what_is_wrong_and_ask_no_model() {
    let server = ModelServer::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(
        path.join("bad.yaml"),
        "filter: {max_comments: many}\nextra: 1\n",
    )
    .unwrap();
    let run = |args: &[&str]| run(&server, path, args, DIFF);
    fails(&run(&["review"]), 2, "--diff");
    fails(
        &run(&["review", "--diff", "-", "--format", "xml"]),
        2,
        "sarif",
    );
    fails(
        &run(&["review", "--diff", "nowhere.diff"]),
        1,
        "nowhere.diff",
    );
    let faulty = run(&["review", "--diff", "-", "--config", "bad.yaml"]);
    fails(&faulty, 2, "filter.max_comments");
    fails(&faulty, 2, "extra: there is no such key");
    let missing = run(&["review", "--diff", "-", "--config", "nowhere.yaml"]);
    fails(&missing, 1, "nowhere.yaml");
    assert!(server.requests().is_empty());
}

#[test]
fn an_empty_diff_is_nothing_to_review_and_no_failure() {
    let server = ModelServer::start();
    let output = review(&server, "", "text");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        text,
        "0 findings in 0 files, 0 left out; confidence 5 of 5\n"
    );
    assert!(server.requests().is_empty());
}

#[test]
fn a_service_that_is_away_or_answers_no_review_is_a_failure_that_says_so() {
    let server = ModelServer::start();
    server.script(Reply::trouble());
    fails(&review(&server, DIFF, "json"), 1, "asked again later");
    server.script(Reply::text("I would rather not."));
    fails(&review(&server, DIFF, "json"), 1, "no review");
    server.script(Reply::bad_key());
    fails(&review(&server, DIFF, "json"), 1, "did not accept the key");
}
