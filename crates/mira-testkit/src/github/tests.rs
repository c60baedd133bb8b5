//! The GitHub for tests refuses what the real one refuses.

use std::net::SocketAddr;

use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::*;

/// A client that takes answers as they come.
struct Client {
    address: SocketAddr,
    authorization: String,
    runtime: tokio::runtime::Runtime,
}

type Answer = (u16, Vec<(String, String)>, Vec<u8>);

impl Client {
    fn new(github: &GitHub, authorization: &str) -> Self {
        Self {
            address: github.address(),
            authorization: authorization.to_owned(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .unwrap(),
        }
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.runtime.block_on(async {
            let stream = TcpStream::connect(self.address).await.unwrap();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream))
                    .await
                    .unwrap();
            let connection = tokio::spawn(connection);
            let mut request = hyper::Request::builder()
                .method(method)
                .uri(target)
                .header("host", "localhost")
                .header("authorization", &self.authorization);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            let request = request
                .body(http_body_util::Full::new(Bytes::from(body)))
                .unwrap();
            let response = sender.send_request(request).await.unwrap();
            let (head, body) = response.into_parts();
            let headers = head.headers.iter();
            let headers =
                headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            connection.abort();
            (head.status.as_u16(), headers.collect(), body)
        })
    }

    fn json(&self, method: &str, target: &str, body: &Value) -> (u16, Value) {
        let (status, _, body) = self.ask(method, target, &[], body);
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    fn get(&self, target: &str) -> (u16, Value) {
        self.json("GET", target, &Value::Null)
    }
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let mut headers = answer.1.iter();
    headers
        .find_map(|(key, value)| (key == name).then_some(&**value))
        .unwrap_or_default()
}

#[test]
fn a_review_is_taken_on_lines_of_the_diff_and_on_no_others() {
    let github = GitHub::start();
    let repo = github.repository("octo-org/app", true);
    repo.commit(
        "main",
        "base",
        &[("a.txt", Some("1\n2\n3\n4\n5\n6\n7\n8\n9\n"))],
    );
    repo.commit(
        "feature",
        "change",
        &[("a.txt", Some("1\n2\n3\n4\nfive\n6\n7\n8\n9\n"))],
    );
    let number = repo.open_pull(&PullSpec::default());
    let installation = github.install("octo-org");
    let token = github.token(installation, &["octo-org/app"]);
    let client = Client::new(&github, &format!("Bearer {token}"));
    let post = |line: u64| {
        let comment = json!({"path": "a.txt", "line": line, "side": "RIGHT", "body": "here"});
        let review = json!({"event": "COMMENT", "body": "text", "comments": [comment]});
        client.json(
            "POST",
            &format!("/repos/octo-org/app/pulls/{number}/reviews"),
            &review,
        )
    };
    assert_eq!(post(5).0, 200);
    let (status, body) = post(1);
    assert_eq!(
        (status, &body["errors"]),
        (422, &json!(["Line could not be resolved"]))
    );
    assert_eq!(repo.reviews(number).len(), 1);
    assert_eq!(repo.review_comments(number)[0]["line"], 5);
    let (_, files) = client.get(&format!("/repos/octo-org/app/pulls/{number}/files"));
    assert!(
        files[0]["patch"]
            .as_str()
            .unwrap()
            .starts_with("@@ -2,7 +2,7 @@")
    );
    github.set_diff_limits(3, 3);
    let diff = [("accept", "application/vnd.github.diff")];
    let target = format!("/repos/octo-org/app/pulls/{number}");
    assert_eq!(client.ask("GET", &target, &diff, &Value::Null).0, 406);
}

#[test]
fn a_token_sees_its_own_private_repositories_and_pages_and_tags() {
    let github = GitHub::start();
    let mine = github.repository("octo-org/mine", true);
    let _other = github.repository("octo-org/other", true);
    for number in 0..3 {
        mine.commit(
            "main",
            &format!("commit {number}"),
            &[("f", Some(&number.to_string()))],
        );
    }
    let installation = github.install("octo-org");
    let token = github.token(installation, &["octo-org/mine"]);
    let client = Client::new(&github, &format!("token {token}"));
    assert_eq!(client.get("/repos/octo-org/mine").0, 200);
    assert_eq!(client.get("/repos/octo-org/other").0, 404);
    let page = client.ask(
        "GET",
        "/repos/octo-org/mine/commits?per_page=2",
        &[],
        &Value::Null,
    );
    assert!(header(&page, "link").contains("page=2>; rel=\"next\""));
    let tag = header(&page, "etag").to_owned();
    let target = "/api/v3/repos/octo-org/mine/commits?per_page=2";
    let again = client.ask("GET", target, &[("if-none-match", &tag)], &Value::Null);
    // Addresses within the page differ, but not its content.
    assert_eq!(again.0, 304);
    github.expire_tokens();
    let (status, body) = client.get("/repos/octo-org/mine");
    assert_eq!((status, &body["message"]), (401, &json!("Bad credentials")));
    github.refuse_next(
        "GET",
        "/mine",
        Refusal::SecondaryRateLimit { retry_after_s: 7 },
    );
    let limited = client.ask("GET", "/repos/octo-org/mine", &[], &Value::Null);
    assert_eq!((limited.0, header(&limited, "retry-after")), (403, "7"));
}

#[test]
fn a_fork_is_known_by_its_commits_and_not_by_its_branch() {
    let github = GitHub::start();
    let repo = github.repository("octo-org/app", false);
    let sha = repo.commit_to_fork(
        "mallory/app",
        "evil",
        "change",
        &[("x.rs", Some("fn x() {}\n"))],
    );
    let number = repo.open_pull(&PullSpec {
        head: "evil",
        fork: Some("mallory/app"),
        author: "mallory",
        ..PullSpec::default()
    });
    let pull = repo.pull(number);
    assert_eq!(pull["head"]["repo"]["full_name"], "mallory/app");
    let installation = github.install("octo-org");
    let token = github.token(installation, &["octo-org/app"]);
    let client = Client::new(&github, &format!("bearer {token}"));
    assert_eq!(
        client.get("/repos/octo-org/app/contents/x.rs?ref=evil").0,
        404
    );
    let (status, file) = client.get(&format!("/repos/octo-org/app/contents/x.rs?ref={sha}"));
    assert_eq!(
        (status, &file["content"]),
        (200, &json!("Zm4geCgpIHt9Cg==\n"))
    );
    let event = repo.pull_request_event(number, "opened");
    assert_eq!(event["installation"]["id"], installation);
    assert_eq!(event["pull_request"]["head"]["sha"], json!(sha));
}

#[test]
fn threads_are_listed_and_resolved() {
    let github = GitHub::start();
    let repo = github.repository("octo-org/app", true);
    repo.commit("feature", "change", &[("b.txt", Some("new\n"))]);
    let number = repo.open_pull(&PullSpec::default());
    let installation = github.install("octo-org");
    let token = github.token(installation, &["octo-org/app"]);
    let client = Client::new(&github, &format!("bearer {token}"));
    let comment = json!({"path": "b.txt", "line": 1, "side": "RIGHT", "body": "here"});
    let (status, made) = client.json(
        "POST",
        &format!("/repos/octo-org/app/pulls/{number}/comments"),
        &comment,
    );
    assert_eq!(status, 201);
    let id = made["id"].as_u64().unwrap();
    drop(repo.reply(number, id, "alice", "no"));
    let ask = |query: &str, variables: Value| {
        client
            .json(
                "POST",
                "/graphql",
                &json!({"query": query, "variables": variables}),
            )
            .1
    };
    let threads = "query($owner: String!, $name: String!, $number: Int!) { repository { pullRequest { reviewThreads { nodes { id } } } } }";
    let found = ask(
        threads,
        json!({"owner": "octo-org", "name": "app", "number": number}),
    );
    let thread = &found["data"]["repository"]["pullRequest"]["reviewThreads"]["nodes"][0];
    assert_eq!(thread["comments"]["nodes"].as_array().unwrap().len(), 2);
    let resolve = "mutation($id: ID!) { resolveReviewThread(input: {threadId: $id}) { thread { isResolved } } }";
    ask(resolve, json!({"id": thread["id"]}));
    assert_eq!(
        repo.resolved_threads(number),
        [(id, "mira-test[bot]".to_owned())]
    );
}
