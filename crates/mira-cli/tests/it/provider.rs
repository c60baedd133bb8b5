//! `mira provider`: what is set, which keys work, and why not.

use mira_testkit::canary::{Canary, Sweep};
use mira_testkit::home::{Run, TestHome};
use mira_testkit::model_server::{ModelServer, Reply};
use serde_json::Value;

use crate::support::{VALUE, keyfile_home, mira, set};

fn server() -> ModelServer {
    ModelServer::start_with(Some(VALUE), |_| Reply::text("Hi"))
}

fn provide(home: &TestHome, name: &str, more: &[&str]) {
    mira(home, &["provider", "set", name])
        .args(more)
        .run()
        .assert_code(0);
}

fn test(home: &TestHome, more: &[&str]) -> Run {
    let run = mira(home, &["provider", "test", "--json"]).args(more).run();
    let canaries = [Canary::new("KEY", VALUE)];
    let sweep = Sweep::new(&canaries);
    sweep.bytes("stdout", &run.stdout).assert_clean();
    sweep.bytes("stderr", &run.stderr).assert_clean();
    run
}

fn json(run: &Run) -> Value {
    serde_json::from_slice(&run.stdout).unwrap()
}

#[test]
fn providers_are_listed_with_what_is_set_and_whether_there_is_a_key() {
    let home = keyfile_home();
    set(&home, "OPENAI_API_KEY", VALUE);
    provide(
        &home,
        "groq",
        &[
            "--base-url",
            "https://api.groq.com/openai/v1",
            "--key",
            "GROQ_API_KEY",
        ],
    );
    provide(&home, "openai", &["--model", "gpt-5-mini"]);
    let run = mira(&home, &["provider", "list", "--json"])
        .run()
        .assert_code(0);
    let told: Vec<String> = json(&run)
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "{} {} {} {}",
                one["name"], one["at"], one["key_saved"], one["model"]
            )
            .replace('"', "")
        })
        .collect();
    assert_eq!(
        told,
        [
            "openai https://api.openai.com/v1 true gpt-5-mini",
            "anthropic https://api.anthropic.com false null",
            "openrouter https://openrouter.ai/api/v1 false null",
            "ollama http://localhost:11434 null null",
            "bedrock null false null",
            "groq https://api.groq.com/openai/v1 false null",
        ]
    );
    provide(&home, "groq", &["--reset"]);
    let text = mira(&home, &["provider", "list"])
        .run()
        .assert_code(0)
        .stdout_text();
    assert!(!text.contains("groq"), "{text}");
}

#[test]
fn all_keys_that_are_saved_are_tried() {
    let home = keyfile_home();
    let server = server();
    set(&home, "OPENAI_API_KEY", VALUE);
    set(&home, "ANTHROPIC_API_KEY", &VALUE.replace('7', "8"));
    provide(&home, "openai", &["--base-url", &server.base_url()]);
    provide(&home, "anthropic", &["--base-url", &server.root_url()]);
    provide(
        &home,
        "ollama",
        &["--base-url", &server.root_url(), "--model", "small"],
    );
    let run = test(&home, &[]).assert_code(1);
    let told: Vec<String> = json(&run)
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!("{} {} {}", one["name"], one["ok"], one["faults"][0]["code"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        told,
        [
            "openai true null",
            "anthropic false bad-key",
            "ollama true null"
        ]
    );
    let text = mira(&home, &["provider", "test", "openai"])
        .run()
        .assert_code(0)
        .stdout_text();
    assert!(text.contains("good") && text.contains("2 models"), "{text}");
}

#[test]
fn a_key_that_is_not_saved_is_named() {
    let home = keyfile_home();
    for (more, name) in [
        (&["openrouter"][..], "OPENROUTER_API_KEY"),
        (&[], "OPENAI_API_KEY"),
        (&["bedrock"], "AWS_CREDENTIALS"),
    ] {
        let run = test(&home, more).assert_code(3);
        assert!(run.stderr_text().contains(name), "{}", run.stderr_text());
    }
    let run = test(&home, &["opnai"]).assert_code(2);
    assert!(
        run.stderr_text().contains("openai, anthropic"),
        "{}",
        run.stderr_text()
    );
}

#[test]
fn a_key_that_the_provider_repeats_is_printed_nowhere() {
    let home = keyfile_home();
    let server = server();
    set(&home, "OPENAI_API_KEY", VALUE);
    provide(&home, "openai", &["--base-url", &server.base_url()]);
    for status in [400, 401, 403, 429, 500] {
        server.script_listing(Reply::error(status, "x", "Not with").echoes_key());
        let run = test(&home, &["openai"]).assert_code(1);
        assert!(
            run.stdout_text().contains("[redacted:OPENAI_API_KEY]"),
            "{}",
            run.stdout_text()
        );
    }
}

#[test]
fn a_model_is_asked_only_when_it_is_named() {
    let home = keyfile_home();
    let server = server();
    set(&home, "OPENAI_API_KEY", VALUE);
    provide(
        &home,
        "openai",
        &["--base-url", &server.base_url(), "--model", "small"],
    );
    test(&home, &["openai"]).assert_code(0);
    assert!(server.requests().is_empty());
    server.script(Reply::quota_exhausted());
    let run = test(&home, &["openai", "--model", "large"]).assert_code(1);
    assert_eq!(json(&run)[0]["faults"][0]["code"], "quota-exhausted");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_could_not_work_is_not_set() {
    let home = keyfile_home();
    let check = |args: &[&str], says: &str| {
        let run = mira(&home, &["provider", "set"])
            .args(args)
            .run()
            .assert_code(2);
        let told = run.stderr_text();
        assert!(told.contains(says), "{args:?}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    };
    check(&["openai"], "nothing is to be set");
    check(
        &["openai", "--base-url", "http://api.example.com"],
        "encrypted",
    );
    check(
        &["openai", "--base-url", "https://me:hunter2@api.example.com"],
        "--base-url",
    );
    check(&["groq", "--key", "GROQ_API_KEY"], "--base-url");
    check(&["bedrock", "--base-url", "https://x.example"], "region");
    assert!(!home.mira_home().join("settings.json").exists());
}
