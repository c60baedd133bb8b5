//! The client against a service that speaks the real protocols on a socket.

use mira_testkit::model_server::{ModelServer, Reply};
use serde_json::json;

use super::*;

fn model(server: &ModelServer, api: Api) -> Model {
    Model {
        client: crate::net::client().unwrap(),
        api,
        base_url: server.base_url(),
        name: "large".to_owned(),
        fallback: Some("small".to_owned()),
        timeout: TIMEOUT,
        retries: 1,
        backoff: Duration::ZERO,
    }
}

fn ask() -> Ask {
    Ask {
        system: "s".to_owned(),
        user: "u".to_owned(),
        tool: Some(("t", json!({"type": "object"}))),
        temperature: Some(0.5),
        max_tokens: 300,
    }
}

fn key() -> Key {
    Key::new("sk-canary-0123456789".to_owned())
}

#[tokio::test]
async fn a_service_that_is_away_is_asked_again_and_then_the_fallback_model() {
    let server = ModelServer::start();
    for reply in [
        Reply::trouble(),
        Reply::rate_limited(0),
        Reply::tool_call("t", &json!({"a": 1})),
    ] {
        server.script(reply);
    }
    let answer = model(&server, Api::OpenAi { key: None })
        .ask(&ask(), None)
        .await
        .unwrap();
    assert_eq!(
        (answer.call, answer.model.as_str()),
        (Some(json!({"a": 1})), "small")
    );
    let models: Vec<_> = server
        .requests()
        .iter()
        .map(|one| one.model().to_owned())
        .collect();
    assert_eq!(models, ["large", "large", "small"]);
}

#[test]
fn what_mira_refuses_on_the_way_is_no_answer_of_the_service() {
    let check = |why: &'static str, expect: bool| {
        let headers = HeaderMap::from_iter([(
            reqwest::header::HeaderName::from_static("x-mira-denied"),
            HeaderValue::from_static(why),
        )]);
        assert_eq!(is_refused_on_the_way(&headers), expect, "{why}");
    };
    check("not-listed", true);
    check("address", true);
    check("signature", false);
    assert!(!is_refused_on_the_way(&HeaderMap::new()));
}

#[tokio::test]
async fn a_refusal_is_told_at_once_and_holds_no_key() {
    let server = ModelServer::start_with(Some("other"), |_| Reply::text("x"));
    let error = model(&server, Api::OpenAi { key: Some(key()) })
        .ask(&ask(), None)
        .await
        .unwrap_err();
    assert_eq!(server.requests().len(), 1);
    assert!(matches!(error, ModelError::Key(401, _)));
    assert!(!format!("{error} {error:?} {:?}", key()).contains("canary"));
}

#[tokio::test]
async fn a_model_that_takes_no_tool_or_temperature_is_asked_without() {
    let server = ModelServer::start();
    server.script(Reply::error(400, "x", "Unsupported value: 'temperature'"));
    server.script(Reply::error(
        400,
        "x",
        "This model does not support tool_choice",
    ));
    server.script(Reply::text("Here:\n```json\n{\"a\": 2}\n```"));
    let answer = model(&server, Api::OpenAi { key: None })
        .ask(&ask(), None)
        .await
        .unwrap();
    assert_eq!(answer.call, Some(json!({"a": 2})));
    let last = &server.requests()[2].body;
    assert!(last.get("temperature").is_none() && last.get("tools").is_none());
}

#[tokio::test]
async fn anthropic_is_asked_in_its_own_words() {
    let server = ModelServer::start_with(Some("sk-canary-0123456789"), |_| {
        Reply::json(&json!({"b": 3}))
    });
    let answer = model(&server, Api::Anthropic { key: key() })
        .ask(&ask(), None)
        .await
        .unwrap();
    assert_eq!(answer.call, Some(json!({"b": 3})));
    assert_eq!(server.requests()[0].body["tool_choice"]["name"], "t");
    let called = json!({"content": [{"type": "tool_use", "name": "t", "input": {"b": 4}}]});
    let answer = anthropic::read(&called).and_then(|answer| answer.call);
    assert_eq!(answer, Some(json!({"b": 4})));
}

#[test]
fn bedrock_is_asked_with_a_signature_that_holds_no_key() {
    let secret = key();
    let prepared = bedrock::prepare(
        "https://b.test",
        (&Key::new("AKIA1".to_owned()), &secret, None),
        "eu-west-1",
        "m:0",
        &ask(),
    )
    .unwrap();
    assert_eq!(prepared.url, "https://b.test/model/m%3A0/converse");
    let signature = prepared
        .headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .unwrap();
    assert!(
        signature.1.expose().contains("AKIA1/")
            && signature.1.expose().contains("/eu-west-1/bedrock/")
    );
    assert!(
        !prepared
            .headers
            .iter()
            .any(|(_, value)| value.expose().contains("canary"))
    );
    let answer = bedrock::read(
        &json!({"output": {"message": {"content": [{"toolUse": {"input": {"c": 1}}}]}}, "usage": {"inputTokens": 5}}),
    );
    assert_eq!(
        answer.map(|answer| (answer.call, answer.input_tokens)),
        Some((Some(json!({"c": 1})), 5))
    );
}
