//! Apps in the desk: packages that are uploaded, bindings, snapshots.

use mira_store::{Role, SessionOf};

use super::content::pages;
use super::*;

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
