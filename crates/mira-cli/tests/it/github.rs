//! `mira github`: an App is set up, signs in, and leaves nothing of its key or its tokens anywhere.

use std::path::{Path, PathBuf};

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::github::{AppKey, GitHub};
use mira_testkit::home::{Run, TestHome};
use serde_json::{Value, json};

use crate::support::{keyfile_home, mira, set};

/// A file with a key, outside of the home.
fn key_file(folder: &Path, key: &AppKey) -> PathBuf {
    let path = folder.join("app.private-key.pem");
    std::fs::write(&path, key.pem()).unwrap();
    path
}

fn setup(home: &TestHome, github: &GitHub, more: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(folder.path(), &github.app().key);
    mira(home, &["github", "setup", "--json", "--app-id", "4711"])
        .args(["--api-url", &github.url(), "--private-key-file"])
        .arg(file)
        .args(more)
        .run()
}

fn json(run: &Run) -> Value {
    serde_json::from_slice(&run.stdout).unwrap()
}

fn names(home: &TestHome) -> Vec<String> {
    let run = mira(home, &["list", "--json"]).run().assert_code(0);
    let all = json(&run);
    let names = all.as_array().unwrap().iter();
    names
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_app_signs_in_and_nothing_of_its_key_or_tokens_is_left_anywhere() {
    let github = GitHub::start();
    let _repo = github.repository("octo-org/app", true);
    let good = github.install("octo-org");
    let suspended = github.install("other-org");
    let home = keyfile_home();
    let run = setup(&home, &github, &["--generate-webhook-secret"]).assert_code(0);
    let told = json(&run);
    let webhook = told["webhook_secret"].as_str().unwrap().to_owned();
    assert!(webhook.len() >= 32);
    assert_eq!(
        told["saved"],
        json!(["MIRA_GITHUB_PRIVATE_KEY", "MIRA_WEBHOOK_SECRET"])
    );
    let first = mira(&home, &["github", "test", "--json"])
        .run()
        .assert_code(0);
    let told = json(&first);
    assert_eq!(
        (&told["slug"], &told["app_id"]),
        (&json!("mira-test"), &json!(4711))
    );
    assert_eq!(told["installations"][0]["id"], good);
    assert_eq!(
        told["installations"][0]["repositories"],
        json!(["octo-org/app"])
    );
    github.suspend(suspended, true);
    let second = mira(&home, &["github", "test"]).run().assert_code(1);
    assert!(
        second.stderr_text().contains("is suspended"),
        "{}",
        second.stderr_text()
    );
    assert!(
        second.stdout_text().contains("1 repository"),
        "{}",
        second.stdout_text()
    );

    // A line out of the middle of the key is the key.
    let line = github.app().key.pem().lines().nth(5).unwrap().to_owned();
    let mut canaries = vec![Canary::new("LINE", line), Canary::new("WEBHOOK", webhook)];
    for token in github.tokens() {
        canaries.push(Canary::new("TOKEN", token));
    }
    assert!(canaries.len() > 3);
    let sweep = Sweep::new(&canaries);
    sweep.folder(home.path()).assert_clean();
    for run in [&first, &second] {
        sweep.bytes("stdout", &run.stdout).assert_clean();
        sweep.bytes("stderr", &run.stderr).assert_clean();
    }
}

#[test]
fn what_is_not_given_comes_from_the_environment_once() {
    let github = GitHub::start();
    let home = keyfile_home();
    let folder = tempfile::tempdir().unwrap();
    let file = key_file(folder.path(), &github.app().key);
    let secret = "a-secret-of-a-webhook-of-40-characters!!";
    let run = mira(&home, &["github", "setup"])
        .env("MIRA_GITHUB_APP_ID", "4711")
        .env("MIRA_GITHUB_API_URL", github.url())
        .env("MIRA_GITHUB_PRIVATE_KEY_FILE", file)
        .env("MIRA_WEBHOOK_SECRET", secret)
        .run()
        .assert_code(0);
    assert!(!run.stdout_text().contains(secret) && !run.stderr_text().contains(secret));
    mira(&home, &["github", "test"]).run().assert_code(0);
    // What is saved stays; a new secret of the webhook leaves the one before.
    mira(&home, &["github", "setup", "--generate-webhook-secret"])
        .run()
        .assert_code(0);
    assert_eq!(
        names(&home),
        [
            "MIRA_GITHUB_PRIVATE_KEY",
            "MIRA_WEBHOOK_SECRET",
            "MIRA_WEBHOOK_SECRET_PREVIOUS"
        ]
    );
    mira(&home, &["github", "test"]).run().assert_code(0);
    // The same secret once more is no change, so the one before it counts on.
    for _ in 0..2 {
        let again = "another-secret-of-a-webhook-of-44-characters";
        mira(&home, &["github", "setup"])
            .env("MIRA_WEBHOOK_SECRET", again)
            .run()
            .assert_code(0);
    }
    let previous = [
        "run",
        "--only",
        "MIRA_WEBHOOK_SECRET,MIRA_WEBHOOK_SECRET_PREVIOUS",
        "--",
        "sh",
        "-c",
        "test \"$MIRA_WEBHOOK_SECRET\" != \"$MIRA_WEBHOOK_SECRET_PREVIOUS\"",
    ];
    mira(&home, &previous).run().assert_code(0);
}

#[test]
fn the_secrets_of_the_server_go_to_no_program_that_does_not_ask_for_them() {
    let home = keyfile_home();
    for name in [
        "KEY",
        "MIRA_GITHUB_PRIVATE_KEY",
        "MIRA_WEBHOOK_SECRET_APP_7",
    ] {
        set(&home, name, &format!("value-of-{name}"));
    }
    let given = |args: &[&str]| {
        let script =
            "env | grep -oE '^(KEY|MIRA_(GITHUB|WEBHOOK)[A-Z0-9_]*)' | sort | tr '\\n' ' '";
        let all = [&["run"], args, &["--", "sh", "-c", script]].concat();
        mira(&home, &all).run().assert_code(0).stdout_text()
    };
    assert_eq!(given(&[]), "KEY ");
    let named = given(&["--only", "MIRA_GITHUB_PRIVATE_KEY"]);
    assert_eq!(named, "MIRA_GITHUB_PRIVATE_KEY ");
}

#[test]
fn what_is_wrong_is_said_and_nothing_is_saved() {
    let github = GitHub::start();
    let home = keyfile_home();
    let run = mira(&home, &["github", "test"]).run().assert_code(3);
    assert!(
        run.stderr_text().contains("mira github setup"),
        "{}",
        run.stderr_text()
    );
    mira(&home, &["github", "setup"]).run().assert_code(3);
    mira(&home, &["github", "setup", "--app-id", "4711"])
        .run()
        .assert_code(3);
    mira(&home, &["github", "setup", "--app-id", "none"])
        .run()
        .assert_code(2);
    let no_key = mira(&home, &["github", "setup", "--app-id", "4711", "--stdin"]);
    let no_key = no_key
        .stdin_bytes("no-key-but-a-canary-51Zq")
        .run()
        .assert_code(1);
    assert!(
        !no_key.stderr_text().contains("canary"),
        "{}",
        no_key.stderr_text()
    );
    let open = [
        "github",
        "setup",
        "--app-id",
        "4711",
        "--api-url",
        "http://git.example.org/api/v3",
        "--stdin",
    ];
    mira(&home, &open)
        .stdin_bytes(github.app().key.pem())
        .run()
        .assert_code(2);
    let short = mira(&home, &["github", "setup", "--app-id", "4711", "--stdin"]);
    short
        .stdin_bytes(github.app().key.pem())
        .env("MIRA_WEBHOOK_SECRET", "too-short")
        .run()
        .assert_code(2);
    assert!(names(&home).is_empty());
    let wrong = mira(
        &home,
        &[
            "github",
            "setup",
            "--app-id",
            "4711",
            "--stdin",
            "--api-url",
            &github.url(),
        ],
    );
    wrong.stdin_bytes(AppKey::make().pem()).run().assert_code(0);
    let run = mira(&home, &["github", "test"]).run().assert_code(1);
    assert!(
        run.stderr_text().contains("does not accept the signature"),
        "{}",
        run.stderr_text()
    );
}
