//! Repositories that may be seen from now on get their index before anybody pushes.

use std::future::poll_fn;
use std::task::Poll;

use super::*;

impl World {
    /// Delivers that repositories were added, with a token for each of these.
    async fn added(&self, names: &[&str], with_tokens: &[&str]) -> (StatusCode, String) {
        let event = self.repo.pull_request_event(self.pull, "opened");
        let listed = names.iter().enumerate().map(|(number, name)| {
            let mut one = event["repository"].clone();
            if *name != "octo-org/app" {
                one["id"] = json!(900 + number);
                one["full_name"] = json!(name);
            }
            json!({"id": one["id"], "full_name": one["full_name"], "private": one["private"]})
        });
        let event = json!({
            "action": "added", "installation": {"id": self.installation},
            "repositories_added": listed.collect::<Vec<_>>(),
        });
        let tokens = with_tokens.iter().map(|name| {
            let token = self.github.token(self.installation, &["octo-org/app"]);
            format!("{name}={token}")
        });
        let tokens = tokens.collect::<Vec<_>>().join(",");
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-github-event",
            "installation_repositories".parse().unwrap(),
        );
        headers.insert("authorization", "Bearer delivery-token-1".parse().unwrap());
        headers.insert("x-mira-github-tokens", tokens.parse().unwrap());
        let body = Bytes::from(event.to_string());
        events(State(Arc::clone(&self.app)), headers, body).await
    }

    async fn indexed(&self) -> Vec<String> {
        let rows = self.rows("SELECT path FROM rv_file ORDER BY path").await;
        rows.iter().map(|row| row.text(0).to_owned()).collect()
    }
}

#[tokio::test]
async fn a_repository_that_was_added_is_indexed_as_its_default_branch_is() {
    let world = world("Fine.").await;
    let code = "fn used() {}\nfn user() { used() }\n";
    world.repo.commit(
        "main",
        "Code",
        &[("u.rs", Some(code)), ("notes.txt", Some("x"))],
    );
    let done = world.added(&["octo-org/app"], &["octo-org/app"]).await;
    assert_eq!(done, (StatusCode::OK, "indexed\n".to_owned()));
    assert_eq!(world.indexed().await, ["u.rs"]);
    // What stands there already costs two calls, and no file.
    let before = world.github.asked().len();
    world.added(&["octo-org/app"], &["octo-org/app"]).await;
    assert_eq!(world.github.asked().len(), before + 2);
}

#[tokio::test]
async fn a_repository_that_cannot_be_indexed_does_not_keep_the_others_from_it() {
    let world = world("Fine.").await;
    world
        .repo
        .commit("main", "Code", &[("u.rs", Some("fn used() {}\n"))]);
    let all = ["octo-org/gone", "octo-org/untold", "octo-org/app"];
    let done = world.added(&all, &["octo-org/gone", "octo-org/app"]).await;
    assert_eq!(done, (StatusCode::OK, "indexed\n".to_owned()));
    assert_eq!(world.indexed().await, ["u.rs"]);
    let asked = world.github.asked();
    assert!(!asked.iter().any(|one| one.target.contains("untold")));
}

#[tokio::test]
async fn what_github_did_not_answer_comes_again_and_only_that() {
    let world = world("Fine.").await;
    world
        .repo
        .commit("main", "Code", &[("u.rs", Some("fn used() {}\n"))]);
    let trouble = || Refusal::Error {
        status: 502,
        message: "Bad Gateway".to_owned(),
    };
    world.github.refuse_next("GET", "git/blobs", trouble());
    let done = world.added(&["octo-org/app"], &["octo-org/app"]).await;
    assert_eq!(done.0, StatusCode::SERVICE_UNAVAILABLE);
    let done = world.added(&["octo-org/app"], &["octo-org/app"]).await;
    assert_eq!(done.0, StatusCode::OK);
    assert_eq!(world.indexed().await, ["u.rs"]);
}

#[tokio::test]
async fn an_index_makes_way_for_reviews() {
    let world = world("Fine.").await;
    world
        .repo
        .commit("main", "Code", &[("u.rs", Some("fn used() {}\n"))]);
    let app = Arc::clone(&world.app);
    let review = app.turns.first();
    let mut making = Box::pin(world.added(&["octo-org/app"], &["octo-org/app"]));
    // It gets as far as it can without waiting.
    let waited = poll_fn(|context| Poll::Ready(making.as_mut().poll(context))).await;
    assert!(waited.is_pending() && world.github.asked().is_empty());
    drop(review);
    assert_eq!(making.await.0, StatusCode::OK);
    assert_eq!(world.indexed().await, ["u.rs"]);
}
