//! The server as clients see it: asked by curl.

use serde_json::{Value, json};

use super::*;

/// What curl got.
struct Answer {
    code: i32,
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Returns the events of a stream, `[DONE]` left out, and whether that came.
    fn events(&self) -> (Vec<Value>, bool) {
        let data: Vec<&str> = self
            .body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        let done = data.last() == Some(&"[DONE]");
        let events = data.iter().filter(|data| **data != "[DONE]");
        let events = events.map(|data| serde_json::from_str(data).unwrap());
        (events.collect(), done)
    }

    fn streamed_text(&self) -> String {
        let (events, _) = self.events();
        events
            .iter()
            .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
            .collect()
    }
}

fn curl(url: &str, arguments: &[&str]) -> Answer {
    let output = std::process::Command::new("curl")
        .args([
            "--silent",
            "--noproxy",
            "*",
            "--max-time",
            "60",
            "--dump-header",
            "/dev/stderr",
        ])
        .args(arguments)
        .arg(url)
        .output()
        .unwrap();
    let head = String::from_utf8(output.stderr).unwrap();
    Answer {
        code: output.status.code().unwrap(),
        status: head.split(' ').nth(1).unwrap_or("0").parse().unwrap(),
        head: head.to_lowercase(),
        body: String::from_utf8(output.stdout).unwrap(),
    }
}

fn ask(server: &ModelServer, body: &Value, bearer: &str) -> Answer {
    let url = format!("{}/chat/completions", server.base_url());
    let authorization = format!("Authorization: Bearer {bearer}");
    curl(
        &url,
        &["--header", &authorization, "--json", &body.to_string()],
    )
}

fn question(stream: bool) -> Value {
    json!({"model": "small", "stream": stream, "messages": [{"role": "user", "content": "Who?"}]})
}

#[test]
fn an_answer_comes_whole_or_as_events() {
    let server = ModelServer::start_with(Some("k1"), |request| {
        Reply::text(format!(
            "{} asked “{}”",
            request.model(),
            request.last_message()
        ))
    });
    let plain = ask(&server, &question(false), "k1");
    assert_eq!(
        plain.json()["choices"][0]["message"]["content"],
        "small asked “Who?”"
    );
    let streamed = ask(&server, &question(true), "k1");
    assert!(streamed.head.contains("content-type: text/event-stream"));
    let (events, done) = streamed.events();
    assert!(done && events.len() > 3, "{}", streamed.body);
    assert_eq!(streamed.streamed_text(), "small asked “Who?”");
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "stop"
    );
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0].bearer.as_deref(), Some("k1"));
    assert!(!format!("{requests:?}").contains("k1"));
}

#[test]
fn models_are_listed_to_whoever_has_the_key() {
    let server = ModelServer::start_with(Some("k1"), |_| Reply::text("-"));
    let url = format!("{}/models", server.base_url());
    let answer = curl(&url, &["--header", "Authorization: Bearer k1"]);
    assert_eq!(answer.json()["data"][1]["id"], "small");
    assert_eq!(curl(&url, &[]).status, 401);
}

#[test]
fn a_wrong_key_and_a_wrong_request_are_refused() {
    let server = ModelServer::start_with(Some("k1"), |_| Reply::text("-"));
    let wrong = ask(&server, &question(false), "k2");
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.json()["error"]["code"], "invalid_api_key");
    assert_eq!(ask(&server, &json!({"model": "small"}), "k1").status, 400);
    let elsewhere = format!("{}/chat", server.base_url());
    assert_eq!(curl(&elsewhere, &[]).status, 404);
}

#[test]
fn errors_are_answered_in_the_order_of_the_script() {
    let server = ModelServer::start();
    for reply in [
        Reply::no_such_model(),
        Reply::rate_limited(7),
        Reply::trouble(),
        Reply::no_such_format(),
    ] {
        server.script(reply);
    }
    let answers: Vec<Answer> = (0..5)
        .map(|_| ask(&server, &question(true), "any"))
        .collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [404, 429, 500, 400, 200]);
    assert!(answers[1].head.contains("retry-after: 7\r\n"));
    assert_eq!(answers[0].json()["error"]["code"], "model_not_found");
}

#[test]
fn a_tool_is_called_whole_or_in_pieces() {
    let arguments = json!({"city": "Paris", "unit": "celsius"});
    let server = ModelServer::start();
    server.script(Reply::tool_call("weather", &arguments));
    server.script(Reply::tool_call("weather", &arguments));
    let call = ask(&server, &question(false), "any").json();
    let function = &call["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(function["name"], "weather");
    assert_eq!(function["arguments"], arguments.to_string());
    let (events, _) = ask(&server, &question(true), "any").events();
    let streamed: String = events
        .iter()
        .filter_map(|event| {
            event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
        })
        .collect();
    assert_eq!(streamed, arguments.to_string());
}

#[test]
fn a_hang_up_is_seen_as_one() {
    let server = ModelServer::start();
    let text = "A long answer that nobody gets to the end of.";
    for stream in [true, false] {
        server.script(Reply::text(text).cut());
        let answer = ask(&server, &question(stream), "any");
        // curl: 18 is a transfer that ended early.
        assert_eq!((answer.status, answer.code), (200, 18), "{}", answer.body);
        assert!(!answer.body.is_empty() && !answer.body.contains("[DONE]"));
    }
}

#[test]
fn a_held_answer_waits_for_the_test() {
    let server = ModelServer::start();
    server.script(Reply::text("at last").held());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&server, &question(true), "any"));
        assert_eq!(server.wait_for_requests(1).len(), 1);
        assert!(!asking.is_finished());
        // Others are answered meanwhile.
        assert_eq!(
            ask(&server, &question(true), "any").streamed_text(),
            "Hello."
        );
        assert!(!asking.is_finished());
        server.release();
        assert_eq!(asking.join().unwrap().streamed_text(), "at last");
    });
}

#[test]
fn a_dropped_server_ends_what_it_holds() {
    let server = ModelServer::start();
    server.script(Reply::text("never").held());
    let body = question(true);
    let url = format!("{}/chat/completions", server.base_url());
    let asking = std::thread::spawn(move || curl(&url, &["--json", &body.to_string()]));
    drop(server.wait_for_requests(1));
    drop(server);
    assert_ne!(asking.join().unwrap().code, 0);
}

#[test]
fn a_careless_service_says_the_key() {
    let server = ModelServer::start();
    server.script(Reply::text("Your key: ").echoes_key());
    server.script(Reply::error(400, "x", "Bad key").echoes_key());
    let text = ask(&server, &question(true), "k-123456").streamed_text();
    assert_eq!(text, "Your key: k-123456");
    let error = ask(&server, &question(true), "k-123456").json();
    assert_eq!(error["error"]["message"], "Bad key k-123456");
}
