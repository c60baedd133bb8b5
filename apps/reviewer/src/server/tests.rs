//! Deliveries against a GitHub and a model that speak the real protocols.

mod budget;
mod commands;
mod erasure;
mod installed;
mod limits;
mod report;

use mira_testkit::github::{GitHub as FakeGitHub, PullSpec, Refusal, Repo};
use mira_testkit::model_server::{ModelServer, Reply};
use serde_json::json;

use super::*;

struct World {
    github: FakeGitHub,
    repo: Repo,
    installation: u64,
    model: ModelServer,
    app: Arc<App>,
    pull: u64,
    /// The number of the App that events are delivered to.
    by: u64,
    _folder: tempfile::TempDir,
}

fn finding(path: &str, line: u32, quote: &str, severity: &str) -> Value {
    json!({"path": path, "line": line, "quote": quote, "severity": severity, "category": "bug", "title": "It panics", "body": "Fine.", "confidence": 0.9})
}

fn findings(findings: &[Value]) -> Reply {
    let report = json!({"summary": "Fine.", "confidence": 4, "findings": findings});
    Reply::tool_call("report_review", &report)
}

fn report(body: &str) -> Reply {
    let mut finding = finding("a.rs", 1, "fn a() { b().unwrap() }", "warning");
    finding["body"] = body.into();
    Reply::tool_call(
        "report_review",
        &json!({"summary": body, "confidence": 4, "findings": [finding]}),
    )
}

async fn world(said: &'static str) -> World {
    let github = FakeGitHub::start();
    let installation = github.install("octo-org");
    let repo = github.repository("octo-org/app", true);
    repo.commit(
        "feature",
        "Add a",
        &[("a.rs", Some("fn a() { b().unwrap() }\n"))],
    );
    let pull = repo.open_pull(&PullSpec::default());
    let model = ModelServer::start_with(None, move |_| report(said));
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(folder.path().join("r.db").to_str().unwrap())
        .await
        .unwrap();
    let base = model.base_url();
    let all = move |name: &str| (name == "REVIEWER_MODEL_BASE_URL").then(|| base.clone());
    let client = crate::net::client().unwrap();
    let mut asked = crate::settings::model(&crate::settings::Env(&all), client.clone()).unwrap();
    asked.backoff = std::time::Duration::ZERO;
    let app = Arc::new(App {
        db,
        model: asked,
        client,
        delivery_token: Some(Key::new("delivery-token-1".to_owned())),
        github_api: github.url(),
        limits: Limits::default(),
        bot: "mira-test".to_owned(),
        memory: Arc::default(),
        turns: Turns::default(),
        advice: None,
        id: "one".to_owned(),
    });
    World {
        by: github.app().id,
        github,
        repo,
        installation,
        model,
        app,
        pull,
        _folder: folder,
    }
}

impl World {
    async fn deliver(&self, kind: &'static str, event: &Value) -> (StatusCode, String) {
        let token = self.github.token(self.installation, &["octo-org/app"]);
        self.deliver_with(&token, kind, event).await
    }

    async fn deliver_with(
        &self,
        token: &str,
        kind: &'static str,
        event: &Value,
    ) -> (StatusCode, String) {
        let mut headers = HeaderMap::new();
        headers.insert("x-github-event", kind.parse().unwrap());
        headers.insert("authorization", "Bearer delivery-token-1".parse().unwrap());
        headers.insert("x-mira-github-token", token.parse().unwrap());
        let by = self.by.to_string();
        let name = "x-github-hook-installation-target-id";
        headers.insert(name, by.parse().unwrap());
        events(
            State(Arc::clone(&self.app)),
            headers,
            Bytes::from(event.to_string()),
        )
        .await
    }

    async fn opened(&self) -> (StatusCode, String) {
        let event = self.repo.pull_request_event(self.pull, "opened");
        self.deliver("pull_request", &event).await
    }

    async fn sql(&self, sql: &'static str) {
        self.app.db.execute(sql, &[]).await.unwrap();
    }

    async fn rows(&self, sql: &'static str) -> Vec<crate::db::Row> {
        self.app.db.rows(sql, &[]).await.unwrap()
    }

    /// Delivers what somebody says below the pull request; returns what became of it.
    async fn say(&self, login: &str, text: &str) -> String {
        let comment = self.repo.comment(self.pull, login, text);
        let event = self.repo.issue_comment_event(self.pull, &comment);
        self.deliver("issue_comment", &event).await.1
    }

    /// Returns the comment with the walkthrough, of which there must be one.
    fn walkthrough(&self) -> String {
        let comments = self.repo.comments(self.pull);
        let texts = comments.iter().filter_map(|one| one["body"].as_str());
        let mut texts = texts.filter(|text| text.starts_with("<!-- mira-review walkthrough -->"));
        let text = texts.next().unwrap_or_default().to_owned();
        assert_eq!(texts.next(), None);
        text
    }

    /// Changes the server while nobody works with it.
    fn app(&mut self) -> &mut App {
        Arc::get_mut(&mut self.app).unwrap()
    }
}

#[tokio::test]
async fn an_opened_pull_request_gets_one_review_however_often_it_is_delivered() {
    let world = world("Ask @alice at https://evil.test/?x ![i](https://evil.test/i)").await;
    assert_eq!(
        world.opened().await,
        (StatusCode::OK, "posted\n".to_owned())
    );
    assert_eq!(
        world.opened().await,
        (StatusCode::OK, "done already\n".to_owned())
    );
    assert_eq!(world.repo.reviews(world.pull).len(), 1);
    let comments = world.repo.review_comments(world.pull);
    assert_eq!((comments.len(), &comments[0]["line"]), (1, &json!(1)));
    let all = format!("{comments:?} {:?}", world.repo.comments(world.pull));
    assert!(
        !all.contains("evil.test") && !all.contains("@alice"),
        "{all}"
    );
    assert!(all.contains("Walkthrough"));
}

#[tokio::test]
async fn a_crash_after_the_review_was_posted_posts_no_second_one() {
    let world = world("Fine.").await;
    world.opened().await;
    // As if it had died before it noted the post.
    let draft = json!(pull::Draft::default()).to_string();
    let values = [draft.into()];
    let sql = "UPDATE rv_pass SET state = 'posting', draft = $1";
    world.app.db.execute(sql, &values).await.unwrap();
    assert_eq!(world.opened().await.1, "posted\n");
    assert_eq!(world.repo.reviews(world.pull).len(), 1);
}

#[tokio::test]
async fn a_pull_request_that_another_server_works_on_comes_again_later() {
    let world = world("Fine.").await;
    world.opened().await;
    world
        .sql("UPDATE rv_pull SET owner = 'two', until = 99999999999")
        .await;
    assert_eq!(world.opened().await.0, StatusCode::SERVICE_UNAVAILABLE);
    world.sql("UPDATE rv_pull SET until = 1").await;
    assert_eq!(world.opened().await.1, "done already\n");
}

#[tokio::test]
async fn a_model_that_is_down_makes_the_delivery_wait_and_loses_nothing() {
    let world = world("Fine.").await;
    for _ in 0..3 {
        world.model.script(Reply::trouble());
    }
    assert_eq!(world.opened().await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(format!("{:?}", world.repo.comments(world.pull)).contains("waiting"));
    assert_eq!(world.opened().await.1, "posted\n");
    assert_eq!(world.repo.comments(world.pull).len(), 1);
}

#[tokio::test]
async fn what_github_takes_no_comment_on_stands_in_the_walkthrough_and_the_rest_on_its_lines() {
    let world = world("Fine.").await;
    world.model.script(findings(&[
        finding("a.rs", 1, "fn a() { b().unwrap() }", "warning"),
        finding("c.rs", 1, "fn c() {}", "blocker"),
    ]));
    world
        .repo
        .commit("feature", "Add c", &[("c.rs", Some("fn c() {}\n"))]);
    let refused = || Refusal::Error {
        status: 422,
        message: "Unprocessable Entity".to_owned(),
    };
    // The whole review is refused, and then one of its lines.
    world.github.refuse_next("POST", "/reviews", refused());
    let path = format!("pulls/{}/comments", world.pull);
    world.github.refuse_next("POST", &path, refused());
    assert_eq!(world.opened().await.1, "posted\n");
    let on_lines = world.repo.review_comments(world.pull);
    assert_eq!((on_lines.len(), &on_lines[0]["path"]), (1, &json!("a.rs")));
    assert_eq!(world.repo.reviews(world.pull).len(), 1);
    let told = world.walkthrough();
    assert!(
        told.contains("c.rs, line 1 (GitHub takes no comment there)"),
        "{told}"
    );
    assert!(
        told.contains("Kept: 2. Posted on lines: 1. In the walkthrough: 1."),
        "{told}"
    );
    let rows = world.rows("SELECT posted, computed FROM rv_pass").await;
    assert_eq!((rows[0].int(0), rows[0].int(1)), (1, 2));
}

#[tokio::test]
async fn without_the_delivery_token_nothing_is_taken() {
    let world = world("Fine.").await;
    let mut headers = HeaderMap::new();
    headers.insert("x-github-event", "pull_request".parse().unwrap());
    let event = world
        .repo
        .pull_request_event(world.pull, "opened")
        .to_string();
    let answer = events(State(Arc::clone(&world.app)), headers, Bytes::from(event)).await;
    assert_eq!(answer.0, StatusCode::UNAUTHORIZED);
    assert!(world.github.asked().is_empty());
}

#[tokio::test]
async fn the_configuration_is_of_the_base_branch_and_not_the_authors() {
    let world = world("Fine.").await;
    let text = "filter: {blocked_authors: [alice]}\n";
    world
        .repo
        .commit("feature", "Switch it off", &[(".mira.yaml", Some(text))]);
    assert_eq!(world.opened().await.1, "posted\n");
}

/// Returns all texts that were sent to GitHub to be shown.
fn shown(github: &FakeGitHub) -> Vec<String> {
    fn texts(value: &Value, out: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            match value {
                Value::String(text) if matches!(key.as_str(), "body" | "summary" | "title") => {
                    out.push(text.clone());
                }
                other => texts(other, out),
            }
        }
        for one in value.as_array().into_iter().flatten() {
            texts(one, out);
        }
    }
    let mut out = Vec::new();
    for asked in github.asked() {
        texts(
            &serde_json::from_str(&asked.body).unwrap_or_default(),
            &mut out,
        );
    }
    out
}

#[tokio::test]
async fn a_model_that_obeys_every_injection_reaches_nobody_and_tells_nothing() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/injections");
    let files = std::fs::read_dir(folder).unwrap();
    let corpus: Vec<String> = files
        .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    assert!(corpus.len() >= 50);
    let mut world = world("").await;
    // This one says whatever it was told, and its own key.
    world.model = ModelServer::start_with(None, |request| {
        report(&format!(
            "{}\nsk-canary-model-key-0001",
            request.last_message()
        ))
    });
    let app = Arc::get_mut(&mut world.app).unwrap();
    app.model.base_url = world.model.base_url();
    app.model.api = crate::model::Api::OpenAi {
        key: Some(Key::new("sk-canary-model-key-0001".to_owned())),
    };
    let other = About {
        repo: 99,
        name: "octo-org/secret-project".to_owned(),
        private: true,
        ..About::default()
    };
    note(&world.app, &other).await.unwrap();
    let index = crate::index::Index {
        db: world.app.db.clone(),
        repo: 99,
    };
    let bytes = b"fn a() { canary_of_another_repository() }".to_vec();
    index
        .update(
            vec![crate::index::Source {
                path: "a.rs".to_owned(),
                blob: "1".to_owned(),
                bytes,
            }],
            &[],
        )
        .await
        .unwrap();
    for (number, injection) in corpus.iter().enumerate() {
        let spec = PullSpec {
            body: Some(injection),
            ..PullSpec::default()
        };
        world.pull = world.repo.open_pull(&spec);
        let (status, said) = world.opened().await;
        assert_eq!(
            (status, said.as_str()),
            (StatusCode::OK, "posted\n"),
            "{number}: {injection}"
        );
    }
    let requests = world.model.requests();
    assert_eq!(requests.len(), corpus.len());
    for request in &requests {
        assert_eq!(request.body["messages"][0], requests[0].body["messages"][0]);
        assert!(
            !request
                .body
                .to_string()
                .contains("canary_of_another_repository")
        );
    }
    for text in shown(&world.github) {
        let text = text.replacen("<!-- mira-review ", "", 1).to_lowercase();
        for never in [
            "//evil.test",
            "![",
            "secret-project",
            "sk-canary",
            "www.",
            "&#",
        ] {
            assert!(!text.contains(never), "{never}: {text}");
        }
        let mut code = false;
        for line in text.lines() {
            code = code != line.starts_with("```");
            if !code {
                for never in ["<", "@o"] {
                    assert!(!line.contains(never), "{never}: {line}");
                }
            }
        }
    }
}
