//! Forms with what people send by mistake: each refusal is a page with words, whatever was wrong, and a script is told what a browser
//! would be led to.

use mira_store::{Role, SessionOf};
use mira_testkit::canary::{Canary, Sweep};

use super::*;

/// A value that is told by nothing.
const TYPED: &str = "sk-proj-7Fq2mXv9LrT4bWc8ZnYd";

/// A form's address, its fields, and which refusal they get, with which words.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn whatever_is_wrong_in_a_form_is_told_in_words_and_no_value_is_repeated() {
    let served = Served::start().await;
    let admin = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&admin)).await;
    let sweep = Sweep::new(&[Canary::new("TYPED", TYPED)]);
    let saved = [("name", "TAKEN_KEY"), ("value", TYPED)];
    let answer = served.post(&cookie, "/secrets", &saved).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let long = "x".repeat(300);
    let endless = "x".repeat(600);
    let huge = "x".repeat(600 * 1024);
    let own = format!("/users/{}", admin.id);
    let rename = format!("{own}/password");
    let role = format!("{own}/role");
    let remove = format!("{own}/remove");
    let disable = format!("{own}/disabled");
    let typed = ("value", TYPED);
    let password = ("password", "long enough to be one");
    let cases: &[Case<'_>] = &[
        ("/secrets", &[], 422, "name is missing"),
        ("/secrets", &[("name", "A KEY"), typed], 422, "no name"),
        ("/secrets", &[("name", &long), typed], 422, "no name"),
        ("/secrets", &[("name", "A\u{1b}"), typed], 422, "no name"),
        ("/secrets", &[("name", "A_KEY")], 422, "value is missing"),
        (
            "/secrets",
            &[("name", "A_KEY"), ("value", "")],
            422,
            "missing",
        ),
        ("/secrets", &saved, 409, "saved already"),
        (
            "/secrets",
            &[("name", "A_KEY"), typed, ("label", "a\u{7}b")],
            422,
            "a label is one line",
        ),
        (
            "/secrets",
            &[("name", "A_KEY"), typed, ("label", &long)],
            422,
            "a label is one line",
        ),
        (
            "/secrets",
            &[("name", "A_KEY"), typed, ("kind", "x")],
            422,
            "kind",
        ),
        (
            "/secrets",
            &[("name", "A_KEY"), ("value", &huge)],
            413,
            "at most",
        ),
        ("/secrets/TAKEN_KEY", &[], 422, "value is missing"),
        ("/secrets/GONE_KEY", &[typed], 404, "GONE_KEY"),
        ("/secrets/GONE_KEY/remove", &[], 404, "GONE_KEY"),
        ("/unlock", &[], 422, "passphrase is missing"),
        (
            "/users",
            &[("role", "viewer"), password],
            422,
            "name is missing",
        ),
        (
            "/users",
            &[("name", "bob"), password],
            422,
            "role is missing",
        ),
        (
            "/users",
            &[("name", "bob"), ("role", "viewer")],
            422,
            "password is missing",
        ),
        (
            "/users",
            &[("name", "b b"), ("role", "viewer"), password],
            422,
            "name",
        ),
        (
            "/users",
            &[("name", "b\u{0}"), ("role", "viewer"), password],
            422,
            "name",
        ),
        (
            "/users",
            &[("name", "bob"), ("role", "king"), password],
            422,
            "role",
        ),
        (
            "/users",
            &[("name", "ADA"), ("role", "viewer"), password],
            409,
            "ada",
        ),
        (
            "/users",
            &[("name", "bob"), ("role", "viewer"), ("password", "x")],
            422,
            "12",
        ),
        (&rename, &[("password", "short")], 422, "12"),
        (&role, &[], 422, "role is missing"),
        (&role, &[("role", "viewer")], 409, "admin"),
        (&disable, &[("disabled", "true")], 409, "admin"),
        (&remove, &[], 409, "nobody removes themselves"),
        ("/users/gone/remove", &[], 404, "no such user"),
        ("/account/password", &[], 422, "present password is missing"),
        (
            "/account/password",
            &[("present", "wrong"), password],
            403,
            "wrong",
        ),
        ("/account/tokens", &[("name", "x")], 422, "what it may"),
        (
            "/account/tokens",
            &[("scope", "read"), ("days", "90")],
            422,
            "name is missing",
        ),
        (
            "/account/tokens",
            &[("scope", "read"), ("days", "1000000")],
            422,
            "ends",
        ),
        (
            "/account/tokens",
            &[("scope", "read"), ("days", "90"), ("name", &endless)],
            422,
            "name",
        ),
        ("/account/tokens/gone/revoke", &[], 404, "no such token"),
        ("/account/sessions/gone/end", &[], 404, "no such session"),
        ("/mcp", &[], 422, "name is missing"),
        (
            "/mcp",
            &[("name", "../up"), ("command", "cat")],
            422,
            "no name",
        ),
        ("/mcp", &[("name", "a")], 422, "command is missing"),
        (
            "/mcp",
            &[("name", "a"), ("command", "cat"), ("settings", "LEVEL")],
            422,
            "NAME=value",
        ),
        (
            "/mcp",
            &[("name", "a"), ("command", "cat"), ("secrets", TYPED)],
            422,
            "variable",
        ),
        ("/mcp", &[("name", "a"), ("url", "not a url")], 422, "URL"),
        (
            "/mcp",
            &[("name", "a"), ("url", "http://far.example/mcp")],
            422,
            "https",
        ),
        (
            "/mcp",
            &[
                ("name", "a"),
                ("url", "https://far.example/mcp"),
                ("header", "X-Key"),
            ],
            422,
            "value is missing",
        ),
        ("/mcp/gone/remove", &[], 404, "no such MCP"),
        ("/mcp/gone/test", &[], 404, "no such MCP"),
        ("/mcp-import", &[], 422, "file is missing"),
        ("/mcp-import", &[("file", "/etc/passwd")], 404, "client"),
        ("/mcp-import", &[("text", "{")], 422, "not understood"),
        ("/mcp-import/undo", &[], 422, "file is missing"),
        ("/mcp-import/gone", &[], 404, "half an hour"),
        (
            "/aws",
            &[("id", "x"), ("key", TYPED), ("region", "us-east-1")],
            422,
            "key",
        ),
        ("/providers/gone/test", &[], 404, "no such"),
        ("/open/gone", &[], 404, "half an hour"),
        (
            "/open/gone/password",
            &[("password", TYPED)],
            404,
            "half an hour",
        ),
        ("/instances/gone/start", &[], 404, "no"),
        (
            "/instances/gone/secrets",
            &[("name", "A_KEY"), typed],
            404,
            "no",
        ),
        ("/instances/gone/hosts", &[("host", "a b")], 404, "no"),
        ("/instances/gone/snapshots", &[], 404, "no"),
        ("/webhooks/gone/replay", &[], 404, "no"),
    ];
    let mut findings = sweep.bytes("nothing", b"");
    for (path, fields, status, words) in cases {
        let answer = served.post(&cookie, path, fields).await;
        let told = answer.status().as_u16();
        let kind = header(&answer, "content-type").to_owned();
        let body = answer.text().await.unwrap();
        assert_eq!(told, *status, "{path} {words}: {body}");
        assert!(kind.starts_with("text/html"), "{path} {words}: {kind}");
        let trouble = body.split("class=\"trouble\"").nth(1);
        let trouble = trouble.unwrap_or_else(|| panic!("{path} {words}: {body}"));
        assert!(trouble.contains(words), "{path} {words}: {trouble}");
        findings = findings.and(sweep.bytes(path, body.as_bytes()));
    }
    findings.assert_clean();
}

#[tokio::test]
async fn what_the_framework_refuses_is_told_in_words_too() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    for path in [
        "/?saved=%00",
        "/network?hours=soon",
        "/secrets/%ff",
        "/nothing",
    ] {
        let answer = served.request("GET", path).header("cookie", &cookie);
        let answer = answer.send().await.unwrap();
        assert!(answer.status().is_client_error(), "{path} {answer:?}");
        let kind = header(&answer, "content-type").to_owned();
        let body = answer.text().await.unwrap();
        assert!(kind.starts_with("text/html"), "{path}: {kind} {body}");
        assert!(body.contains("class=\"trouble\""), "{path}: {body}");
    }
    for path in ["/open", "/mcp-import/upload"] {
        let answer = served.post(&cookie, path, &[("file", "x")]).await;
        assert!(answer.status().is_client_error(), "{path} {answer:?}");
        let body = answer.text().await.unwrap();
        assert!(body.contains("class=\"trouble\""), "{path}: {body}");
    }
    let asked = served.request("GET", "/api/v1/network?hours=soon");
    let answer = asked.header("cookie", &cookie).send().await.unwrap();
    assert_eq!(header(&answer, "content-type"), "application/json");
    // What programs ask is told as it is.
    let answer = served.request("GET", "/assets/none/desk.css");
    assert_eq!(answer.send().await.unwrap().text().await.unwrap(), "");
}

#[tokio::test]
async fn a_script_of_a_page_is_told_where_to_go_on_and_that_the_session_has_ended() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let send = async |cookie: &str, header: &'static str, method: &str, path: &str| {
        let request = served.request(method, path).header("cookie", cookie);
        let request = request.header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let body = format!("name=A_KEY&value={TYPED}");
        request.header(header, "true").body(body).send().await
    };
    let answer = send(&cookie, "mira-form", "POST", "/secrets")
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "mira-to"), "/?saved=A_KEY");
    assert_eq!(header(&answer, "location"), "");
    // The session ends while something is typed: nothing leads away from it.
    let none = "__Host-mira=gone";
    let answer = send(none, "mira-form", "POST", "/secrets").await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(header(&answer, "mira-to"), "");
    let body = answer.text().await.unwrap();
    assert!(body.contains("Sign in in another tab"), "{body}");
    // A part that is loaded again and again is not loaded any more, and has no page in it.
    let state = "/instances/gone/state";
    for (cookie, words) in [(none, "signed in no more"), (&cookie, "there is no")] {
        let answer = send(cookie, "hx-request", "GET", state).await.unwrap();
        assert_eq!(answer.status().as_u16(), 286, "{words}");
        let body = answer.text().await.unwrap();
        assert!(body.contains(words), "{body}");
        assert!(!body.contains("<html"), "{body}");
    }
    // Without a script, signing in leads back to the page of the form.
    let answer = served.post(none, "/secrets/A_KEY/remove", &[]).await;
    assert_eq!(
        header(&answer, "location"),
        "/login?next=%2Fsecrets%2FA_KEY"
    );
}
