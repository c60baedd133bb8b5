//! The examples of all of GitHub's events, as their maintainers collect them: each is taken, whoever wants it or not, and none is an error.

use std::path::Path;

use mira_store::HookFilter;
use serde_json::Value;

use crate::ground::{Apps, Ground, send};

/// Returns the examples: `cargo xtask test programs` installs them.
fn examples() -> Vec<(String, Value)> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join(
        "tools/clients/node/node_modules/@octokit/webhooks-examples/api.github.com/index.json",
    );
    let hint = "`cargo xtask test programs` installs it";
    let text =
        std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}; {hint}", file.display()));
    let events: Value = serde_json::from_slice(&text).unwrap();
    let mut all = Vec::new();
    for event in events.as_array().unwrap() {
        for example in event["examples"].as_array().unwrap() {
            all.push((event["name"].as_str().unwrap().to_owned(), example.clone()));
        }
    }
    all
}

#[tokio::test]
async fn every_example_is_taken_and_what_is_wanted_is_queued() {
    let ground = Ground::file();
    let shared = ground.shared().await;
    let ingress = ground.ingress(&shared, &Apps::at(None));
    let examples = examples();
    assert!(examples.len() > 200, "{}", examples.len());
    let (mut wanted, mut kept) = (0, 0);
    for (number, (name, example)) in examples.iter().enumerate() {
        let body = serde_json::to_string_pretty(example).unwrap();
        let answer = send(&ingress, name, &format!("{number}"), &body).await;
        let expect = match name.as_str() {
            "ping" => "pong",
            "pull_request" | "push" | "installation" => "accepted",
            _ => "accepted; no app takes such events",
        };
        assert_eq!(answer.words, expect, "{name}");
        assert!(answer.status.is_success(), "{name} {answer:?}");
        if name == "ping" {
            continue;
        }
        kept += 1;
        let action = example["action"].as_str();
        if name == "installation" && action == Some("deleted") {
            // It erases what was known of that installation.
            continue;
        }
        let event = shared
            .hooks(&HookFilter::default(), 1)
            .await
            .unwrap()
            .remove(0);
        assert_eq!(event.action.as_deref(), action, "{name}");
        let repository = &example["repository"]["full_name"];
        assert_eq!(event.repository.as_deref(), repository.as_str(), "{name}");
        let id = &example["installation"]["id"];
        assert_eq!(event.installation, id.as_i64(), "{name}");
        let number = example["pull_request"]["number"].as_i64();
        assert_eq!(
            event.number,
            number.or(example["issue"]["number"].as_i64()),
            "{name}"
        );
        let is_wanted = expect == "accepted";
        assert_eq!(event.delivery.is_some(), is_wanted, "{name}");
        let body = shared.hook_body(&event.id).await.unwrap();
        assert_eq!(body.is_some(), is_wanted, "{name}");
        wanted += usize::from(is_wanted);
    }
    assert!(wanted > 20 && kept > wanted, "{wanted} of {kept}");
}
