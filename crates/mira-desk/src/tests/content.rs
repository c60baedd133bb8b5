//! What answers hold: no value, nothing that a browser would run, and words for what went wrong.

use mira_store::{Role, SessionOf};
use mira_testkit::canary::{Canary, Sweep};

use super::*;
use crate::access::Needs;
use crate::routes::{describe, table};

/// The routes that answer a GET, with this name where they have one.
fn pages(name: &str) -> Vec<String> {
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
async fn values_of_servers_and_of_aws_are_in_no_answer_and_in_no_file() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let canaries: Vec<Canary> = Canary::generate();
    let sweep = Sweep::new(&canaries);
    let mut texts = canaries
        .iter()
        .filter_map(|canary| std::str::from_utf8(canary.value()).ok());
    let plain = |text: &&str| !text.contains(['\n', '"', '\\']);
    let value = texts.find(plain).unwrap();
    let secrets = format!("CANARY={value}");
    let header = format!("Bearer {value}");
    let config = format!(
        r#"{{"mcpServers": {{"tracker": {{"command": "npx", "args": ["tracker"], "env": {{"TRACKER_TOKEN": "{value}"}}}}}}}}"#
    );
    let mut findings = sweep.bytes("nothing", b"");
    for (path, fields, status) in [
        (
            "/mcp",
            &[
                ("name", "github"),
                ("command", "npx"),
                ("secrets", &*secrets),
            ] as &[(&str, &str)],
            StatusCode::SEE_OTHER,
        ),
        // It is there already.
        (
            "/mcp",
            &[
                ("name", "github"),
                ("command", "npx"),
                ("secrets", &secrets),
            ],
            StatusCode::CONFLICT,
        ),
        // The value is in the place of the name.
        (
            "/mcp",
            &[("name", "other"), ("command", "npx"), ("secrets", value)],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/mcp",
            &[
                ("name", "far"),
                ("url", "https://mcp.example.com/mcp"),
                ("header", "Authorization"),
                ("header_value", &header),
            ],
            StatusCode::SEE_OTHER,
        ),
        (
            "/mcp/github/secrets",
            &[("name", "CANARY"), ("value", value)],
            StatusCode::SEE_OTHER,
        ),
        (
            "/mcp/github/secrets",
            &[("name", "ANOTHER"), ("value", value)],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        // Neither a key id of AWS nor a region.
        (
            "/aws",
            &[("id", value), ("key", value), ("region", "us-east-1")],
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let answer = served.post(&cookie, path, fields).await;
        let told = answer.status();
        let headers = format!("{:?}", answer.headers());
        findings = findings.and(sweep.bytes("headers", headers.as_bytes()));
        let body = answer.bytes().await.unwrap();
        assert_eq!(told, status, "{path}: {}", String::from_utf8_lossy(&body));
        findings = findings.and(sweep.bytes(path, &body));
    }
    // A client's configuration is shown by its names, and taken over.
    let shown = served
        .post(&cookie, "/mcp-import", &[("text", &config)])
        .await;
    assert_eq!(shown.status(), StatusCode::OK, "{shown:?}");
    let shown = shown.text().await.unwrap();
    assert!(shown.contains("TRACKER_TOKEN"), "{shown}");
    findings = findings.and(sweep.bytes("preview", shown.as_bytes()));
    let take = shown
        .split("action=\"")
        .find(|part| part.starts_with("/mcp-import/"));
    let take = take.unwrap().split('"').next().unwrap();
    let taken = served.post(&cookie, take, &[]).await;
    assert_eq!(taken.status(), StatusCode::OK, "{taken:?}");
    findings = findings.and(sweep.bytes("taken", &taken.bytes().await.unwrap()));
    // It was on its way once.
    let again = served.post(&cookie, take, &[]).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    let (_, list) = served.get(&cookie, "/mcp").await;
    for name in ["github", "far", "tracker"] {
        assert!(list.contains(&format!("/mcp/{name}")), "{name}: {list}");
        let (status, page) = served.get(&cookie, &format!("/mcp/{name}")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("saved"), "{page}");
        findings = findings.and(sweep.bytes(name, page.as_bytes()));
    }
    for path in pages("github") {
        let (_, body) = served.get(&cookie, &path).await;
        findings = findings.and(sweep.bytes(&path, body.as_bytes()));
    }
    let removed = served.post(&cookie, "/mcp/tracker/remove", &[]).await;
    assert_eq!(removed.status(), StatusCode::SEE_OTHER);
    assert!(!served.get(&cookie, "/mcp").await.1.contains("/mcp/tracker"));
    findings.and(sweep.folder(served.path())).assert_clean();
}

/// Sends a file as a browser's form does (RFC 7578).
async fn upload(served: &Served, cookie: &str, content: &[u8]) -> (StatusCode, String) {
    let mut body =
        b"--edge\r\nContent-Disposition: form-data; name=\"package\"; filename=\"a.mira\"\r\n\r\n"
            .to_vec();
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n--edge--\r\n");
    let answer = served
        .request("POST", "/open")
        .header("cookie", cookie)
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "multipart/form-data; boundary=edge")
        .body(body)
        .send()
        .await
        .unwrap();
    (answer.status(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_package_is_shown_as_text_before_anything_of_it_is_unpacked_and_then_opened() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let app = served.path().join("app");
    std::fs::create_dir(&app).unwrap();
    let manifest = r#"
kind: mira.app/v1
id: org.example.hostile
name: "<img src=x onerror=alert(1)>"
version: 1.0.0
description: "<script>alert(1)</script>"
secrets: [{name: SOME_KEY, required: true, description: "<script>alert(1)</script>", howToObtain: "<img src=x>"}]
network: {allow: [api.example.org]}
state: {volumes: [{name: data}]}
services:
  - {name: web, command: [sleep, infinity], ports: [{name: http}]}
"#;
    std::fs::write(app.join("mira.yaml"), manifest).unwrap();
    let file = served.path().join("app.mira");
    mira_package::archive::pack(&app, &file, &Default::default()).unwrap();
    let content = std::fs::read(&file).unwrap();
    let (status, shown) = upload(&served, &cookie, &content).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    for part in [
        "org.example.hostile",
        "unsigned",
        "SOME_KEY",
        "api.example.org",
        "web/http",
        "data",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let packages = served.home().join("packages");
    let unpacked = || {
        let entries = std::fs::read_dir(&packages).unwrap();
        entries
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
    };
    assert_eq!(unpacked(), 0);
    let open = shown
        .split("action=\"")
        .find(|part| part.starts_with("/open/"));
    let open = open.unwrap().split('"').next().unwrap();
    // Somebody else does not open what this one looks at.
    let other = served.user("eve", Role::Admin).await;
    let eve = served.cookie(SessionOf::User(&other)).await;
    let stolen = served.post(&eve, open, &[]).await;
    assert_eq!(stolen.status(), StatusCode::NOT_FOUND);
    let opened = served.post(&cookie, open, &[("name", "one")]).await;
    assert_eq!(opened.status(), StatusCode::SEE_OTHER, "{opened:?}");
    let page = header(&opened, "location").to_owned();
    assert_eq!(unpacked(), 1);
    // It is bound to one of the person's secrets, and that is taken back.
    let fields = [("name", "YOUR_KEY"), ("value", "a-value-of-some-length")];
    served.post(&cookie, "/secrets", &fields).await;
    let bindings = format!("{page}/bindings");
    let unknown = [("name", "SOME_KEY"), ("secret", "NOT_THERE")];
    let refused = served.post(&cookie, &bindings, &unknown).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let undeclared = [("name", "OTHER_KEY"), ("secret", "YOUR_KEY")];
    let refused = served.post(&cookie, &bindings, &undeclared).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let fields = [("name", "SOME_KEY"), ("secret", "YOUR_KEY")];
    served.post(&cookie, &bindings, &fields).await;
    assert!(
        served
            .get(&cookie, "/instances/one")
            .await
            .1
            .contains("your YOUR_KEY")
    );
    served
        .post(&cookie, &format!("{bindings}/SOME_KEY/remove"), &[])
        .await;
    assert!(
        !served
            .get(&cookie, "/instances/one")
            .await
            .1
            .contains("your YOUR_KEY")
    );
    // What goes on by itself has no end to wait for.
    let ends = |path: &String| !path.ends_with("/live");
    for path in pages("one").into_iter().filter(ends) {
        let (_, body) = served.get(&cookie, &path).await;
        if !path.starts_with("/api/") {
            assert!(
                !body.contains("<script>alert") && !body.contains("<img src=x"),
                "{path}: {body}"
            );
        }
    }
    // What is no package is refused with words, and kept nowhere.
    let (status, told) = upload(&served, &cookie, b"not a package").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{told}");
    let (status, _) = upload(&served, &cookie, b"").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    // Files of the machine are named by who sits at it.
    let named = file.to_str().unwrap();
    let answer = served.post(&cookie, "/open/path", &[("path", named)]).await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let owner = served.cookie(SessionOf::LocalOwner).await;
    let answer = served.post(&owner, "/open/path", &[("path", named)]).await;
    assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    drop(answer);
    let files = std::fs::read_dir(&packages).unwrap();
    let files = files.filter(|entry| entry.as_ref().unwrap().path().is_file());
    assert_eq!(files.count(), 0);
}

#[tokio::test]
async fn a_snapshot_is_taken_restored_and_removed_and_none_holds_a_secret() {
    let served = Served::start().await;
    let user = served.user("ada", Role::Admin).await;
    let cookie = served.cookie(SessionOf::User(&user)).await;
    let app = served.path().join("app");
    std::fs::create_dir(&app).unwrap();
    let manifest = "kind: mira.app/v1\nid: org.example.keeper\nname: Keeper\nversion: 1.0.0\nsecrets: [{name: SOME_KEY}]\nstate: {volumes: [{name: data}]}\nservices:\n  - {name: web, command: [sleep, infinity]}\n";
    std::fs::write(app.join("mira.yaml"), manifest).unwrap();
    let file = served.path().join("app.mira");
    mira_package::archive::pack(&app, &file, &Default::default()).unwrap();
    let (_, shown) = upload(&served, &cookie, &std::fs::read(&file).unwrap()).await;
    let open = shown
        .split("action=\"")
        .find(|part| part.starts_with("/open/"));
    let open = open.unwrap().split('"').next().unwrap();
    let opened = served.post(&cookie, open, &[("name", "one")]).await;
    let page = header(&opened, "location").to_owned();
    let here = format!("{page}/snapshots");
    let taken = served.post(&cookie, &here, &[("label", "first")]).await;
    assert_eq!(
        taken.status(),
        StatusCode::SEE_OTHER,
        "{}",
        taken.text().await.unwrap()
    );
    let first = header(&taken, "location")
        .rsplit('=')
        .next()
        .unwrap()
        .to_owned();
    let data = served
        .home()
        .join(page.trim_start_matches('/'))
        .join("state/data");
    std::fs::write(data.join("notes"), "later").unwrap();
    let restored = served
        .post(&cookie, &format!("{here}/{first}/restore"), &[])
        .await;
    assert_eq!(restored.status(), StatusCode::SEE_OTHER, "{restored:?}");
    let told = served.get(&cookie, header(&restored, "location")).await.1;
    assert!(told.contains("restore that to go back"), "{told}");
    assert!(told.contains("safety"), "{told}");
    assert!(!data.join("notes").exists());
    // A file that holds a secret stops it, and is named.
    let value = "a-value-of-some-length";
    let fields = [("name", "SOME_KEY"), ("value", value)];
    served
        .post(&cookie, &format!("{page}/secrets"), &fields)
        .await;
    std::fs::write(data.join("leak.txt"), value).unwrap();
    let refused = served.post(&cookie, &here, &[]).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let told = refused.text().await.unwrap();
    assert!(
        told.contains("/data/leak.txt") && told.contains("SOME_KEY"),
        "{told}"
    );
    assert!(!told.contains(value));
    let removed = served
        .post(&cookie, &format!("{here}/{first}/remove"), &[])
        .await;
    assert_eq!(removed.status(), StatusCode::SEE_OTHER);
    assert!(!served.get(&cookie, &here).await.1.contains(&first));
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
    let described = describe();
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
    let text = described.to_string();
    assert_eq!(text.matches("\"value\":").count(), 1, "{text}");
}
