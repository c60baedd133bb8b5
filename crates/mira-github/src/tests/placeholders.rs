//! What a placeholder is worth, to whom, where and how long.

use std::sync::Arc;

use mira_testkit::github::GitHub;

use super::{Set, app, github, permissions};
use crate::{
    GitHubError, PLACEHOLDER_CHARACTERS, PLACEHOLDER_PREFIX, Placeholders, Refusal, Tokens, Wanted,
};

struct Desk {
    github: GitHub,
    installation: u64,
    time: Set,
    placeholders: Placeholders,
}

impl Desk {
    fn new() -> Self {
        let (github, installation) = github();
        let time = Set::new();
        let tokens = Tokens::with_clock(app(&github), time.clock());
        Self {
            placeholders: Placeholders::new(Arc::new(tokens)),
            github,
            installation,
            time,
        }
    }

    fn issue(&self, instance: &str) -> Box<str> {
        let repository = "Octo-Org/app".parse().unwrap();
        self.placeholders
            .issue(instance, self.installation, &repository, &permissions())
    }

    async fn ask(
        &self,
        placeholder: &str,
        change: impl FnOnce(&mut Wanted<'_>),
    ) -> Result<String, Refusal> {
        let port = self.github.address().port();
        let mut wanted = Wanted {
            instance: "one",
            host: "127.0.0.1",
            port,
            secure: false,
            path: "/repos/octo-org/app/pulls/1",
        };
        change(&mut wanted);
        let token = self.placeholders.token_for(placeholder, wanted).await?;
        Ok(String::from_utf8(token.text().expose().to_vec()).unwrap())
    }
}

#[tokio::test]
async fn it_is_random_and_stands_for_a_token_of_its_own_repository() {
    let desk = Desk::new();
    let (first, second) = (desk.issue("one"), desk.issue("one"));
    assert_ne!(first, second);
    let random = first.strip_prefix(PLACEHOLDER_PREFIX).unwrap();
    assert_eq!(random.len(), PLACEHOLDER_CHARACTERS);
    assert!(random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let token = desk.ask(&first, |_| {}).await.unwrap();
    assert_eq!(desk.github.tokens(), std::slice::from_ref(&token));
    assert_eq!(desk.ask(&second, |_| {}).await, Ok(token));
    assert_eq!(format!("{:?}", desk.placeholders), "Placeholders(2)");
}

#[tokio::test]
async fn it_is_worth_nothing_to_others_elsewhere_or_for_other_repositories() {
    let desk = Desk::new();
    let placeholder = desk.issue("one");
    assert_eq!(
        desk.ask("mira_ght_none", |_| {}).await,
        Err(Refusal::Unknown)
    );
    assert_eq!(
        desk.ask(&placeholder, |wanted| wanted.instance = "two")
            .await,
        Err(Refusal::Unknown)
    );
    let elsewhere = Err(Refusal::Host("127.0.0.1".into()));
    assert_eq!(
        desk.ask(&placeholder, |wanted| wanted.host = "api.github.com")
            .await,
        elsewhere
    );
    assert_eq!(
        desk.ask(&placeholder, |wanted| wanted.port = 443).await,
        elsewhere
    );
    assert_eq!(
        desk.ask(&placeholder, |wanted| wanted.secure = true).await,
        elsewhere
    );
    let check = async |path: &'static str, expect: bool| {
        let got = desk.ask(&placeholder, |wanted| wanted.path = path).await;
        match expect {
            true => assert!(got.is_ok(), "{path}: {got:?}"),
            false => assert_eq!(got, Err(Refusal::Path("octo-org/app".into())), "{path}"),
        }
    };
    for path in [
        "/repos/octo-org/app",
        "/repos/OCTO-ORG/App/contents/src%2Fa.rs",
        "/repos/octo-org/app/compare/a...b",
        "/graphql",
        "/rate_limit",
        "/installation/repositories",
        "/octo-org/app.git/info/refs",
        "/octo-org/app/git-upload-pack",
    ] {
        check(path, true).await;
    }
    for path in [
        "/repos/octo-org/other/pulls/1",
        "/repos/octo-org/app2",
        "/repos/octo-org/app/../other",
        "/repos/octo-org/app/%2e%2e/other",
        "/repos/octo-org/app/..%2fother",
        "/repos/octo-org/app/x/..\\..\\other",
        "/repos/octo-org%2fapp",
        "/repos/octo-org/ap%70",
        "/repos/octo-org",
        "/user",
        "/app/installations",
        "/orgs/octo-org/members",
        "/graphql/",
        "/octo-org/other.git/info/refs",
        "/octo-org/app.git",
        "",
    ] {
        check(path, false).await;
    }
}

#[tokio::test]
async fn it_ends_with_its_work_its_instance_its_installation_and_with_time() {
    let desk = Desk::new();
    let placeholder = desk.issue("one");
    desk.placeholders.end(&placeholder);
    assert_eq!(desk.ask(&placeholder, |_| {}).await, Err(Refusal::Unknown));

    let (mine, others) = (desk.issue("one"), desk.issue("two"));
    desk.placeholders.end_instance("two");
    assert_eq!(
        desk.ask(&others, |wanted| wanted.instance = "two").await,
        Err(Refusal::Unknown)
    );
    let first = desk.ask(&mine, |_| {}).await.unwrap();

    let hour = 60 * 60;
    for _ in 0..23 {
        desk.time.pass(hour);
        assert!(desk.ask(&mine, |_| {}).await.is_ok());
    }
    desk.time.pass(hour);
    assert_eq!(
        desk.ask(&mine, |_| {}).await,
        Err(Refusal::Unknown),
        "a day is the most"
    );
    let idle = desk.issue("one");
    desk.time.pass(2 * hour);
    assert_eq!(desk.ask(&idle, |_| {}).await, Err(Refusal::Unknown));

    let (mine, elsewhere) = (desk.issue("one"), desk.issue("one"));
    assert_ne!(desk.ask(&mine, |_| {}).await.unwrap(), first);
    let other = "octo-org/other".parse().unwrap();
    desk.placeholders.forget(desk.installation, Some(&[other]));
    assert!(desk.ask(&mine, |_| {}).await.is_ok());
    desk.placeholders.forget(desk.installation, None);
    for placeholder in [mine, elsewhere] {
        assert_eq!(desk.ask(&placeholder, |_| {}).await, Err(Refusal::Unknown));
    }
}

#[tokio::test]
async fn what_github_refuses_is_told() {
    let desk = Desk::new();
    let placeholder = desk.issue("one");
    desk.github.suspend(desk.installation, true);
    let installation = desk.installation;
    let suspended = Refusal::GitHub(GitHubError::Suspended { installation });
    assert_eq!(desk.ask(&placeholder, |_| {}).await, Err(suspended));
}
