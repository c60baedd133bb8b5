//! How tokens are minted, kept and forgotten.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{Set, app, app_at, github, scope, text};
use crate::{GitHubError, Tokens};
use mira_testkit::github::{AppKey, GitHub};

fn asked_for_a_token(github: &GitHub) -> Vec<Value> {
    let asked = github.asked().into_iter();
    let asked = asked.filter(|asked| asked.is("POST", "/access_tokens"));
    asked
        .map(|asked| serde_json::from_str(&asked.body).unwrap())
        .collect()
}

#[tokio::test]
async fn fifty_cold_requests_are_one_mint_and_it_is_narrow() {
    let (github, installation) = github();
    let tokens = Arc::new(Tokens::new(app(&github)));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let tokens = Arc::clone(&tokens);
        waiting.spawn(async move { text(&tokens, &scope(installation, "octo-org/app")).await });
    }
    let got = waiting.join_all().await;
    let first = got[0].clone().unwrap();
    assert!(got.iter().all(|one| one.as_ref() == Ok(&first)));
    assert_eq!(
        asked_for_a_token(&github),
        [
            json!({"repositories": ["app"], "permissions": {"contents": "read", "pull_requests": "write"}})
        ]
    );
}

#[tokio::test]
async fn fifty_requests_that_are_refused_are_one_request() {
    let (github, installation) = github();
    github.suspend(installation, true);
    let tokens = Arc::new(Tokens::new(app(&github)));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let tokens = Arc::clone(&tokens);
        waiting.spawn(async move { text(&tokens, &scope(installation, "octo-org/app")).await });
    }
    let got = waiting.join_all().await;
    let suspended = GitHubError::Suspended { installation };
    assert!(got.iter().all(|one| one.as_ref() == Err(&suspended)));
    assert_eq!(asked_for_a_token(&github).len(), 1);
}

#[tokio::test]
async fn a_token_is_used_for_55_minutes_and_no_longer_whatever_the_clock_says() {
    let (github, installation) = github();
    let time = Set::new();
    let tokens = Tokens::with_clock(app(&github), time.clock());
    let scope = scope(installation, "octo-org/app");
    let first = text(&tokens, &scope).await.unwrap();
    time.pass(55 * 60 - 1);
    assert_eq!(text(&tokens, &scope).await.unwrap(), first);
    // A clock that is set back makes nothing younger.
    time.set_wall(-24 * 60 * 60);
    time.pass(1);
    let second = text(&tokens, &scope).await.unwrap();
    assert_ne!(second, first);
    // A machine that slept has a clock that stood still, and one that did not.
    time.set_wall(55 * 60);
    assert_ne!(text(&tokens, &scope).await.unwrap(), second);
    assert_eq!(github.mints(), 3);
}

#[tokio::test]
async fn the_end_that_github_says_counts_less_a_margin() {
    let (github, installation) = github();
    github.set_token_lifetime(600);
    let time = Set::new();
    let tokens = Tokens::with_clock(app(&github), time.clock());
    let scope = scope(installation, "octo-org/app");
    let first = text(&tokens, &scope).await.unwrap();
    time.pass(530);
    assert_eq!(text(&tokens, &scope).await.unwrap(), first);
    time.pass(11);
    assert_ne!(text(&tokens, &scope).await.unwrap(), first);
    github.set_token_lifetime(60);
    time.pass(3600);
    assert_eq!(text(&tokens, &scope).await, Err(GitHubError::TooShort));
}

#[tokio::test]
async fn what_is_forgotten_is_not_given_out_again() {
    let (github, installation) = github();
    let _other = github.repository("octo-org/other", true);
    let tokens = Tokens::new(app(&github));
    let (here, other) = (
        scope(installation, "octo-org/app"),
        scope(installation, "octo-org/other"),
    );
    let first = text(&tokens, &here).await.unwrap();
    let elsewhere = text(&tokens, &other).await.unwrap();
    tokens.forget(installation, Some(std::slice::from_ref(&here.repository)));
    assert_ne!(text(&tokens, &here).await.unwrap(), first);
    assert_eq!(text(&tokens, &other).await.unwrap(), elsewhere);
    github.uninstall(installation);
    tokens.forget(installation, None);
    let gone = GitHubError::NotInstalled { installation };
    assert_eq!(text(&tokens, &here).await, Err(gone.clone()));
    assert_eq!(text(&tokens, &other).await, Err(gone));
}

#[tokio::test]
async fn a_token_that_is_on_its_way_when_its_installation_goes_does_not_arrive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tokens = Arc::new(Tokens::new(app_at(&url, &AppKey::make())));
    let waiting = tokio::spawn({
        let tokens = Arc::clone(&tokens);
        async move { text(&tokens, &scope(7, "octo-org/app")).await }
    });
    let (mut github, _) = listener.accept().await.unwrap();
    let mut asked = [0; 4096];
    let len = github.read(&mut asked).await.unwrap();
    assert!(len > 0);
    tokens.forget(7, None);
    let body = r#"{"token":"ghs_late","expires_at":"2099-01-01T00:00:00Z"}"#;
    let answer = format!(
        "HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    github.write_all(answer.as_bytes()).await.unwrap();
    let got = waiting.await.unwrap();
    assert_eq!(got, Err(GitHubError::Forgotten { installation: 7 }));
}

#[tokio::test]
async fn two_repositories_of_one_installation_have_two_tokens() {
    let (github, installation) = github();
    let _other = github.repository("octo-org/other", true);
    let tokens = Tokens::new(app(&github));
    let first = text(&tokens, &scope(installation, "octo-org/app"))
        .await
        .unwrap();
    let second = text(&tokens, &scope(installation, "Octo-Org/Other"))
        .await
        .unwrap();
    assert_ne!(first, second);
    assert_eq!(
        format!("{tokens:?}"),
        format!("Tokens(App(4711 at {}), 2)", github.url())
    );
    let token = tokens
        .get(&scope(installation, "octo-org/app"))
        .await
        .unwrap();
    assert_eq!(format!("{token:?}"), "Token");
}
