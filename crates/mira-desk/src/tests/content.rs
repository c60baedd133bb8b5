//! What answers hold: no value, nothing that a browser would run, and words for what went wrong.

use mira_store::{Role, SessionOf};
use mira_testkit::canary::{Canary, Sweep};

use super::*;
use crate::access::Needs;
use crate::routes::{describe, table};

/// The routes that answer a GET, with this name where they have one.
pub(super) fn pages(name: &str) -> Vec<String> {
    let routes = table().into_iter();
    let routes = routes.filter(|route| route.method == "GET" && route.needs != Needs::Nothing);
    routes
        .map(|route| {
            let parts = route.path.split('/');
            let filled = parts.map(|part| if part.starts_with('{') { name } else { part });
            filled.collect::<Vec<_>>().join("/")
        })
        .collect()
}

#[tokio::test]
async fn a_value_that_was_saved_is_in_no_answer_and_in_no_file() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let canaries: Vec<Canary> = Canary::generate();
    let sweep = Sweep::new(&canaries);
    let mut findings = sweep.bytes("nothing", b"");
    for canary in &canaries {
        let Ok(value) = std::str::from_utf8(canary.value()) else {
            continue;
        };
        let fields = [
            ("name", canary.name()),
            ("value", value),
            ("label", "a label"),
        ];
        // Saved, refused since it is there, and rotated.
        for path in [
            "/secrets",
            "/secrets",
            &format!("/secrets/{}", canary.name()),
        ] {
            let answer = served.post(&cookie, path, &fields).await;
            assert!(!answer.status().is_server_error(), "{answer:?}");
            let told = format!("{:?}", answer.headers());
            findings = findings.and(sweep.bytes("headers", told.as_bytes()));
            findings = findings.and(sweep.bytes(path, &answer.bytes().await.unwrap()));
        }
        for path in pages(canary.name()) {
            let (_, body) = served.get(&cookie, &path).await;
            findings = findings.and(sweep.bytes(&path, body.as_bytes()));
        }
    }
    // A value in the wrong field is refused without being repeated.
    let value = std::str::from_utf8(canaries[0].value()).unwrap();
    let answer = served
        .post(&cookie, "/secrets", &[("name", value), ("value", value)])
        .await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    findings = findings.and(sweep.bytes("name", &answer.bytes().await.unwrap()));
    let body = format!("{{\"value\": \"{value}\", \"lable\": 1}}");
    let answer = served
        .request("PUT", "/api/v1/secrets/SOME_KEY")
        .header("cookie", &cookie)
        .header("sec-fetch-site", "same-origin")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    findings = findings.and(sweep.bytes("api", &answer.bytes().await.unwrap()));
    findings.and(sweep.folder(served.path())).assert_clean();
    assert!(served.home().join("credentials.json").exists());
}

#[tokio::test]
async fn what_people_and_packages_write_is_text_in_every_page() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let fields = [
        ("name", "SOME_KEY"),
        ("value", "a-value-of-some-length"),
        ("label", hostile),
    ];
    let answer = served.post(&cookie, "/secrets", &fields).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
    served
        .post("", "/login", &[("name", hostile), ("password", "x")])
        .await;
    let server = [
        ("name", "SOME_KEY"),
        ("command", hostile),
        ("args", hostile),
        ("settings", &format!("SOME_SETTING={hostile}")),
    ];
    let answer = served.post(&cookie, "/mcp", &server).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("host", hostile),
            ("who", hostile),
            ("next", hostile),
            ("verdict", hostile),
        ])
        .finish();
    let mut told = 0;
    for page in pages("SOME_KEY") {
        for path in [page.clone(), format!("{page}?{query}")] {
            let (_, body) = served.get(&cookie, &path).await;
            if path.starts_with("/api/") {
                continue;
            }
            assert!(!body.contains("<script>alert"), "{path}: {body}");
            assert!(!body.contains("<img src=x"), "{path}: {body}");
            told += body.matches("&lt;script&gt;alert").count();
        }
    }
    // It is shown, and as what it is: the label, the command of the server, the host that was asked for.
    assert!(told >= 3, "{told}");
}

#[tokio::test]
async fn what_is_too_long_or_unfit_is_refused_with_words() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let long = "x".repeat(700 * 1024);
    for (fields, status, words) in [
        (
            &[("name", "KEY"), ("value", long.as_str())] as &[_],
            StatusCode::PAYLOAD_TOO_LARGE,
            "at most",
        ),
        (
            &[("name", "9KEY"), ("value", "v")],
            StatusCode::UNPROCESSABLE_ENTITY,
            "no name",
        ),
        (
            &[("name", "KEY")],
            StatusCode::UNPROCESSABLE_ENTITY,
            "value is missing",
        ),
        (
            &[("value", "v")],
            StatusCode::UNPROCESSABLE_ENTITY,
            "name is missing",
        ),
        (
            &[("name", "KEY"), ("value", "v"), ("kind", "sort")],
            StatusCode::UNPROCESSABLE_ENTITY,
            "a kind is",
        ),
    ] {
        let answer = served.post(&cookie, "/secrets", fields).await;
        assert_eq!(answer.status(), status, "{words}");
        let body = answer.text().await.unwrap();
        assert!(body.contains(words), "{words}: {body}");
    }
    assert_eq!(
        served.get(&cookie, "/secrets/NOT_THERE").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        served.get(&cookie, "/instances/not-there").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        served.get(&cookie, "/users/../../etc/passwd").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        served.get(&cookie, "/secrets/%2e%2e%2f%00").await.0,
        StatusCode::NOT_FOUND
    );
}

#[test]
fn the_description_names_every_api_route_and_its_role() {
    let mut described = describe();
    let mut routes = table();
    routes.retain(|route| route.path.starts_with("/api/"));
    assert!(routes.len() > 5);
    for route in routes {
        assert!(route.exchange.is_some(), "{route:?}");
        let operation = &described["paths"][route.path][route.method.to_ascii_lowercase()];
        assert_eq!(operation["summary"], route.does);
    }
    // A value goes in and never comes out.
    let put = &described["paths"]["/api/v1/secrets/{name}"]["put"];
    let value = &put["requestBody"]["content"]["application/json"]["schema"]["properties"]["value"];
    assert_eq!(value["writeOnly"], true, "{put}");
    // That of a report is a number.
    let report = &mut described["paths"]["/api/v1/instances/{id}/report"]["get"];
    assert!(report.take().is_object());
    let paths = described["paths"].as_object().unwrap().values();
    for operation in paths.flat_map(|methods| methods.as_object().unwrap().values()) {
        let answers = operation["responses"].to_string();
        for word in ["\"value\":", "writeOnly", "\"password\":"] {
            assert!(!answers.contains(word), "{word}: {operation}");
        }
    }
}

#[tokio::test]
async fn what_is_typed_as_a_name_that_nobody_has_is_written_down_nowhere() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let typed = "hunter2-7Fq2mXv9LrT4";
    let shorter = "hunter2-7fq2mxv9lrt4";
    // Also when it is tried too often to be looked at.
    for name in [
        typed, shorter, typed, typed, typed, typed, typed, typed, "ada",
    ] {
        let fields = [("name", name), ("password", "wrong")];
        let answer = served.post("", "/login", &fields).await;
        assert!(answer.status().is_client_error(), "{answer:?}");
        assert!(!answer.text().await.unwrap().contains("hunter2"));
    }
    let sweep = Sweep::new(&[Canary::new("TYPED", typed), Canary::new("SHORTER", shorter)]);
    let audit = served.get(&cookie, "/audit").await.1;
    assert!(
        audit.contains("unknown name") && audit.contains("ada"),
        "{audit}"
    );
    sweep.bytes("audit", audit.as_bytes()).assert_clean();
    sweep.folder(served.path()).assert_clean();
}
