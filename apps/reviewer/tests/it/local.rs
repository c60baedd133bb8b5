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
        text.ends_with(
            "1 finding in 1 file, 2 left out; confidence 4 of 5\n\
             left out: no (not on a line of the diff)\n\
             left out: an entry of the answer (not readable)\n"
        ),
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
fn no_text_of_the_diff_the_model_or_the_configuration_speaks_to_the_terminal() {
    let server = ModelServer::start_with(None, |_| {
        let finding = |path: &str| {
            json!({"path": path, "line": 1, "quote": "x()", "severity": "blocker", "category": "bug\r\u{1b}[2K0 findings in 9 files",
                "title": "a\u{9b}31mb", "body": "c\u{202e}d\u{7}", "suggestion": "e\u{1b}]0;f", "confidence": 1})
        };
        let findings = [finding("x\u{1b}[31m.py"), finding("no\u{1b}[31m.py")];
        Reply::tool_call(
            "report_review",
            &json!({"summary": "", "confidence": 5, "findings": findings}),
        )
    });
    let diff = "diff --git \"a/x\\033[31m.py\" \"b/x\\033[31m.py\"\n--- /dev/null\n+++ \"b/x\\033[31m.py\"\n@@ -0,0 +1 @@\n+x()\n\
                diff --git \"a/y\\033[2J\" \"b/y\\033[2J\"\nold mode 100644\nnew mode 100755\n";
    let is_obeyed = |char: char| char.is_control() && char != '\n' || char == '\u{202e}';
    let output = review(&server, diff, "text");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains(is_obeyed), "{text:?}");
    let first = "x[31m.py:1: blocker (bug[2K0 findings in 9 files): a31mb\n    cd\n    e]0;f\n";
    assert!(text.starts_with(first), "{text:?}");
    assert!(text.contains("not looked at: y[2J ("), "{text:?}");

    let folder = tempfile::tempdir().unwrap();
    let config = "\"a\\e[2J\": 1\n";
    std::fs::write(folder.path().join(".mira.yaml"), config).unwrap();
    let faulty = run(&server, folder.path(), &["review", "--diff", "-"], diff);
    fails(&faulty, 2, "a[2J: there is no such key");
    server.script(Reply::error(400, "x", "\u{1b}[2Jall is well"));
    let refused = review(&server, diff, "text");
    fails(&refused, 1, "[2Jall is well");
    for output in [faulty, refused] {
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!said.contains(is_obeyed), "{said:?}");
    }
}

#[test]
fn what_is_no_diff_is_wrong_usage_and_no_key_is_told_by_name() {
    let server = ModelServer::start();
    assert_eq!(
        review(&server, "@@ -1 +1 @@\n+a\n", "text").status.code(),
        Some(2)
    );
    for text in ["this is not a diff\n", "\u{1}\u{0}\u{fffd}x", "\n"] {
        for format in ["text", "json"] {
            fails(&review(&server, text, format), 2, "no file of a diff");
        }
    }
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
    assert_eq!(output.stderr, b"the diff is empty\n");
    assert!(server.requests().is_empty());
}

#[test]
fn a_service_that_is_away_or_answers_no_review_is_a_failure_that_says_so() {
    let server = ModelServer::start();
    server.script(Reply::trouble());
    let away = review(&server, DIFF, "json");
    fails(&away, 1, "has trouble (status 5");
    let said = String::from_utf8(away.stderr).unwrap();
    assert!(!said.contains("again"), "nothing comes again: {said}");
    server.script(Reply::text("I would rather not."));
    fails(&review(&server, DIFF, "json"), 1, "no review");
    server.script(Reply::bad_key());
    fails(&review(&server, DIFF, "json"), 1, "did not accept the key");
}

#[test]
fn a_configuration_that_is_a_link_or_a_pipe_is_neither_followed_nor_waited_for() {
    let server = ModelServer::start();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let secret = path.join("secret");
    std::fs::write(&secret, "API_KEY_OF_SOMEBODY: 1\n").unwrap();
    let config = path.join(".mira.yaml");
    let pipe = path.join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let check = |args: &[&str]| {
        let output = run(
            &server,
            path,
            &[&["review", "--diff", "-"], args].concat(),
            DIFF,
        );
        fails(&output, 2, "is a link, or no regular file");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("SOMEBODY"));
    };
    std::os::unix::fs::symlink(&secret, &config).unwrap();
    check(&[]);
    check(&["--config", ".mira.yaml"]);
    std::fs::remove_file(&config).unwrap();
    std::fs::rename(&pipe, &config).unwrap();
    check(&[]);
    std::fs::remove_file(&config).unwrap();
    std::fs::create_dir(&config).unwrap();
    check(&[]);
    std::fs::remove_dir(&config).unwrap();
    std::fs::write(&config, "filter: {exclude_patterns: ['[']}\n").unwrap();
    let faulty = run(&server, path, &["review", "--diff", "-"], DIFF);
    fails(&faulty, 2, "filter.exclude_patterns[0]: it is no pattern");
    assert!(server.requests().is_empty());
}

#[test]
fn a_service_that_cannot_be_reached_is_told_with_what_lets_it_be_called_under_mira() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.diff"), DIFF).unwrap();
    let review = |more: &[(&str, &str)]| {
        Command::new(env!("CARGO_BIN_EXE_reviewer"))
            .args(["review", "--diff", "c.diff"])
            .current_dir(folder.path())
            .env_clear()
            .env("REVIEWER_MODEL_BASE_URL", format!("http://{address}/v1"))
            .env("REVIEWER_MODEL_RETRIES", "0")
            .envs(more.iter().copied())
            .output()
            .unwrap()
    };
    let plain = review(&[]);
    fails(&plain, 1, "cannot be reached (no connection)\n");
    let command = format!("`mira net allow a1 {address}`");
    fails(&review(&[("MIRA_INSTANCE", "a1")]), 1, &command);
    let word = review(&[("REVIEWER_MODEL_API", "antropic")]);
    fails(&word, 2, "openai, anthropic and bedrock");
}
