//! What a monitor gets, and what is never in it.

use mira_store::{NewApiToken, SessionOf, TokenScope};

use super::*;

/// Returns the numbers, as a monitor with a token asks for them.
async fn scraped(served: &Served, token: &str) -> (StatusCode, String) {
    let request = served.request("GET", "/metrics");
    let answer = request.bearer_auth(token).send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_monitor_with_a_token_counts_requests_by_route_and_names_nobody() {
    let served = Served::start().await;
    let user = served.user("adalovelace", Role::Viewer).await;
    let now = Timestamp::now();
    let new = NewApiToken {
        user: &user.id,
        name: "monitor",
        scope: TokenScope::Read,
        expires: None,
    };
    let (token, _) = served.shared.create_api_token(&new, now).await.unwrap();
    let token = token.expose();
    let cookie = served.cookie(SessionOf::User(&user)).await;
    served.get(&cookie, "/secrets/A_SECRET_OF_MINE").await;
    served
        .get(&cookie, "/secrets/ANOTHER_ONE?value=typed")
        .await;
    served.get(&cookie, "/no/such/page").await;
    served.request("PURGE", "/healthz").send().await.unwrap();
    let fields = [("name", "adalovelace"), ("password", "a wrong one")];
    served.post("", "/login", &fields).await;
    let (status, text) = scraped(&served, token).await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        r#"mira_http_requests_total{method="GET",route="/secrets/{name}",status="404"} 2"#,
        r#"mira_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"mira_http_request_duration_seconds_count{route="/secrets/{name}"} 2"#,
        "mira_logins_failed_total 1",
        "mira_vault_open_failures_total 0",
        "mira_sessions 1",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains(r#"method="other""#), "{text}");
    assert!(text.contains("mira_build_info{"), "{text}");
    for word in ["A_SECRET", "ANOTHER", "typed", "adalovelace", "such/page"] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    // A vault that does not open is counted too.
    std::fs::remove_file(served.home().join("root.key")).unwrap();
    served.get(&cookie, "/").await;
    let (_, text) = scraped(&served, token).await;
    assert!(!text.contains("mira_vault_open_failures_total 0"), "{text}");
}

#[tokio::test]
async fn nobody_else_gets_the_numbers() {
    let served = Served::start().await;
    let (status, text) = scraped(&served, "mira_none").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(!text.contains("mira_http"), "{text}");
}

#[tokio::test]
async fn an_answer_names_its_request() {
    let served = Served::start().await;
    let mut ids = std::collections::BTreeSet::new();
    for path in ["/healthz", "/healthz", "/nothing"] {
        let answer = served.request("GET", path).send().await.unwrap();
        ids.insert(header(&answer, "x-request-id").to_owned());
    }
    assert_eq!(ids.len(), 3, "{ids:?}");
    assert!(ids.iter().all(|id| id.len() == 16), "{ids:?}");
}
