//! Signing in, and what is wrong in the user's words.

use mira_testkit::github::{AppKey, GitHub, Refusal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{app, app_at, github, pem, scope, text};
use crate::{App, GitHubError, Tokens};

#[tokio::test]
async fn an_app_signs_in_with_a_key_of_either_form() {
    let (github, _) = github();
    let about = app(&github).about().await.unwrap();
    assert_eq!((&*about.slug, &*about.owner), ("mira-test", "octo-org"));
    let key = github.app().key.pkcs8_pem();
    let key = mira_secret::SecretBytes::copy_from(key.as_bytes());
    let base = format!("{}/api/v3", github.url()).parse().unwrap();
    let app = App::new("4711".parse().unwrap(), &key, base).unwrap();
    assert_eq!(app.about().await.unwrap(), about);
    let key = mira_secret::SecretBytes::copy_from(b"no key");
    let base = github.url().parse().unwrap();
    let error = App::new("4711".parse().unwrap(), &key, base).unwrap_err();
    assert!(error.to_string().contains("no PEM file"), "{error}");
}

#[tokio::test]
async fn all_pages_of_installations_and_repositories_are_read() {
    let github = GitHub::start();
    for number in 0..101 {
        let _id = github.install(&format!("account-{number}"));
    }
    let _repo = github.repository("account-7/one", true);
    let app = app(&github);
    let installations = app.installations().await.unwrap();
    assert_eq!(installations.len(), 101);
    assert!(installations[7].all_repositories);
    let names = app.repositories(installations[7].id).await.unwrap();
    assert_eq!(names, ["account-7/one"]);
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_users_words() {
    let (github, installation) = github();
    let wrong_key = app_at(&github.url(), &AppKey::make());
    let error = wrong_key.about().await.unwrap_err();
    assert_eq!(error, GitHubError::WrongKey { app: 4711 });

    let base = github.url().parse().unwrap();
    let wrong_app = App::new("4712".parse().unwrap(), &pem(&github.app().key), base).unwrap();
    let error = wrong_app.about().await.unwrap_err();
    assert_eq!(error, GitHubError::UnknownApp { app: 4712 });

    github.set_clock(3600);
    match app(&github).about().await.unwrap_err() {
        GitHubError::Clock { ahead_s } => assert!((-3605..-3595).contains(&ahead_s), "{ahead_s}"),
        other => panic!("{other}"),
    }
    github.set_clock(-3600);
    let error = app(&github).about().await.unwrap_err();
    assert!(
        error.to_string().contains("seconds ahead of GitHub's"),
        "{error}"
    );
    github.set_clock(0);

    let get = async |repository: &str| {
        let tokens = Tokens::new(app(&github));
        text(&tokens, &scope(installation, repository))
            .await
            .unwrap_err()
    };
    assert_eq!(
        get("octo-org/none").await,
        GitHubError::NotForRepository {
            installation,
            repository: "octo-org/none".to_owned()
        }
    );
    github.grant(installation, &[("contents", "read")]);
    assert_eq!(
        get("octo-org/app").await,
        GitHubError::NotGranted {
            installation,
            wanted: "contents: read, pull_requests: write".to_owned()
        }
    );
    github.refuse_next(
        "POST",
        "/access_tokens",
        Refusal::SecondaryRateLimit { retry_after_s: 9 },
    );
    assert_eq!(
        get("octo-org/app").await,
        GitHubError::RateLimited { retry_after_s: 9 }
    );
}

#[tokio::test]
async fn nothing_is_sent_where_a_redirect_leads() {
    let (github, installation) = github();
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let to = format!("http://{}/", elsewhere.local_addr().unwrap());
    github.refuse_next("POST", "/access_tokens", Refusal::Redirect { to });
    let tokens = Tokens::new(app(&github));
    let error = text(&tokens, &scope(installation, "octo-org/app"))
        .await
        .unwrap_err();
    assert!(matches!(error, GitHubError::Redirected { .. }), "{error}");
    let nobody = elsewhere.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_server_that_says_the_token_again_is_not_repeated() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let echo = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 8192];
        let len = stream.read(&mut asked).await.unwrap();
        let asked = String::from_utf8_lossy(&asked[..len]).into_owned();
        let line = asked
            .lines()
            .find(|line| line.to_lowercase().starts_with("authorization"));
        let token = line.unwrap().rsplit(' ').next().unwrap().to_owned();
        let body = format!("{{\"message\":\"no {token}\\n really\"}}");
        let answer = format!(
            "HTTP/1.1 500 Oops\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        token
    });
    let app = app_at(&url, &AppKey::make());
    let error = app.about().await.unwrap_err();
    let token = echo.await.unwrap();
    assert_eq!(
        error.to_string(),
        "GitHub answers with status 500: no [redacted:GITHUB_TOKEN] really"
    );
    assert!(!format!("{error:?} {app:?}").contains(&token));
}
