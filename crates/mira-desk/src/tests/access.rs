//! Who gets through to what.

use mira_store::{LinkPurpose, NewApiToken, Role, SessionOf, TokenScope};

use super::*;
use crate::access::Needs;
use crate::routes::{Route, table};

/// Returns a path of a route, with `x` where it has a name.
fn path(route: &Route) -> String {
    let parts = route.path.split('/');
    let filled = parts.map(|part| if part.starts_with('{') { "x" } else { part });
    filled.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn nobody_gets_anything_without_signing_in() {
    let served = Served::start().await;
    let mut open = Vec::new();
    for route in table() {
        let answer = served
            .request(route.method, &path(&route))
            .send()
            .await
            .unwrap();
        let is_api = crate::pages::is_api(route.path);
        match route.needs {
            Needs::Nothing => open.push((route.method, route.path)),
            Needs::Role(_) if is_api => {
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{route:?}");
            }
            Needs::Role(_) => {
                assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{route:?}");
                assert!(
                    header(&answer, "location").starts_with("/login"),
                    "{route:?}"
                );
            }
        }
    }
    // What is open is here by name, so that nothing opens by itself.
    assert_eq!(
        open,
        [
            ("GET", "/assets/{digest}/{name}"),
            ("GET", "/healthz"),
            ("GET", "/readyz"),
            ("GET", "/login"),
            ("POST", "/login"),
            ("GET", "/login/oidc"),
            ("GET", "/login/oidc/callback"),
            ("GET", "/enter/{token}"),
            ("POST", "/webhooks/github"),
            ("GET", "/api/v1/openapi.json"),
        ]
    );
}

#[tokio::test]
async fn each_role_gets_what_the_table_says() {
    let served = Served::start().await;
    for role in Role::ALL {
        let user = served.user(&format!("a-{role}"), *role).await;
        for route in table() {
            let Needs::Role(needed) = route.needs else {
                continue;
            };
            // A session each: some of these end it.
            let user = served.shared.user(&user.id).await.unwrap().unwrap();
            let cookie = served.cookie(SessionOf::User(&user)).await;
            let answer = served
                .request(route.method, &path(&route))
                .header("cookie", cookie)
                .header("sec-fetch-site", "same-origin")
                .send()
                .await
                .unwrap();
            let refused = answer.status() == StatusCode::FORBIDDEN;
            assert_eq!(refused, *role < needed, "{role} {route:?} {answer:?}");
            assert_ne!(
                answer.status(),
                StatusCode::UNAUTHORIZED,
                "{role} {route:?}"
            );
            assert!(
                !answer.status().is_server_error(),
                "{role} {route:?} {answer:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_answer_has_the_headers_that_close_it() {
    let served = Served::start().await;
    let mut paths: Vec<(&str, String)> = table()
        .iter()
        .map(|route| (route.method, path(route)))
        .collect();
    paths.push(("GET", "/nothing/here".to_owned()));
    paths.push(("DELETE", "/login".to_owned()));
    for (method, path) in paths {
        let answer = served.request(method, &path).send().await.unwrap();
        let policy = header(&answer, "content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{path}"
        );
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(
            header(&answer, "x-content-type-options"),
            "nosniff",
            "{path}"
        );
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer", "{path}");
        assert_ne!(header(&answer, "cache-control"), "", "{path}");
    }
}

#[tokio::test]
async fn signing_in_takes_the_right_password_and_gives_a_closed_cookie() {
    let served = Served::start().await;
    served.user("ada", Role::Admin).await;
    let mut refusals = Vec::new();
    for (name, password) in [("ada", "wrong"), ("nobody", PASSWORD), ("a\0da", PASSWORD)] {
        let answer = served
            .post("", "/login", &[("name", name), ("password", password)])
            .await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(header(&answer, "set-cookie"), "");
        refusals.push(answer.text().await.unwrap());
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]));
    // A session that somebody else chose is not taken over.
    let planted = format!("{COOKIE}=mira_session_planted");
    let fields = [("name", "ada"), ("password", PASSWORD), ("next", "/users")];
    let answer = served.post(&planted, "/login", &fields).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
    assert_eq!(header(&answer, "location"), "/users");
    let cookie = header(&answer, "set-cookie").to_owned();
    for part in ["; HttpOnly", "; Secure", "; Path=/", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{part}");
    }
    assert!(!cookie.contains("Domain"));
    let cookie = cookie.split(';').next().unwrap();
    assert!(!cookie.contains("planted"));
    assert_eq!(served.get(cookie, "/users").await.0, StatusCode::OK);
    served.post(cookie, "/logout", &[]).await;
    assert_eq!(served.get(cookie, "/users").await.0, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn guessing_is_slowed_down() {
    let served = Served::start().await;
    served.user("ada", Role::Admin).await;
    let mut waited = false;
    for _ in 0..20 {
        let fields = [("name", "ada"), ("password", "a wrong one")];
        let answer = served.post("", "/login", &fields).await;
        waited |= answer.status() == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(waited);
    // While it is, the right one is not looked at either.
    let fields = [("name", "ada"), ("password", PASSWORD)];
    let answer = served.post("", "/login", &fields).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_link_works_once() {
    let served = Served::start().await;
    let now = Timestamp::now();
    let expires = now + SignedDuration::from_mins(1);
    let link = served
        .shared
        .make_link(LinkPurpose::LocalOwner, expires, now)
        .await
        .unwrap();
    let path = format!("/enter/{}", link.expose());
    let first = served.request("GET", &path).send().await.unwrap();
    assert_eq!(first.status(), StatusCode::SEE_OTHER);
    let cookie = header(&first, "set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(served.get(&cookie, "/audit").await.0, StatusCode::OK);
    let second = served.request("GET", &path).send().await.unwrap();
    assert_eq!(second.status(), StatusCode::GONE);
    assert_eq!(header(&second, "set-cookie"), "");
}

#[tokio::test]
async fn another_site_changes_nothing() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let change = |name: &'static str, value: &'static str| {
        let request = served
            .request("POST", "/secrets")
            .header("cookie", cookie.clone());
        request
            .header(name, value)
            .header("content-type", "application/x-www-form-urlencoded")
            .body("name=PLANTED_KEY&value=somebody-elses")
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        let answer = change(name, value).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    assert!(!served.get(&cookie, "/").await.1.contains("PLANTED_KEY"));
    let answer = change("sec-fetch-site", "same-origin")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    assert!(served.get(&cookie, "/").await.1.contains("PLANTED_KEY"));
}

#[tokio::test]
async fn another_role_or_password_ends_the_sessions() {
    let served = Served::start().await;
    let admin = served.user("ada", Role::Admin).await;
    let by_admin = served.cookie(SessionOf::User(&admin)).await;
    let user = served.user("bob", Role::Operator).await;
    for (what, fields) in [
        ("role", ("role", "viewer")),
        ("password", ("password", "another long enough one")),
        ("disabled", ("disabled", "true")),
    ] {
        let now = served.shared.user(&user.id).await.unwrap().unwrap();
        let cookie = served.cookie(SessionOf::User(&now)).await;
        assert_eq!(
            served.get(&cookie, "/instances").await.0,
            StatusCode::OK,
            "{what}"
        );
        let path = format!("/users/{}/{what}", user.id);
        let answer = served.post(&by_admin, &path, &[fields]).await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{what}");
        assert_eq!(
            served.get(&cookie, "/instances").await.0,
            StatusCode::SEE_OTHER,
            "{what}"
        );
    }
    // The last admin stays one.
    let path = format!("/users/{}/role", admin.id);
    let answer = served.post(&by_admin, &path, &[("role", "viewer")]).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_token_may_what_it_was_made_for() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let token = async |scope| {
        let new = NewApiToken {
            user: &user.id,
            name: "script",
            scope,
            expires: None,
        };
        let made = served.shared.create_api_token(&new, Timestamp::now()).await;
        made.unwrap()
    };
    let status = async |token: &str, method: &str, path: &str| {
        let request = served.request(method, path).bearer_auth(token);
        let request = request.header("content-type", "application/json");
        let answer = request.body(r#"{"value": "a-value-of-some-length"}"#);
        answer.send().await.unwrap().status()
    };
    let (read, _) = token(TokenScope::Read).await;
    let (operate, entry) = token(TokenScope::Operate).await;
    let (read, operate) = (read.expose().to_owned(), operate.expose().to_owned());
    let secret = "/api/v1/secrets/SOME_KEY";
    assert_eq!(
        status(&read, "GET", "/api/v1/secrets").await,
        StatusCode::OK
    );
    assert_eq!(status(&read, "PUT", secret).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&operate, "PUT", secret).await, StatusCode::OK);
    assert_eq!(
        status(&operate, "GET", "/api/v1/users").await,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        status(&operate, "DELETE", secret).await,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        status(&operate, "DELETE", secret).await,
        StatusCode::NOT_FOUND
    );
    served.shared.revoke_api_token(&entry.id).await.unwrap();
    assert_eq!(
        status(&operate, "GET", "/api/v1/secrets").await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        status("mira_forged", "GET", "/api/v1/secrets").await,
        StatusCode::UNAUTHORIZED
    );
}
